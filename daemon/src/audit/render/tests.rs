use std::sync::Arc;
use std::time::Duration;

use super::super::samples::{decided as decision, ended as end_of, net};
use super::*;

fn run() -> Run {
    Run {
        id: "0123456789abcdef".into(),
        hostname: "host".into(),
        process: Process { pid: 1, executable: Some("/usr/bin/luasocketd".into()) },
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 123_456_789).unwrap()
}

#[test]
fn every_decision_and_every_end_says_who_what_where_and_why() {
    for &matter in Matter::ALL {
        for verdict in [Decision::Allow, Decision::Deny, Decision::Report] {
            let what = decision(7, matter, verdict);
            let begin = run().decided(&what, at(0));
            assert_eq!(begin.timestamp, "2023-11-14T22:13:20.123456Z");
            assert_eq!(begin.event.action, decided(matter));
            let (types, outcome): (&[&str], _) = match verdict {
                Decision::Deny => (&["connection", "denied"], "failure"),
                Decision::Allow | Decision::Report => (&["connection", "start", "allowed"], "unknown"),
            };
            assert_eq!(
                (&begin.event.types[..], &*begin.event.outcome),
                (&types.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()[..], outcome)
            );
            assert_eq!(
                begin.error.as_ref().map(|error| &*error.code),
                (verdict == Decision::Deny).then_some("denied")
            );
            assert_eq!(
                (begin.event.start.as_ref(), begin.event.duration, begin.luasocketd.end.as_ref()),
                (None, None, None)
            );
            let end = run().ended(&end_of(&what, End::Closed, None), at(0), at(2));
            assert_eq!(end.event.action, ended(matter));
            assert_eq!(
                (end.event.start.as_deref(), end.event.duration),
                (Some(&*begin.timestamp), Some(1_500_000_000))
            );
            assert_eq!(end.event.types, ["connection", "end"]);
            assert_eq!(end.luasocketd.end.as_deref(), Some("closed"));
            for entry in [&begin, &end] {
                common(entry, matter, verdict);
            }
            places(&begin, &end, matter);
        }
    }
}

/// What a decision and its end both say.
fn common(entry: &Entry, matter: Matter, verdict: Decision) {
    assert_eq!((&*entry.event.kind, &entry.event.category[..]), ("event", &["network".to_owned()][..]));
    assert_eq!(entry.event.id, "0123456789abcdef-7");
    assert_eq!(entry.luasocketd.matter, matter.word());
    assert_eq!(entry.luasocketd.verdict.as_deref(), Some(verdict.name()));
    assert_eq!(entry.luasocketd.enforce_would_deny, verdict == Decision::Report);
    assert_eq!(
        entry.luasocketd.parent.as_deref(),
        (matter == Matter::Accepted).then_some("0123456789abcdef-1")
    );
    assert_eq!(entry.luasocketd.service.as_deref(), Some("5432"));
    assert_eq!(entry.luasocketd.judged, ["192.0.2.7:5432", "[2001:db8::7]:5432"]);
    let process = entry.process.as_ref().unwrap();
    assert_eq!((process.pid, process.executable.as_deref()), (4242, Some("/usr/bin/lua5.4")));
    assert_eq!((&*entry.user.as_ref().unwrap().id, &*entry.group.as_ref().unwrap().id), ("1000", "100"));
    let rule = entry.rule.as_ref().unwrap();
    assert!(rule.name.as_ref().unwrap().contains("db.example.com:5432") && rule.ruleset == "web");
    let client = entry.luasocketd.client.as_ref().unwrap();
    assert_eq!(
        (&*client.name, &*client.lua, client.socket.as_deref()),
        ("job.lua", "Lua 5.4", Some("/run/luasocketd/luasocketd.sock"))
    );
    let network = entry.network.as_ref().unwrap();
    assert_eq!(network.transport, if matter == Matter::DatagramPeer { "udp" } else { "tcp" });
    assert_eq!(network.version.as_deref(), Some("ipv4"));
    let inbound = matches!(matter, Matter::Accepted | Matter::Listener);
    assert_eq!(network.direction, if inbound { "inbound" } else { "outbound" });
    assert_eq!((&*entry.ecs.version, &*entry.host.as_ref().unwrap().hostname), (ECS_VERSION, "host"));
}

/// What it says of the two sides.
fn places(begin: &Entry, end: &Entry, matter: Matter) {
    let side = |side: Option<&Side>| side.map(|side| (side.ip.clone(), side.port, side.bytes, side.packets));
    let to = |entry: &Entry| {
        let to = entry.destination.clone().unwrap_or_default();
        (to.address, to.domain, to.ip, to.port, to.bytes, to.packets)
    };
    let some = |text: &str| Some(text.to_owned());
    let host = || some("db.example.com");
    let bytes = end.network.as_ref().and_then(|network| network.bytes);
    match matter {
        Matter::Connection | Matter::DatagramPeer => {
            assert_eq!(side(begin.source.as_ref()), None);
            assert_eq!(to(begin), (host(), host(), some("192.0.2.7"), Some(5432), None, None));
            assert_eq!(side(end.source.as_ref()), Some((some("10.0.0.1"), Some(40000), Some(100), Some(2))));
            assert_eq!(to(end), (host(), host(), some("192.0.2.7"), Some(5432), Some(3000), Some(5)));
            assert_eq!(bytes, Some(3100));
        }
        Matter::Listener => {
            assert_eq!(to(begin), (host(), host(), some("192.0.2.7"), Some(5432), None, None));
            assert_eq!(to(end), (host(), host(), some("10.0.0.1"), Some(40000), Some(100), Some(2)));
            assert_eq!(side(end.source.as_ref()), Some((None, None, Some(3000), Some(5))));
        }
        Matter::Accepted => {
            assert_eq!(side(begin.source.as_ref()), Some((some("192.0.2.7"), Some(5432), None, None)));
            assert_eq!(side(end.source.as_ref()), Some((some("192.0.2.7"), Some(5432), Some(3000), Some(5))));
            assert_eq!(
                to(end),
                (some("10.0.0.1:40000"), None, some("10.0.0.1"), Some(40000), Some(100), Some(2))
            );
        }
        Matter::Lookup => {
            assert_eq!((&begin.destination, &end.destination, bytes), (&None, &None, None));
            let dns = end.dns.as_ref().unwrap();
            assert_eq!(dns.question.name, "db.example.com");
            assert_eq!(dns.resolved_ip, ["192.0.2.7", "2001:db8::7"]);
            assert!(begin.dns.as_ref().unwrap().resolved_ip.is_empty());
        }
    }
}

#[test]
fn an_end_is_a_success_a_failure_or_unknown() {
    let what = decision(1, Matter::Connection, Decision::Allow);
    let outcome = |end, failure| run().ended(&end_of(&what, end, failure), at(0), at(1)).event.outcome;
    for &end in End::ALL {
        let good =
            [End::Closed, End::PeerEnded, End::Answered, End::Displaced, End::ClientGone, End::DaemonEnded];
        let expected = match end {
            End::Interrupted => "unknown",
            end if good.contains(&end) => "success",
            _ => "failure",
        };
        assert_eq!(outcome(end, None), expected, "{end}");
        assert_eq!(outcome(end, Some(CallFailure::os(104))), "failure", "{end}");
    }
}

#[test]
fn a_failure_keeps_its_number() {
    for &code in Code::ALL {
        let rendered = failure(&CallFailure { code, detail: 7, message: "why".into() });
        let expected = match code {
            Code::Os | Code::Resolve | Code::Host => format!("{}:7", code.name()),
            code => code.name().to_owned(),
        };
        assert_eq!((rendered.code, &*rendered.message), (expected, "why"));
    }
}

#[test]
fn local_sockets_are_told_by_their_paths() {
    let mut what = Arc::unwrap_or_clone(decision(1, Matter::Connection, Decision::Allow));
    what.kind = Kind::UnixStream;
    what.host = "/run/db.sock".into();
    what.places = vec![Place::Path("/run/db.sock".into())];
    let mut end = end_of(&Arc::new(what), End::Closed, None);
    (end.local, end.peer) = (Some(Place::Path(String::new())), Some(Place::Path("/run/db.sock".into())));
    let entry = run().ended(&end, at(0), at(1));
    let network = entry.network.unwrap();
    assert_eq!((&*network.transport, network.version), ("unix", None));
    let to = entry.destination.unwrap();
    assert_eq!((to.address.as_deref(), to.domain, to.ip, to.port), (Some("/run/db.sock"), None, None, None));
    assert_eq!(
        (entry.source.unwrap().address, entry.luasocketd.judged),
        (None, vec!["/run/db.sock".to_owned()])
    );
}

#[test]
fn an_address_is_no_domain() {
    for (host, is_name) in
        [("192.0.2.7", false), ("::1", false), ("127.1", false), ("*", false), ("a.example", true)]
    {
        let mut what = Arc::unwrap_or_clone(decision(1, Matter::Connection, Decision::Allow));
        what.host = host.into();
        let to = run().decided(&what, at(0)).destination.unwrap();
        assert_eq!((to.address.as_deref(), to.domain.is_some()), (Some(host), is_name));
    }
}

#[test]
fn whoever_has_come_in_is_told_by_the_words_where_there_is_no_place() {
    let mut what = Arc::unwrap_or_clone(decision(1, Matter::Accepted, Decision::Allow));
    what.places = Vec::new();
    let source = run().decided(&what, at(0)).source.unwrap();
    assert_eq!((source.ip.as_deref(), source.port), (Some("198.51.100.9"), Some(5432)));
}

#[test]
fn what_a_daemon_left_open_ends_as_interrupted() {
    for &matter in Matter::ALL {
        let begin = run().decided(&decision(7, matter, Decision::Report), at(0));
        let end = interrupted(begin.clone(), at(9)).unwrap();
        assert_eq!((end.event.action.as_str(), end.event.outcome.as_str()), (ended(matter), "unknown"));
        assert_eq!((end.event.start, end.timestamp), (Some(begin.timestamp), time(at(9))));
        assert_eq!((end.event.id, end.luasocketd.end.as_deref()), (begin.event.id, Some("interrupted")));
        assert_eq!(
            (end.process, end.network, end.destination),
            (begin.process, begin.network, begin.destination)
        );
    }
    assert_eq!(interrupted(run().own(Own::Started, "", at(0), 1), at(1)), None);
}

#[test]
fn no_text_makes_a_line_longer_than_a_line_may_be() {
    use super::super::line::{Batch, LINE_MAX};
    let long = "\u{1f600}".repeat(100_000);
    let mut what = Arc::unwrap_or_clone(decision(1, Matter::Connection, Decision::Deny));
    let party = Arc::make_mut(&mut what.party);
    for text in [&mut party.name, &mut party.lua, &mut party.profile, &mut what.host] {
        *text = long.clone();
    }
    (party.socket, party.executable, what.port) =
        (Some(long.clone()), Some(long.clone()), Some(long.clone()));
    what.places = vec![net("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"); 100_000];
    what.refusal = Some(CallFailure::new(Code::Denied, long.clone()));
    let mut end = end_of(&Arc::new(what), End::Failed, Some(CallFailure::new(Code::Os, long.clone())));
    end.answers = vec!["2001:db8:1111:2222:3333:4444:5555:6666".into(); 100_000];
    end.lasted = Duration::MAX;
    let mut batch = Batch::after(Point::default());
    batch.push(run().decided(&end.decided, at(0)));
    batch.push(run().ended(&end, at(0), at(1)));
    let longest = batch.bytes.split(|&byte| byte == b'\n').map(<[u8]>::len).max().unwrap();
    assert!(longest < LINE_MAX, "{longest}");
}
