//! The table of spellings, asked of the system's resolver and of the policy.

use std::net::{IpAddr, SocketAddr};

use luasocketd::core::policy::{Decision, Profile, Verb, Why, parse_address};

use super::profile;

const TABLE: &str = include_str!("spellings.txt");

/// `AI_NUMERICHOST`: the resolver reads addresses and asks nobody.
const NUMERIC_HOST: i32 = 4;

struct Line<'a> {
    class: &'a str,
    spelling: &'a str,
    address: &'a str,
}

fn table() -> impl Iterator<Item = Line<'static>> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (class, rest) = line.split_once("  ").unwrap();
        let rest = rest.trim_start();
        let (spelling, address) = rest.split_once(" => ").unwrap_or((rest, rest));
        Line { class, spelling, address }
    })
}

/// The addresses among the spellings.
fn addresses() -> impl Iterator<Item = (Line<'static>, IpAddr)> {
    table().filter(|line| !matches!(line.class, "name" | "odd")).map(|line| {
        let address = line.address.parse().unwrap_or_else(|_| panic!("{}", line.address));
        (line, address)
    })
}

fn decide(profile: &Profile, host: &str, ip: IpAddr) -> (Decision, Why) {
    let verdict = profile.decide_address(Verb::Connect, host, SocketAddr::new(ip, 443));
    (verdict.decision, verdict.why)
}

/// An address as rules have it.
fn words(ip: IpAddr) -> String {
    if ip.is_ipv4() { ip.to_string() } else { format!("[{ip}]") }
}

#[test]
fn there_are_enough_of_them() {
    assert!(table().count() >= 300, "{}", table().count());
}

#[test]
fn each_address_is_the_one_that_the_resolver_makes_of_it() {
    for Line { class, spelling, address } in table() {
        let hints = dns_lookup::AddrInfoHints { flags: NUMERIC_HOST, ..Default::default() };
        let found = dns_lookup::getaddrinfo(Some(spelling), None, Some(hints));
        let found = found.ok().and_then(|mut found| found.next()?.ok()).map(|info| info.sockaddr.ip());
        let ours = parse_address(spelling);
        assert_eq!(ours, found.map(|ip| ip.to_canonical()), "{spelling}: we and the resolver");
        let expected = (!matches!(class, "name" | "odd")).then(|| address.parse::<IpAddr>().unwrap());
        assert_eq!(ours, expected, "{spelling}");
    }
}

#[test]
fn each_address_is_in_its_range_and_no_star_with_a_port_opens_that() {
    let star = profile(&["allow *:443", "allow *.example.com", "allow localhost"]);
    for (Line { class, spelling, .. }, ip) in addresses() {
        // As asked for by itself, and as the answer to an innocent name.
        for host in [spelling, "innocent.example.com"] {
            match decide(&star, host, ip) {
                (Decision::Allow, _) => assert_eq!(class, "public", "{spelling}"),
                (Decision::Deny, Why::Special { special, .. }) => {
                    assert_eq!(class, special.name(), "{spelling}");
                }
                other => panic!("{spelling}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_rule_for_the_address_itself_opens_it_and_one_that_forbids_it_closes_it() {
    for (Line { spelling, .. }, ip) in addresses() {
        let itself = words(ip.to_canonical());
        assert_eq!(decide(&profile(&["allow *"]), spelling, ip).0, Decision::Allow, "{spelling}");
        let open = profile(&[&format!("allow {itself}:443")]);
        assert_eq!(decide(&open, spelling, ip).0, Decision::Allow, "{spelling}");
        assert_eq!(decide(&open, "name.example", ip).0, Decision::Allow, "{spelling}");
        let closed = profile(&["allow *", &format!("deny {itself}")]);
        assert_eq!(decide(&closed, spelling, ip).0, Decision::Deny, "{spelling}");
        assert_eq!(decide(&closed, "name.example", ip).0, Decision::Deny, "{spelling}");
    }
}

#[test]
fn whatever_holds_an_ipv4_address_falls_with_it() {
    let closed = profile(&["allow *", "deny 8.8.8.8", "deny 127.0.0.0/8", "deny 172.32.0.0/16"]);
    let ends = ["8.8.8.8", "127.0.0.1", "172.32.0.0"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let mut found = 0;
    for (Line { spelling, .. }, ip) in addresses() {
        let holds = |v4: &IpAddr| holders(*v4).contains(&ip.to_canonical());
        if ends.iter().any(holds) {
            found += 1;
            assert_eq!(decide(&closed, spelling, ip).0, Decision::Deny, "{spelling}");
        }
    }
    assert!(found >= 3 * 5, "only {found} spellings hold one of them");
}

/// An IPv4 address in the ways to put it into an IPv6 one, computed apart from the policy.
fn holders(v4: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V4(v4) = v4 else { panic!("{v4}") };
    let bits = u128::from(v4.to_bits());
    let v6 = |bits: u128| IpAddr::V6(bits.into());
    let teredo = 0x2001 << 112 | 0x0808_0808 << 64 | 0x8000 << 48 | (bits ^ 0xffff_ffff);
    vec![
        IpAddr::V4(v4),
        v6(bits),
        v6(0xffff << 48 | bits),
        v6(0x0064_ff9b << 96 | bits),
        v6(0x2002 << 112 | bits << 80 | 1),
        v6(teredo),
    ]
}

#[test]
fn names_are_judged_in_one_form_and_odd_ones_with_caution() {
    let named = profile(&["allow example.com", "allow *.example.com", "allow 127.0.0.1"]);
    let fenced = profile(&["allow *", "deny evil.com"]);
    let star = profile(&["allow *:443"]);
    for Line { class, spelling, .. } in table() {
        let may = |profile: &Profile| profile.decide_lookup(Some(Verb::Connect), spelling).decision;
        let lower = spelling.to_lowercase();
        let lower = lower.trim_end_matches('.');
        let is_named = lower == "example.com" || lower.ends_with(".example.com");
        match class {
            "name" => {
                assert_eq!(may(&named) == Decision::Allow, is_named, "{spelling}");
                assert_eq!(may(&fenced), Decision::Allow, "{spelling}");
                assert_eq!(may(&star), Decision::Allow, "{spelling}");
            }
            "odd" => {
                assert_eq!(may(&named), Decision::Deny, "{spelling}");
                assert_eq!(may(&star), Decision::Allow, "{spelling}");
                // `*.example.com` as a host is no more than an odd name.
                assert_eq!(may(&fenced), Decision::Deny, "{spelling}");
            }
            _ => assert_eq!(may(&named), Decision::Allow, "an address needs no lookup: {spelling}"),
        }
    }
}
