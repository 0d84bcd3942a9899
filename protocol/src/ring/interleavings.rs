//! Every interleaving of a writer and a reader, with the weak memory of the language's model: nothing is lost, read
//! before it is written or overwritten before it is read, and nobody sleeps for good.
//!
//! `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p luasocketd-protocol --lib interleavings`

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::AtomicU32;
use loom::sync::{Arc, Notify};

use super::*;

/// Two bytes, so that the ring is full and empty all the time.
const SIZE: usize = 2;

#[derive(Debug)]
struct Cells {
    words: [AtomicU32; 4],
    bytes: [UnsafeCell<u8>; SIZE],
}

impl Memory for Arc<Cells> {
    fn word(&self, word: Word) -> &AtomicU32 {
        &self.words[word as usize]
    }

    fn size(&self) -> u32 {
        SIZE as u32
    }

    fn store(&self, at: usize, bytes: &[u8]) {
        for (cell, byte) in self.bytes[at..].iter().zip(bytes) {
            super::unsafe_cell::set(cell, *byte);
        }
    }

    fn load(&self, at: usize, bytes: &mut [u8]) {
        for (cell, byte) in self.bytes[at..].iter().zip(bytes) {
            *byte = super::unsafe_cell::get(cell);
        }
    }
}

fn run(count: u8) {
    let cells = Arc::new(Cells {
        words: std::array::from_fn(|_| AtomicU32::new(0)),
        bytes: std::array::from_fn(|_| UnsafeCell::new(0)),
    });
    let (mut sender, mut receiver) = (Sender::new(Arc::clone(&cells)), Receiver::new(cells));
    // The pipe: what was sent to wake somebody waits for him.
    let (reader_bell, writer_bell) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let writer = {
        let (reader_bell, writer_bell) = (Arc::clone(&reader_bell), Arc::clone(&writer_bell));
        loom::thread::spawn(move || {
            for byte in 0..count {
                while sender.write(&[&[byte]]).unwrap() == 0 {
                    if sender.sleeps().unwrap() {
                        writer_bell.wait();
                    }
                }
                if sender.takes_wake() {
                    reader_bell.notify();
                }
            }
        })
    };
    let (mut next, mut bytes) = (0, [0; SIZE]);
    while next < count {
        let length = receiver.read(&mut bytes).unwrap();
        for byte in &bytes[..length] {
            assert_eq!(*byte, next);
            next += 1;
        }
        if length == 0 {
            if receiver.sleeps(0).unwrap() {
                reader_bell.wait();
            }
        } else if receiver.takes_wake() {
            writer_bell.notify();
        }
    }
    writer.join().unwrap();
}

#[test]
fn of_one_byte() {
    loom::model(|| run(1));
}

#[test]
fn of_a_ring_that_is_full_and_empty_in_turn() {
    // Every interleaving with so many changes from one side to the other against its will: more find nothing new and
    // take minutes.
    let mut model = Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| run(3));
}
