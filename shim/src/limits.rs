//! A socket's time limits, in both styles of LuaSocket.
//!
//! Pure: it turns the moments a call began and last made progress into the moment its wait ends. It
//! reads no clock. Invariant: the wait of a call never ends later than its total limit allows.

use std::time::{Duration, Instant};

/// When a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// It may last for ever.
    Forever,
    /// Then; a moment in the past asks for what can be done without waiting.
    At(Instant),
}

impl Until {
    /// Whichever ends first.
    pub(crate) fn min(self, other: Until) -> Until {
        match (self, other) {
            (Until::At(a), Until::At(b)) => Until::At(a.min(b)),
            (Until::At(at), Until::Forever) | (Until::Forever, Until::At(at)) => Until::At(at),
            (Until::Forever, Until::Forever) => Until::Forever,
        }
    }

    /// The same wait with some time added.
    pub(crate) fn later(self, by: Duration) -> Until {
        match self {
            Until::Forever => Until::Forever,
            Until::At(at) => at.checked_add(by).map_or(Until::Forever, Until::At),
        }
    }

    /// Whether nothing may be waited for at `now`.
    pub(crate) fn is_over(self, now: Instant) -> bool {
        matches!(self, Until::At(at) if at <= now)
    }

    /// What is left at `now`; `None` for no limit.
    pub(crate) fn remaining(self, now: Instant) -> Option<Duration> {
        match self {
            Until::Forever => None,
            Until::At(at) => Some(at.saturating_duration_since(now)),
        }
    }

    /// What is left in whole milliseconds, rounded up, as it travels on the pipe.
    pub(crate) fn remaining_ms(self, now: Instant) -> Option<u64> {
        let left = self.remaining(now)?;
        Some(u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// What a block limit alone means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// LuaSocket 3.1: a limit for the whole call, unless a total limit stands beside it.
    PerCall,
    /// LuaSocket 1.0: a limit for each stretch of waiting.
    PerWait,
}

/// Which of the two limits is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The limit of one wait.
    Block,
    /// The limit of one call.
    Total,
}

/// The two limits of a socket in seconds, as the script gave them; below zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    style: Style,
    block: f64,
    total: f64,
}

impl Limits {
    /// No limits.
    pub(crate) fn none(style: Style) -> Self {
        Limits { style, block: -1.0, total: -1.0 }
    }

    /// Sets one limit and leaves the other.
    pub(crate) fn set(&mut self, mode: Mode, seconds: f64) {
        match mode {
            Mode::Block => self.block = seconds,
            Mode::Total => self.total = seconds,
        }
    }

    /// Both limits, the block limit first, as they were set.
    pub(crate) fn seconds(&self) -> (f64, f64) {
        (self.block, self.total)
    }

    /// Both limits in milliseconds, for the daemon to show.
    pub(crate) fn millis(&self) -> (Option<u64>, Option<u64>) {
        let millis = |seconds| duration(seconds).map(|limit| limit.as_millis() as u64);
        (millis(self.block), millis(self.total))
    }

    /// Whether the call must not wait at all.
    pub(crate) fn is_instant(&self) -> bool {
        self.block == 0.0
    }

    /// When the wait ends of a call that began at `started` and made progress at `progressed`.
    pub(crate) fn until(&self, started: Instant, progressed: Instant) -> Until {
        let end = |from: Instant, seconds| match duration(seconds) {
            None => Until::Forever,
            Some(limit) => from.checked_add(limit).map_or(Until::Forever, Until::At),
        };
        let total = end(started, self.total);
        let per_call = self.style == Style::PerCall && total == Until::Forever;
        end(if per_call { started } else { progressed }, self.block).min(total)
    }
}

/// `None` for no limit. Below a millisecond is nothing and NaN is nothing, as LuaSocket has it.
fn duration(seconds: f64) -> Option<Duration> {
    if seconds < 0.0 {
        return None;
    }
    if seconds.is_nan() || seconds < 0.001 {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(style: Style, block: f64, total: f64) -> Limits {
        Limits { style, block, total }
    }

    /// Seconds from the start of the call to the end of a wait after progress at one second.
    fn wait(style: Style, block: f64, total: f64) -> Option<f64> {
        let started = Instant::now();
        let until = limits(style, block, total).until(started, started + Duration::from_secs(1));
        until.remaining(started).map(|left| left.as_secs_f64())
    }

    #[test]
    fn a_negative_limit_is_none() {
        for style in [Style::PerCall, Style::PerWait] {
            assert_eq!(wait(style, -1.0, -7.0), None);
        }
    }

    #[test]
    fn a_block_limit_alone_bounds_the_call_in_3_1_and_the_wait_in_1_0() {
        assert_eq!(wait(Style::PerCall, 5.0, -1.0), Some(5.0));
        assert_eq!(wait(Style::PerWait, 5.0, -1.0), Some(6.0));
    }

    #[test]
    fn of_both_limits_the_first_to_end_counts() {
        for style in [Style::PerCall, Style::PerWait] {
            assert_eq!(wait(style, 0.5, 5.0), Some(1.5));
            assert_eq!(wait(style, 9.0, 5.0), Some(5.0));
            assert_eq!(wait(style, -1.0, 5.0), Some(5.0));
        }
    }

    #[test]
    fn odd_numbers_are_taken_as_luasocket_takes_them() {
        assert_eq!(wait(Style::PerCall, f64::NAN, -1.0), Some(0.0));
        assert_eq!(wait(Style::PerCall, 0.0005, -1.0), Some(0.0));
        assert_eq!(wait(Style::PerCall, 1e300, -1.0), None);
        assert_eq!(wait(Style::PerCall, f64::INFINITY, -1.0), None);
    }

    #[test]
    fn what_is_left_is_rounded_up_for_the_daemon() {
        let now = Instant::now();
        assert_eq!(Until::At(now + Duration::from_micros(1001)).remaining_ms(now), Some(2));
        assert_eq!(Until::At(now).remaining_ms(now), Some(0));
        assert_eq!(Until::Forever.remaining_ms(now), None);
        assert!(Until::At(now).is_over(now) && !Until::Forever.is_over(now));
    }
}
