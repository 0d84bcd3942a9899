//! What has happened since the start, counted: for `luasocketd stats` and for metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use luasocketd_protocol::{Code, DaemonNote};
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::client::Client;
use super::machine::Core;
use super::policy::{Decision, Policy};
use super::trail::Traffic;

/// What a histogram's buckets reach up to, in seconds; what takes longer than the last is counted behind it.
pub type Bounds = &'static [f64];

/// Lookups and connects: from a cached answer or this machine to what a resolver or a kernel gives up after.
pub const WAITS: Bounds =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Turns of the loop: from one with a single event to one that somebody notices.
pub const TURNS: Bounds =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];

/// How often something took how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: Bounds,
    /// One for each bound, and one for what is beyond.
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// A histogram of nothing.
    pub fn new(bounds: Bounds) -> Self {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    /// Counts one.
    pub fn count(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// As it is now.
    pub fn times(&self) -> Times {
        Times {
            count: self.counts.iter().sum(),
            sum_seconds: self.sum.as_secs_f64(),
            bounds: self.bounds.to_vec(),
            counts: self.counts.clone(),
        }
    }
}

/// A histogram, told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// How long all of them took together.
    pub sum_seconds: f64,
    /// What each bucket reaches up to, in seconds; the last one, without a bound, has the rest.
    pub bounds: Vec<f64>,
    /// How many are in each bucket.
    pub counts: Vec<u64>,
}

impl Times {
    /// Adds those of another histogram with the same bounds.
    pub fn add(&mut self, other: &Times) {
        self.count += other.count;
        self.sum_seconds += other.sum_seconds;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }
}

/// What a profile of the policy, or the lack of one, has led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByProfile {
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    pub(crate) reported: u64,
    pub(crate) limits_reached: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) clients: u64,
    pub(crate) sockets: u64,
    /// Bytes to the network, and from it.
    pub(crate) traffic: [Traffic; 2],
    pub(crate) lookups: Histogram,
    pub(crate) connects: Histogram,
    profiles: BTreeMap<String, ByProfile>,
}

/// What stands for clients without a profile; no profile has an empty name.
const NO_PROFILE: &str = "";

impl Tally {
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut tally = Tally {
            clients: 0,
            sockets: 0,
            traffic: Default::default(),
            lookups: Histogram::new(WAITS),
            connects: Histogram::new(WAITS),
            profiles: BTreeMap::new(),
        };
        tally.set_policy(policy);
        tally
    }

    /// Counts for the profiles of this policy from here on; those that it has no more are forgotten, so that they
    /// are never more than a file has.
    pub(crate) fn set_policy(&mut self, policy: &Policy) {
        let names = policy.profiles().iter().map(|profile| profile.name.as_str());
        let mut before = std::mem::take(&mut self.profiles);
        self.profiles = names
            .chain([NO_PROFILE])
            .map(|name| (name.to_owned(), before.remove(name).unwrap_or_default()))
            .collect();
    }

    /// Counts what the policy has said.
    pub(crate) fn judged(&mut self, profile: Option<&str>, decision: Decision) {
        let Some(counts) = self.of(profile) else { return };
        *match decision {
            Decision::Allow => &mut counts.allowed,
            Decision::Deny => &mut counts.denied,
            Decision::Report => &mut counts.reported,
        } += 1;
    }

    /// Counts a limit that was in a client's way.
    pub(crate) fn limit_reached(&mut self, profile: Option<&str>) {
        if let Some(counts) = self.of(profile) {
            counts.limits_reached += 1;
        }
    }

    /// A profile that is in the policy no more has no counts.
    fn of(&mut self, profile: Option<&str>) -> Option<&mut ByProfile> {
        self.profiles.get_mut(profile.unwrap_or(NO_PROFILE))
    }

    pub(crate) fn profiles(&self) -> impl Iterator<Item = (&str, &ByProfile)> {
        self.profiles.iter().map(|(name, counts)| (name.as_str(), counts))
    }
}

impl Core {
    /// Counts what an action says about what has happened: every one passes here.
    pub(crate) fn count_action(&mut self, action: &Action) {
        match action {
            Action::Judged { client, judgement } => {
                let profile = profile_name(self.clients.get(*client));
                self.tally.judged(profile, judgement.verdict.decision);
            }
            Action::Fail { client, failure, .. } if failure.code == Code::Limit => {
                let profile = profile_name(self.clients.get(*client));
                self.tally.limit_reached(profile);
            }
            Action::Notify { client, note: DaemonNote::Broken(broken) }
                if broken.failure.code == Code::Limit =>
            {
                let profile = profile_name(self.clients.get(*client));
                self.tally.limit_reached(profile);
            }
            Action::Dial { socket, .. } | Action::DialPath { socket, .. } => {
                if let Some(socket) = self.sockets.get_mut(*socket) {
                    socket.dialed.get_or_insert(self.now);
                }
            }
            Action::Start { socket, .. } => {
                if let Some(socket) = self.sockets.get_mut(*socket)
                    && let Some(took) = socket.dialing_for(self.now)
                {
                    socket.dialed = None;
                    self.tally.connects.count(took);
                }
            }
            _ => {}
        }
    }
}

fn profile_name(client: Option<&Client>) -> Option<&str> {
    client.and_then(|client| client.profile.as_ref()).map(|profile| profile.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::policy::Rule;
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_reaches_up_to_it() {
        let mut histogram = Histogram::new(&[0.001, 0.01]);
        for micros in [0, 1000, 1001, 10_000, 10_001, 60_000_000] {
            histogram.count(Duration::from_micros(micros));
        }
        let times = histogram.times();
        assert_eq!((times.counts.as_slice(), times.count), (&[2, 2, 2][..], 6));
        assert!((times.sum_seconds - 60.022002).abs() < 1e-9, "{}", times.sum_seconds);
    }

    #[test]
    fn histograms_of_loops_are_added_up() {
        let mut histogram = Histogram::new(&[0.001, 0.01]);
        histogram.count(Duration::from_millis(5));
        let mut times = histogram.times();
        times.add(&histogram.times());
        assert_eq!((times.counts.as_slice(), times.count, times.sum_seconds), (&[0, 2, 0][..], 2, 0.01));
    }

    #[test]
    fn bounds_rise() {
        for bounds in [WAITS, TURNS] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn counts_stay_with_a_profiles_name_and_go_with_it() {
        let rules: Vec<Rule> = Vec::new();
        let mut tally = Tally::new(&Policy::new(rules.clone()));
        tally.judged(Some("command line"), Decision::Deny);
        tally.judged(None, Decision::Deny);
        tally.judged(Some("another"), Decision::Deny);
        tally.limit_reached(Some("command line"));
        tally.set_policy(&Policy::new(rules));
        let told = |tally: &Tally| -> Vec<(String, u64, u64)> {
            let row =
                |(name, counts): (&str, &ByProfile)| (name.to_owned(), counts.denied, counts.limits_reached);
            tally.profiles().map(row).collect()
        };
        assert_eq!(told(&tally), [(String::new(), 1, 0), ("command line".to_owned(), 1, 1)]);
        tally.set_policy(&Policy::default());
        assert_eq!(told(&tally), [(String::new(), 1, 0)]);
    }
}
