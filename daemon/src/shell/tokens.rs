//! What an event is about, packed into mio's token.

use luasocketd_protocol::SocketId;
use mio::Token;

use crate::core::{ClientId, Key};

/// The source of an event. Slots carry no generation here: an event for what has gone meanwhile makes
/// its slot's new owner try once in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The listening pipe with this number.
    Listener(u32),
    /// What other threads have for the loop: the resolver's answers, and operators' questions.
    Threads,
    /// Signals.
    Signals,
    /// The pipe of the client in this slot.
    Client(u32),
    /// The socket in this slot.
    Socket(u32),
    /// An attempt of the socket in this slot to connect.
    Attempt(u32, u32),
}

impl Source {
    pub(crate) fn token(self) -> Token {
        let pack =
            |kind: usize, slot: u32, attempt: u32| kind << 48 | (attempt as usize) << 32 | slot as usize;
        Token(match self {
            Source::Listener(number) => pack(0, number, 0),
            Source::Threads => pack(1, 0, 0),
            Source::Signals => pack(2, 0, 0),
            Source::Client(slot) => pack(3, slot, 0),
            Source::Socket(slot) => pack(4, slot, 0),
            Source::Attempt(slot, attempt) => pack(5, slot, attempt),
        })
    }

    pub(crate) fn of(token: Token) -> Option<Source> {
        let (slot, attempt) = (token.0 as u32, (token.0 >> 32 & 0xffff) as u32);
        Some(match token.0 >> 48 {
            0 => Source::Listener(slot),
            1 => Source::Threads,
            2 => Source::Signals,
            3 => Source::Client(slot),
            4 => Source::Socket(slot),
            5 => Source::Attempt(slot, attempt),
            _ => return None,
        })
    }

    pub(crate) fn client(id: ClientId) -> Source {
        Source::Client(id.parts().0)
    }

    pub(crate) fn socket(id: SocketId) -> Source {
        Source::Socket(id.slot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_source() {
        for source in [
            Source::Listener(1),
            Source::Threads,
            Source::Signals,
            Source::Client(u32::MAX),
            Source::Socket(7),
            Source::Attempt(u32::MAX, 31),
        ] {
            assert_eq!(Source::of(source.token()), Some(source));
        }
    }
}
