//! What the event loops and the writing thread both see.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::trail::TrailState;

/// So many records may wait until clients are not read any more: what one disk writes in some 50 ms, as whoever asks for
/// a decision waits for all of them. What has begun already may still end, so somewhat more can wait: as many as
/// sockets are open.
const QUEUE_MAX: usize = 1_024;

/// So many at most wait when clients are read again.
const QUEUE_LOW: usize = QUEUE_MAX / 2;

/// Counters, and why nothing can be written. There is a lock for that reason alone, and nobody takes it while all is well.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) queued: AtomicUsize,
    /// Microseconds of the time of the oldest record that waits; 0 for none.
    oldest: AtomicI64,
    pub(super) committed: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) lines: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Decisions that were refused at once since nothing can be written.
    pub(super) refused: AtomicU64,
    is_failing: AtomicBool,
    reason: Mutex<String>,
    /// Whether somebody waits for room.
    was_full: AtomicBool,
}

impl Shared {
    /// Why nothing can be written, while that is so.
    pub(super) fn failing(&self) -> Option<String> {
        if !self.is_failing.load(Ordering::Acquire) {
            return None;
        }
        // A text is whole whoever has panicked.
        Some(self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(super) fn set_failing(&self, reason: Option<&str>) {
        if let Some(reason) = reason {
            reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.is_failing.store(reason.is_some(), Ordering::Release);
    }

    pub(super) fn set_oldest(&self, at: Option<Timestamp>) {
        self.oldest.store(at.map_or(0, Timestamp::as_microsecond), Ordering::Relaxed);
    }

    /// Whether so much waits that nothing new is to be begun. Who is told so is woken when it is not so any more.
    pub(super) fn is_full(&self) -> bool {
        let queued = || self.queued.load(Ordering::SeqCst);
        let limit = if self.was_full.load(Ordering::SeqCst) { QUEUE_LOW } else { QUEUE_MAX };
        // A trail that fails refuses at once, and keeps no more than it may.
        if queued() < limit || self.is_failing.load(Ordering::Acquire) {
            return false;
        }
        // Only the writer takes this back: another loop may have been told meanwhile, and waits to be woken.
        self.was_full.store(true, Ordering::SeqCst);
        // The writer may have made room before it could see that somebody waits.
        queued() >= QUEUE_LOW
    }

    /// So many records are done with; says whether somebody waits for the room and has it now.
    pub(super) fn finish(&self, count: usize) -> bool {
        let left = self.queued.fetch_sub(count, Ordering::SeqCst) - count;
        left < QUEUE_LOW && self.was_full.swap(false, Ordering::SeqCst)
    }

    pub(super) fn state(&self) -> TrailState {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let oldest = self.oldest.load(Ordering::Relaxed);
        let waited = Timestamp::now().as_microsecond().saturating_sub(oldest);
        let waited = u64::try_from(waited).ok().filter(|_| oldest > 0);
        TrailState {
            queued: self.queued.load(Ordering::SeqCst),
            lag: Duration::from_micros(waited.unwrap_or(0)),
            committed: load(&self.committed),
            failing: self.failing(),
            bytes: load(&self.bytes),
            lines: load(&self.lines),
            lost: load(&self.lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_full_until_half_of_it_is_done() {
        let shared = Shared::default();
        shared.queued.store(QUEUE_MAX - 1, Ordering::SeqCst);
        assert!(!shared.is_full());
        shared.queued.store(QUEUE_MAX, Ordering::SeqCst);
        assert!(shared.is_full());
        assert!(!shared.finish(1) && shared.is_full(), "there is hardly room");
        assert!(shared.finish(QUEUE_MAX / 2), "whoever was told is woken");
        assert!(!shared.is_full() && !shared.finish(1), "once");
    }

    #[test]
    fn a_loop_that_finds_room_takes_nothing_from_one_that_waits_for_it() {
        let shared = Shared::default();
        shared.queued.store(QUEUE_MAX, Ordering::SeqCst);
        assert!(shared.is_full(), "the one is told to wait");
        assert!(!shared.finish(1));
        assert!(shared.is_full(), "the other one, too, although there is some room");
        shared.queued.store(QUEUE_LOW, Ordering::SeqCst);
        shared.set_failing(Some("why"));
        assert!(!shared.is_full());
        shared.set_failing(None);
        assert!(shared.finish(1), "whoever was told is woken");
    }

    #[test]
    fn a_failing_trail_is_not_full_as_it_refuses() {
        let shared = Shared::default();
        shared.queued.store(QUEUE_MAX, Ordering::SeqCst);
        shared.set_failing(Some("why"));
        assert!(!shared.is_full());
        assert_eq!(shared.state().failing.as_deref(), Some("why"));
        shared.set_failing(None);
        assert!(shared.is_full() && shared.failing().is_none());
    }
}
