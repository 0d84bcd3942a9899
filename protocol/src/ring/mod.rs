//! Two rings of bytes in shared memory, one for each direction: what a busy pipe's frames go through instead.
//!
//! The frames are the same as on the pipe, one after the other and cut nowhere; only the way is another one. Each
//! direction has one writer and one reader. Both keep their own mark to themselves and believe the other's only as
//! far as it is possible: what lies in shared memory may change at any moment, so every mark is read once, checked,
//! and every byte is copied out before anybody looks at it. A hostile side can spoil its own frames, and no more.
//!
//! Nobody is woken who does not sleep: who wants to wait says so, looks once more, and then waits on the pipe; who
//! has changed something looks whether the other has said so, and takes the word back. Between saying and looking
//! both have a full fence, so that one of them sees the other.

#[cfg(all(test, loom))]
mod interleavings;
#[cfg(all(test, loom))]
mod unsafe_cell;
#[cfg(not(loom))]
mod unsafe_memory;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

use thiserror::Error;

#[cfg(not(loom))]
pub use unsafe_memory::{Direction, Ring, RingReceiver, RingSender};

/// The bytes that each direction of a ring holds: four of the largest frames, so that a whole one can be written
/// while another one is read (measured: 4 MiB are no faster, and fall out of the processor's caches).
pub const RING_SIZE: u32 = 1024 * 1024;

/// The other side has broken the rules of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a mark of the ring that cannot be")]
pub struct BadMark;

/// What both sides share of one direction, besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// How many bytes have been written, modulo 2^32. The writer's.
    Written,
    /// How many bytes have been read, modulo 2^32. The reader's.
    Read,
    /// Not 0 when the reader sleeps until something is written.
    ReaderSleeps,
    /// Not 0 when the writer sleeps until something is read.
    WriterSleeps,
}

/// The memory of one direction.
pub trait Memory {
    /// The word that both sides share.
    fn word(&self, word: Word) -> &AtomicU32;
    /// How many bytes it holds: a power of two, at most 2^31.
    fn size(&self) -> u32;
    /// Copies bytes into it, `at` bytes from its start; they do not go beyond its end.
    fn store(&self, at: usize, bytes: &[u8]);
    /// Copies bytes out of it, likewise.
    fn load(&self, at: usize, bytes: &mut [u8]);
}

/// The side of a direction that writes.
#[derive(Debug)]
pub struct Sender<M> {
    memory: M,
    written: u32,
    /// The reader's mark, as it was when it was last looked at: at least so much has been read.
    read: u32,
}

/// The side of a direction that reads.
#[derive(Debug)]
pub struct Receiver<M> {
    memory: M,
    read: u32,
}

impl<M: Memory> Sender<M> {
    /// A direction through which nothing has gone yet.
    pub fn new(memory: M) -> Self {
        Sender { memory, written: 0, read: 0 }
    }

    /// Writes the pieces, one behind the other, as far as there is room; says how many bytes that was.
    ///
    /// # Errors
    /// [`BadMark`] when the reader's mark cannot be.
    pub fn write(&mut self, pieces: &[&[u8]]) -> Result<usize, BadMark> {
        let total = length_of(pieces);
        let length = self.room_for(total)?.min(total);
        self.put(pieces, length);
        Ok(length)
    }

    /// Writes the pieces, one behind the other, if there is room for all of them; whether there was.
    ///
    /// # Errors
    /// As [`Sender::write`].
    pub fn write_whole(&mut self, pieces: &[&[u8]]) -> Result<bool, BadMark> {
        let total = length_of(pieces);
        let is_room = self.room_for(total)? >= total;
        if is_room {
            self.put(pieces, total);
        }
        Ok(is_room)
    }

    /// Room for bytes; the reader's mark is looked at if there is not enough for so many.
    fn room_for(&mut self, total: usize) -> Result<usize, BadMark> {
        let known = self.room_known() as usize;
        if known >= total { Ok(known) } else { Ok(self.room()? as usize) }
    }

    /// Writes so many bytes of the pieces, for which there is room.
    fn put(&mut self, pieces: &[&[u8]], length: usize) {
        let (mut at, mut left) = (self.written, length);
        for piece in pieces {
            let piece = &piece[..piece.len().min(left)];
            self.store(at, piece);
            // A piece is shorter than the ring.
            at = at.wrapping_add(piece.len() as u32);
            left -= piece.len();
        }
        self.written = at;
        self.memory.word(Word::Written).store(at, Ordering::Release);
    }

    /// Where the bytes from `skip` to `length` behind the last written one would go, in two parts, as far as there is
    /// room; whoever puts some there says so with [`Sender::wrote`].
    ///
    /// # Errors
    /// As [`Sender::write`].
    pub fn gap(&mut self, skip: usize, length: usize) -> Result<[Part; 2], BadMark> {
        let room = self.room()? as usize;
        Ok(parts(self.memory.size(), self.written, skip, length.min(room)))
    }

    /// Writes `head` before `length` bytes that are there already.
    ///
    /// # Errors
    /// [`BadMark`] when there is no room for them: nobody can have put them there.
    pub fn wrote(&mut self, head: &[u8], length: usize) -> Result<(), BadMark> {
        let total = head.len() + length;
        if total > self.room_known() as usize {
            return Err(BadMark);
        }
        self.store(self.written, head);
        // No more than the ring's size.
        self.written = self.written.wrapping_add(total as u32);
        self.memory.word(Word::Written).store(self.written, Ordering::Release);
        Ok(())
    }

    /// The memory itself.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Whether the reader sleeps and has to be woken for what was written; asked once for each time that it sleeps.
    pub fn takes_wake(&self) -> bool {
        takes_word(self.memory.word(Word::ReaderSleeps))
    }

    /// Says that this side is going to wait for room.
    ///
    /// Gives `false` when there is room by now, and takes the word back then.
    ///
    /// # Errors
    /// As [`Sender::write`].
    pub fn sleeps(&mut self) -> Result<bool, BadMark> {
        let word = self.memory.word(Word::WriterSleeps);
        word.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.room()? == 0 {
            return Ok(true);
        }
        self.memory.word(Word::WriterSleeps).store(0, Ordering::Relaxed);
        Ok(false)
    }

    /// Room for bytes, as far as is known without looking.
    fn room_known(&self) -> u32 {
        self.memory.size() - self.written.wrapping_sub(self.read)
    }

    fn room(&mut self) -> Result<u32, BadMark> {
        let read = self.memory.word(Word::Read).load(Ordering::Acquire);
        if self.written.wrapping_sub(read) > self.memory.size() {
            return Err(BadMark);
        }
        self.read = read;
        Ok(self.room_known())
    }

    fn store(&self, at: u32, bytes: &[u8]) {
        let [first, second] = parts(self.memory.size(), at, 0, bytes.len());
        let (before, behind) = bytes.split_at(first.length);
        self.memory.store(first.at, before);
        if second.length > 0 {
            self.memory.store(second.at, behind);
        }
    }
}

impl<M: Memory> Receiver<M> {
    /// A direction through which nothing has gone yet.
    pub fn new(memory: M) -> Self {
        Receiver { memory, read: 0 }
    }

    /// The memory itself.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// How many bytes wait to be read.
    ///
    /// # Errors
    /// [`BadMark`] when the writer's mark cannot be.
    pub fn waiting(&self) -> Result<usize, BadMark> {
        let written = self.memory.word(Word::Written).load(Ordering::Acquire);
        let waiting = written.wrapping_sub(self.read);
        if waiting > self.memory.size() { Err(BadMark) } else { Ok(waiting as usize) }
    }

    /// Copies out what waits, as far as `bytes` has room; says how many bytes that was.
    ///
    /// # Errors
    /// As [`Receiver::waiting`].
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, BadMark> {
        let length = self.waiting()?.min(bytes.len());
        if length > 0 {
            self.load(&mut bytes[..length]);
            self.pass(length)?;
        }
        Ok(length)
    }

    /// Copies out what waits without taking it, if that is enough to fill `bytes`; whether it was.
    ///
    /// # Errors
    /// As [`Receiver::waiting`].
    pub fn peek(&self, bytes: &mut [u8]) -> Result<bool, BadMark> {
        if self.waiting()? < bytes.len() {
            return Ok(false);
        }
        self.load(bytes);
        Ok(true)
    }

    /// Where the waiting bytes from `skip` to `length` are, in two parts.
    ///
    /// # Errors
    /// As [`Receiver::waiting`].
    pub fn parts(&self, skip: usize, length: usize) -> Result<[Part; 2], BadMark> {
        let waiting = self.waiting()?;
        Ok(parts(self.memory.size(), self.read, skip, length.min(waiting)))
    }

    /// Takes bytes that were looked at where they are.
    ///
    /// # Errors
    /// [`BadMark`] when so many do not wait.
    pub fn pass(&mut self, length: usize) -> Result<(), BadMark> {
        if length > self.waiting()? {
            return Err(BadMark);
        }
        // At most the ring's size.
        self.read = self.read.wrapping_add(length as u32);
        self.memory.word(Word::Read).store(self.read, Ordering::Release);
        Ok(())
    }

    fn load(&self, bytes: &mut [u8]) {
        let [first, second] = parts(self.memory.size(), self.read, 0, bytes.len());
        let (before, behind) = bytes.split_at_mut(first.length);
        self.memory.load(first.at, before);
        if second.length > 0 {
            self.memory.load(second.at, behind);
        }
    }

    /// Whether the writer sleeps and has to be woken for what was read; asked once for each time that it sleeps.
    pub fn takes_wake(&self) -> bool {
        takes_word(self.memory.word(Word::WriterSleeps))
    }

    /// Says that this side is going to wait for more bytes than the `known` ones that wait already.
    ///
    /// Gives `false` when more are there by now, and takes the word back then.
    ///
    /// # Errors
    /// As [`Receiver::waiting`].
    pub fn sleeps(&self, known: usize) -> Result<bool, BadMark> {
        let word = self.memory.word(Word::ReaderSleeps);
        word.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.waiting()? <= known {
            return Ok(true);
        }
        word.store(0, Ordering::Relaxed);
        Ok(false)
    }
}

/// Bytes of a ring that lie one behind the other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How far from the start of the ring's memory.
    pub at: usize,
    /// How many.
    pub length: usize,
}

fn length_of(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// Where the bytes from `skip` to `length` behind a mark lie; `length` is at most the ring's size.
fn parts(size: u32, mark: u32, skip: usize, length: usize) -> [Part; 2] {
    let wanted = length.saturating_sub(skip);
    let at = (mark as usize).wrapping_add(skip) & (size as usize - 1);
    let first = wanted.min(size as usize - at);
    [Part { at, length: first }, Part { at: 0, length: wanted - first }]
}

/// Takes the other side's word that it sleeps, if it has given it.
fn takes_word(word: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    word.load(Ordering::Relaxed) != 0 && word.swap(0, Ordering::Relaxed) != 0
}
