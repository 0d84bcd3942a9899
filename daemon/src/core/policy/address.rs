//! Addresses by their value: every spelling that the resolver takes, every IPv4 address inside an IPv6 one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use luasocketd_protocol::aton;

/// The address that a text means to the system's resolver, which then asks nobody.
///
/// Besides the ordinary spellings these are inet_aton(3)'s ([`aton`]) and an IPv6 address with a scope
/// (`fe80::1%eth0`). An IPv4-mapped address is the IPv4 address that the kernel makes of it.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Some((address, scope)) = text.split_once('%') {
        let ip = address.parse::<Ipv6Addr>().ok().filter(|_| !scope.is_empty())?;
        return Some(IpAddr::V6(ip).to_canonical());
    }
    aton(text).map(IpAddr::V4)
}

/// An address and the IPv4 addresses that traffic to it ends at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faces {
    pub(super) own: IpAddr,
    /// The end of the way first; Teredo names its server, too.
    pub(super) embedded: [Option<Ipv4Addr>; 2],
}

impl Faces {
    pub(super) fn of(ip: IpAddr) -> Self {
        let own = ip.to_canonical();
        let embedded = match own {
            IpAddr::V4(_) => [None, None],
            IpAddr::V6(ip) => embedded(ip),
        };
        Faces { own, embedded }
    }

    pub(super) fn embedded(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.embedded.into_iter().flatten()
    }
}

/// The IPv4 addresses that an IPv6 address stands for: RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380
/// (Teredo), RFC 4291 (compatible) and RFC 2765 (translated). Mapped ones are IPv4 to the kernel already.
fn embedded(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => [v4(high, low), None],
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            [v4(!high, !low), v4(server_high, server_low)]
        }
        _ => [None, None],
    }
}

/// A range of addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// The range of one address.
    pub(super) fn one(ip: IpAddr) -> Self {
        Network { base: ip, prefix: width(ip) }
    }

    /// The range of `base` and a prefix length; `None` if that is longer than the address, or the base has
    /// bits set beyond it (then [`Network::around`] says what was meant).
    pub(super) fn new(base: IpAddr, prefix: u8) -> Option<Self> {
        let network = Network::around(base, prefix)?;
        (network.base == base).then_some(network)
    }

    /// The range that holds `ip` and has this prefix length.
    pub(super) fn around(ip: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > width(ip) {
            return None;
        }
        let base = match ip {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(ip.to_bits() & mask_v4(prefix))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(ip.to_bits() & mask_v6(prefix))),
        };
        Some(Network { base, prefix })
    }

    /// A range of IPv4-mapped addresses as the range of IPv4 addresses that it is.
    pub(super) fn canonical(self) -> Self {
        match (self.base.to_canonical(), self.base) {
            (base @ IpAddr::V4(_), IpAddr::V6(_)) if self.prefix >= 96 => {
                Network { base, prefix: self.prefix - 96 }
            }
            _ => self,
        }
    }

    /// Whether the address is in the range.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => (base.to_bits() ^ ip.to_bits()) & mask_v4(self.prefix) == 0,
            (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits() ^ ip.to_bits()) & mask_v6(self.prefix) == 0,
            _ => false,
        }
    }

    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    pub(super) fn is_one(&self) -> bool {
        self.prefix == width(self.base)
    }

    pub(super) const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Network { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    pub(super) const fn v6(segments: [u16; 8], prefix: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = segments;
        Network { base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }
}

impl fmt::Display for Network {
    /// As a rule is written: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            IpAddr::V4(ip) => write!(f, "{ip}")?,
            IpAddr::V6(ip) => write!(f, "[{ip}]")?,
        }
        if self.is_one() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_bits_beyond_it() {
        let base = "10.0.0.1".parse().unwrap();
        assert_eq!(Network::new(base, 8), None);
        assert_eq!(Network::around(base, 8).unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Network::around(base, 33), None);
        assert!(Network::around(base, 0).unwrap().contains("255.255.255.255".parse().unwrap()));
        assert!(!Network::around(base, 0).unwrap().contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_mapped_range_is_an_ipv4_range() {
        let network = Network::new("::ffff:10.0.0.0".parse().unwrap(), 104).unwrap();
        assert_eq!(network.canonical().to_string(), "10.0.0.0/8");
        let wider = Network::new("::".parse().unwrap(), 64).unwrap();
        assert_eq!(wider.canonical(), wider);
    }
}
