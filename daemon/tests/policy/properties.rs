//! What holds for all rules and all questions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use luasocketd::core::policy::{Decision, Profile, Rule, Verb};
use proptest::prelude::*;
use proptest::sample::select;

/// How much is let through: the more, the higher.
fn degree(decision: Decision) -> u8 {
    match decision {
        Decision::Deny => 0,
        Decision::Report => 1,
        Decision::Allow => 2,
    }
}

/// Few names, addresses and ports, so that rules and questions meet.
fn hosts() -> impl Strategy<Value = String> {
    let words = [
        "a.example",
        "b.a.example",
        "c.b.a.example",
        "example",
        "localhost",
        "*.a.example",
        "*.example",
        "127.0.0.1",
        "127.0.0.0/8",
        "10.0.0.0/8",
        "10.1.2.3",
        "8.8.8.8",
        "8.8.0.0/16",
        "0.0.0.0/0",
        "[::1]",
        "[::]/0",
        "[2001:4860::]/32",
        "[64:ff9b::]/96",
        "[2002::]/16",
        "[fe80::]/10",
        "*",
    ];
    select(words.to_vec()).prop_map(str::to_owned)
}

fn rules() -> impl Strategy<Value = (Decision, String)> {
    let effects = select([Decision::Allow, Decision::Deny, Decision::Report].as_slice());
    let verbs = select(["", "connect:", "listen:", "datagram:", "resolve:"].as_slice());
    let ports = select(["", ":*", ":80", ":443", ":80,443", ":1-100", ":0"].as_slice());
    let paths = select(["unix:/run/a", "unix:/run/*", "unix:/run/a/b"].as_slice()).prop_map(str::to_owned);
    let words = prop_oneof![
        9 => (verbs, hosts(), ports).prop_map(|(verb, host, port)| {
            let port = if verb == "resolve:" { "" } else { port };
            format!("{verb}{host}{port}")
        }),
        1 => (select(["", "connect:", "listen:"].as_slice()), paths).prop_map(|(verb, path)| format!("{verb}{path}")),
    ];
    (effects, words)
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    let known = [
        "127.0.0.1",
        "127.9.9.9",
        "10.1.2.3",
        "8.8.8.8",
        "8.8.4.4",
        "1.1.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::",
        "::ffff:10.1.2.3",
        "64:ff9b::808:808",
        "64:ff9b::a01:203",
        "2002:a01:203::1",
        "fe80::1",
        "2001:4860:4860::8888",
        "2001:0:808:808::f5fe:fdfc",
    ];
    prop_oneof![
        4 => select(known.to_vec()).prop_map(|text| text.parse().unwrap()),
        1 => any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        1 => any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
    ]
}

#[derive(Clone, Debug)]
enum Question {
    Address(Verb, String, SocketAddr),
    Lookup(Option<Verb>, String),
    Reverse(IpAddr),
    Path(Verb, String),
}

fn questions() -> impl Strategy<Value = Question> {
    let hosts = || {
        let known = [
            "a.example",
            "b.a.example",
            "x.c.b.a.example.",
            "LOCALHOST",
            "*",
            "1.1.1.1",
            "0x7f.1",
            "e\\120x",
            "bü",
        ];
        prop_oneof![select(known.to_vec()).prop_map(str::to_owned), "[a-z.]{0,12}", any::<String>()]
    };
    let verbs = || select(Verb::ALL);
    let ports = select([0u16, 1, 80, 100, 101, 443, 65535].as_slice());
    let paths = select(["/run/a", "/run/b", "/run/a/b", "/run/../run/a", "run/a", "", "/run//a"].as_slice());
    prop_oneof![
        5 => (verbs(), hosts(), addresses(), ports)
            .prop_map(|(verb, host, ip, port)| Question::Address(verb, host, SocketAddr::new(ip, port))),
        2 => (proptest::option::of(verbs()), hosts()).prop_map(|(verb, host)| Question::Lookup(verb, host)),
        1 => addresses().prop_map(Question::Reverse),
        1 => (verbs(), paths).prop_map(|(verb, path)| Question::Path(verb, path.to_owned())),
    ]
}

fn ask(rules: &[(Decision, String)], question: &Question) -> Decision {
    let rules = rules.iter().map(|(effect, words)| Rule::parse(words, *effect, None).unwrap());
    let profile = Profile::new("", rules);
    match question {
        Question::Address(verb, host, address) => profile.decide_address(*verb, host, *address),
        Question::Lookup(verb, host) => profile.decide_lookup(*verb, host),
        Question::Reverse(ip) => profile.decide_reverse(*ip),
        Question::Path(verb, path) => profile.decide_path(*verb, path),
    }
    .decision
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_more_rule_to_allow_never_forbids_more(
        mut all in prop::collection::vec(rules(), 0..8), more in rules(), question in questions(),
    ) {
        let before = ask(&all, &question);
        all.push((Decision::Allow, more.1));
        // It may also open what a rule to report covers already.
        prop_assert!(ask(&all, &question) != Decision::Deny || before == Decision::Deny);
        prop_assert!(degree(ask(&all, &question)) >= degree(before));
    }

    #[test]
    fn one_more_rule_to_deny_never_allows_more(
        mut all in prop::collection::vec(rules(), 0..8), more in rules(), question in questions(),
    ) {
        let before = ask(&all, &question);
        all.push((Decision::Deny, more.1));
        prop_assert!(degree(ask(&all, &question)) <= degree(before));
    }

    #[test]
    fn the_order_of_rules_changes_nothing(
        (all, shuffled) in prop::collection::vec(rules(), 0..8)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        question in questions(),
    ) {
        prop_assert_eq!(ask(&all, &question), ask(&shuffled, &question));
    }

    #[test]
    fn what_is_reported_is_forbidden_once_reports_become_denials(
        all in prop::collection::vec(rules(), 0..8), question in questions(),
    ) {
        let enforced: Vec<_> = all.iter().map(|(effect, words)| {
            let effect = if *effect == Decision::Report { Decision::Deny } else { *effect };
            (effect, words.clone())
        }).collect();
        match ask(&all, &question) {
            Decision::Deny | Decision::Report => prop_assert_eq!(ask(&enforced, &question), Decision::Deny),
            Decision::Allow => {}
        }
    }

    #[test]
    fn a_rule_prints_as_it_is_read((effect, words) in rules()) {
        let rule = Rule::parse(&words, effect, None).unwrap();
        let printed = rule.to_string();
        prop_assert_eq!(Rule::parse(&printed, effect, None).unwrap(), rule, "{}", printed);
    }

    #[test]
    fn no_text_is_more_than_refused(words in any::<String>()) {
        if let Err(error) = words.parse::<Rule>() {
            prop_assert!(error.to_string().contains(&words));
        }
    }
}
