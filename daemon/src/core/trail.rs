//! What the audit trail is told: one record when something is decided, one when it ends.

use std::sync::Arc;
use std::time::Duration;

use luasocketd_protocol::{Failure, Kind};

use super::client::Credentials;
use super::place::Place;
use super::policy::{Decision, Verdict};
use super::words::words;

words! {
    /// What a record is about.
    Matter {
        /// A connection that the script makes.
        Connection = "connection",
        /// A connection that came to one of the script's listening sockets.
        Accepted = "accepted",
        /// A socket that takes connections, or datagrams from anybody.
        Listener = "listener",
        /// Somebody to whom the script sends datagrams.
        DatagramPeer = "datagram-peer",
        /// A name that is looked up.
        Lookup = "lookup",
    }
}

words! {
    /// Why something ended.
    End {
        /// The script closed it.
        Closed = "closed",
        /// The peer ended it, and then the script did.
        PeerEnded = "peer-ended",
        /// It never came about; the error says why.
        Failed = "failed",
        /// It broke; the error says how.
        Broken = "broken",
        /// The script's time for it was over.
        Timeout = "timeout",
        /// The script gave up before it came about.
        Cancelled = "cancelled",
        /// The script's process ended, or its pipe.
        ClientGone = "client-gone",
        /// A new policy forbids it.
        Forbidden = "forbidden",
        /// A limit of the client was used up.
        Limit = "limit",
        /// What had been accepted was not delivered in the time for it.
        LingerOver = "linger-over",
        /// The operator ended it.
        Killed = "killed",
        /// The lookup was answered.
        Answered = "answered",
        /// Among the peers of its socket it made room for another.
        Displaced = "displaced",
        /// The daemon ended in order.
        DaemonEnded = "daemon-ended",
        /// The daemon ended without a word; the next one wrote this record.
        Interrupted = "interrupted",
    }
}

/// Numbers what the trail tells of; no number comes twice in one run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrailId(pub u64);

/// Who something is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// User, group and process, as the kernel says.
    pub credentials: Credentials,
    /// The program that the process runs, as the kernel says; unknown where it cannot be seen.
    pub executable: Option<String>,
    /// What the client calls itself.
    pub name: String,
    /// Its Lua version, as it says.
    pub lua: String,
    /// Its profile.
    pub profile: String,
    /// The listening path that it came in by.
    pub socket: Option<String>,
}

/// Something was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Its number.
    pub id: TrailId,
    /// What it is a part of: an accepted connection of its listener, a lookup of what it is made for.
    pub parent: Option<TrailId>,
    /// What it is.
    pub matter: Matter,
    /// Of which kind its socket is; of a lookup without one TCP.
    pub kind: Kind,
    /// For whom.
    pub party: Arc<Party>,
    /// The host or path that was asked for, in the script's words; of an accepted connection the peer's address.
    pub host: String,
    /// The port or service that was asked for, in the script's words.
    pub port: Option<String>,
    /// Where it may lead; of what is refused, where it would have led.
    pub places: Vec<Place>,
    /// Where it may not lead, though the name does.
    pub denied: Vec<Place>,
    /// The own address, where it is known already.
    pub local: Option<Place>,
    /// How long the lookup for it took.
    pub lookup: Option<Duration>,
    /// What the policy says, and why.
    pub verdict: Verdict,
    /// Why it is not done: the policy denies it, or a limit is reached.
    pub refusal: Option<Failure>,
}

impl Decided {
    /// What is decided in the end: what the policy lets through may be refused for a limit.
    pub fn decision(&self) -> Decision {
        if self.refusal.is_some() { Decision::Deny } else { self.verdict.decision }
    }
}

/// Bytes and packets one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of payload.
    pub bytes: u64,
    /// TCP segments, or datagrams; unknown for local streams.
    pub packets: Option<u64>,
}

impl Traffic {
    /// Counts bytes that have passed, of a datagram or of a stream.
    pub(crate) fn count(&mut self, bytes: usize, is_datagram: bool) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if is_datagram {
            self.packets = Some(self.packets.unwrap_or(0).saturating_add(1));
        }
    }
}

/// Something ended that had been decided, and not been refused then.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What was decided.
    pub decided: Arc<Decided>,
    /// How long after the decision.
    pub lasted: Duration,
    /// The own address, if it has got one.
    pub local: Option<Place>,
    /// The peer's address: that which was dialled, sent to or accepted.
    pub peer: Option<Place>,
    /// What a lookup has found: addresses, or names.
    pub answers: Vec<String>,
    /// Why it ended.
    pub end: End,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// How long connecting took, from the first attempt to the last.
    pub connect: Option<Duration>,
    /// What went to the network.
    pub sent: Traffic,
    /// What came from the network.
    pub received: Traffic,
}

/// What is written to the trail.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Something was decided.
    Decided(Arc<Decided>),
    /// Something ended.
    Ended(Box<Ended>),
}
