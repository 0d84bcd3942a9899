//! The ranges that no name leads to unless a rule names the address: IANA's registries of special-purpose
//! addresses, and what clouds put their metadata at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::address::{Faces, Network};

/// A range with a purpose of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Special {
    network: Network,
    name: &'static str,
}

impl Special {
    /// What the range is for.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its addresses.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Whether it is this machine's own.
    pub(super) fn is_loopback(&self) -> bool {
        self.name == LOOPBACK
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self {
            // It is what is left, and no range of its own.
            special if **special == RESERVED => f.write_str(self.name),
            special => write!(f, "{} ({})", special.name, special.network),
        }
    }
}

const LOOPBACK: &str = "loopback";
const METADATA: &str = "cloud metadata";
const DOCUMENTATION: &str = "documentation";

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, name: &'static str) -> Special {
    Special { network: Network::v4(a, b, c, d, prefix), name }
}

const fn v6(segments: [u16; 8], prefix: u8, name: &'static str) -> Special {
    Special { network: Network::v6(segments, prefix), name }
}

/// IPv4: IANA's registry (RFC 6890 and later), and metadata services that sit inside or outside of it.
/// Ranges inside others come first. The AS112 and AMT ranges are reachable for everybody, and not here.
pub static IPV4: &[Special] = &[
    v4(169, 254, 169, 254, 32, METADATA),
    v4(169, 254, 170, 2, 32, METADATA),
    v4(100, 100, 100, 200, 32, METADATA),
    v4(192, 0, 0, 192, 32, METADATA),
    v4(168, 63, 129, 16, 32, METADATA),
    v4(255, 255, 255, 255, 32, "broadcast"),
    v4(0, 0, 0, 0, 8, "this network"),
    v4(10, 0, 0, 0, 8, "private"),
    v4(100, 64, 0, 0, 10, "shared by carriers"),
    v4(127, 0, 0, 0, 8, LOOPBACK),
    v4(169, 254, 0, 0, 16, "link-local"),
    v4(172, 16, 0, 0, 12, "private"),
    v4(192, 0, 0, 0, 24, "protocol assignments"),
    v4(192, 0, 2, 0, 24, DOCUMENTATION),
    v4(192, 88, 99, 0, 24, "6to4 relays"),
    v4(192, 168, 0, 0, 16, "private"),
    v4(198, 18, 0, 0, 15, "benchmarking"),
    v4(198, 51, 100, 0, 24, DOCUMENTATION),
    v4(203, 0, 113, 0, 24, DOCUMENTATION),
    v4(224, 0, 0, 0, 4, "multicast"),
    v4(240, 0, 0, 0, 4, "reserved"),
];

/// IPv6, as [`IPV4`]. What embeds an IPv4 address is judged as that one.
pub static IPV6: &[Special] = &[
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "translation within a network"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy prefix"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// What IANA has given to unicast; whatever else is not special by itself is reserved.
const UNICAST: Network = Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

static RESERVED: Special = v6([0; 8], 0, "reserved");

/// The range that makes an address special, if one does: its own, or that of an IPv4 address inside it,
/// which is given with it.
pub(super) fn special(faces: &Faces) -> Option<(IpAddr, &'static Special)> {
    let of_v4 = |ip: Ipv4Addr| special_v4(ip).map(|special| (IpAddr::V4(ip), special));
    match faces.own {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(_) if faces.embedded != [None, None] => faces.embedded().find_map(of_v4),
        ip => {
            let found = IPV6.iter().find(|special| special.network.contains(ip));
            found.or((!UNICAST.contains(ip)).then_some(&RESERVED)).map(|special| (ip, special))
        }
    }
}

pub(super) fn special_v4(ip: Ipv4Addr) -> Option<&'static Special> {
    IPV4.iter().find(|special| special.network.contains(IpAddr::V4(ip)))
}
