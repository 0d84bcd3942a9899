//! A ring whose other side writes what it likes into the words that both share, at any moment: nothing outside of the ring
//! is touched, and there are bytes or a bad mark.
#![no_main]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use libfuzzer_sys::fuzz_target;
use luasocketd_fuzz::numbers::Numbers;
use luasocketd_fuzz::seeds;
use luasocketd_protocol::{Part, Receiver, Ring, RingMemory, RingWord, Sender};

/// Steps of one input.
const STEPS_MAX: usize = 300;

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let mut numbers = Numbers::new(input);
        let size = 1 << numbers.below(7);
        match numbers.below(16) {
            // It is slower, and the same but for its place.
            0 => shared(&mut numbers),
            1..=7 => honest(size, &mut numbers),
            _ => hostile(size, numbers),
        }
    }
);

fn inputs() -> Vec<Vec<u8>> {
    (0..48u8)
        .map(|number| (0..100).map(|step: u8| step.wrapping_mul(number | 1) ^ number << 3).collect())
        .collect()
}

/// A ring in the memory of this process, of any size.
struct Memory {
    words: Rc<[AtomicU32; 4]>,
    bytes: Rc<RefCell<Vec<u8>>>,
    /// Changes the words whenever they are looked at.
    other: Option<Rc<RefCell<Numbers>>>,
    looks: Cell<usize>,
}

impl RingMemory for Memory {
    fn word(&self, word: RingWord) -> &AtomicU32 {
        self.looks.set(self.looks.get() + 1);
        let found = &self.words[word as usize];
        if let Some(other) = &self.other {
            let mut other = other.borrow_mut();
            let mark = match other.below(8) {
                0 => other.next() as u32,
                1 => found.load(Ordering::Relaxed).wrapping_add(other.below(256) as u32),
                2 => found.load(Ordering::Relaxed).wrapping_sub(1),
                3 => self.size(),
                _ => return found,
            };
            found.store(mark, Ordering::Relaxed);
        }
        found
    }

    fn size(&self) -> u32 {
        self.bytes.borrow().len() as u32
    }

    fn store(&self, at: usize, bytes: &[u8]) {
        self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn load(&self, at: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.bytes.borrow()[at..at + bytes.len()]);
    }
}

/// Two sides that keep the rules: what goes in comes out, in order, and nothing else does.
fn honest(size: usize, numbers: &mut Numbers) {
    let (words, bytes) = (Rc::new(Default::default()), Rc::new(RefCell::new(vec![0; size])));
    let memory =
        || Memory { words: Rc::clone(&words), bytes: Rc::clone(&bytes), other: None, looks: Cell::new(0) };
    let (mut sender, mut receiver) = (Sender::new(memory()), Receiver::new(memory()));
    let (mut written, mut read) = (0u8, 0u8);
    let mut waiting = 0;
    for _ in 0..STEPS_MAX {
        if !numbers.has_more() {
            break;
        }
        match numbers.below(5) {
            0 | 1 => {
                let mut piece = || -> Vec<u8> {
                    let from = written;
                    let piece: Vec<u8> =
                        (0..numbers.below(70) as u8).map(|at| from.wrapping_add(at)).collect();
                    written = written.wrapping_add(piece.len() as u8);
                    piece
                };
                let pieces = [piece(), piece()];
                let wanted = pieces[0].len() + pieces[1].len();
                let pieces = [&pieces[0][..], &pieces[1]];
                let taken = if numbers.below(2) == 0 {
                    let is_taken = sender.write_whole(&pieces).expect("a mark that can be");
                    assert_eq!(is_taken, wanted <= size - waiting);
                    if is_taken { wanted } else { 0 }
                } else {
                    let taken = sender.write(&pieces).expect("a mark that can be");
                    assert_eq!(taken, wanted.min(size - waiting));
                    taken
                };
                written = written.wrapping_sub((wanted - taken) as u8);
                waiting += taken;
            }
            2 | 3 => {
                let mut into = vec![0; numbers.below(140) as usize];
                let mut ahead = into.clone();
                let is_whole = receiver.peek(&mut ahead).expect("a mark that can be");
                assert_eq!(is_whole, into.len() <= waiting);
                let length = receiver.read(&mut into).expect("a mark that can be");
                assert_eq!(length, into.len().min(waiting));
                assert!(!is_whole || into == ahead);
                for byte in &into[..length] {
                    assert_eq!(*byte, read, "bytes come in order");
                    read = read.wrapping_add(1);
                }
                waiting -= length;
            }
            _ => {
                assert_eq!(sender.sleeps(), Ok(waiting == size));
                assert_eq!(receiver.sleeps(0), Ok(waiting == 0));
                assert_eq!((sender.takes_wake(), receiver.takes_wake()), (waiting == 0, waiting == size));
            }
        }
        assert_eq!(receiver.waiting(), Ok(waiting));
    }
}

/// Both sides against somebody who changes the words between any two looks.
fn hostile(size: usize, numbers: Numbers) {
    let other = Rc::new(RefCell::new(numbers));
    let memory = || Memory {
        words: Rc::new(Default::default()),
        bytes: Rc::new(RefCell::new(vec![0; size])),
        other: Some(Rc::clone(&other)),
        looks: Cell::new(0),
    };
    let (mut sender, mut receiver) = (Sender::new(memory()), Receiver::new(memory()));
    for _ in 0..STEPS_MAX {
        if !other.borrow().has_more() {
            break;
        }
        let (step, length, skip) = {
            let mut numbers = other.borrow_mut();
            (numbers.below(10), numbers.below(140) as usize, numbers.below(80) as usize)
        };
        let before = sender.memory().looks.get() + receiver.memory().looks.get();
        match step {
            0 | 1 => {
                let piece = vec![1; length];
                if let Ok(taken) = sender.write(&[&piece[..length.min(skip)], &piece[length.min(skip)..]]) {
                    assert!(taken <= length && taken <= size);
                }
            }
            2 => {
                if let Ok(gap) = sender.gap(skip, length) {
                    inside(gap, size, length);
                    let _ = sender.wrote(&vec![2; skip], length);
                }
            }
            3 => drop(sender.sleeps()),
            4 => {
                let mut into = vec![0; length];
                if let Ok(read) = receiver.read(&mut into) {
                    assert!(read <= length && read <= size);
                }
            }
            5 => drop(receiver.peek(&mut vec![0; length])),
            6 => {
                if let Ok(parts) = receiver.parts(skip, length) {
                    inside(parts, size, length);
                    let _ = receiver.pass(length);
                }
            }
            7 => drop(receiver.sleeps(length)),
            8 => drop(receiver.pass(length)),
            _ => drop((sender.takes_wake(), receiver.takes_wake())),
        }
        let looks = sender.memory().looks.get() + receiver.memory().looks.get() - before;
        assert!(looks <= 16, "{looks} looks in one step");
    }
}

/// No part goes beyond the ring, and both are no more than was asked for.
fn inside([first, second]: [Part; 2], size: usize, length: usize) {
    for part in [first, second] {
        assert!(part.at <= size && part.length <= size - part.at, "{part:?} of {size}");
    }
    assert!(first.length + second.length <= length.min(size));
}

/// The ring that two processes have, with words that cannot be.
fn shared(numbers: &mut Numbers) {
    let (mut daemon, file) = Ring::create().expect("a ring");
    let mut client = Ring::open(&file).expect("the same ring");
    for _ in 0..STEPS_MAX {
        if !numbers.has_more() {
            break;
        }
        let length = numbers.below(1 << 17) as usize;
        match numbers.below(6) {
            0 => drop(daemon.sender.write(&[b"head", &vec![1; length]])),
            1 => drop(client.receiver.read(&mut vec![0; length])),
            2 => drop(daemon.receiver.peek(&mut vec![0; length])),
            3 => drop(client.sender.write(&[&vec![1; length]])),
            4 => drop(daemon.receiver.read(&mut vec![0; length])),
            _ => {
                let word = [RingWord::Written, RingWord::Read][numbers.below(2) as usize];
                let memory =
                    if numbers.once_in(2) { client.sender.memory() } else { client.receiver.memory() };
                memory.word(word).store(numbers.next() as u32, Ordering::Release);
            }
        }
    }
}
