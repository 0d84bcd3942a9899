//! A suggested policy allows what was recorded, and nothing that has nothing to do with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use luasocketd::audit::{Fact, Filter, Moment, suggest_policy};
use luasocketd::core::policy::{Accounts, Decision, Policy, Profile, Subject, Verb, parse_address};
use proptest::prelude::*;
use proptest::sample::select;

use crate::trail::{Trail, decided};

struct Nobody;

impl Accounts for Nobody {
    fn user(&self, _: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }

    fn group(&self, _: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }
}

fn read(text: &str) -> Policy {
    Policy::from_toml("suggested", text, &Nobody).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn fact(verb: Verb, host: &str, port: u16) -> Fact {
    Fact {
        profile: "web".into(),
        uid: Some(1000),
        gid: Some(1000),
        client: "a.lua".into(),
        socket: Some("/run/a.sock".into()),
        verb,
        host: host.into(),
        is_path: host.starts_with('/'),
        port: (verb != Verb::Resolve && !host.starts_with('/')).then_some(port),
        ips: Vec::new(),
        count: 1,
        last: Moment(0),
    }
}

fn profile<'a>(policy: &'a Policy, fact: &'a Fact) -> Result<&'a Profile, String> {
    let subject = Subject {
        uid: fact.uid.unwrap_or_default(),
        gid: fact.gid.unwrap_or_default(),
        groups: &[],
        client: &fact.client,
        socket: fact.socket.as_deref(),
    };
    policy.choose(&subject).map(|profile| &**profile).map_err(|error| error.to_string())
}

/// What the policy says to the act that a fact tells of, asked as the daemon asks.
fn ask(policy: &Policy, fact: &Fact) -> Decision {
    let Ok(profile) = profile(policy, fact) else { return Decision::Deny };
    if fact.is_path {
        return profile.decide_path(fact.verb, &fact.host).decision;
    }
    if fact.verb == Verb::Resolve {
        return match parse_address(&fact.host) {
            Some(ip) => profile.decide_reverse(ip).decision,
            None => profile.decide_lookup(None, &fact.host).decision,
        };
    }
    let is_wildcard = fact.host == "*";
    if !is_wildcard && !profile.decide_lookup(Some(fact.verb), &fact.host).lets_through() {
        return Decision::Deny;
    }
    let public = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));
    let own = parse_address(&fact.host).unwrap_or(public);
    let ips = if fact.ips.is_empty() { vec![own] } else { fact.ips.clone() };
    let address = |ip| SocketAddr::new(ip, fact.port.unwrap_or_default());
    let all = ips.iter().map(|ip| profile.decide_address(fact.verb, &fact.host, address(*ip)).decision);
    if all.into_iter().all(|decision| decision == Decision::Allow) { Decision::Allow } else { Decision::Deny }
}

#[test]
fn a_policy_is_as_small_as_it_can_be() {
    let mut facts = vec![fact(Verb::Connect, "Example.com.", 443), fact(Verb::Connect, "example.com", 80)];
    facts.extend((0..4).map(|number| fact(Verb::Connect, &format!("h{number}.example.com"), 443)));
    facts.extend((0..3).map(|number| fact(Verb::Connect, &format!("h{number}.example.net"), 443)));
    facts.extend((0..5).map(|number| fact(Verb::Connect, &format!("h{number}.co.uk"), 443)));
    facts.extend((8..16).map(|number| fact(Verb::Connect, &format!("10.0.0.{number}"), 5432)));
    facts.push(fact(Verb::Connect, "10.0.0.16", 5432));
    facts.push(fact(Verb::Connect, "2001:db8::1", 80));
    facts.extend((8000..8005).map(|port| fact(Verb::Listen, "127.0.0.1", port)));
    facts.push(fact(Verb::Resolve, "h1.example.net", 0));
    facts.push(fact(Verb::Resolve, "other.example.net", 0));
    facts.push(fact(Verb::Connect, "/run/app.sock", 0));
    let mut special = fact(Verb::Connect, "db.internal", 5432);
    special.ips = vec!["10.9.9.9".parse().unwrap()];
    facts.push(special);
    facts.push(fact(Verb::Connect, "na\u{202e}me\n", 1));
    let text = suggest_policy(&facts).unwrap();
    let policy = read(&text);
    let rules: Vec<String> = policy.profiles()[0].rules.iter().map(ToString::to_string).collect();
    for rule in [
        "connect:example.com:80,443",
        "connect:*.example.com:443",
        "connect:h0.example.net:443",
        "connect:h4.co.uk:443",
        "connect:10.0.0.8/29:5432",
        "connect:10.0.0.16:5432",
        "connect:[2001:db8::1]:80",
        "listen:127.0.0.1:8000-8004",
        "resolve:other.example.net",
        "connect:unix:/run/app.sock",
        "connect:db.internal:5432",
        "connect:10.9.9.9:5432",
    ] {
        assert!(rules.iter().any(|known| known == rule), "{rule}\n{text}");
    }
    assert_eq!(rules.len(), 1 + 1 + 3 + 5 + 2 + 1 + 1 + 1 + 1 + 2, "{text}");
    assert!(text.contains("No rule but `*` allows to connect to na\\u{202e}me\\n"), "{text}");
}

#[test]
fn profiles_of_one_user_are_told_apart_or_become_one() {
    let mut facts = vec![fact(Verb::Connect, "a.example", 1), fact(Verb::Connect, "b.example", 2)];
    facts[1].profile = "other".into();
    assert_eq!(read(&suggest_policy(&facts).unwrap()).profiles().len(), 1);
    facts[1].client = "b.lua".into();
    let text = suggest_policy(&facts).unwrap();
    assert!(text.contains("client = \"b.lua\""), "{text}");
    assert_eq!(read(&text).profiles().len(), 2);
    facts[1].socket = Some("/run/b.sock".into());
    let text = suggest_policy(&facts).unwrap();
    assert!(text.contains("socket = \"/run/b.sock\"") && !text.contains("client"), "{text}");
    assert_eq!(read(&text).profiles().len(), 2);
    assert_eq!(suggest_policy(&[]), None);
}

#[test]
fn a_trail_becomes_facts() {
    let mut trail = Trail::new();
    for number in 1..=20 {
        let mut entry = decided(number, number as i64, "a.example");
        if number % 5 == 0 {
            entry.luasocketd.verdict = Some("deny".into());
            entry.event.outcome = "failure".into();
            entry.destination.as_mut().unwrap().port = Some(22);
        }
        if number == 7 {
            entry.destination.as_mut().unwrap().ip = Some("10.0.0.1".into());
        }
        trail.write(entry);
    }
    let mut listener = decided(21, 21, "*");
    listener.luasocketd.matter = "listener".into();
    listener.luasocketd.service = Some("0".into());
    let place = listener.destination.as_mut().unwrap();
    (place.ip, place.port) = (Some("0.0.0.0".into()), Some(34567));
    trail.write(listener);
    let index = trail.index();
    let text = suggest_policy(&index.facts(&Filter::default()).unwrap()).unwrap();
    let policy = read(&text);
    let rules: Vec<String> = policy.profiles()[0].rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["connect:10.0.0.1:443", "connect:a.example:443", "listen:0.0.0.0:0"], "{text}");
    assert!(text.contains("# 16 times, last 2026-03-01"), "{text}");
    let denied = Filter { verdict: Some(Decision::Deny), ..Filter::default() };
    let text = suggest_policy(&index.facts(&denied).unwrap()).unwrap();
    let policy = read(&text);
    let rules: Vec<String> = policy.profiles()[0].rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["connect:a.example:22"]);
}

/// Few hosts and ports, so that they meet.
fn facts() -> impl Strategy<Value = Fact> {
    const HOSTS: &[&str] = &[
        "a.example.com",
        "b.example.com",
        "c.example.com",
        "d.example.com",
        "e.d.example.com",
        "example.com",
        "localhost",
        "x.y.localhost",
        "A.EXAMPLE.org.",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "0x7f.1",
        "8.8.8.8",
        "8.8.8.9",
        "::1",
        "::ffff:10.0.0.2",
        "64:ff9b::a00:1",
        "fe80::1%eth0",
        "0.0.0.0",
        "a.co.uk",
        "*",
        "/run/a",
        "/run/b",
    ];
    let ips = prop::collection::vec(
        select(["10.0.0.7", "8.8.4.4", "169.254.169.254", "fd00::1", "127.0.0.1"].as_slice()),
        0..3,
    );
    (
        select(["one", "two", "three \"x\""].as_slice()),
        select([1000u32, 1001, 1002].as_slice()),
        select(["a.lua", "b.lua", ""].as_slice()),
        select(Verb::ALL),
        select(HOSTS),
        select([0u16, 1, 22, 80, 81, 82, 443, 65535].as_slice()),
        ips,
    )
        .prop_filter_map(
            "a path is connected to or listened on",
            |(profile, uid, client, verb, host, port, ips)| {
                let is_path = host.starts_with('/');
                let is_possible = match verb {
                    Verb::Resolve => host != "*" && !is_path,
                    Verb::Datagram => !is_path && host != "*",
                    Verb::Connect => host != "*",
                    Verb::Listen => true,
                };
                let is_name = parse_address(host).is_none() && !is_path && verb != Verb::Resolve;
                let ips =
                    if is_name { ips.iter().map(|ip| ip.parse().unwrap()).collect() } else { Vec::new() };
                let ips = if host == "*" { vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)] } else { ips };
                is_possible.then(|| Fact {
                    profile: profile.into(),
                    uid: Some(uid),
                    client: client.into(),
                    ips,
                    ..fact(verb, host, port)
                })
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_recorded_is_allowed_and_what_was_not_is_not(
        recorded in prop::collection::vec(facts(), 1..40), other in facts(), strange in 2000u16..3000,
    ) {
        let text = suggest_policy(&recorded).unwrap();
        let policy = Policy::from_toml("suggested", &text, &Nobody);
        prop_assert!(policy.is_ok(), "{:?}\n{text}", policy);
        let policy = policy.unwrap();
        for fact in &recorded {
            prop_assert_eq!(ask(&policy, fact), Decision::Allow, "{:?}\n{}", fact, text);
        }
        // A port, a user, a name and an address that nobody has used.
        if other.port.is_some() {
            let at_port = Fact { port: Some(strange), ..other.clone() };
            prop_assert_eq!(ask(&policy, &at_port), Decision::Deny, "{:?}\n{}", at_port, text);
        }
        let by_user = Fact { uid: Some(7), ..other.clone() };
        prop_assert_eq!(ask(&policy, &by_user), Decision::Deny, "{:?}\n{}", by_user, text);
        for host in ["z.example", "a.example.com.evil.example", "9.9.9.9", "10.0.0.0", "/run/c"] {
            let is_path = host.starts_with('/');
            if is_path && matches!(other.verb, Verb::Resolve | Verb::Datagram) {
                continue;
            }
            let at_host = Fact { host: host.into(), is_path, ips: Vec::new(), ..other.clone() };
            prop_assert_eq!(ask(&policy, &at_host), Decision::Deny, "{:?}\n{}", at_host, text);
        }
        // Whoever may do nothing of a kind may do nothing of it anywhere.
        let same_verb = |fact: &&Fact| fact.verb == other.verb && !fact.is_path;
        if !recorded.iter().any(|fact| same_verb(&fact)) && other.verb != Verb::Resolve && !other.is_path {
            prop_assert_eq!(ask(&policy, &other), Decision::Deny, "{:?}\n{}", other, text);
        }
    }
}
