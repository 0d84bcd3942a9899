//! Bytes that wait for a descriptor to take them.

/// Buffers that nobody uses at the moment, so that an idle client or socket holds none.
#[derive(Debug)]
pub(crate) struct Pool {
    spare: Vec<Vec<u8>>,
    /// A larger buffer goes back to the system.
    largest: usize,
    /// For one message while it is being encoded.
    scratch: Vec<u8>,
}

/// How many spare buffers are kept: as many as are in use at once in one turn of an ordinary load.
const SPARE_MAX: usize = 16;

/// A queue grows by whole pieces of this size, a large one by sixteen of them: its memory stays close to
/// what it holds, which is what its client is charged for.
const PIECE: usize = 4 * 1024;

impl Pool {
    /// A pool that keeps buffers of up to `largest` bytes.
    pub(crate) fn new(largest: usize) -> Self {
        Pool { spare: Vec::new(), largest, scratch: Vec::new() }
    }

    /// An empty buffer for one message.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn put_scratch(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.scratch = buffer;
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn put(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && (1..=self.largest).contains(&buffer.len()) {
            self.spare.push(buffer);
        }
    }
}

/// A queue of bytes in one piece of memory, which is written to at its end and read at its front.
#[derive(Debug, Default)]
pub(crate) struct ByteQueue {
    /// All of it is initialised, so that a read can go straight into it.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ByteQueue {
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What waits.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for `length` more bytes; [`ByteQueue::filled`] says how many came.
    pub(crate) fn space(&mut self, length: usize, pool: &mut Pool) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = pool.take();
        }
        if self.bytes.len() - self.end < length && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = self.end + length;
        if self.bytes.len() < wanted {
            let step = if wanted < 16 * PIECE { PIECE } else { 16 * PIECE };
            let size = wanted.next_multiple_of(step);
            self.bytes.reserve_exact(size - self.bytes.len());
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.end..self.end + length]
    }

    pub(crate) fn filled(&mut self, length: usize) {
        self.end = (self.end + length).min(self.bytes.len());
    }

    pub(crate) fn push(&mut self, bytes: &[u8], pool: &mut Pool) {
        self.space(bytes.len(), pool).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Takes `length` bytes off the front; gives the memory back with the last of them.
    pub(crate) fn consume(&mut self, length: usize, pool: &mut Pool) {
        self.start = (self.start + length).min(self.end);
        if self.is_empty() {
            self.clear(pool);
        }
    }

    /// Gives back memory that the queue holds beyond what waits, as it may wait for long.
    pub(crate) fn trim(&mut self) {
        if self.bytes.len() > 2 * self.len() + 2 * PIECE {
            self.bytes = self.unread().to_vec();
            (self.start, self.end) = (0, self.bytes.len());
        }
    }

    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        (self.start, self.end) = (0, 0);
        pool.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let (mut queue, mut pool) = (ByteQueue::default(), Pool::new(1 << 20));
        let mut expected = Vec::new();
        for round in 0..50u8 {
            let bytes = vec![round; usize::from(round)];
            queue.push(&bytes, &mut pool);
            expected.extend(bytes);
            let taken = expected.len() / 3;
            assert_eq!(queue.unread(), expected);
            queue.consume(taken, &mut pool);
            expected.drain(..taken);
        }
        queue.consume(usize::MAX / 2, &mut pool);
        assert!(queue.is_empty() && queue.bytes.is_empty());
        assert_eq!(pool.spare.len(), 1);
    }
}
