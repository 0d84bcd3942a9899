//! Who may reach what. No I/O: names of users are numbers here, and names of hosts are judged, not looked up.
//!
//! A question finds its client's [`Profile`]; of the profile's rules those that are about the question
//! decide: one that forbids beats one that reports, that beats one that allows, and where none speaks it is
//! forbidden. [`docs/policy.md`](../../../../docs/policy.md) is the same for people.

mod address;
mod audit;
mod crowd;
mod file;
mod host;
mod ports;
mod profile;
mod rates;
mod rule;
mod rules;
mod special;
mod verdict;
mod who;
mod workers;

pub use address::{Network, parse_address};
pub use audit::{Audit, Durability, ROTATE_AGE, ROTATE_BYTES};
pub use crowd::{Crowd, Seat};
pub use file::{Accounts, FileError, TIMEOUT_MAX};
pub(crate) use host::is_plain_path;
pub use profile::Profile;
pub use rates::Rates;
pub use rule::{PATH_VERBS, Place, Rule, RuleError, Verb};
pub use rules::Rules;
pub use special::{IPV4, IPV6, Special};
pub use verdict::{Act, Decision, Judgement, Verdict, Why};
pub use who::{ClientName, Subject, Who};
pub use workers::{Workers, WorkersError};

use std::sync::Arc;

use thiserror::Error;

use super::account::UserLimits;

/// Who may reach what. Without profiles nobody may reach anything.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    profiles: Vec<Arc<Profile>>,
    /// Whether connections that a new policy forbids are ended when it comes.
    pub enforce_now: bool,
    /// Where the audit trail is kept; without it none is.
    pub audit: Option<Audit>,
    /// How many event loops there are, if it is said here.
    pub workers: Option<Workers>,
    /// What one user may have with all of its clients.
    pub user_limits: UserLimits,
}

/// Why a client has no profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// None is for it.
    #[error("no profile of the policy is for {0}")]
    Nobody(String),
    /// More than one is for it, so nobody has decided what it may do.
    #[error("the profiles {1} of the policy are all for {0}: it is for the operator to tell them apart")]
    Several(String, String),
}

impl Policy {
    /// A policy of these rules, the same for everybody.
    pub fn new(rules: Vec<Rule>) -> Self {
        Policy::of(vec![Profile::new("command line", rules)])
    }

    fn of(profiles: Vec<Profile>) -> Self {
        let profiles = profiles.into_iter().map(Arc::new).collect();
        Policy { profiles, ..Policy::default() }
    }

    /// Every profile, in the order of the file.
    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }

    /// Comes in the place of `before`: clients that have a profile there are those of its namesake here already, so that
    /// limits of profiles hold while some loops have the one and some the other policy.
    pub fn succeed(&mut self, before: &Policy) {
        for profile in &mut self.profiles {
            if let Some(namesake) = before.profiles.iter().find(|other| other.name == profile.name) {
                Arc::make_mut(profile).crowd = namesake.crowd.clone();
            }
        }
    }

    /// The profile that is for a client.
    ///
    /// # Errors
    /// [`Unfit`] when none is, or several are; its text says who the client is.
    pub fn choose(&self, subject: &Subject<'_>) -> Result<&Arc<Profile>, Unfit> {
        let fitting: Vec<&Arc<Profile>> = self
            .profiles
            .iter()
            .filter(|profile| !profile.who.is_anybody() && profile.who.fits(subject))
            .collect();
        match fitting.as_slice() {
            [one] => Ok(one),
            [] => {
                let rest = self.profiles.iter().find(|profile| profile.who.is_anybody());
                rest.ok_or_else(|| Unfit::Nobody(subject.to_string()))
            }
            several => {
                let names: Vec<String> =
                    several.iter().map(|profile| format!("`{}`", profile.name)).collect();
                Err(Unfit::Several(subject.to_string(), names.join(" and ")))
            }
        }
    }
}
