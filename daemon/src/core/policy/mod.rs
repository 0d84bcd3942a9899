//! Who may reach what. No I/O: names of users are numbers here, and names of hosts are judged, not looked up.
//!
//! A question finds its client's [`Profile`]; of the profile's rules those that are about the question
//! decide: one that forbids beats one that reports, that beats one that allows, and where none speaks it is
//! forbidden. [`docs/policy.md`](../../../../docs/policy.md) is the same for people.

mod address;
mod host;
mod ports;
mod profile;
mod rule;
mod rules;
mod special;
mod verdict;

pub use address::{Network, parse_address};
pub use profile::Profile;
pub use rule::{Place, Rule, RuleError, Verb};
pub use rules::Rules;
pub use special::{IPV4, IPV6, Special};
pub use verdict::{Act, Decision, Judgement, Verdict, Why};

use std::sync::Arc;

/// Who may reach what. Without profiles nobody may reach anything.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    profiles: Vec<Arc<Profile>>,
}

impl Policy {
    /// A policy of these rules, the same for everybody.
    pub fn new(rules: Vec<Rule>) -> Self {
        Policy { profiles: vec![Arc::new(Profile::new("", rules))] }
    }

    /// Every profile, in the order of the file.
    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }
}
