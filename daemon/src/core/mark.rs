//! What operators call a client or a socket.

use std::fmt;
use std::str::FromStr;

use luasocketd_protocol::SocketId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::slots::{ClientId, Key};

/// A client, written `c3.1`, or a socket, written `s7.2`: its slot and the slot's generation, so that a mark never
/// comes to stand for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A client.
    Client(ClientId),
    /// A socket.
    Socket(SocketId),
}

/// A text that is no mark.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no client or socket: these are written as `luasocketd ps` prints them, `c3.1` or `s7.2`")]
pub struct MarkError(String);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Client(id) => f.pad(&format!("c{id}")),
            Mark::Socket(id) => f.pad(&format!("s{id}")),
        }
    }
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let key = |rest: &str| -> Option<(u32, u32)> {
            let (slot, generation) = rest.split_once('.')?;
            // `parse` would take a sign, too.
            let number = |text: &str| {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().ok()).flatten()
            };
            Some((number(slot)?, number(generation)?))
        };
        let found = match text.split_at_checked(1) {
            Some(("c", rest)) => {
                key(rest).map(|(slot, generation)| Mark::Client(ClientId::from_parts(slot, generation)))
            }
            Some(("s", rest)) => {
                key(rest).map(|(slot, generation)| Mark::Socket(SocketId::from_parts(slot, generation)))
            }
            _ => None,
        };
        // It is shown to whoever wrote it, so a long one is cut.
        found.ok_or_else(|| MarkError(text.chars().take(40).flat_map(char::escape_default).collect()))
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for text in ["c0.1", "s4294967295.4294967295", "c12.3"] {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
        assert_eq!(format!("{:6}|", "c0.1".parse::<Mark>().unwrap()), "c0.1  |");
    }

    #[test]
    fn other_texts_are_no_marks() {
        for text in ["", "c", "0.1", "c1", "c1.", "c.1", "x1.1", "c+1.1", "c1.1.1", "c4294967296.1", "ä1.1"]
        {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
