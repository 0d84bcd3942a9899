//! What the resolver is asked, and what it answers.

use std::net::SocketAddr;

use luasocketd_protocol::{Family, HostEntry, Kind, NameInfo};

use super::policy::parse_address;
use super::slots::LookupId;

/// A question to the resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Which lookup.
    pub lookup: LookupId,
    /// What is asked.
    pub question: Question,
}

/// What the resolver can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The addresses of a name (getaddrinfo(3)).
    Addresses {
        /// The host name or address.
        host: String,
        /// The port number or service name, if one is asked for.
        port: Option<String>,
        /// Which addresses are wanted.
        family: Family,
        /// For which kind of socket.
        kind: Kind,
        /// Whether host and port are only numbers in an unusual spelling: no server is asked.
        numeric: bool,
    },
    /// All that is known of a host (gethostbyname(3), gethostbyaddr(3)).
    Host(String),
    /// The names of these addresses (getnameinfo(3)); of those that are not marked only the numbers.
    NamesOf {
        /// The addresses, and whether their names may be asked for.
        addresses: Vec<(SocketAddr, bool)>,
        /// Whether the name of their port is wanted.
        service: bool,
    },
    /// The names of a host's addresses and of a port (getnameinfo(3)).
    Names {
        /// The host name or address.
        host: Option<String>,
        /// The port number or service name.
        service: Option<String>,
    },
}

/// What the resolver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The addresses in the resolver's order.
    Addresses(Vec<SocketAddr>),
    /// To [`Question::Host`].
    Host(HostEntry),
    /// To [`Question::Names`].
    Names(NameInfo),
}

impl Question {
    /// Whether somebody else may be asked: an address in numbers is nobody's business.
    pub(crate) fn asks_a_server(&self) -> bool {
        match self {
            Question::Addresses { host, numeric, .. } => !numeric && parse_address(host).is_none(),
            Question::Host(_) => true,
            Question::NamesOf { addresses, .. } => addresses.iter().any(|(_, may_ask)| *may_ask),
            Question::Names { host, .. } => host.is_some(),
        }
    }
}

impl Answer {
    /// What was found, in text: addresses, or names.
    pub(crate) fn texts(&self) -> Vec<String> {
        match self {
            Answer::Addresses(found) => found.iter().map(|address| address.ip().to_string()).collect(),
            Answer::Host(entry) => entry.addresses.clone(),
            Answer::Names(info) => info.names.clone(),
        }
    }
}
