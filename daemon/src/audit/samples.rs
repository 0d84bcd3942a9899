//! What tests write to a trail.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luasocketd_protocol::{Code, Failure, Kind};

use super::{Entry, Settings};
use crate::core::policy::{Decision, Rule, Verdict, Why};
use crate::core::trail::{Decided, End, Ended, Matter, Party, Record, Traffic, TrailId};
use crate::core::{Credentials, Place};

/// The decision `id`; where it is `deny` it is refused.
pub(super) fn decided(id: u64, matter: Matter, decision: Decision) -> Arc<Decided> {
    let rule = Rule::parse("db.example.com:5432", decision, None).unwrap();
    let refusal = (decision == Decision::Deny).then(|| Failure::new(Code::Denied, "no rule allows it"));
    Arc::new(Decided {
        id: TrailId(id),
        parent: (matter == Matter::Accepted).then_some(TrailId(1)),
        matter,
        kind: if matter == Matter::DatagramPeer { Kind::Udp } else { Kind::Tcp },
        party: Arc::new(Party {
            credentials: Credentials { uid: 1000, gid: 100, pid: 4242 },
            executable: Some("/usr/bin/lua5.4".into()),
            name: "job.lua".into(),
            lua: "Lua 5.4".into(),
            profile: "web".into(),
            socket: Some("/run/luasocketd/luasocketd.sock".into()),
        }),
        host: if matter == Matter::Accepted { "198.51.100.9" } else { "db.example.com" }.into(),
        port: Some("5432".into()),
        places: vec![net("192.0.2.7:5432"), net("[2001:db8::7]:5432")],
        denied: Vec::new(),
        local: None,
        lookup: Some(Duration::from_millis(3)),
        verdict: Verdict { decision, why: Why::Rule(Arc::new(rule)) },
        refusal,
    })
}

/// The end of a decision.
pub(super) fn ended(decided: &Arc<Decided>, end: End, failure: Option<Failure>) -> Ended {
    Ended {
        decided: Arc::clone(decided),
        lasted: Duration::from_millis(1500),
        local: Some(net("10.0.0.1:40000")),
        peer: Some(net("192.0.2.7:5432")),
        answers: vec!["192.0.2.7".into(), "2001:db8::7".into()],
        end,
        failure,
        connect: Some(Duration::from_millis(20)),
        sent: Traffic { bytes: 100, packets: Some(2) },
        received: Traffic { bytes: 3000, packets: Some(5) },
    }
}

pub(super) fn net(address: &str) -> Place {
    Place::Net(address.parse().unwrap())
}

/// The record of an allowed connection.
pub(super) fn begun(id: u64) -> Record {
    Record::Decided(decided(id, Matter::Connection, Decision::Allow))
}

/// The record of its end.
pub(super) fn over(id: u64) -> Record {
    let decided = decided(id, Matter::Connection, Decision::Allow);
    Record::Ended(Box::new(ended(&decided, End::Closed, None)))
}

/// Settings for a directory that rotates by itself only when it is told to.
pub(super) fn settings(directory: &Path) -> Settings {
    Settings::new(directory.join("trail"))
}

/// All lines of a trail, in order.
pub(super) fn entries(directory: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    for segment in super::segments(directory).unwrap() {
        let text = std::io::read_to_string(segment.open().unwrap()).unwrap();
        entries.extend(text.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap()));
    }
    entries
}

/// Asserts that the trail is sound.
pub(super) fn assert_sound(directory: &Path) {
    let found = super::verify(directory, None).unwrap();
    assert!(found.is_sound(), "{:#?}", found.faults);
}
