//! The bytes of one socket that came over the pipe and were not received by the script yet.
//!
//! Invariant: unread bytes are contiguous, so that a scan sees them all and Lua copies them once.

use crate::unsafe_advice::populate;

/// Room above this many bytes leaves the buffer when it runs empty: one large answer must not cost its memory for the
/// life of the socket.
pub(crate) const KEPT_ROOM: usize = 64 * 1024;

/// How far a buffer is initialised beyond what it needs.
const AHEAD: usize = 64 * 1024;

/// A buffer above this many bytes is not the memory of an earlier one: the system has to find all of it, and does so in
/// larger parts.
const LARGE: usize = 2 * 1024 * 1024;
const AHEAD_LARGE: usize = 1024 * 1024;

/// A receive buffer.
#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    /// All of it is initialised, so that bytes can be read straight into it.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReceiveBuffer {
    /// What was not consumed yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Adds what came.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Room for so many bytes behind the unread ones; [`ReceiveBuffer::filled`] says how many were put there.
    pub(crate) fn space(&mut self, length: usize) -> &mut [u8] {
        // Moving the rest to the front costs less than growing once half of the room is spent.
        if self.start > 0 && self.start >= self.end / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = self.end + length;
        if wanted > self.bytes.len() {
            // Twice as much each time, so that a long answer is not copied again and again; but what is not in use yet
            // is not touched, so that the system need not find memory for it.
            self.bytes.reserve(wanted - self.bytes.len());
            let ahead = if wanted < LARGE { AHEAD } else { AHEAD_LARGE };
            let (before, size) = (self.bytes.len(), self.bytes.capacity().min(wanted + ahead));
            if wanted >= LARGE {
                populate(&mut self.bytes, before..size);
            }
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.end..wanted]
    }

    /// Says that so many bytes of the room behind the unread ones are in use now.
    pub(crate) fn filled(&mut self, length: usize) {
        self.end = (self.end + length).min(self.bytes.len());
    }

    /// Lends memory to a buffer that has none.
    pub(crate) fn lend(&mut self, room: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = room;
        }
    }

    /// Whether it has memory.
    pub(crate) fn has_room(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Drops bytes from the front, and says how many there were.
    pub(crate) fn consume(&mut self, length: usize) -> usize {
        let length = length.min(self.unread().len());
        self.start += length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        length
    }

    /// Takes large memory out of an empty buffer.
    pub(crate) fn give_room(&mut self) -> Option<Vec<u8>> {
        let is_idle = self.start == self.end && self.bytes.len() > KEPT_ROOM;
        is_idle.then(|| std::mem::take(&mut self.bytes))
    }

    /// Drops everything behind the first `length` unread bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.end = self.end.min(self.start.saturating_add(length));
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
        assert_eq!(buffer.give_room(), None, "it is in use");
        buffer.consume(usize::MAX);
        assert!(buffer.unread().is_empty());
        let room = buffer.give_room().unwrap();
        assert!((4 * KEPT_ROOM..=8 * KEPT_ROOM).contains(&room.len()));
        assert_eq!((buffer.give_room(), buffer.has_room()), (None, false));
        buffer.append(b"small");
        buffer.consume(5);
        assert_eq!((buffer.give_room(), buffer.has_room()), (None, true), "a little is kept");
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
