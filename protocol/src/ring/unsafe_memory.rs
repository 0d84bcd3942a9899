//! The memory that both sides of a ring have: one sealed file without a name, mapped by both.
//!
//! It is touched through raw pointers alone, as the other side may write to it at any moment: no reference to its
//! bytes is ever made, only to its words, which are atomic.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::{Memory, RING_SIZE, Receiver, Sender, Word};

/// Bytes before the rings: each word has a cache line of its own, so that the sides do not take them from each other.
const HEAD: usize = 4096;
const WORD_STRIDE: usize = 64;
const WORDS: usize = 4;

/// The size of the file.
const LENGTH: usize = HEAD + 2 * RING_SIZE as usize;

/// What nobody can undo: a file that shrinks kills whoever touches what is gone (SIGBUS, mmap(2)).
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// The writing side of a shared ring.
pub type RingSender = Sender<Direction>;

/// The reading side of a shared ring.
pub type RingReceiver = Receiver<Direction>;

/// One side's two ends of the rings.
#[derive(Debug)]
pub struct Ring {
    /// Where this side writes.
    pub sender: RingSender,
    /// Where this side reads.
    pub receiver: RingReceiver,
}

impl Ring {
    /// Makes the memory: the daemon's side of it, and the descriptor for the client.
    ///
    /// # Errors
    /// When the system has no memory, descriptor or address space for it.
    pub fn create() -> io::Result<(Ring, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("luasocketd-ring", flags)?;
        rustix::fs::ftruncate(&file, LENGTH as u64)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        let mapping = Arc::new(Mapping::new(&file)?);
        Ok((Ring::of(mapping, Side::ToClient, Side::ToDaemon), file))
    }

    /// The client's side of what a daemon has made.
    ///
    /// # Errors
    /// When it is no such memory (`InvalidData`), or cannot be mapped.
    pub fn open(file: impl AsFd) -> io::Result<Ring> {
        let is_whole = rustix::fs::fstat(&file)?.st_size == LENGTH as i64;
        if !is_whole || !rustix::fs::fcntl_get_seals(&file)?.contains(SEALS) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ring, or one that may shrink"));
        }
        let mapping = Arc::new(Mapping::new(&file)?);
        Ok(Ring::of(mapping, Side::ToDaemon, Side::ToClient))
    }

    fn of(mapping: Arc<Mapping>, to: Side, from: Side) -> Ring {
        Ring {
            sender: Sender::new(Direction { mapping: Arc::clone(&mapping), side: to }),
            receiver: Receiver::new(Direction { mapping, side: from }),
        }
    }
}

/// Which of the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    ToDaemon,
    ToClient,
}

/// One direction of the mapped memory.
#[derive(Debug)]
pub struct Direction {
    mapping: Arc<Mapping>,
    side: Side,
}

impl Direction {
    /// Where bytes `at..at + length` of this direction are, for the system to read or write. They are there as long as
    /// `self` is, and may change at any moment: nothing else may be done with them but have the system copy them.
    ///
    /// # Panics
    /// When they are not all in the ring.
    pub fn place(&self, at: usize, length: usize) -> *mut u8 {
        let size = RING_SIZE as usize;
        assert!(at <= size && length <= size - at, "a piece of a ring goes beyond its end");
        // SAFETY: the head and both directions are in the mapping, and the piece is in its direction.
        unsafe { self.mapping.start.as_ptr().add(HEAD + self.side as usize * size + at) }
    }
}

impl Memory for Direction {
    fn word(&self, word: Word) -> &AtomicU32 {
        let number = self.side as usize * WORDS + word as usize;
        // SAFETY: the words lie in the head of the mapping, which lives as long as `self`; each has the alignment of its
        // stride, and every side uses them as atomic words alone.
        unsafe { AtomicU32::from_ptr(self.mapping.start.as_ptr().add(number * WORD_STRIDE).cast()) }
    }

    fn size(&self) -> u32 {
        RING_SIZE
    }

    fn store(&self, at: usize, bytes: &[u8]) {
        // SAFETY: the place has room for the bytes, and no reference to it exists in this process. The other process
        // may read it meanwhile, and gets whatever it finds.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.place(at, bytes.len()), bytes.len()) }
    }

    fn load(&self, at: usize, bytes: &mut [u8]) {
        // SAFETY: as for `store`; the other process may write to it meanwhile, and every bit pattern is a byte.
        unsafe { ptr::copy_nonoverlapping(self.place(at, bytes.len()), bytes.as_mut_ptr(), bytes.len()) }
    }
}

/// The mapped file.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
}

// SAFETY: it is memory that any thread may touch, through atomic words and raw copies; who reads and who writes what
// is the business of `Sender` and `Receiver`, each of which is there once and wants to be borrowed mutably for it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: impl AsFd) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the system chooses an address that nothing else has.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), LENGTH, access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody refers to it any more.
        let ended = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), LENGTH) };
        debug_assert!(ended.is_ok(), "{ended:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Ring, Ring) {
        let (daemon, file) = Ring::create().unwrap();
        (daemon, Ring::open(&file).unwrap())
    }

    #[test]
    fn what_one_side_writes_the_other_reads_around_the_end() {
        let (mut daemon, mut client) = pair();
        let mut expected = 0u32;
        for round in 0..3000u32 {
            let piece: Vec<u8> = (0..round).map(|byte| (byte ^ round) as u8).collect();
            assert_eq!(daemon.sender.write(&[b"head", &piece]), Ok(4 + piece.len()));
            expected += 4 + round;
            let mut got = vec![0; 4 + piece.len()];
            assert_eq!(client.receiver.read(&mut got), Ok(got.len()));
            assert_eq!((&got[..4], &got[4..]), (&b"head"[..], &piece[..]));
        }
        assert!(expected > 4 * RING_SIZE);
        assert_eq!(client.receiver.waiting(), Ok(0));
        assert_eq!(client.sender.write(&[b"back"]), Ok(4));
        let mut got = [0; 8];
        assert_eq!((daemon.receiver.read(&mut got), &got[..4]), (Ok(4), &b"back"[..]));
    }

    #[test]
    fn the_specification_has_the_sizes() {
        let spec = include_str!("../../PROTOCOL.md");
        let file = format!("memory file of {LENGTH} bytes");
        let head = format!("a head of {HEAD} bytes and two rings of {RING_SIZE} bytes");
        for words in [file, head, format!("{WORD_STRIDE} bytes apart")] {
            assert!(spec.contains(&words), "PROTOCOL.md has no `{words}`");
        }
    }

    #[test]
    fn a_full_ring_takes_what_has_room() {
        let (mut daemon, mut client) = pair();
        let piece = vec![1; RING_SIZE as usize - 10];
        assert_eq!(daemon.sender.write(&[&piece]), Ok(piece.len()));
        assert_eq!(daemon.sender.write(&[b"12345678", b"90ab"]), Ok(10));
        assert_eq!((daemon.sender.write(&[b"x"]), daemon.sender.sleeps()), (Ok(0), Ok(true)));
        assert_eq!(client.receiver.read(&mut [0; 3]), Ok(3));
        assert!(client.receiver.takes_wake() && !client.receiver.takes_wake());
        assert_eq!(daemon.sender.sleeps(), Ok(false));
        assert_eq!(daemon.sender.write(&[b"abcd"]), Ok(3));
    }

    #[test]
    fn pieces_that_have_to_go_whole_go_whole_or_not_at_all() {
        let (mut daemon, mut client) = pair();
        let piece = vec![1; RING_SIZE as usize - 10];
        assert_eq!(daemon.sender.write_whole(&[&piece]), Ok(true));
        assert_eq!(daemon.sender.write_whole(&[b"12345678", b"90a"]), Ok(false));
        assert_eq!(client.receiver.waiting(), Ok(piece.len()));
        assert_eq!(daemon.sender.write_whole(&[b"12345678", b"90"]), Ok(true));
        assert_eq!(daemon.sender.write_whole(&[b"x"]), Ok(false));
        assert_eq!(client.receiver.read(&mut vec![0; piece.len()]), Ok(piece.len()));
        assert_eq!(daemon.sender.write_whole(&[b"ab"]), Ok(true), "the reader's mark is looked at");
        let mut got = [0; 20];
        assert_eq!((client.receiver.read(&mut got), &got[..12]), (Ok(12), &b"1234567890ab"[..]));
    }

    #[test]
    fn nobody_is_woken_who_does_not_sleep() {
        let (mut daemon, client) = pair();
        daemon.sender.write(&[b"x"]).unwrap();
        assert!(!daemon.sender.takes_wake());
        assert_eq!(client.receiver.sleeps(0), Ok(false), "something is there");
        let (mut daemon, client) = pair();
        assert_eq!(client.receiver.sleeps(0), Ok(true));
        daemon.sender.write(&[b"x"]).unwrap();
        assert!(daemon.sender.takes_wake());
        assert!(!daemon.sender.takes_wake(), "once for each sleep");
    }

    #[test]
    fn marks_that_cannot_be_are_refused() {
        let (mut daemon, client) = pair();
        for mark in [RING_SIZE + 1, 1 << 31, u32::MAX] {
            client.sender.memory().word(Word::Written).store(mark, std::sync::atomic::Ordering::Release);
            assert!(daemon.receiver.read(&mut [0; 8]).is_err(), "{mark}");
            assert!(daemon.receiver.sleeps(0).is_err(), "{mark}");
        }
        daemon.sender.write(&[&vec![0; RING_SIZE as usize]]).unwrap();
        for mark in [RING_SIZE + 1, u32::MAX] {
            client.receiver.memory().word(Word::Read).store(mark, std::sync::atomic::Ordering::Release);
            assert!(daemon.sender.write(&[b"x"]).is_err(), "{mark}");
            assert!(daemon.sender.sleeps().is_err(), "{mark}");
        }
    }

    #[test]
    fn memory_that_may_shrink_is_no_ring() {
        let open = |length: usize, seals: SealFlags| {
            let file = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
            rustix::fs::ftruncate(&file, length as u64).unwrap();
            rustix::fs::fcntl_add_seals(&file, seals).unwrap();
            Ring::open(&file).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(open(LENGTH, SEALS), Ok(()));
        assert_eq!(open(LENGTH, SealFlags::GROW), Err(io::ErrorKind::InvalidData));
        assert_eq!(open(LENGTH - 1, SEALS), Err(io::ErrorKind::InvalidData));
        assert!(Ring::open(std::fs::File::open("/dev/null").unwrap()).is_err());
    }
}
