//! What `docs/audit.md` lists is what there is.

use std::collections::BTreeSet;

use luasocketd::audit::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Gone, Group, Host, Luasocketd, Network, Process,
    Question, Rule, Side, User,
};
use luasocketd::core::trail::{End, Matter};
use serde_json::Value;

const DOCUMENTED: &str = include_str!("../../../docs/audit.md");

fn text() -> Option<String> {
    Some("x".to_owned())
}

/// An entry with everything in it; a new field has to be added here.
fn full() -> Entry {
    Entry {
        timestamp: "x".into(),
        event: Event {
            id: "x".into(),
            sequence: 1,
            kind: "x".into(),
            category: vec!["x".into()],
            types: vec!["x".into()],
            action: "x".into(),
            outcome: "x".into(),
            reason: text(),
            start: text(),
            duration: Some(1),
        },
        network: Some(Network {
            transport: "x".into(),
            version: text(),
            direction: "x".into(),
            bytes: Some(1),
            packets: Some(1),
        }),
        source: Some(Side { ip: text(), port: Some(1), address: text(), bytes: Some(1), packets: Some(1) }),
        destination: Some(Destination {
            address: text(),
            domain: text(),
            ip: text(),
            port: Some(1),
            bytes: Some(1),
            packets: Some(1),
        }),
        dns: Some(Dns { question: Question { name: "x".into() }, resolved_ip: vec!["x".into()] }),
        process: Some(Process { pid: 1, executable: text() }),
        user: Some(User { id: "1".into() }),
        group: Some(Group { id: "1".into() }),
        rule: Some(Rule { name: text(), ruleset: "x".into() }),
        error: Some(Failure { code: "x".into(), message: "x".into() }),
        host: Some(Host { hostname: "x".into() }),
        luasocketd: Luasocketd {
            matter: "x".into(),
            verdict: text(),
            enforce_would_deny: true,
            end: text(),
            parent: text(),
            service: text(),
            judged: vec!["x".into()],
            lookup_time: Some(1),
            connect_time: Some(1),
            client: Some(Client { name: "x".into(), lua: "x".into(), socket: text() }),
            lost: Some(1),
            gone: Some(Gone { sequence: 1, sha256: "x".into() }),
        },
        ecs: Ecs { version: "x".into() },
    }
}

fn add_paths(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            add_paths(member, &path, paths);
        }),
        _ => drop(paths.insert(path.to_owned())),
    }
}

/// What stands in the first column of the table below this heading.
fn listed(heading: &str) -> BTreeSet<String> {
    let (_, section) = DOCUMENTED.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn every_field_has_a_row_and_every_row_a_field() {
    let mut fields = BTreeSet::from(["hash.sha256".to_owned()]);
    add_paths(&serde_json::to_value(full()).unwrap(), "", &mut fields);
    assert_eq!(listed("\n## Fields\n"), fields);
    assert!(fields.len() > 50, "{}", fields.len());
}

#[test]
fn every_matter_and_every_end_has_a_row() {
    let matters = Matter::ALL.iter().map(|matter| matter.word()).chain(["trail"]);
    assert_eq!(listed("\n### Matters\n"), matters.map(str::to_owned).collect());
    let ends = End::ALL.iter().map(|end| end.word().to_owned());
    assert_eq!(listed("\n### Ends\n"), ends.collect());
}
