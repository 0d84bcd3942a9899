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
pub use unsafe_memory::{Ring, RingReceiver, RingSender};

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
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut room = self.room_known() as usize;
        if room < total {
            room = self.room()? as usize;
        }
        let (mut at, mut left) = (self.written, room.min(total));
        for piece in pieces {
            let piece = &piece[..piece.len().min(left)];
            self.store(at, piece);
            // A piece is shorter than the ring.
            at = at.wrapping_add(piece.len() as u32);
            left -= piece.len();
        }
        self.written = at;
        self.memory.word(Word::Written).store(at, Ordering::Release);
        Ok(room.min(total))
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

    #[cfg(all(test, not(loom)))]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
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
        let (at, size) = ((at & (self.memory.size() - 1)) as usize, self.memory.size() as usize);
        let (first, second) = bytes.split_at(bytes.len().min(size - at));
        self.memory.store(at, first);
        if !second.is_empty() {
            self.memory.store(0, second);
        }
    }
}

impl<M: Memory> Receiver<M> {
    /// A direction through which nothing has gone yet.
    pub fn new(memory: M) -> Self {
        Receiver { memory, read: 0 }
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn memory(&self) -> &M {
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
        if length == 0 {
            return Ok(0);
        }
        let (at, size) = ((self.read & (self.memory.size() - 1)) as usize, self.memory.size() as usize);
        let (first, second) = bytes[..length].split_at_mut(length.min(size - at));
        self.memory.load(at, first);
        if !second.is_empty() {
            self.memory.load(0, second);
        }
        // At most the ring's size.
        self.read = self.read.wrapping_add(length as u32);
        self.memory.word(Word::Read).store(self.read, Ordering::Release);
        Ok(length)
    }

    /// Whether the writer sleeps and has to be woken for what was read; asked once for each time that it sleeps.
    pub fn takes_wake(&self) -> bool {
        takes_word(self.memory.word(Word::WriterSleeps))
    }

    /// Says that this side is going to wait for bytes.
    ///
    /// Gives `false` when some are there by now, and takes the word back then.
    ///
    /// # Errors
    /// As [`Receiver::waiting`].
    pub fn sleeps(&self) -> Result<bool, BadMark> {
        let word = self.memory.word(Word::ReaderSleeps);
        word.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.waiting()? == 0 {
            return Ok(true);
        }
        word.store(0, Ordering::Relaxed);
        Ok(false)
    }
}

/// Takes the other side's word that it sleeps, if it has given it.
fn takes_word(word: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    word.load(Ordering::Relaxed) != 0 && word.swap(0, Ordering::Relaxed) != 0
}
