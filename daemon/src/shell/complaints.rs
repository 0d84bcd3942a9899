//! What the operator's log says of clients that offend: one line for each offender, whatever loop it is on.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::core::{ClientId, Further, Offence, Offender, Offenders};

/// Of whom the log was told, by any loop. There is a lock, and nobody takes it while nobody offends.
#[derive(Debug)]
pub(crate) struct Complaints {
    offenders: Mutex<Offenders>,
    start: Instant,
    /// Microseconds from the start to when there may be something to count; [`NEVER`] while there is nothing.
    due: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Complaints {
    /// Nobody has offended yet.
    pub(crate) fn new() -> Self {
        Complaints { offenders: Mutex::default(), start: Instant::now(), due: AtomicU64::new(NEVER) }
    }

    /// Notes an offence; says whether the log is told of it now.
    fn on_offence(&self, who: Offender, what: Offence) -> bool {
        let mut offenders = self.lock();
        let is_told = offenders.on_offence(who, what, Instant::now());
        self.note_due(&offenders);
        is_told
    }

    /// What an offender has done besides, as it ends.
    fn on_end(&self, who: Offender) -> Vec<Further> {
        if self.next().is_none() { Vec::new() } else { self.lock().on_end(who) }
    }

    /// What was done besides by those whose time it is.
    fn on_time(&self, now: Instant) -> Vec<Further> {
        if self.next().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut offenders = self.lock();
        let all = offenders.on_time(now);
        self.note_due(&offenders);
        all
    }

    /// When there may be something to count. A loop where somebody has offended looks again then; whoever comes first
    /// tells it for all.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = self.due.load(Ordering::Acquire);
        (due != NEVER).then(|| self.start + Duration::from_micros(due))
    }

    fn note_due(&self, offenders: &Offenders) {
        // Rounded up: what is looked at too early would be looked at again and again.
        let micros = |at: Instant| at.saturating_duration_since(self.start).as_micros() as u64 + 1;
        self.due.store(offenders.next().map_or(NEVER, micros), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Offenders> {
        // What is lost with a panic in between is a line of the log.
        self.offenders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Tells the log of a client's offence, unless it has been told of the like already.
    pub(crate) fn complain(&mut self, client: ClientId, what: Offence, text: impl Display) {
        let who = self.core.credentials(client).map_or(Offender::Others, Offender::from);
        match self.crew.complaints.on_offence(who, what) {
            true => tracing::warn!(client = %self.core.describe_client(client), "{text}"),
            false => tracing::debug!(client = %self.core.describe_client(client), "{text}"),
        }
    }

    /// As [`Worker::complain`], of somebody who is no client.
    pub(crate) fn complain_of(&mut self, who: Offender, what: Offence, text: impl Display) {
        match self.crew.complaints.on_offence(who, what) {
            true => tracing::warn!(client = %who, "{text}"),
            false => tracing::debug!(client = %who, "{text}"),
        }
    }

    /// Says what a client that goes has done besides.
    pub(crate) fn count_offences(&mut self, client: ClientId) {
        if let Some(credentials) = self.core.credentials(client) {
            say(self.crew.complaints.on_end(credentials.into()));
        }
    }

    /// Says what those have done besides whose time it is.
    pub(crate) fn count_due_offences(&mut self) {
        say(self.crew.complaints.on_time(Instant::now()));
    }
}

fn say(all: Vec<Further>) {
    for Further { who, what, times } in all {
        let plural = if times == 1 { "time" } else { "times" };
        tracing::warn!(client = %who, "{what} {times} more {plural}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offender_on_two_loops_is_told_of_once() {
        let complaints = Complaints::new();
        let who = Offender::Process { uid: 1, pid: 2 };
        assert!(complaints.next().is_none() && complaints.on_end(who).is_empty());
        let told = std::thread::scope(|scope| {
            let offend = || (0..100).filter(|_| complaints.on_offence(who, Offence::Denied)).count();
            let threads = [scope.spawn(offend), scope.spawn(offend)];
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(told, 1);
        let due = complaints.next().unwrap();
        assert!(complaints.on_time(due - Duration::from_secs(1)).is_empty());
        let further = complaints.on_time(due);
        assert_eq!((further.len(), further[0].times), (1, 199));
        assert!(complaints.on_time(due).is_empty() && complaints.next().is_some_and(|next| next > due));
    }
}
