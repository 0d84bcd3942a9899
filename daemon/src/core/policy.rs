//! Who may reach what: rules that allow, and nothing else does.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// What the policy says to one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It is forbidden: no rule allows it.
    #[default]
    Deny,
    /// A rule allows it.
    Allow,
}

/// The rules of one daemon. With none, everything is denied.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of these rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Policy { rules }
    }

    /// Whether the name may be looked up to do this with it: a rule that allows that names it.
    ///
    /// Without this question a script that may reach nothing could still send bytes to a name server,
    /// inside the names it asks for.
    pub fn decide_resolve(&self, verb: Verb, host: &str) -> Verdict {
        let host = Host::parse(host);
        self.decide(|rule| rule.allows_verb(verb) && rule.host.covers(&host))
    }

    /// Whether a connection to `address`, asked for as `host`, may be made.
    pub fn decide_connect(&self, host: &str, address: SocketAddr) -> Verdict {
        self.decide_address(Verb::Connect, host, address)
    }

    /// Whether connections may be taken on `address`, asked for as `host`.
    pub fn decide_listen(&self, host: &str, address: SocketAddr) -> Verdict {
        self.decide_address(Verb::Listen, host, address)
    }

    /// Whether a datagram may be sent to `address`, asked for as `host`, and taken from it.
    pub fn decide_datagram(&self, host: &str, address: SocketAddr) -> Verdict {
        self.decide_address(Verb::Datagram, host, address)
    }

    /// Whether a local socket may be connected or bound to a path. No rule names paths yet: only the rule
    /// for everything allows one.
    pub fn decide_path(&self, _verb: Verb, _path: &str) -> Verdict {
        self.decide(|rule| rule.host == Host::Any)
    }

    /// Whether every path is allowed, so that it does not matter where one leads.
    pub fn allows_every_path(&self) -> bool {
        self.decide_path(Verb::Connect, "") == Verdict::Allow
    }

    fn decide_address(&self, verb: Verb, host: &str, address: SocketAddr) -> Verdict {
        let (host, ip) = (Host::parse(host), Host::Address(address.ip().to_canonical()));
        self.decide(|rule| {
            rule.allows_verb(verb)
                && rule.ports.contains(&address.port())
                && (rule.host.covers(&host) || rule.host.covers(&ip))
        })
    }

    fn decide(&self, allows: impl Fn(&Rule) -> bool) -> Verdict {
        if self.rules.iter().any(allows) { Verdict::Allow } else { Verdict::Deny }
    }
}

/// One rule that allows something: `*`, or `[connect:|listen:]HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `None` allows both.
    verb: Option<Verb>,
    host: Host,
    ports: RangeInclusive<u16>,
}

/// What a rule lets a script do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Connect to the host, and look its name up for that.
    Connect,
    /// Take connections on the host's address, and look its name up for that.
    Listen,
    /// Send datagrams to the host and take them from it, and look its name up for that.
    Datagram,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// In lower case, without the dot of the root.
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(ip) => Host::Address(ip.to_canonical()),
            Err(_) => Host::Name(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()),
        }
    }

    fn covers(&self, other: &Host) -> bool {
        *self == Host::Any || self == other
    }
}

impl Rule {
    fn allows_verb(&self, verb: Verb) -> bool {
        self.verb.is_none_or(|only| only == verb)
    }
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// There is no port.
    #[error("rule `{0}` has no port: write HOST:PORT, [IPV6]:PORT or `*`")]
    NoPort(String),
    /// The port is no number.
    #[error("rule `{0}`: the port is a number from 0 to 65535, a range LOW-HIGH or `*`")]
    Port(String),
    /// The host is empty, a pattern, or an IPv6 address without brackets.
    #[error("rule `{0}`: the host is one name or one address, an IPv6 address in brackets")]
    Host(String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text == "*" {
            return Ok(Rule { verb: None, host: Host::Any, ports: 0..=u16::MAX });
        }
        let (verb, rest) = match text.split_once(':') {
            Some(("connect", rest)) => (Verb::Connect, rest),
            Some(("listen", rest)) => (Verb::Listen, rest),
            Some(("datagram", rest)) => (Verb::Datagram, rest),
            _ => (Verb::Connect, text),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| RuleError::NoPort(text.into()))?;
        let host = parse_host(host).ok_or_else(|| RuleError::Host(text.into()))?;
        let ports = parse_ports(port).ok_or_else(|| RuleError::Port(text.into()))?;
        Ok(Rule { verb: Some(verb), host, ports })
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(literal) = text.strip_prefix('[') {
        let ip: std::net::Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
        return Some(Host::Address(IpAddr::V6(ip).to_canonical()));
    }
    let is_name = !text.is_empty() && !text.contains(['*', ':', '[', ']', '/', ' ']);
    is_name.then(|| Host::parse(text))
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    match text.split_once('-') {
        None if text == "*" => Some(0..=u16::MAX),
        None => text.parse().ok().map(|port| port..=port),
        Some((low, high)) => {
            let (low, high) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then_some(low..=high)
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            None => return f.write_str("*"),
            Some(Verb::Connect) => "connect",
            Some(Verb::Listen) => "listen",
            Some(Verb::Datagram) => "datagram",
        };
        let (low, high) = (self.ports.start(), self.ports.end());
        match &self.host {
            Host::Any => write!(f, "{verb}:*")?,
            Host::Name(name) => write!(f, "{verb}:{name}")?,
            Host::Address(IpAddr::V4(ip)) => write!(f, "{verb}:{ip}")?,
            Host::Address(IpAddr::V6(ip)) => write!(f, "{verb}:[{ip}]")?,
        }
        match (*low, *high) {
            (0, u16::MAX) => f.write_str(":*"),
            (low, high) if low == high => write!(f, ":{low}"),
            (low, high) => write!(f, ":{low}-{high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        Policy::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    fn connects(policy: &Policy, host: &str, address: &str) -> bool {
        policy.decide_connect(host, address.parse().unwrap()) == Verdict::Allow
    }

    #[test]
    fn nothing_is_allowed_without_a_rule() {
        let none = Policy::default();
        assert!(!connects(&none, "127.0.0.1", "127.0.0.1:80"));
        assert_eq!(none.decide_listen("*", "0.0.0.0:0".parse().unwrap()), Verdict::Deny);
        assert_eq!(none.decide_resolve(Verb::Connect, "localhost"), Verdict::Deny);
    }

    #[test]
    fn a_star_allows_everything() {
        let all = policy(&["*"]);
        assert!(connects(&all, "x", "[::1]:1"));
        assert_eq!(all.decide_listen("*", "[::]:0".parse().unwrap()), Verdict::Allow);
        assert_eq!(all.decide_resolve(Verb::Connect, "x"), Verdict::Allow);
    }

    #[test]
    fn a_name_allows_the_name_and_its_port_only() {
        let one = policy(&["Example.com:80"]);
        assert!(connects(&one, "example.COM.", "1.2.3.4:80"));
        assert!(!connects(&one, "example.com", "1.2.3.4:81"));
        assert!(!connects(&one, "a.example.com", "1.2.3.4:80"));
        assert!(!connects(&one, "1.2.3.4", "1.2.3.4:80"));
        assert_eq!(one.decide_resolve(Verb::Connect, "example.com"), Verdict::Allow);
        assert_eq!(one.decide_resolve(Verb::Connect, "secret.example.com"), Verdict::Deny);
        assert_eq!(one.decide_listen("example.com", "1.2.3.4:80".parse().unwrap()), Verdict::Deny);
    }

    #[test]
    fn an_address_is_judged_by_its_value() {
        let one = policy(&["127.0.0.1:8000-8080", "[::1]:*"]);
        assert!(connects(&one, "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:8080"));
        assert!(connects(&one, "0:0::1", "[::1]:9"));
        assert!(!connects(&one, "127.0.0.1", "127.0.0.1:7999"));
        assert!(!connects(&one, "127.0.0.2", "127.0.0.2:8000"));
    }

    #[test]
    fn a_rule_to_listen_allows_nothing_else() {
        let one = policy(&["listen:127.0.0.1:*"]);
        assert_eq!(one.decide_listen("localhost", "127.0.0.1:9".parse().unwrap()), Verdict::Allow);
        assert_eq!(one.decide_listen("*", "0.0.0.0:9".parse().unwrap()), Verdict::Deny);
        assert!(!connects(&one, "127.0.0.1", "127.0.0.1:9"));
        assert_eq!(one.decide_resolve(Verb::Connect, "127.0.0.1"), Verdict::Deny);
        let name = policy(&["listen:localhost:*"]);
        assert_eq!(name.decide_resolve(Verb::Listen, "localhost"), Verdict::Allow);
        assert_eq!(name.decide_resolve(Verb::Connect, "localhost"), Verdict::Deny);
    }

    #[test]
    fn a_rule_prints_as_it_is_read() {
        for text in ["*", "connect:example.com:80", "listen:[::1]:*", "connect:10.0.0.1:1-9"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        assert_eq!("example.com".parse::<Rule>(), Err(RuleError::NoPort("example.com".into())));
        for port in ["x:", "x:65536", "x:-1", "x:9-1", "x:1-", "x:http"] {
            assert_eq!(port.parse::<Rule>(), Err(RuleError::Port(port.into())), "{port}");
        }
        for host in [":80", "*.x:80", "*:80", "::1:80", "[::1:80", "[x]:80", "10.0.0.0/8:80", "a b:80"] {
            assert_eq!(host.parse::<Rule>(), Err(RuleError::Host(host.into())), "{host}");
        }
    }
}
