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

/// The largest number of a line: the index has none above it, and from there on lines can still be counted. A larger one
/// was not written by a trail.
pub(super) const SEQUENCE_MAX: u64 = i64::MAX as u64;

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
        let sequence = sequence.parse().ok().filter(|&sequence| is_number && sequence <= SEQUENCE_MAX);
        let sequence = sequence.ok_or(PointError)?;
        Ok(Point { sequence, hash: hash.parse()? })
    }
}

/// Ends the line that begins at `start` with its hash and a newline. It has to be a JSON object with a member.
pub(super) fn seal(lines: &mut Vec<u8>, start: usize, previous: Hash) -> Hash {
    // The brace that ends the object comes back behind the hash.
    lines.pop();
    let hash = previous.then(&lines[start..]);
    lines.extend_from_slice(BEFORE_HASH);
    lines.extend_from_slice(hash.to_string().as_bytes());
    lines.extend_from_slice(AFTER_HASH);
    lines.push(b'\n');
    hash
}

/// A line's own bytes and its hash; `None` when it has none. The newline does not belong to it.
pub(super) fn unseal(line: &[u8]) -> Option<(&[u8], Hash)> {
    let line = line.strip_suffix(AFTER_HASH)?;
    let (line, digits) = line.split_at_checked(line.len().checked_sub(2 * HASH_BYTES)?)?;
    let line = line.strip_suffix(BEFORE_HASH)?;
    Some((line, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_sealed_with_the_documented_hash() {
        let mut lines = b"{\"a\":1}".to_vec();
        let hash = seal(&mut lines, 0, Hash::default());
        // `(head -c32 /dev/zero; printf '{"a":1') | sha256sum`
        assert_eq!(hash.to_string(), "607ca6addc015e6bd181f4700e76996f0a2361ee7a2e4b2dbe5d7dd2f948d448");
        assert_eq!(lines, format!("{{\"a\":1,\"hash\":{{\"sha256\":\"{hash}\"}}}}\n").into_bytes());
        assert_eq!(unseal(lines.trim_ascii_end()), Some((&b"{\"a\":1"[..], hash)));
        assert!(serde_json::from_slice::<serde_json::Value>(&lines).is_ok());
    }

    #[test]
    fn a_place_has_one_spelling() {
        let point = Point { sequence: 7, hash: Hash::default().then(b"x") };
        assert_eq!(point.to_string().parse(), Ok(point));
        let hash = point.hash.to_string();
        let too_large = format!("{}:{hash}", SEQUENCE_MAX + 1);
        let upper = format!("7:{}", hash.to_uppercase());
        for wrong in ["", ":", "7", "7:", ":00", &format!("+7:{hash}"), &upper, &too_large] {
            assert_eq!(wrong.parse::<Point>(), Err(PointError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_to_be_looked_at(line: Vec<u8>, tail in "[0-9a-f]{60,66}") {
            let _ = unseal(&line);
            let mut longer = line;
            longer.extend_from_slice(BEFORE_HASH);
            longer.extend_from_slice(tail.as_bytes());
            longer.extend_from_slice(AFTER_HASH);
            prop_assert_eq!(unseal(&longer).is_some(), tail.len() == 64);
        }
    }
}
