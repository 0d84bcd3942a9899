//! What one kind of client may do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::budget::{Limits, Resource};
use super::crowd::Crowd;
use super::rates::Rates;
use super::rule::{Rule, Verb};
use super::rules::Rules;
use super::verdict::{Decision, Verdict, Why};
use super::who::Who;

/// What one kind of client may do.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its name, for people.
    pub name: String,
    /// For whom it is.
    pub who: Who,
    /// What is allowed, forbidden and reported.
    pub rules: Rules,
    /// Whether what no rule speaks of is let through and reported, not forbidden.
    pub reports_the_rest: bool,
    /// What one client may hold, where that is not what the daemon lets everybody hold.
    pub limits: Vec<(Resource, u64)>,
    /// How fast one client may go.
    pub rates: Rates,
    /// How long a call to connect, to bind or to look a name up may take at most.
    pub connect_timeout: Option<Duration>,
    /// How long a closed socket goes on delivering, where that is not the daemon's own time.
    pub linger: Option<Duration>,
    /// Those that have it now.
    pub crowd: Crowd,
}

impl Profile {
    /// A profile of these rules.
    pub fn new(name: impl Into<String>, rules: impl IntoIterator<Item = Rule>) -> Self {
        Profile { name: name.into(), rules: rules.into_iter().collect(), ..Profile::default() }
    }

    /// What one client may hold, `everybody` being what the daemon lets each one hold.
    pub fn limits(&self, everybody: &Limits) -> Limits {
        let mut limits = everybody.clone();
        self.limits.iter().for_each(|&(resource, limit)| limits.set(resource, limit));
        limits
    }

    /// Whether `address`, asked for as `host`, may be connected to, listened on or sent to.
    pub fn decide_address(&self, verb: Verb, host: &str, address: SocketAddr) -> Verdict {
        self.soften(self.rules.decide_address(verb, host, address))
    }

    /// Whether the name `host` may be used at this port, as long as its address is not judged.
    pub fn decide_name(&self, verb: Verb, host: &str, port: u16) -> Verdict {
        self.soften(self.rules.decide_name(verb, host, port))
    }

    /// Whether `host` may be looked up: for the sake of `purpose`, or for its own. An address always may, as
    /// nobody is asked about it.
    pub fn decide_lookup(&self, purpose: Option<Verb>, host: &str) -> Verdict {
        self.soften(self.rules.decide_lookup(purpose, host))
    }

    /// Whether the name of this address may be looked up.
    pub fn decide_reverse(&self, ip: IpAddr) -> Verdict {
        self.soften(self.rules.decide_reverse(ip))
    }

    /// Whether the local socket at this path may be connected to or listened on.
    pub fn decide_path(&self, verb: Verb, path: &str) -> Verdict {
        self.soften(self.rules.decide_path(verb, path))
    }

    fn soften(&self, verdict: Verdict) -> Verdict {
        match verdict.why {
            Why::NoRule if self.reports_the_rest => Verdict::new(Decision::Report, Why::NoRule),
            _ => verdict,
        }
    }
}
