//! What has arrived of a stream, in the order in which it did. What is not where it belongs is recognised and placed, so that
//! a verdict can say whether bytes were lost, came twice or came out of order.

use crate::pattern::{BLOCK, HEAD, Hash, Lane};

/// Breaks after which a stream is not looked at further: it is broken enough, and memory stays bounded.
const MAX_RUNS: usize = 1000;

/// The bytes from one offset up to another, as they came without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first byte's offset in the stream.
    pub from: u64,
    /// The offset behind the last one.
    pub to: u64,
}

/// Reads a stream and takes down what came.
#[derive(Clone, Debug)]
pub struct Arrival {
    lane: Lane,
    runs: Vec<Run>,
    /// What came behind the last run and has no place yet.
    unplaced: Vec<u8>,
    foreign: u64,
    length: u64,
    hash: Hash,
}

impl Arrival {
    /// A stream of which nothing has come.
    pub fn new(lane: Lane) -> Arrival {
        Arrival::at(lane, 0)
    }

    /// A stream that was as it should be up to an offset.
    pub fn at(lane: Lane, offset: u64) -> Arrival {
        let runs = vec![Run { from: 0, to: offset }];
        Arrival { lane, runs, unplaced: Vec::new(), foreign: 0, length: 0, hash: Hash::default() }
    }

    /// Takes what comes next.
    pub fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.absorb(bytes);
        if self.runs.len() > MAX_RUNS {
            self.foreign += bytes.len() as u64;
        } else if self.unplaced.is_empty() {
            self.follow(bytes);
        } else {
            self.unplaced.extend_from_slice(bytes);
            self.place();
        }
    }

    /// Nothing more comes: the runs, and how many bytes belong nowhere.
    pub fn end(mut self) -> (Vec<Run>, u64) {
        self.foreign += self.unplaced.len() as u64;
        (self.runs, self.foreign)
    }

    /// How many bytes came, wherever they belong.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash of all that came.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// Takes what continues the last run; the rest has to be placed.
    fn follow(&mut self, bytes: &[u8]) {
        let Some(run) = self.runs.last_mut() else { return };
        let expected = self.lane.bytes(run.to, bytes.len());
        let same = same_length(bytes, &expected);
        run.to += same as u64;
        if same < bytes.len() {
            self.unplaced = bytes[same..].to_vec();
            self.place();
        }
    }

    /// Looks for the head of a block in what has no place, and goes on from there.
    fn place(&mut self) {
        let heads = self.unplaced.windows(HEAD).enumerate();
        let mut found = heads.filter_map(|(at, head)| Some((at, self.lane.block_of(head)?)));
        let Some((at, block)) = found.next() else { return };
        // What lies before the head may be the end of the block before it.
        let start = block * BLOCK;
        let before = &self.unplaced[..at];
        let possible = (before.len() as u64).min(start) as usize;
        let expected = self.lane.bytes(start - possible as u64, possible);
        let same =
            before.iter().rev().zip(expected.iter().rev()).take_while(|(one, other)| one == other).count();
        self.foreign += (at - same) as u64;
        self.runs.push(Run { from: start - same as u64, to: start });
        let rest = std::mem::take(&mut self.unplaced).split_off(at);
        self.follow(&rest);
    }
}

fn same_length(one: &[u8], other: &[u8]) -> usize {
    // Nearly always all of it, which is compared faster.
    if one == other {
        return one.len();
    }
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: fn() -> Lane = || Lane::up(9);

    fn arrived(bytes: &[u8], piece: usize) -> (Vec<(u64, u64)>, u64) {
        let mut arrival = Arrival::new(LANE());
        bytes.chunks(piece).for_each(|piece| arrival.take(piece));
        let (runs, foreign) = arrival.end();
        (runs.iter().map(|run| (run.from, run.to)).collect(), foreign)
    }

    fn check(bytes: &[u8], runs: &[(u64, u64)], foreign: u64) {
        for piece in [1, 7, 1000, 100_000] {
            assert_eq!(arrived(bytes, piece), (runs.to_vec(), foreign), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_whole_is_one_run() {
        check(&LANE().bytes(0, 10_000), &[(0, 10_000)], 0);
        check(&[], &[(0, 0)], 0);
    }

    #[test]
    fn a_lost_byte_is_a_gap() {
        let mut bytes = LANE().bytes(0, 10_000);
        bytes.remove(3000);
        check(&bytes, &[(0, 3000), (3001, 10_000)], 0);
    }

    #[test]
    fn a_doubled_byte_is_an_overlap() {
        let mut bytes = LANE().bytes(0, 10_000);
        bytes.insert(3000, bytes[2999]);
        check(&bytes, &[(0, 3000), (2999, 10_000)], 0);
    }

    #[test]
    fn swapped_blocks_are_three_runs() {
        let whole = LANE().bytes(0, 10_000);
        let bytes = [&whole[..2048], &whole[4096..6144], &whole[2048..4096], &whole[6144..]].concat();
        // Heads differ in their last digit only: what is equal before it is seen as where it was expected.
        let same = HEAD as u64 - 1;
        let runs =
            [(0, 2048 + same), (4096 + same, 6144 + same), (2048 + same, 4096 + same), (6144 + same, 10_000)];
        check(&bytes, &runs, 0);
    }

    #[test]
    fn what_belongs_to_another_stream_belongs_nowhere() {
        let (whole, other) = (LANE().bytes(0, 10_000), Lane::up(10).bytes(0, 1024));
        let bytes = [&whole[..2048], &other, &whole[2048..]].concat();
        let (runs, foreign) = arrived(&bytes, 999);
        // Both heads begin with zeros.
        let doubtful = same_length(&other, &whole[2048..]) as u64;
        assert_eq!((runs, foreign), (vec![(0, 2048 + doubtful), (2048, 10_000)], 1024 - doubtful));
        let (runs, foreign) = arrived(&other, 1024);
        assert_eq!(foreign + runs[0].1, 1024);
    }
}
