//! What a verdict costs. The number is printed and not asserted: it depends on the machine and its load.
//! `cargo test --release -p luasocketd --test policy cost -- --nocapture` measures it.

use std::hint::black_box;
use std::time::Instant;

use luasocketd::core::policy::{Decision, Profile, Rule, Verb};

const RULES: usize = 1000;
const QUESTIONS: u32 = 20_000;

/// A thousand rules of each kind that there is, and of all kinds mixed.
fn kinds() -> Vec<(&'static str, Vec<String>)> {
    let names = |i: usize| format!("host{i}.example.com:443");
    let globs = |i: usize| format!("*.zone{i}.example.com:80,443,8000-8099");
    let networks = |i: usize| format!("11.{}.{}.0/24:5432", i / 250, i % 250);
    let networks_v6 = |i: usize| format!("[2001:4860:{i:x}::]/48:443");
    let stars = |i: usize| format!("*:{}", 10_000 + i);
    let all = |rule: &dyn Fn(usize) -> String| (0..RULES).map(rule).collect::<Vec<_>>();
    let mixed =
        (0..RULES).map(|i| [names(i), globs(i), networks(i), networks_v6(i), stars(i)][i % 5].clone());
    vec![
        ("names", all(&names)),
        ("globs", all(&globs)),
        ("networks", all(&networks)),
        ("IPv6 networks", all(&networks_v6)),
        ("stars with ports", all(&stars)),
        ("all kinds", mixed.collect()),
    ]
}

#[test]
fn a_verdict_among_a_thousand_rules() {
    let questions = [
        ("host999.example.com", "93.184.216.34:443"),
        ("a.b.c.zone999.example.com", "93.184.216.34:8050"),
        ("nobody.example.net", "93.184.216.34:443"),
        ("nobody.example.net", "[2002:5db8:d822::1]:443"),
        ("11.3.249.7", "11.3.249.7:5432"),
    ];
    for (kind, rules) in kinds() {
        let parse = |(i, text): (usize, &String)| {
            let effect = if i % 7 == 0 { Decision::Deny } else { Decision::Allow };
            Rule::parse(text, effect, None).unwrap()
        };
        let profile = Profile::new("", rules.iter().enumerate().map(parse));
        let questions = questions.map(|(host, address)| (host, address.parse().unwrap()));
        let start = Instant::now();
        for turn in 0..QUESTIONS {
            let (host, address) = questions[turn as usize % questions.len()];
            black_box(profile.decide_address(Verb::Connect, black_box(host), address));
        }
        println!("{RULES} rules, {kind}: {:?} a verdict", start.elapsed() / QUESTIONS);
    }
}
