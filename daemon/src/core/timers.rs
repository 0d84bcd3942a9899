//! Everything that happens by time alone.

use std::collections::BTreeSet;
use std::time::Instant;

use luasocketd_protocol::SocketId;

use super::slots::ClientId;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The client has not said hello.
    Hello(ClientId),
    /// A request's time limit.
    Call(ClientId, u32),
    /// The next address of a connect may be tried beside the running attempts.
    Dial(SocketId),
    /// A datagram that had no room may be sent again.
    Resend(SocketId),
    /// A socket whose client goes too fast may go on.
    Pace(SocketId),
    /// A closed socket stops delivering what it has accepted.
    Linger(SocketId),
    /// A client's ring is taken back if nothing has moved through it.
    Ring(ClientId),
    /// A daemon whose place another one has taken begins nothing new any more.
    Retire,
    /// The daemon ends, whatever is still open.
    Drain,
}

/// Timers in the order of their time. Whoever sets one remembers its time, to cancel it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.queue.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.queue.remove(&(at, timer));
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Takes one timer that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        self.queue.pop_first().map(|(_, timer)| timer)
    }
}
