//! The policy: no text is more than refused, what is read gives one verdict, a rule prints as it is read, and no spelling of
//! an address means another one to the policy than to the system's resolver.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use luasocketd::core::policy::{Accounts, Decision, Policy, Profile, Rule, Subject, Verb, parse_address};
use luasocketd_fuzz::seeds;

/// Begins the part of an input that is a policy file; what is before it are rules, and hosts to ask for.
const FILE: &str = "\n---\n";

/// Rules and hosts of one input: so many that they can play together, so few that every one can be asked for all.
const WORDS_MAX: usize = 16;

/// `AI_NUMERICHOST`: the resolver reads addresses and asks nobody.
const NUMERIC_HOST: i32 = 4;

const DOCUMENTED: &str = include_str!("../../docs/policy.md");
const SPELLINGS: &str = include_str!("../../daemon/tests/policy/spellings.txt");

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let (words, file) = text.split_once(FILE).unwrap_or((text, ""));
        let words: Vec<&str> = words.lines().take(WORDS_MAX).collect();
        words.iter().for_each(|words| check_address(words));
        let rules: Vec<Rule> = words.iter().filter_map(|words| rule(words)).collect();
        check(&Profile::new("words", rules), &words);
        if let Some(policy) = read(file) {
            policy.profiles().iter().for_each(|profile| check(profile, &words));
        }
    }
);

/// The policies and spellings that there are.
fn inputs() -> Vec<Vec<u8>> {
    let files = DOCUMENTED.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files = files.map(|file| format!("example.com\n10.0.0.1{FILE}{file}").into_bytes());
    let spellings = SPELLINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let spellings: Vec<&str> = spellings
        .filter_map(|line| line.split_once("  "))
        .map(|(_, spelling)| spelling.trim_start().split(" => ").next().unwrap_or_default())
        .collect();
    let rules =
        "*\nallow *.example.com:443\ndeny 10.0.0.0/8:1-100\nlisten:[::1]:80\nunix:/run/*\nresolve:a.b";
    let spellings = spellings.chunks(WORDS_MAX).map(|some| some.join("\n").into_bytes());
    files.chain(spellings).chain([rules.as_bytes().to_vec()]).collect()
}

/// Reads a policy file, twice.
fn read(text: &str) -> Option<Policy> {
    let read = || Policy::from_toml("policy.toml", text, &Somebody).map_err(|error| error.to_string());
    let (first, second) = (read(), read());
    assert_eq!(first.as_ref().map(|_| ()), second.as_ref().map(|_| ()));
    let policy = first.ok()?;
    for client in ["", "client", "\u{1f600}"] {
        let subject = Subject { uid: 1000, gid: 1000, groups: &[100], client, socket: Some("/run/x") };
        let chosen = policy.choose(&subject).map(|profile| &profile.name);
        assert_eq!(chosen, policy.choose(&subject).map(|profile| &profile.name));
    }
    Some(policy)
}

/// Reads a rule as `check` and the command line do, and sees that it prints as it was read.
fn rule(words: &str) -> Option<Rule> {
    let mut effects = [Decision::Allow, Decision::Deny, Decision::Report].into_iter();
    let named =
        effects.find_map(|effect| Some((effect, words.strip_prefix(effect.name())?.strip_prefix(' ')?)));
    let (effect, words) = named.unwrap_or((Decision::Allow, words));
    match Rule::parse(words, effect, None) {
        Ok(rule) => {
            let printed = rule.to_string();
            assert_eq!(
                Rule::parse(&printed, effect, None).as_ref(),
                Ok(&rule),
                "{words:?} prints {printed:?}"
            );
            Some(rule)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Asks everything of a profile, twice; what denies everything lets nothing through.
fn check(profile: &Profile, hosts: &[&str]) {
    let addresses = [
        "127.0.0.1:80",
        "10.0.0.1:443",
        "8.8.8.8:53",
        "[::1]:80",
        "[64:ff9b::808:808]:443",
        "[2001:db8::1]:1",
    ];
    let addresses = addresses.map(|address| address.parse::<SocketAddr>().expect("an address"));
    for host in hosts {
        let own = parse_address(host).map(|ip| SocketAddr::new(ip, 443));
        for &verb in Verb::ALL {
            for address in addresses.into_iter().chain(own) {
                let verdict = profile.decide_address(verb, host, address);
                assert_eq!(verdict, profile.decide_address(verb, host, address));
                // The spelling of an address is nothing to its judge.
                if own.is_some() {
                    let ip = address.ip().to_string();
                    let plain = profile.decide_address(verb, &ip, address);
                    if own == Some(address) {
                        assert_eq!(verdict.decision, plain.decision, "{host:?} and {ip}");
                    }
                }
            }
            assert_eq!(profile.decide_name(verb, host, 443), profile.decide_name(verb, host, 443));
            assert_eq!(profile.decide_lookup(Some(verb), host), profile.decide_lookup(Some(verb), host));
            assert_eq!(profile.decide_path(verb, host), profile.decide_path(verb, host));
        }
        assert_eq!(profile.decide_lookup(None, host), profile.decide_lookup(None, host));
    }
    for address in addresses {
        assert_eq!(profile.decide_reverse(address.ip()), profile.decide_reverse(address.ip()));
    }
}

/// The policy and the resolver see the same address in a text, or both none.
fn check_address(text: &str) {
    // The resolver looks whether there is such an interface, and its texts end at a NUL.
    if text.contains(['%', '\0']) {
        let _ = parse_address(text);
        return;
    }
    let hints = dns_lookup::AddrInfoHints { flags: NUMERIC_HOST, ..Default::default() };
    let found = dns_lookup::getaddrinfo(Some(text), None, Some(hints));
    let found =
        found.ok().and_then(|mut found| found.next()?.ok()).map(|info| info.sockaddr.ip().to_canonical());
    assert_eq!(parse_address(text), found, "{text:?}: the policy and the resolver");
    let canonical = parse_address(text).map(|ip: IpAddr| ip.to_string());
    assert_eq!(canonical.as_deref().and_then(parse_address), parse_address(text));
}

/// A machine with one user and one group.
struct Somebody;

impl Accounts for Somebody {
    fn user(&self, name: &str) -> Result<Option<u32>, String> {
        Ok((name == "somebody").then_some(1000))
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        Ok((name == "users").then_some(100))
    }
}
