//! Waiting for room that the system gives no sign of.

use std::time::Duration;

/// The first pause: what waits on this machine for somebody who is only busy has gone on after it.
const FIRST: Duration = Duration::from_millis(5);

/// How often the pause doubles, up to a sixth of a second: one who never has room must not keep the loop busy for
/// those who wait for him.
const DOUBLINGS: u32 = 5;

/// Pauses between attempts, each longer than the last.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The pause after one more attempt in vain.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = FIRST * (1 << self.attempts.min(DOUBLINGS));
        self.attempts = self.attempts.saturating_add(1);
        pause
    }

    /// There was room.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 160, 160]);
        backoff.reset();
        assert_eq!(backoff.pause(), FIRST);
    }
}
