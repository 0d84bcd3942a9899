//! The bytes of one socket that came over the pipe and were not received by the script yet.
//!
//! Invariant: unread bytes are contiguous, so that a scan sees them all and Lua copies them once.

/// Room above this many bytes is given back when the buffer runs empty: one large answer must not cost
/// its memory for the life of the socket.
const KEPT_ROOM: usize = 64 * 1024;

/// A receive buffer.
#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl ReceiveBuffer {
    /// What was not consumed yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Adds what came.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        // Moving the rest to the front costs less than growing once half of the room is spent.
        if self.start > 0 && self.start >= self.bytes.len() / 2 {
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(self.bytes.len() - self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops bytes from the front, and says how many there were.
    pub(crate) fn consume(&mut self, length: usize) -> usize {
        let length = length.min(self.unread().len());
        self.start += length;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_ROOM {
                self.bytes = Vec::new();
            }
        }
        length
    }

    /// Drops everything behind the first `length` unread bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start.saturating_add(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = ReceiveBuffer::default();
        let mut expected = Vec::new();
        for round in 0..200u8 {
            let piece = vec![round; usize::from(round) % 37];
            buffer.append(&piece);
            expected.extend(piece);
            let taken = usize::from(round) % 23;
            assert_eq!(buffer.consume(taken), taken.min(expected.len()));
            expected.drain(..taken.min(expected.len()));
            assert_eq!(buffer.unread(), expected);
        }
    }

    #[test]
    fn an_empty_buffer_gives_its_room_back() {
        let mut buffer = ReceiveBuffer::default();
        buffer.append(&[0; 4 * KEPT_ROOM]);
        buffer.consume(usize::MAX);
        assert_eq!((buffer.unread(), buffer.bytes.capacity()), (&[][..], 0));
    }

    #[test]
    fn truncating_keeps_the_front() {
        let mut buffer = ReceiveBuffer::default();
        buffer.append(b"abcdef");
        buffer.consume(2);
        buffer.truncate(3);
        assert_eq!(buffer.unread(), b"cde");
        buffer.truncate(9);
        assert_eq!(buffer.unread(), b"cde");
    }
}
