//! Whom a rule is about, and whom a call asks for.

use std::fmt;
use std::net::IpAddr;

use super::address::{Faces, Network, parse_address};

/// The longest name (RFC 1035, in text without its final dot) and the longest label of one.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*` without ports: everything, local sockets and special ranges included.
    Everything,
    /// `*` with ports: every host.
    Hosts,
    /// One name; names here are in lower case and without the dot of the root.
    Name(String),
    /// `*.NAME`: whatever is below the name, not itself.
    Below(String),
    /// An address or a range of them.
    Network(Network),
    /// `unix:PATH`.
    Path(String),
    /// `unix:DIRECTORY/*`: whatever lies in the directory itself.
    Directory(String),
}

/// Why a text names no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    Empty,
    NotAscii,
    Glob,
    /// An address in a spelling that people read as another one.
    Spelling(IpAddr),
    Prefix(Network),
    PrefixLength,
    Brackets,
    Number,
    Name,
    Path,
}

impl Pattern {
    /// A host that is not in brackets, with its prefix length if there is one.
    pub(super) fn parse(text: &str) -> Result<Self, HostError> {
        match text.split_once('/') {
            Some((base, prefix)) => match base.parse::<IpAddr>() {
                Ok(base) => parse_network(base, prefix),
                Err(_) => Err(parse_address(base).map_or(HostError::Name, HostError::Spelling)),
            },
            None => parse_host(text),
        }
    }

    /// What stands in brackets, and what follows a `/` behind them.
    pub(super) fn parse_v6(literal: &str, prefix: Option<&str>) -> Result<Self, HostError> {
        let ip: std::net::Ipv6Addr = literal.parse().map_err(|_| HostError::Brackets)?;
        match prefix {
            Some(prefix) => parse_network(ip.into(), prefix),
            None => Ok(Pattern::Network(Network::one(ip.into()).canonical())),
        }
    }

    /// What follows `unix:`.
    pub(super) fn parse_path(text: &str) -> Result<Self, HostError> {
        let (path, is_directory) = match text.strip_suffix("/*") {
            Some(directory) => (directory, true),
            None => (text, false),
        };
        let is_root = is_directory && path.is_empty();
        if !is_root && !is_plain_path(path) || path.contains('*') {
            return Err(HostError::Path);
        }
        let path = path.to_owned();
        Ok(if is_directory { Pattern::Directory(path) } else { Pattern::Path(path) })
    }

    /// Whether it is about local sockets, and nothing else.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Pattern::Path(_) | Pattern::Directory(_))
    }

    /// Whether it is about names.
    pub(super) fn is_name(&self) -> bool {
        matches!(self, Pattern::Name(_) | Pattern::Below(_))
    }

    /// Whether it names this machine by the one name that always means it (RFC 6761).
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Pattern::Name(name) | Pattern::Below(name)
            if name == "localhost" || name.ends_with(".localhost"))
    }
}

fn parse_host(text: &str) -> Result<Pattern, HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if !text.is_ascii() {
        return Err(HostError::NotAscii);
    }
    if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(Pattern::Network(Network::one(ip.into())));
    }
    if let Some(ip) = parse_address(text) {
        return Err(HostError::Spelling(ip));
    }
    let lower = text.to_ascii_lowercase();
    let whole = lower.strip_suffix('.').unwrap_or(&lower);
    let (name, is_glob) = match whole.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (whole, false),
    };
    if name.contains('*') {
        return Err(HostError::Glob);
    }
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err(HostError::Number);
    }
    let is_label = |label: &str| !label.is_empty() && label.len() <= LABEL_MAX;
    if !is_plain_name(name) || name.len() > NAME_MAX || !name.split('.').all(is_label) {
        return Err(HostError::Name);
    }
    Ok(if is_glob { Pattern::Below(name.to_owned()) } else { Pattern::Name(name.to_owned()) })
}

/// Whether the last label of a name is a number: then it is an address that somebody has misspelt.
fn is_number(label: &str) -> bool {
    let is_hex = label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hex || (!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse_network(base: IpAddr, prefix: &str) -> Result<Pattern, HostError> {
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: u8 = prefix.parse().ok().filter(|_| is_number).ok_or(HostError::PrefixLength)?;
    match Network::new(base, prefix) {
        Some(network) => Ok(Pattern::Network(network.canonical())),
        None => Err(Network::around(base, prefix).map_or(HostError::PrefixLength, HostError::Prefix)),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Everything | Pattern::Hosts => f.write_str("*"),
            Pattern::Name(name) => f.write_str(name),
            Pattern::Below(name) => write!(f, "*.{name}"),
            Pattern::Network(network) => network.fmt(f),
            Pattern::Path(path) => write!(f, "unix:{path}"),
            Pattern::Directory(path) => write!(f, "unix:{path}/*"),
        }
    }
}

/// Whom a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An address in whatever spelling.
    Address(Faces),
    /// A name as rules have them.
    Name(String),
    /// `*`, for `listen`: every address of this machine.
    Wildcard,
    /// No ordinary name. The resolver may make some name of it that cannot be told from here: a backslash
    /// begins an escape (`\105` is `i`), and a resolver may know international names.
    Odd,
}

impl Target {
    pub(super) fn parse(host: &str) -> Self {
        if host == "*" {
            return Target::Wildcard;
        }
        if let Some(ip) = parse_address(host) {
            return Target::Address(Faces::of(ip));
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if is_plain_name(&name) { Target::Name(name) } else { Target::Odd }
    }
}

/// Whether the resolver takes each byte of the name for itself.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Whether a path means what it says: absolute, without `.` and `..`, without empty parts.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_part))
}
