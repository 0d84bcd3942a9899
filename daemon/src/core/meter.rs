//! How fast a client goes and how far it has come: token buckets, filled by time.

use std::time::{Duration, Instant};

use super::policy::Rates;

/// Tokens are counted in parts of this size, so that a slow rate gains something in a short time.
const PARTS: i128 = 1_000_000_000;

/// A bucket that was found empty is waited for until this part of a second's tokens is there: small enough
/// for an even flow, large enough that a slow client does not wake the loop for every byte.
const REFILLS_PER_SECOND: u64 = 20;

/// Tokens that come at an even rate and are kept for one second's worth.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// Parts of tokens there were at `since`.
    parts: i128,
    since: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(per_second: u64, now: Instant) -> Self {
        Bucket { per_second, parts: i128::from(per_second) * PARTS, since: now }
    }

    /// How many tokens are there.
    pub(crate) fn available(&self, now: Instant) -> u64 {
        // At most a second's worth, which is a u64.
        (self.parts(now).max(0) / PARTS) as u64
    }

    /// Takes tokens; those that are not there yet are owed.
    pub(crate) fn take(&mut self, tokens: u64, now: Instant) {
        self.parts = self.parts(now) - i128::from(tokens) * PARTS;
        self.since = now;
    }

    /// When it is worth while to come again.
    pub(crate) fn refilled(&self, now: Instant) -> Instant {
        let wanted = i128::from((self.per_second / REFILLS_PER_SECOND).max(1)) * PARTS;
        let missing = (wanted - self.parts(now)).max(0).unsigned_abs();
        let nanos = missing.div_ceil(u128::from(self.per_second.max(1)));
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn parts(&self, now: Instant) -> i128 {
        // A token a second is a part a nanosecond.
        let nanos = i128::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(i128::MAX);
        let gained = nanos.saturating_mul(i128::from(self.per_second));
        self.parts.saturating_add(gained).min(i128::from(self.per_second) * PARTS)
    }
}

/// What one client may still do.
#[derive(Debug)]
pub(crate) struct Meter {
    rates: Rates,
    connects: Option<Bucket>,
    sent: Option<Bucket>,
    received: Option<Bucket>,
    /// Bytes both ways since it came.
    passed: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToNetwork,
    FromNetwork,
}

/// How many bytes may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// So many.
    Bytes(u64),
    /// None before then.
    Later(Instant),
    /// None any more: so many were all.
    Spent(u64),
}

impl Meter {
    pub(crate) fn new(rates: Rates, now: Instant) -> Self {
        let bucket = |rate: Option<u64>| rate.map(|rate| Bucket::new(rate, now));
        Meter {
            connects: bucket(rates.connections_per_second),
            sent: bucket(rates.send_bytes_per_second),
            received: bucket(rates.receive_bytes_per_second),
            rates,
            passed: 0,
        }
    }

    /// Changes the limits; what has passed counts on.
    pub(crate) fn set_rates(&mut self, rates: Rates, now: Instant) {
        if rates != self.rates {
            *self = Meter { passed: self.passed, ..Meter::new(rates, now) };
        }
    }

    /// Counts a call to connect.
    ///
    /// # Errors
    /// What limit is reached, for people.
    pub(crate) fn connect(&mut self, now: Instant) -> Result<(), String> {
        if let Some(all) = self.spent() {
            return Err(spent_text(all));
        }
        let Some(bucket) = &mut self.connects else { return Ok(()) };
        if bucket.available(now) == 0 {
            return Err(format!("the limit of {} connections per second is reached", bucket.per_second));
        }
        bucket.take(1, now);
        Ok(())
    }

    /// How many bytes may pass now.
    pub(crate) fn allowance(&self, way: Way, now: Instant) -> Allowance {
        if let Some(all) = self.spent() {
            return Allowance::Spent(all);
        }
        let left = self.rates.bytes_in_all.map_or(u64::MAX, |all| all.saturating_sub(self.passed));
        let bucket = match way {
            Way::ToNetwork => &self.sent,
            Way::FromNetwork => &self.received,
        };
        match bucket.as_ref().map(|bucket| (bucket, bucket.available(now))) {
            None => Allowance::Bytes(left),
            Some((bucket, 0)) => Allowance::Later(bucket.refilled(now)),
            Some((_, tokens)) => Allowance::Bytes(tokens.min(left)),
        }
    }

    /// Counts bytes that have passed.
    pub(crate) fn pass(&mut self, way: Way, bytes: usize, now: Instant) {
        self.passed = self.passed.saturating_add(bytes as u64);
        let bucket = match way {
            Way::ToNetwork => &mut self.sent,
            Way::FromNetwork => &mut self.received,
        };
        if let Some(bucket) = bucket {
            bucket.take(bytes as u64, now);
        }
    }

    fn spent(&self) -> Option<u64> {
        self.rates.bytes_in_all.filter(|&all| self.passed >= all)
    }
}

/// What is said of a client that may move no more bytes.
pub(crate) fn spent_text(all: u64) -> String {
    format!("the limit of {all} bytes in all is reached")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_rate_and_keeps_a_seconds_worth() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert_eq!(bucket.available(start), 10);
        bucket.take(10, start);
        assert_eq!(bucket.available(start), 0);
        assert_eq!(bucket.available(start + SECOND / 10), 1);
        assert_eq!(bucket.available(start + 60 * SECOND), 10);
        let mut taken = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            let tokens = bucket.available(now);
            bucket.take(tokens, now);
            taken += tokens;
        }
        assert!((99..=100).contains(&taken), "{taken} in ten seconds");
    }

    #[test]
    fn what_is_taken_beyond_the_bucket_is_owed() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        bucket.take(40, start);
        assert_eq!(bucket.available(start + 3 * SECOND), 0);
        assert_eq!(bucket.available(start + 4 * SECOND), 10);
        assert!(bucket.refilled(start) > start + 3 * SECOND);
    }

    #[test]
    fn an_empty_bucket_says_when_to_come_again() {
        let start = Instant::now();
        for rate in [1, 7, 100, 1 << 40] {
            let mut bucket = Bucket::new(rate, start);
            bucket.take(rate, start);
            let again = bucket.refilled(start);
            assert!(again > start && again <= start + SECOND, "{rate}");
            assert!(bucket.available(again) >= (rate / REFILLS_PER_SECOND).max(1), "{rate}");
        }
    }

    #[test]
    fn bytes_in_all_are_counted_both_ways_and_over_a_change_of_rates() {
        let now = Instant::now();
        let rates = Rates { bytes_in_all: Some(100), ..Rates::default() };
        let mut meter = Meter::new(rates, now);
        meter.pass(Way::ToNetwork, 30, now);
        assert_eq!(meter.allowance(Way::FromNetwork, now), Allowance::Bytes(70));
        meter.set_rates(Rates { bytes_in_all: Some(40), ..Rates::default() }, now);
        meter.pass(Way::FromNetwork, 10, now);
        assert_eq!(meter.allowance(Way::ToNetwork, now), Allowance::Spent(40));
        assert!(meter.connect(now).unwrap_err().contains("40 bytes in all"));
    }

    #[test]
    fn connections_are_refused_past_their_rate() {
        let now = Instant::now();
        let mut meter = Meter::new(Rates { connections_per_second: Some(2), ..Rates::default() }, now);
        assert!(meter.connect(now).is_ok() && meter.connect(now).is_ok());
        assert!(meter.connect(now).unwrap_err().contains("2 connections per second"));
        assert!(meter.connect(now + SECOND / 2).is_ok() && meter.connect(now + SECOND / 2).is_err());
    }
}
