//! How a wait begins: with a look at the ring again and again, where that is likely to be over soon.
//!
//! Pure. Sleeping and being woken costs a wait two system calls and the way through the scheduler; an answer of the same
//! machine comes sooner than that. So who has waited briefly looks for a while before it sleeps the next time, and who
//! has waited in vain sleeps at once: a wait that was long costs one look of [`SPIN_MAX`] at the most.

use std::time::{Duration, Instant};

use luasocketd_protocol::SPIN_MAX;

use crate::limits::Until;

/// What the last wait has taught.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spin {
    /// How long to look at the most, as the daemon allows.
    most: Duration,
    /// Whether the last wait was over within that time.
    was_brief: bool,
}

impl Spin {
    /// As the daemon allows, which is not believed beyond [`SPIN_MAX`].
    pub(crate) fn allowed(microseconds: u32) -> Spin {
        Spin { most: Duration::from_micros(microseconds.into()).min(SPIN_MAX), was_brief: false }
    }

    /// Until when a wait that begins now, and may last `until` then, looks before it sleeps.
    pub(crate) fn ends(self, now: Instant, until: Until) -> Instant {
        let most = if self.was_brief { self.most } else { Duration::ZERO };
        now + until.remaining(now).map_or(most, |left| left.min(most))
    }

    /// A wait that began at `began` is over.
    pub(crate) fn learn(&mut self, began: Instant, now: Instant) {
        self.was_brief = now.saturating_duration_since(began) < self.most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    #[test]
    fn who_has_waited_briefly_looks_before_it_sleeps() {
        let (mut spin, now) = (Spin::allowed(50), Instant::now());
        assert_eq!(spin.ends(now, Until::Forever), now, "nothing is known yet");
        spin.learn(now, now + Duration::from_micros(49));
        assert_eq!(spin.ends(now, Until::Forever), now + Duration::from_micros(50));
        spin.learn(now, now + Duration::from_micros(50));
        assert_eq!(spin.ends(now, Until::Forever), now, "the last wait was long");
    }

    #[test]
    fn no_look_is_longer_than_the_call_or_than_any_may_be() {
        let (mut spin, now) = (Spin::allowed(u32::MAX), Instant::now());
        spin.learn(now, now);
        assert_eq!(spin.ends(now, Until::At(now + LONG)), now + SPIN_MAX);
        let soon = now + Duration::from_micros(7);
        assert_eq!(spin.ends(now, Until::At(soon)), soon);
        assert_eq!(spin.ends(soon, Until::At(now)), soon, "its time is over");
    }

    #[test]
    fn a_daemon_that_allows_none_gets_none() {
        let (mut spin, now) = (Spin::allowed(0), Instant::now());
        spin.learn(now, now);
        assert_eq!(spin.ends(now, Until::Forever), now);
    }
}
