//! What one stream is to do: a function of the seed and of its number.

use luasocketd_tests::Interpreter;

use crate::dice::Dice;

/// Defines an enum whose variants have names, and the list of them.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// What it is called in output and orders.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use named;

named! {
    /// How the peer behaves.
    Manner {
        /// Reads everything, and ends its direction when the script has ended its own.
        Plain = "plain",
        /// Ends its direction as soon as its bytes are sent, and goes on reading.
        HalfClose = "half-close",
        /// Sends one byte a second.
        Drip = "drip",
        /// Resets the connection when half of the bytes are there.
        Reset = "reset",
        /// Reads nothing until the script has given up, and then everything.
        Late = "late",
        /// Never reads, and at last resets the connection.
        Never = "never",
    }
}

named! {
    /// How the script goes about it.
    Way {
        /// Calls that block, one stream after the other.
        Block = "block",
        /// Calls that never block, all streams at once, and `select`.
        Select = "select",
        /// LuaSocket 1.0, which blocks.
        V1 = "v1",
        /// As a server that its peer connects to; calls that block.
        Serve = "serve",
        /// In a host that forks when half is sent: its child has a stream of its own.
        Fork = "fork",
    }
}

/// The interpreters that scripts run on.
pub const INTERPRETERS: [Interpreter; 4] =
    [Interpreter::Lua54, Interpreter::Lua51, Interpreter::LuaJit, Interpreter::Lua53];

/// The most bytes of one direction: more than all buffers on the way together can hold.
const LARGEST: u64 = 8 << 20;
/// What a script has to send so that it is held up by a peer that does not read.
const STUCK: u64 = 24 << 20;
/// The most bytes that one call of the script's sends or receives.
const PIECE: u64 = 256 << 10;
/// How many calls a direction takes at the most: a few megabytes byte by byte would say nothing more.
const CALLS: u64 = 5000;
/// The most streams of a process that has several.
const STREAMS: u64 = 4;

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its number, which no other has.
    pub stream: u64,
    /// How the peer behaves.
    pub manner: Manner,
    /// How many bytes the script wants to send.
    pub up: u64,
    /// How many bytes the peer wants to send.
    pub down: u64,
    /// How many bytes one call takes at the most.
    pub piece: u64,
}

/// What one process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it runs on; a host that forks is of its own kind.
    pub interpreter: Interpreter,
    /// How it goes about it.
    pub way: Way,
    /// Its streams.
    pub streams: Vec<Plan>,
}

impl Process {
    /// The process with this number. A tenth of the streams have a peer that misbehaves.
    pub fn of(seed: u64, number: u64) -> Process {
        let mut dice = Dice::new(seed, number);
        let way = match dice.below(10) {
            0..4 => Way::Select,
            4..7 => Way::Block,
            7 => Way::V1,
            _ => Way::Serve,
        };
        Process::in_way(seed, number, way)
    }

    /// The process with this number that goes about it in this way.
    pub fn in_way(seed: u64, number: u64, way: Way) -> Process {
        let mut dice = Dice::new(seed, number.wrapping_add(1 << 32));
        let count = match way {
            Way::Select => 1 + dice.below(STREAMS),
            Way::Fork => 2,
            Way::Block | Way::V1 | Way::Serve => 1,
        };
        let first = number * STREAMS;
        let streams = (first..first + count).map(|stream| Plan::of(stream, way, &mut dice)).collect();
        Process { interpreter: dice.one_of(&INTERPRETERS), way, streams }
    }
}

impl Plan {
    fn of(stream: u64, way: Way, dice: &mut Dice) -> Plan {
        let manner = match (way, dice.below(20)) {
            // LuaSocket 1.0 cannot end one direction.
            (Way::V1, _) => Manner::HalfClose,
            (Way::Fork, _) | (_, 0..13) => Manner::Plain,
            (_, 13..16) => Manner::HalfClose,
            (_, 16) => Manner::Drip,
            (_, 17) => Manner::Reset,
            (_, 18) => Manner::Late,
            (_, _) => Manner::Never,
        };
        let (up, down) = match manner {
            Manner::Plain if way == Way::Fork => (LARGEST / 4, dice.size(LARGEST)),
            Manner::Plain | Manner::HalfClose => (dice.size(LARGEST), dice.size(LARGEST)),
            Manner::Drip => (dice.size(LARGEST), 1 + dice.below(5)),
            // What never comes makes sure that no script takes the end for the whole.
            Manner::Reset => (1024 + dice.size(LARGEST), 1),
            Manner::Late | Manner::Never => (STUCK, 1),
        };
        let piece = (1 + dice.size(PIECE)).max(up.max(down) / CALLS);
        Plan { stream, manner, up, down, piece }
    }

    /// The word that tells the script of it.
    pub fn word(&self) -> String {
        let Plan { stream, manner, up, down, piece } = self;
        format!("{stream}:{up}:{down}:{piece}:{manner}")
    }

    /// What the script tells the peer, without the end of the line: `stream NUMBER UP DOWN MANNER`.
    ///
    /// # Errors
    /// The line that says nothing of a stream.
    pub fn from_order(line: &str) -> Result<Plan, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        let manner = Manner::ALL.iter().find(|manner| words.get(4) == Some(&manner.name()));
        match (words.first(), number(1), number(2), number(3), manner) {
            (Some(&"stream"), Some(stream), Some(up), Some(down), Some(manner)) => {
                Ok(Plan { stream, manner: *manner, up, down, piece: PIECE })
            }
            _ => Err(format!("no order: {line}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn plans_are_repeatable_and_have_everything_in_them() {
        let all: Vec<Process> = (0..1000).map(|number| Process::of(7, number)).collect();
        assert_eq!(all, (0..1000).map(|number| Process::of(7, number)).collect::<Vec<_>>());
        let streams: Vec<&Plan> = all.iter().flat_map(|process| &process.streams).collect();
        let manners: BTreeSet<Manner> = streams.iter().map(|plan| plan.manner).collect();
        assert_eq!(manners.len(), Manner::ALL.len());
        let ways: BTreeSet<Way> = all.iter().map(|process| process.way).collect();
        assert_eq!(ways.len(), Way::ALL.len() - 1, "forks are faults, not load");
        let numbers: BTreeSet<u64> = streams.iter().map(|plan| plan.stream).collect();
        assert_eq!(numbers.len(), streams.len(), "no number twice");
    }

    #[test]
    fn an_order_is_understood() {
        let plan = Plan::from_order("stream 5 100 200 half-close").unwrap();
        assert_eq!((plan.stream, plan.up, plan.down, plan.manner), (5, 100, 200, Manner::HalfClose));
        assert!(Plan::from_order("stream 5 100 200 odd").is_err());
        assert!(Plan::from_order("stream 5").is_err());
    }
}
