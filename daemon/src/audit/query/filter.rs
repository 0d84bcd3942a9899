//! What is asked for.

use std::fmt;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use jiff::Timestamp;

use super::super::super::core::policy::Decision;
use super::super::render::time;

/// A time in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// It as others have times.
    pub fn time(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    /// As the trail's lines have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time(self.time()))
    }
}

/// What is asked for: whatever fits all that is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Decided then or later.
    pub since: Option<Moment>,
    /// Decided before.
    pub until: Option<Moment>,
    /// What the client calls itself; with `*` and `?` as in the following.
    pub client: Option<String>,
    /// The script's process.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: Option<u32>,
    /// The client's profile.
    pub profile: Option<String>,
    /// The name, address or path that was asked for; case and a final dot do not matter.
    pub host: Option<String>,
    /// The other side's address; of a listener the own one.
    pub ip: Option<IpNet>,
    /// The port that was asked for; of a listener and what came in by one, its own.
    pub port: Option<RangeInclusive<u16>>,
    /// The policy's word.
    pub verdict: Option<Decision>,
    /// What it is, one of the words of [`Matter`](super::super::super::core::Matter) or `trail`. Without it
    /// everything but the trail's own lines.
    pub matter: Option<&'static str>,
    /// Why it ended, one of the words of [`End`](super::super::super::core::End).
    pub end: Option<&'static str>,
    /// Sent and received bytes together, at least.
    pub min_bytes: Option<u64>,
    /// Whether it goes on.
    pub state: Option<State>,
    /// One thing, and what is a part of it.
    pub id: Option<String>,
}

/// Whether something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Live,
    /// It has ended, or was never begun.
    Past,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The latest.
    Time,
    /// Whatever has moved most bytes.
    Bytes,
    /// Whatever has lasted longest; of groups, the largest number.
    Count,
    /// By name or number, the smallest first; of records as [`Order::Time`].
    Name,
}

/// A pattern with `*` (anything) and `?` (one character) as SQLite has it.
pub(super) fn glob(pattern: &str) -> String {
    pattern.replace('[', "[[]")
}
