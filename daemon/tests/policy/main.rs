//! The policy, asked from outside: what spellings it sees through, what holds for all rules, what it costs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cost;
mod documented;
mod file;
mod properties;
mod rules;
mod spellings;

use std::net::SocketAddr;

use luasocketd::core::policy::{Decision, Profile, Rule, Verb, Verdict};

/// A profile of rules that each begin with `allow `, `deny ` or `report `.
fn profile(rules: &[&str]) -> Profile {
    Profile::new("test", rules.iter().map(|text| rule(text)))
}

fn rule(text: &str) -> Rule {
    let (effect, words) = text.split_once(' ').unwrap();
    let effects = [Decision::Allow, Decision::Deny, Decision::Report];
    let effect = effects.into_iter().find(|known| known.name() == effect).unwrap();
    Rule::parse(words, effect, None).unwrap_or_else(|error| panic!("{error}"))
}

fn connect(profile: &Profile, host: &str, address: &str) -> Verdict {
    profile.decide_address(Verb::Connect, host, address.parse::<SocketAddr>().unwrap())
}
