//! The words in `event.action`.

use std::fmt;

use crate::core::trail::Matter;

/// `luasocketd.matter` of the trail's own lines.
pub const OWN_MATTER: &str = "trail";

/// What `event.type` has of a decision that nothing comes of, and so no end.
pub const DENIED: &str = "denied";

macro_rules! own {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $kind:literal;)+) => {
        /// A line that the trail writes of itself, not of what a script does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Own {
            $($(#[$doc])* $variant,)+
        }

        impl Own {
            /// Every one.
            pub const ALL: &[Own] = &[$(Own::$variant),+];

            /// Its `event.action`.
            pub const fn action(self) -> &'static str {
                match self { $(Own::$variant => $word),+ }
            }

            /// Its `event.type`.
            pub const fn kind(self) -> &'static str {
                match self { $(Own::$variant => $kind),+ }
            }
        }
    };
}

own! {
    /// The daemon has started; the reason says what was found amiss, if anything was.
    Started = "trail-started", "start";
    /// The daemon ends in order: the last line of its run.
    Ended = "trail-ended", "end";
    /// The trail could not be written for a while, and now it can.
    Resumed = "trail-resumed", "info";
    /// The oldest files are removed, as the settings say.
    Pruned = "trail-pruned", "deletion";
    /// A policy is in force from here on.
    PolicyLoaded = "policy-loaded", "change";
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action())
    }
}

/// `event.action` of a decision.
pub const fn decided(matter: Matter) -> &'static str {
    match matter {
        Matter::Connection => "connection-decided",
        Matter::Accepted => "accepted-decided",
        Matter::Listener => "listener-decided",
        Matter::DatagramPeer => "datagram-peer-decided",
        Matter::Lookup => "lookup-decided",
    }
}

/// `event.action` of an end.
pub const fn ended(matter: Matter) -> &'static str {
    match matter {
        Matter::Connection => "connection-ended",
        Matter::Accepted => "accepted-ended",
        Matter::Listener => "listener-ended",
        Matter::DatagramPeer => "datagram-peer-ended",
        Matter::Lookup => "lookup-ended",
    }
}

/// Whether an action is a decision, or an end; neither of the trail's own.
pub fn half(action: &str) -> Option<Half> {
    let is = |word: fn(Matter) -> &'static str| Matter::ALL.iter().any(|&matter| word(matter) == action);
    match () {
        () if is(decided) => Some(Half::Decided),
        () if is(ended) => Some(Half::Ended),
        () => None,
    }
}

/// A half of what is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// It was decided.
    Decided,
    /// It ended.
    Ended,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_means_two_things() {
        let mut words: BTreeSet<&str> = Own::ALL.iter().map(|own| own.action()).collect();
        for &matter in Matter::ALL {
            assert_eq!(decided(matter), format!("{matter}-decided"));
            assert_eq!(ended(matter), format!("{matter}-ended"));
            assert_eq!(half(decided(matter)), Some(Half::Decided));
            assert_eq!(half(ended(matter)), Some(Half::Ended));
            words.extend([decided(matter), ended(matter)]);
        }
        assert_eq!(words.len(), Own::ALL.len() + 2 * Matter::ALL.len());
        assert!(Own::ALL.iter().all(|own| half(own.action()).is_none()));
    }
}
