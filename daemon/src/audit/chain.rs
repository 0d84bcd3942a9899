//! The chain over the lines: what makes a changed, missing or moved line show.
//!
//! A line ends in its hash: SHA-256 over the hash of the line before it and its own bytes up to the hash. The first line of
//! all comes after 32 zero bytes. Whoever can write all the files can also make a new chain that fits: what shows
//! that is a [`Point`] that was noted elsewhere, which is why the daemon logs one when it starts, rotates and ends.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// What stands between a line's own bytes and the digits of its hash, and behind them.
const BEFORE_HASH: &[u8] = br#","hash":{"sha256":""#;
const AFTER_HASH: &[u8] = br#""}}"#;

const HASH_BYTES: usize = 32;

/// The hash of a line, and of all lines before it with that.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    /// The hash of a line that comes after one with this hash.
    pub fn then(self, line: &[u8]) -> Hash {
        Hash(Sha256::new().chain_update(self.0).chain_update(line).finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        let mut hash = Hash::default();
        let digits = text.as_bytes();
        if digits.len() != 2 * HASH_BYTES {
            return Err(PointError);
        }
        for (byte, pair) in hash.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(hash)
    }
}

/// Lower case only: one hash has one spelling.
fn digit(byte: u8) -> Result<u8, PointError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(PointError),
    }
}

/// A place in the trail: the number of a line and its hash. Its text is `SEQUENCE:HASH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The line's number; 0 before the first one.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A text is no place in a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a place in the trail is SEQUENCE:HASH, a number and 64 hexadecimal digits in lower case")]
pub struct PointError;

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Point {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        let (sequence, hash) = text.split_once(':').ok_or(PointError)?;
        let is_number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse().ok().filter(|_| is_number).ok_or(PointError)?;
        Ok(Point { sequence, hash: hash.parse()? })
    }
}
