//! The smallest policy that would have allowed what was recorded.
//!
//! Facts become rules, and rules the text of a policy file, without I/O. A rule says no more than the facts, but for
//! one thing: many names below one name become `*.NAME`.

mod facts;
mod rules;
mod who;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Moment;
use crate::core::policy::Verb;

use rules::{Used, rules};
use who::{Who, split};

/// Something that was done or asked for, as often as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The client's profile then.
    pub profile: String,
    /// Its user.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// What it calls itself.
    pub client: String,
    /// The listening path that it came in by.
    pub socket: Option<String>,
    /// What was to be done.
    pub verb: Verb,
    /// With whom: a name, an address, `*`, or a path.
    pub host: String,
    /// Whether the host is a path.
    pub is_path: bool,
    /// At which port; a lookup has none.
    pub port: Option<u16>,
    /// Where it led, as far as a rule for the address itself may be needed for that.
    pub ips: Vec<std::net::IpAddr>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Moment,
}

/// The text of a policy file that allows all this; `None` when there is nothing.
pub fn suggest_policy(facts: &[Fact]) -> Option<String> {
    let (first, rest) = facts.split_first()?;
    let last = rest.iter().map(|fact| fact.last).fold(first.last, Moment::max);
    let count: u64 = facts.iter().map(|fact| fact.count).sum();
    let mut text = format!(
        "# Made by `luasocketd audit --suggest-policy` of {count} decisions, the last of {}.\n\
         # It allows what they were about. Read it before you use it: what was recorded need not be what is wanted.\n",
        day(last)
    );
    for (name, who, facts) in split(facts) {
        add_profile(&mut text, &name, &who, &facts);
    }
    Some(text)
}

fn add_profile(text: &mut String, name: &str, who: &Who, facts: &[&Fact]) {
    let (rules, left) = rules(facts);
    // Writing to a text does not fail.
    let _ = write!(text, "\n[[profile]]\nname = {}\n{who}", quoted(name));
    for (what, used) in &left {
        let _ = writeln!(text, "# No rule but `*` allows to {what} ({used}).");
    }
    if rules.is_empty() {
        text.push_str("allow = []\n");
        return;
    }
    let width = rules.keys().map(|rule| quoted(rule).len()).max().unwrap_or_default() + 1;
    text.push_str("allow = [\n");
    for (rule, used) in &rules {
        let _ = writeln!(text, "    {:width$} # {used}", quoted(rule) + ",");
    }
    text.push_str("]\n");
}

/// Rules, or what cannot be one, with their use.
type Uses = BTreeMap<String, Used>;

/// A text as TOML has it, in one line and with nothing in it that moves a cursor.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ if super::is_unprintable(letter) => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn day(moment: Moment) -> String {
    moment.time().strftime("%Y-%m-%d").to_string()
}
