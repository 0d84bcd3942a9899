//! The small values that messages are made of.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::limits::{UDP_MAX, UNIX_DGRAM_MAX};

/// Names one socket of one client: a slot in the low 32 bits, the slot's generation in the high 32.
///
/// A slot that is used again gets a new generation, so a stale id never reaches a newer socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketId(pub u64);

impl SocketId {
    /// The id of `slot` in its `generation`.
    pub const fn new(slot: u32, generation: u32) -> Self {
        SocketId((generation as u64) << 32 | slot as u64)
    }

    /// The slot that the id points at.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// How often the slot had been used before this socket.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// What kind of socket `open` and `bind` make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A TCP socket.
    Tcp,
    /// A UDP socket.
    Udp,
    /// A local stream socket, named by a path.
    UnixStream,
    /// A local datagram socket, named by a path.
    UnixDgram,
}

impl Kind {
    /// The largest datagram in bytes that the daemon takes from a socket of this kind or gives to it, and the
    /// least credit that it reads with; 0 for streams.
    pub const fn datagram_max(self) -> usize {
        match self {
            Kind::Tcp | Kind::UnixStream => 0,
            Kind::Udp => UDP_MAX,
            Kind::UnixDgram => UNIX_DGRAM_MAX,
        }
    }

    /// Whether its sockets send and receive datagrams.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Kind::Udp | Kind::UnixDgram)
    }

    /// Whether its sockets are named by a path.
    pub const fn is_local(self) -> bool {
        matches!(self, Kind::UnixStream | Kind::UnixDgram)
    }
}

/// An address family, in LuaSocket's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Whatever the name resolves to.
    Unspec,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// For `bind` to `"*"` only: one socket that takes both families.
    Dual,
    /// A path of this machine: the host is the path, the port is 0 or empty.
    Unix,
}

impl Family {
    /// The family of an IP address.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Family::Inet,
            IpAddr::V6(_) => Family::Inet6,
        }
    }
}

/// One end of a connection: a numeric address and its port, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// `inet`, `inet6` or `unix`.
    pub family: Family,
    /// The numeric address; a link-local IPv6 address carries its scope (`fe80::1%2`). Or the path, empty for
    /// a local socket without a name; an abstract name begins with a NUL (unix(7)).
    pub host: String,
    /// The port number.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Inet6 => write!(f, "[{}]:{}", self.host, self.port),
            Family::Unix => write!(f, "unix:{}", self.host.escape_default()),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    /// The name of a local socket.
    pub fn path(path: impl Into<String>) -> Self {
        Address { family: Family::Unix, host: path.into(), port: 0 }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Address { family: Family::of(address.ip()), host, port: address.port() }
    }
}

/// Which directions of a connection `shutdown` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Nothing more is received; what is queued still is.
    Receive,
    /// Nothing more is sent; what was accepted still is, then the peer sees the end.
    Send,
    /// Both.
    Both,
}

impl Direction {
    /// Whether sending ends.
    pub fn ends_send(self) -> bool {
        matches!(self, Direction::Send | Direction::Both)
    }

    /// Whether receiving ends.
    pub fn ends_receive(self) -> bool {
        matches!(self, Direction::Receive | Direction::Both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_slot_and_generation() {
        let id = SocketId::new(7, u32::MAX);
        assert_eq!((id.slot(), id.generation()), (7, u32::MAX));
        assert_ne!(id, SocketId::new(7, 0));
        assert_eq!(SocketId::new(3, 2).to_string(), "3.2");
    }

    #[test]
    fn a_link_local_address_keeps_its_scope() {
        let scoped = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 2);
        assert_eq!(Address::from(SocketAddr::V6(scoped)).host, "fe80::1%2");
    }
}
