//! What the bytes of a stream are: a function of the stream and of the offset, so that either side can check any byte at any
//! place without the other, and can tell where a byte belongs that is at the wrong one. `lua/stream.lua` has the same function.

use std::sync::LazyLock;

/// Bytes of a block: a head that names stream and block, and a piece of [`BASE`] that depends on both.
pub const BLOCK: u64 = 1024;
/// Bytes of the head: ten digits of the stream, fourteen of the block.
pub const HEAD: usize = 24;
/// Digits of the stream in the head.
const STREAM_DIGITS: usize = 10;
/// Bytes of noise from which blocks are cut; prime to nothing in particular, but far longer than a block.
const NOISE: u64 = 65536;
/// What is added to a stream's number for the direction towards the script.
const DOWN: u64 = 5_000_000_000;
/// One byte of so many goes into the hash: Lua has to keep up. It is prime to [`BLOCK`], so that all places have their turn.
const SAMPLE: u64 = 61;
/// The modulus of the hash and of the noise, a prime whose products fit a Lua number without integers.
const PRIME: u64 = (1 << 31) - 1;

/// The generator of Lewis, Goodman and Miller, which Lua computes exactly in floating point.
static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 20_260_101;
    let step = |_| {
        state = state * 16807 % PRIME;
        (state / 256 % 256) as u8
    };
    (0..NOISE).map(step).collect()
});

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(u64);

impl Lane {
    /// From the script to its peer.
    pub fn up(stream: u64) -> Lane {
        Lane(stream)
    }

    /// From the peer to the script.
    pub fn down(stream: u64) -> Lane {
        Lane(stream + DOWN)
    }

    /// The bytes from an offset on.
    pub fn bytes(self, from: u64, count: usize) -> Vec<u8> {
        let skip = (from % BLOCK) as usize;
        let mut bytes = Vec::with_capacity(skip + count + BLOCK as usize);
        for block in from / BLOCK.. {
            if bytes.len() >= skip + count {
                break;
            }
            self.push_block(block, &mut bytes);
        }
        bytes.truncate(skip + count);
        bytes.drain(..skip);
        bytes
    }

    /// Which block a head names, if it is one of this lane.
    pub fn block_of(self, head: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(head.get(..HEAD)?).ok()?;
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let (lane, block) = text.split_at_checked(STREAM_DIGITS).filter(|_| is_digits)?;
        (lane.parse() == Ok(self.0)).then(|| block.parse().ok())?
    }

    fn push_block(self, block: u64, bytes: &mut Vec<u8>) {
        let length = BLOCK as usize - HEAD;
        let at = ((self.0 * 7919 + block * 389) % (NOISE - BLOCK)) as usize;
        bytes.extend_from_slice(format!("{:010}{block:014}", self.0).as_bytes());
        bytes.extend_from_slice(&BASE[at..at + length]);
    }
}

/// A hash of a stream so far, however it is cut into pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    value: u64,
    length: u64,
}

impl Hash {
    /// Takes what comes next.
    pub fn absorb(&mut self, bytes: &[u8]) {
        let first = (SAMPLE - self.length % SAMPLE) % SAMPLE;
        for byte in bytes.iter().skip(first as usize).step_by(SAMPLE as usize) {
            self.value = (self.value * 257 + u64::from(*byte) + 1) % PRIME;
        }
        self.length += bytes.len() as u64;
    }

    /// What it is now.
    pub fn value(self) -> u64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_the_same_piece_of_the_whole() {
        let lane = Lane::up(17);
        let whole = lane.bytes(0, 5000);
        for (from, count) in [(0, 1), (1023, 2), (1024, 1024), (1500, 3000), (4999, 1), (10, 0)] {
            assert_eq!(lane.bytes(from as u64, count), whole[from..from + count], "{from} {count}");
        }
    }

    #[test]
    fn blocks_and_lanes_differ_and_a_head_names_its_block() {
        let block = |lane: Lane, number| lane.bytes(number * BLOCK, BLOCK as usize);
        let (one, other) = (block(Lane::up(1), 0), block(Lane::up(1), 1));
        assert_ne!(one[HEAD..], other[HEAD..]);
        assert_ne!(one, block(Lane::down(1), 0));
        assert_eq!(Lane::up(1).block_of(&other), Some(1));
        assert_eq!(Lane::down(1).block_of(&other), None);
        assert_eq!(Lane::up(1).block_of(&other[1..]), None);
    }

    #[test]
    fn a_hash_does_not_see_how_it_was_cut() {
        let bytes = Lane::up(3).bytes(0, 10_000);
        let mut whole = Hash::default();
        whole.absorb(&bytes);
        for size in [1, 60, 61, 62, 999] {
            let mut cut = Hash::default();
            bytes.chunks(size).for_each(|piece| cut.absorb(piece));
            assert_eq!(cut, whole, "{size}");
        }
        let mut other = Hash::default();
        other.absorb(&bytes[1..]);
        assert_ne!(other.value(), whole.value());
    }
}
