//! The codec under messages that are wrong in ways that nobody has thought of: one of each, changed at random.
//!
//! `LUASOCKETD_INPUTS=n` says how many. A failure prints its seed;
//! `LUASOCKETD_SEED=n cargo test -p luasocketd-protocol --test mutations` repeats it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use luasocketd_protocol::MAX_FRAME;

mod examine;
#[path = "../../daemon/tests/simulation/random.rs"]
#[allow(dead_code, reason = "the simulator asks it for more")]
mod random;
mod samples;

use examine::{examine, frames};
use random::Random;

/// Inputs of an ordinary run.
const INPUTS: u64 = 200_000;

/// Changes to one input.
const CHANGES_MAX: u64 = 6;

/// The longest piece that is put in, or taken out.
const PIECE_MAX: u64 = 16;

/// What begins a value of MessagePack, and what is at the ends of numbers.
const TELLING: [u8; 24] = [
    0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x92, 0x93, 0x94, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc3, 0xc4, 0xc6,
    0xca, 0xcf, 0xd3, 0xdb, 0xdd, 0xdf, 0xff,
];

/// An input: one to three messages, changed, and the length of the pieces in which it comes.
fn input(messages: &[Vec<u8>], random: &mut Random) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        bytes.extend_from_slice(random.pick(messages).unwrap());
    }
    for _ in 0..random.below(CHANGES_MAX + 1) {
        change(&mut bytes, messages, random);
    }
    (bytes, 1 + random.below(64) as usize)
}

fn change(bytes: &mut Vec<u8>, messages: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let piece = at..bytes.len().min(at + random.below(PIECE_MAX) as usize);
    match random.below(7) {
        0 => drop(bytes.drain(piece)),
        1 => bytes.truncate(at),
        2 => {
            let again = bytes[piece].to_vec();
            bytes.splice(at..at, again);
        }
        3 => {
            let other = random.pick(messages).unwrap();
            let from = random.below(other.len() as u64) as usize;
            bytes.splice(piece, other[from..].iter().copied());
        }
        4 => bytes.insert(at, random.below(256) as u8),
        kind => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte =
                    if kind == 5 { *random.pick(&TELLING).unwrap() } else { *byte ^ 1 << random.below(8) };
            }
        }
    }
}

#[test]
fn whatever_comes_is_understood_or_refused() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("LUASOCKETD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LUASOCKETD_INPUTS").unwrap_or(INPUTS),
    };
    let (messages, _) = frames(&samples::one_of_each(), MAX_FRAME);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let examine_each = |first: u64| {
        for seed in seeds.clone().skip(first as usize).step_by(threads) {
            let (bytes, piece) = input(&messages, &mut Random::new(seed));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| examine(&bytes, piece))) {
                eprintln!("{bytes:02x?} in pieces of {piece}: repeat it with LUASOCKETD_SEED={seed}");
                resume_unwind(panic);
            }
        }
    };
    thread::scope(|scope| {
        let examine_each = &examine_each;
        (0..threads as u64).for_each(|first| drop(scope.spawn(move || examine_each(first))));
    });
}
