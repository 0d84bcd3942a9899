//! What the policy says to one question, and why.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::rule::Rule;
use super::special::Special;

/// Whether something may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It may not.
    #[default]
    Deny,
    /// It may.
    Allow,
    /// It may, and enforcing would forbid it.
    Report,
}

impl Decision {
    /// Its name in files and records.
    pub fn name(self) -> &'static str {
        match self {
            Decision::Deny => "deny",
            Decision::Allow => "allow",
            Decision::Report => "report",
        }
    }
}

/// The policy's answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done.
    pub decision: Decision,
    /// Why.
    pub why: Why,
}

/// What has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Why {
    /// The client has no profile.
    #[default]
    NoProfile,
    /// This rule.
    Rule(Arc<Rule>),
    /// No rule says anything of it.
    NoRule,
    /// The address is in a range that only a rule for the address itself opens.
    Special {
        /// The address.
        ip: IpAddr,
        /// It, or the IPv4 address inside it that makes it special.
        face: IpAddr,
        /// The range.
        special: &'static Special,
    },
    /// The path has a form that is not judged.
    Path,
    /// An address needs no lookup.
    Address,
}

impl Verdict {
    pub(super) fn new(decision: Decision, why: Why) -> Self {
        Verdict { decision, why }
    }

    /// Whether it may be done, reported or not.
    pub fn lets_through(&self) -> bool {
        self.decision != Decision::Deny
    }

    /// The rule that has decided, if one has.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.why {
            Why::Rule(rule) => Some(rule),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    /// For the operator: the rule with the place where it stands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Rule(rule) => write!(f, "{}, by the rule {}", self.decision.name(), rule.with_place()),
            why => write!(f, "{}: {why}", self.decision.name()),
        }
    }
}

impl fmt::Display for Why {
    /// For anybody, the script included: it names no rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoProfile => f.write_str("no profile of the policy fits this client"),
            Why::Rule(rule) => write!(f, "a rule to {} says so", rule.effect().name()),
            Why::NoRule => f.write_str("no rule allows it"),
            Why::Special { ip, face, special } => {
                let stands_for =
                    if ip == face { String::new() } else { format!("stands for {face}, which ") };
                write!(f, "{ip} {stands_for}is {special}: only a rule for the address itself opens that")
            }
            Why::Path => {
                f.write_str("a path is judged only if it is absolute and without `.`, `..` and `//`")
            }
            Why::Address => f.write_str("an address needs no lookup"),
        }
    }
}

/// A question that was put to the policy, with its answer: what a record is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is to be done.
    pub act: Act,
    /// The answer.
    pub verdict: Verdict,
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// To look a name up, for this purpose or any.
    Resolve {
        /// The name.
        host: String,
    },
    /// To use an address.
    Address {
        /// How.
        verb: super::rule::Verb,
        /// What was asked for.
        host: String,
        /// What came of it.
        address: SocketAddr,
    },
    /// To use a local socket.
    Path {
        /// How.
        verb: super::rule::Verb,
        /// Where.
        path: String,
    },
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Resolve { host } => write!(f, "look up {}", host.escape_default()),
            Act::Path { verb, path } => write!(f, "{} unix:{}", verb.doing(), path.escape_default()),
            Act::Address { verb, host, address } => {
                write!(f, "{} {address}", verb.doing())?;
                if super::address::parse_address(host) == Some(address.ip().to_canonical()) {
                    return Ok(());
                }
                write!(f, ", asked for as {}", host.escape_default())
            }
        }
    }
}
