//! `luasocketd check`: is this policy file right, and what would it say. It looks no host up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use luasocketd::core::policy::{
    Accounts, Decision, PATH_VERBS, Policy, Profile, Rule, Subject, Verb, Verdict, Why, parse_address,
};
use luasocketd::shell::{Account, SystemAccounts};
use serde_json::{Value, json};

use super::misconfigured;
use super::policy_file::read_policy;
use crate::cli::CheckOptions;

/// Checks the file; answers the question if there is one.
pub fn check(options: CheckOptions) -> ExitCode {
    let policy = match read_policy(&options.file) {
        Ok(policy) => policy,
        Err(error) => return misconfigured(error),
    };
    let answer = match (options.verb, &options.target) {
        (Some(verb), Some(target)) => answer(&policy, &options, verb, target),
        _ => Ok(Answer::of_file(&policy, &options)),
    };
    match answer {
        Ok(answer) => {
            answer.print(options.json);
            ExitCode::SUCCESS
        }
        Err(error) => misconfigured(error),
    }
}

/// What is printed: keys in this order, as a table or as JSON.
struct Answer(Vec<(&'static str, Value)>);

impl Answer {
    fn of_file(policy: &Policy, options: &CheckOptions) -> Self {
        let rules: usize = policy.profiles().iter().map(|profile| profile.rules.iter().len()).sum();
        let names: Vec<&str> = policy.profiles().iter().map(|profile| profile.name.as_str()).collect();
        Answer(vec![
            ("file", json!(options.file.display().to_string())),
            ("profiles", json!(names.join(", "))),
            ("rules", json!(rules)),
        ])
    }

    fn print(&self, as_json: bool) {
        if as_json {
            let object: serde_json::Map<String, Value> =
                self.0.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            return println!("{}", Value::Object(object));
        }
        for (key, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            println!("{key:9} {text}");
        }
    }
}

fn answer(policy: &Policy, options: &CheckOptions, verb: Verb, target: &str) -> Result<Answer, String> {
    let question = Question::parse(verb, target, options.address)?;
    let account = account(options)?;
    let subject = Subject {
        uid: account.uid,
        gid: account.gid,
        groups: &account.groups,
        client: &options.client,
        socket: options.socket.as_deref(),
    };
    let (profile, verdict, why) = match policy.choose(&subject) {
        Ok(profile) => {
            let verdict = question.ask(profile);
            let why = verdict.why.to_string();
            (Some(profile.name.clone()), verdict, why)
        }
        Err(unfit) => (None, Verdict::default(), unfit.to_string()),
    };
    let rule = verdict.rule();
    Ok(Answer(vec![
        ("verdict", json!(verdict.decision.name())),
        ("question", json!(format!("{} {target}", verb.name()))),
        ("who", json!(subject.to_string())),
        ("profile", json!(profile)),
        ("rule", json!(rule.map(|rule| format!("{} {rule}", rule.effect().name())))),
        ("file", json!(rule.and_then(Rule::place).map(|place| place.file.to_string()))),
        ("line", json!(rule.and_then(Rule::place).map(|place| place.line))),
        ("why", json!(why)),
        ("note", json!(question.note(&verdict))),
    ]))
}

/// The user that the options speak of, with the groups that it has here unless others are given.
fn account(options: &CheckOptions) -> Result<Account, String> {
    let number = |text: &str, kind: &str, named: Result<Option<u32>, String>| match text.parse::<u32>() {
        Ok(number) => Ok(number),
        Err(_) => named?.ok_or_else(|| format!("there is no {kind} `{text}` here")),
    };
    let group = |text: &String| number(text, "group", SystemAccounts.group(text));
    let mut account = match &options.uid {
        Some(text) => SystemAccounts.account(number(text, "user", SystemAccounts.user(text))?)?,
        None => SystemAccounts.own()?,
    };
    if let Some(gid) = &options.gid {
        account.gid = group(gid)?;
    }
    if options.gid.is_some() || !options.group.is_empty() {
        account.groups = options.group.iter().map(group).collect::<Result<_, _>>()?;
    }
    Ok(account)
}

/// What somebody wants to do.
enum Question<'a> {
    Path(Verb, &'a str),
    Lookup(&'a str),
    Address { verb: Verb, host: &'a str, port: u16, ip: Option<IpAddr> },
}

impl<'a> Question<'a> {
    fn parse(verb: Verb, target: &'a str, address: Option<IpAddr>) -> Result<Self, String> {
        if let Some(path) = target.strip_prefix("unix:") {
            return match verb {
                Verb::Connect | Verb::Listen => Ok(Question::Path(verb, path)),
                Verb::Resolve | Verb::Datagram => Err(PATH_VERBS.to_owned()),
            };
        }
        if verb == Verb::Resolve {
            return Ok(Question::Lookup(target));
        }
        let wrong = || format!("`{target}`: write HOST:PORT, an IPv6 address in brackets, or unix:PATH");
        let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = literal.unwrap_or(host);
        if literal.is_none() && host.contains(':') {
            return Err(wrong());
        }
        let wildcard = (verb == Verb::Listen && host == "*").then_some(Ipv4Addr::UNSPECIFIED.into());
        Ok(Question::Address { verb, host, port, ip: address.or(parse_address(host)).or(wildcard) })
    }

    fn ask(&self, profile: &Profile) -> Verdict {
        match *self {
            Question::Path(verb, path) => profile.decide_path(verb, path),
            Question::Lookup(host) => profile.decide_lookup(None, host),
            Question::Address { verb, host, port, ip } => {
                let lookup = profile.decide_lookup(Some(verb), host);
                let is_wildcard = verb == Verb::Listen && host == "*";
                match ip {
                    // Nobody is asked about `*`.
                    _ if !lookup.lets_through() && !is_wildcard => lookup,
                    Some(ip) => profile.decide_address(verb, host, SocketAddr::new(ip, port)),
                    None => profile.decide_name(verb, host, port),
                }
            }
        }
    }

    /// What the verdict has not looked at.
    fn note(&self, verdict: &Verdict) -> Option<&'static str> {
        match self {
            Question::Address { ip: None, .. }
                if verdict.decision != Decision::Deny || verdict.why == Why::NoRule =>
            {
                Some(
                    "only the rules on names were asked; the address that the name has is judged, too: add --address",
                )
            }
            _ => None,
        }
    }
}
