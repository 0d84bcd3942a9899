//! One rule: what it lets do or forbids, to whom, at which ports.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::host::{HostError, Pattern};
use super::ports::Ports;
use super::verdict::Decision;

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $doing:literal;)+) => {
        /// What a rule is about doing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $($(#[$doc])* $variant,)+
        }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Verb] = &[$(Verb::$variant),+];

            /// Its word in a rule.
            pub const fn name(self) -> &'static str {
                match self { $(Verb::$variant => $name),+ }
            }

            /// What somebody does who does it.
            pub const fn doing(self) -> &'static str {
                match self { $(Verb::$variant => $doing),+ }
            }
        }
    };
}

verbs! {
    /// Connect to the host, and look its name up for that.
    Connect = "connect", "connect to";
    /// Take connections or datagrams on the host's address, and look its name up for that.
    Listen = "listen", "listen on";
    /// Look the host's name up.
    Resolve = "resolve", "look up";
    /// Send datagrams to the host, and look its name up for that.
    Datagram = "datagram", "send datagrams to";
}

/// What is said of a verb that does not go with a path.
pub const PATH_VERBS: &str = "a local socket has the verbs `connect` and `listen` only";

/// One rule, as it is written on the command line and in the file:
/// `[connect:|listen:|resolve:|datagram:]HOST[:PORTS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    effect: Decision,
    /// `None` is every verb.
    verb: Option<Verb>,
    pub(super) pattern: Pattern,
    ports: Ports,
    place: Option<Place>,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Rule {
    /// Reads a rule that has this effect; `place` says where it stands.
    ///
    /// # Errors
    /// [`RuleError`] says what is wrong with it and what would be right.
    pub fn parse(text: &str, effect: Decision, place: Option<Place>) -> Result<Self, RuleError> {
        let (verb, rest) = split_verb(text);
        let wrong = |fault| RuleError { rule: text.to_owned(), fault };
        let (pattern, ports) = parse_words(rest).map_err(wrong)?;
        let verb = match (verb, &pattern) {
            (None, Pattern::Everything) => None,
            (verb, _) => Some(verb.unwrap_or(Verb::Connect)),
        };
        match verb {
            Some(Verb::Resolve | Verb::Datagram) if pattern.is_path() => Err(wrong(Fault::PathVerb)),
            Some(Verb::Resolve) if !ports.is_every() => Err(wrong(Fault::ResolvePort)),
            _ => Ok(Rule { effect, verb, pattern, ports, place }),
        }
    }

    /// What it does.
    pub fn effect(&self) -> Decision {
        self.effect
    }

    /// Where it stands, if it comes from a file.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The rule with its effect and its place, for people.
    pub fn with_place(&self) -> String {
        let place = self.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("`{} {self}`{place}", self.effect.name())
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(super) fn verb(&self) -> Option<Verb> {
        self.verb
    }
}

fn split_verb(text: &str) -> (Option<Verb>, &str) {
    let found = text.split_once(':').and_then(|(word, rest)| {
        let verb = Verb::ALL.iter().find(|verb| verb.name() == word)?;
        Some((Some(*verb), rest))
    });
    found.unwrap_or((None, text))
}

/// `HOST[:PORTS]`.
fn parse_words(text: &str) -> Result<(Pattern, Ports), Fault> {
    if text == "*" {
        return Ok((Pattern::Everything, Ports::Every));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok((Pattern::parse_path(path)?, Ports::Every));
    }
    if let Some((literal, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (prefix, ports) = match rest.split_once(':') {
            Some((prefix, ports)) => (prefix, Some(ports)),
            None => (rest, None),
        };
        let prefix = match prefix.strip_prefix('/') {
            None if !prefix.is_empty() => return Err(Fault::Host(HostError::Brackets)),
            prefix => prefix,
        };
        return Ok((Pattern::parse_v6(literal, prefix)?, parse_ports(ports)?));
    }
    let (host, ports) = match text.split_once(':') {
        Some((host, ports)) => (host, Some(ports)),
        None => (text, None),
    };
    if text.starts_with('[') || ports.is_some_and(|ports| ports.contains(':')) {
        return Err(Fault::Host(HostError::Brackets));
    }
    let ports = parse_ports(ports)?;
    Ok((if host == "*" { Pattern::Hosts } else { Pattern::parse(host)? }, ports))
}

fn parse_ports(text: Option<&str>) -> Result<Ports, Fault> {
    text.map_or(Ok(Ports::Every), |text| Ports::parse(text).map_err(Fault::Ports))
}

impl FromStr for Rule {
    type Err = RuleError;

    /// A rule that allows, as `--allow` takes it.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        Rule::parse(text, Decision::Allow, None)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(verb) = self.verb {
            write!(f, "{}:", verb.name())?;
        }
        self.pattern.fmt(f)?;
        match self.pattern {
            // Without ports the star would be everything.
            Pattern::Hosts => write!(f, ":{}", self.ports),
            _ if self.ports.is_every() => Ok(()),
            _ => write!(f, ":{}", self.ports),
        }
    }
}

/// Why a text is no rule: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("rule `{rule}`: {fault}")]
pub struct RuleError {
    rule: String,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Host(HostError),
    /// Which part of the list is wrong.
    Ports(String),
    PathVerb,
    ResolvePort,
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        Fault::Host(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Fault::Ports(part) => {
                return write!(
                    f,
                    "`{part}` is no port: a port is a number from 0 to 65535, a range LOW-HIGH, a list of these \
                    with commas, or `*`"
                );
            }
            Fault::PathVerb => return f.write_str(PATH_VERBS),
            Fault::ResolvePort => return f.write_str("a lookup has no port: write `resolve:HOST`"),
            Fault::Host(error) => error,
        };
        match error {
            HostError::Empty => f.write_str("the host is missing: write HOST[:PORTS], or `*` for everything"),
            HostError::NotAscii => {
                f.write_str("a name outside ASCII is written as the network knows it, in Punycode (`xn--…`)")
            }
            HostError::Glob => f.write_str("a pattern is `*`, or a name with one `*.` in front"),
            HostError::Spelling(ip) if ip.is_ipv4() => write!(f, "write the address as `{ip}`"),
            HostError::Spelling(ip) => write!(f, "write the address as `[{ip}]`, without a scope"),
            HostError::Prefix(network) => write!(f, "there are bits beyond the prefix: write `{network}`"),
            HostError::PrefixLength => {
                f.write_str("the prefix length is a number from 0 to 32, of an IPv6 address to 128")
            }
            HostError::Brackets => f.write_str(
                "an IPv6 address stands in brackets, its prefix length behind them: `[2001:db8::]/32:443`",
            ),
            HostError::Number => f.write_str("a name does not end in a number, and this is no address"),
            HostError::Name => f.write_str(
                "the host is a name of letters, digits, `-`, `_` and dots, `*.NAME`, an address, a range \
                ADDRESS/LENGTH, `unix:PATH` or `*`",
            ),
            HostError::Path => f.write_str(
                "a path is absolute and without `.`, `..` and `//`; a `*` may stand for its whole last part",
            ),
        }
    }
}
