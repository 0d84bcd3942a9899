//! Which address of a host to try when, in the manner of Happy Eyeballs (RFC 8305).
//!
//! Knows addresses, attempts and time, no sockets. Attempts overlap: the next address is tried when
//! an attempt fails or when none has succeeded for [`ATTEMPT_DELAY`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an attempt has the field for itself (RFC 8305, section 5, recommends 250 ms).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of one host that are tried; no resolver's answer needs more.
pub(crate) const ATTEMPTS_MAX: usize = 32;

/// The tries of one connect.
#[derive(Debug)]
pub(crate) struct Dial {
    addresses: Vec<SocketAddr>,
    /// How many addresses were started.
    started: usize,
    /// Attempts that are under way.
    running: Vec<usize>,
    /// Whether attempts may overlap; they do not where one system's socket serves them all.
    overlap: bool,
    last_error: i32,
}

/// What comes after an attempt has failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Others are under way, or [`Dial::start`] has one more.
    Wait,
    /// All have failed, with this errno in the end.
    GiveUp(i32),
}

impl Dial {
    pub(crate) fn new(addresses: &[SocketAddr], overlap: bool) -> Self {
        let mut addresses = interleaved(addresses);
        addresses.truncate(ATTEMPTS_MAX);
        Dial { addresses, started: 0, running: Vec::new(), overlap, last_error: 0 }
    }

    /// Starts the next attempt, if one may be started: when the first one may be, when none is under
    /// way, or when the delay has passed (`delay_over`).
    pub(crate) fn start(&mut self, delay_over: bool) -> Option<(usize, SocketAddr)> {
        let may_start = self.running.is_empty() || (self.overlap && delay_over);
        if !may_start {
            return None;
        }
        let attempt = self.started;
        let address = *self.addresses.get(attempt)?;
        self.started += 1;
        self.running.push(attempt);
        Some((attempt, address))
    }

    /// When the next attempt may be started beside the running ones.
    pub(crate) fn next_start(&self, now: Instant) -> Option<Instant> {
        (self.overlap && self.started < self.addresses.len()).then(|| now + ATTEMPT_DELAY)
    }

    /// Counts a failed attempt.
    pub(crate) fn on_failed(&mut self, attempt: usize, errno: i32) -> Next {
        self.running.retain(|&running| running != attempt);
        self.last_error = errno;
        let over = self.running.is_empty() && self.started == self.addresses.len();
        if over { Next::GiveUp(self.last_error) } else { Next::Wait }
    }

    /// Where an attempt goes.
    pub(crate) fn address(&self, attempt: usize) -> Option<SocketAddr> {
        self.addresses.get(attempt).copied()
    }

    /// Whether the attempt is under way.
    pub(crate) fn is_running(&self, attempt: usize) -> bool {
        self.running.contains(&attempt)
    }

    /// The attempts that are under way.
    pub(crate) fn running(&self) -> &[usize] {
        &self.running
    }
}

/// Both families in turn, starting with the resolver's first choice (RFC 8305, section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    let turns = preferred.len().max(other.len());
    (0..turns).flat_map(|turn| [preferred.get(turn), other.get(turn)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_from_the_first_choice_on() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(interleaved(&given), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        let given = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(interleaved(&given), given);
        assert_eq!(interleaved(&[]), []);
    }

    #[test]
    fn the_next_address_waits_for_the_delay_or_a_failure() {
        let mut dial = Dial::new(&addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]), true);
        assert_eq!(dial.start(false).map(|(attempt, _)| attempt), Some(0));
        assert_eq!(dial.start(false), None);
        assert_eq!(dial.start(true).map(|(attempt, _)| attempt), Some(1));
        assert_eq!(dial.on_failed(0, 111), Next::Wait);
        assert_eq!(dial.on_failed(1, 111), Next::Wait);
        assert_eq!(dial.start(false).map(|(attempt, _)| attempt), Some(2));
        assert_eq!(dial.next_start(Instant::now()), None);
        assert_eq!(dial.on_failed(2, 113), Next::GiveUp(113));
    }

    #[test]
    fn one_socket_tries_one_address_at_a_time() {
        let mut dial = Dial::new(&addresses(&["1.1.1.1:1", "2.2.2.2:1"]), false);
        assert!(dial.start(false).is_some());
        assert_eq!((dial.start(true), dial.next_start(Instant::now())), (None, None));
        assert_eq!(dial.on_failed(0, 111), Next::Wait);
        assert!(dial.start(false).is_some());
    }
}
