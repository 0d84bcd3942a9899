//! Entries from records: which field says what.

use std::net::IpAddr;

use jiff::Timestamp;
use luasocketd_protocol::{Code, Failure as CallFailure, Kind};

use super::chain::Point;
use super::entry::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Gone, Group, Host, Luasocketd, Network, Process,
    Question, Rule, Side, User,
};
use super::words::{DENIED, OWN_MATTER, Own, decided, ended};
use crate::core::Place;
use crate::core::policy::{Decision, parse_address};
use crate::core::trail::{Decided, End, Ended, Matter, Traffic, TrailId};

/// The version of the schema that the names are from.
const ECS_VERSION: &str = "8.17.0";

/// The longest text of a script that is written whole, in bytes: names, paths and messages that mean anything are
/// shorter by far.
const TEXT_MAX: usize = 4096;

/// The most addresses of one list: more than an answer of DNS holds.
const LIST_MAX: usize = 4096;

/// One run of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Tells it from all others.
    pub(super) id: String,
    /// The machine.
    pub(super) hostname: String,
    /// The daemon's own process.
    pub(super) process: Process,
}

/// The time as it stands in records.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

impl Run {
    pub(super) fn trail_id(&self, id: TrailId) -> String {
        format!("{}-{}", self.id, id.0)
    }

    /// A decision.
    pub(super) fn decided(&self, what: &Decided, at: Timestamp) -> Entry {
        let mut entry = self.about(what);
        let is_refused = what.refusal.is_some();
        let types: &[&str] =
            if is_refused { &["connection", DENIED] } else { &["connection", "start", "allowed"] };
        entry.timestamp = time(at);
        entry.event = Event {
            id: self.trail_id(what.id),
            action: decided(what.matter).into(),
            outcome: if is_refused { "failure" } else { "unknown" }.into(),
            reason: Some(text(&reason(what))),
            ..event("network", types)
        };
        entry.error = what.refusal.as_ref().map(failure);
        self.place(&mut entry, what, what.local.as_ref(), what.places.first());
        entry
    }

    /// An end, of what was decided at `start`.
    pub(super) fn ended(&self, what: &Ended, start: Timestamp, at: Timestamp) -> Entry {
        let decision = &*what.decided;
        let mut entry = self.about(decision);
        entry.timestamp = time(at);
        entry.event = Event {
            id: self.trail_id(decision.id),
            action: ended(decision.matter).into(),
            outcome: outcome(what).into(),
            reason: what.failure.as_ref().map(|failure| text(&failure.message)),
            start: Some(time(start)),
            duration: Some(nanoseconds(what.lasted)),
            ..event("network", &["connection", "end"])
        };
        entry.error = what.failure.as_ref().map(failure);
        let local = what.local.as_ref().or(decision.local.as_ref());
        self.place(&mut entry, decision, local, what.peer.as_ref().or(decision.places.first()));
        if let Some(dns) = &mut entry.dns {
            dns.resolved_ip = list(what.answers.iter().map(|answer| text(answer)));
        } else {
            count(&mut entry, decision.matter, what.sent, what.received);
        }
        entry.luasocketd.end = Some(what.end.word().into());
        entry.luasocketd.connect_time = what.connect.map(nanoseconds);
        entry
    }

    /// A line of the trail's own. `number` is what its id ends in.
    pub(super) fn own(&self, own: Own, reason: &str, at: Timestamp, number: u64) -> Entry {
        Entry {
            timestamp: time(at),
            event: Event {
                // No number of a record has a word before it.
                id: format!("{}-{OWN_MATTER}-{number}", self.id),
                action: own.action().into(),
                outcome: "success".into(),
                reason: Some(text(reason)),
                ..event("process", &[own.kind()])
            },
            process: Some(self.process.clone()),
            host: Some(Host { hostname: self.hostname.clone() }),
            luasocketd: Luasocketd { matter: OWN_MATTER.into(), ..Luasocketd::default() },
            ecs: Ecs { version: ECS_VERSION.into() },
            ..Entry::default()
        }
    }

    /// What a decision and its end have in common.
    fn about(&self, what: &Decided) -> Entry {
        let party = &*what.party;
        let rule = what.verdict.rule().map(|rule| text(&rule.with_place().to_string()));
        Entry {
            process: Some(Process {
                pid: party.credentials.pid,
                executable: party.executable.as_deref().map(text),
            }),
            user: Some(User { id: party.credentials.uid.to_string() }),
            group: Some(Group { id: party.credentials.gid.to_string() }),
            rule: Some(Rule { name: rule, ruleset: text(&party.profile) }),
            dns: (what.matter == Matter::Lookup)
                .then(|| Dns { question: Question { name: text(&what.host) }, resolved_ip: Vec::new() }),
            host: Some(Host { hostname: self.hostname.clone() }),
            luasocketd: Luasocketd {
                matter: what.matter.word().into(),
                verdict: Some(what.decision().name().into()),
                enforce_would_deny: what.decision() == Decision::Report,
                parent: what.parent.map(|parent| self.trail_id(parent)),
                service: what.port.as_deref().map(text),
                judged: list(what.places.iter().map(spell)),
                lookup_time: what.lookup.map(nanoseconds),
                client: Some(Client {
                    name: text(&party.name),
                    lua: text(&party.lua),
                    socket: party.socket.as_deref().map(text),
                }),
                ..Luasocketd::default()
            },
            ecs: Ecs { version: ECS_VERSION.into() },
            ..Entry::default()
        }
    }

    /// Who is at which end, and over which network.
    fn place(&self, entry: &mut Entry, what: &Decided, local: Option<&Place>, peer: Option<&Place>) {
        let inbound = is_inbound(what.matter);
        let known = if inbound { local.or(peer) } else { peer.or(local) };
        entry.network = Some(Network {
            transport: transport(what.kind).into(),
            version: known.and_then(version).map(Into::into),
            direction: if inbound { "inbound" } else { "outbound" }.into(),
            bytes: None,
            packets: None,
        });
        match what.matter {
            Matter::Connection | Matter::DatagramPeer => {
                entry.source = local.map(side);
                entry.destination = Some(destination(what, peer));
            }
            Matter::Listener => entry.destination = Some(destination(what, local.or(peer))),
            Matter::Accepted => {
                entry.source = Some(caller(what, peer));
                entry.destination = local.map(|local| Destination { address: address(local), ..at(local) });
            }
            Matter::Lookup => {}
        }
    }
}

/// The end of what a daemon has left open that ended without a word: its decision, in other words.
pub(super) fn interrupted(decision: Entry, at: Timestamp) -> Option<Entry> {
    let matter = Matter::ALL.iter().find(|matter| matter.word() == decision.luasocketd.matter)?;
    let mut entry = decision;
    entry.event = Event {
        id: entry.event.id,
        action: ended(*matter).into(),
        outcome: "unknown".into(),
        reason: Some(
            "the daemon has ended without a word; when this ended, and what it moved, is not known".into(),
        ),
        start: Some(std::mem::replace(&mut entry.timestamp, time(at))),
        ..event("network", &["connection", "end"])
    };
    entry.luasocketd.end = Some(End::Interrupted.word().into());
    Some(entry)
}

impl From<Point> for Gone {
    fn from(point: Point) -> Self {
        Gone { sequence: point.sequence, sha256: point.hash.to_string() }
    }
}

fn event(category: &str, types: &[&str]) -> Event {
    Event {
        kind: "event".into(),
        category: vec![category.into()],
        types: types.iter().map(|&word| word.into()).collect(),
        ..Event::default()
    }
}

/// Why something is decided as it is.
fn reason(what: &Decided) -> String {
    let why = match &what.refusal {
        Some(refusal) if what.verdict.lets_through() => refusal.message.clone(),
        _ => what.verdict.why.to_string(),
    };
    if what.denied.is_empty() {
        return why;
    }
    let denied: Vec<String> = what.denied.iter().map(spell).collect();
    format!("{why}; of the same name denied: {}", denied.join(", "))
}

/// Whether an end is a success, where the record does not say what went wrong.
fn outcome(what: &Ended) -> &'static str {
    match what.end {
        _ if what.failure.is_some() => "failure",
        End::Closed
        | End::PeerEnded
        | End::Answered
        | End::Displaced
        | End::ClientGone
        | End::DaemonEnded => "success",
        End::Failed
        | End::Broken
        | End::Timeout
        | End::Cancelled
        | End::Forbidden
        | End::Limit
        | End::LingerOver
        | End::Killed => "failure",
        End::Interrupted => "unknown",
    }
}

/// Whether somebody else begins.
fn is_inbound(matter: Matter) -> bool {
    match matter {
        Matter::Accepted | Matter::Listener => true,
        Matter::Connection | Matter::DatagramPeer | Matter::Lookup => false,
    }
}

/// Writes down what was moved, with the side that has sent it.
fn count(entry: &mut Entry, matter: Matter, sent: Traffic, received: Traffic) {
    let (source, destination) = if is_inbound(matter) { (received, sent) } else { (sent, received) };
    if let Some(side) = &mut entry.source {
        (side.bytes, side.packets) = (Some(source.bytes), source.packets);
    } else if source != Traffic::default() {
        let (bytes, packets) = (Some(source.bytes), source.packets);
        entry.source = Some(Side { bytes, packets, ..Side::default() });
    }
    let side = entry.destination.get_or_insert_default();
    (side.bytes, side.packets) = (Some(destination.bytes), destination.packets);
    if let Some(network) = &mut entry.network {
        network.bytes = Some(sent.bytes.saturating_add(received.bytes));
        network.packets = match (sent.packets, received.packets) {
            (None, None) => None,
            (sent, received) => Some(sent.unwrap_or(0).saturating_add(received.unwrap_or(0))),
        };
    }
}

/// What was asked for, and where it leads.
fn destination(what: &Decided, place: Option<&Place>) -> Destination {
    let is_name = !what.kind.is_local() && what.host != "*" && parse_address(&what.host).is_none();
    Destination {
        address: Some(text(&what.host)),
        domain: is_name.then(|| text(&what.host)),
        ..place.map(at).unwrap_or_default()
    }
}

fn at(place: &Place) -> Destination {
    match place {
        Place::Net(net) => {
            Destination { ip: Some(net.ip().to_string()), port: Some(net.port()), ..Destination::default() }
        }
        Place::Path(_) => Destination::default(),
    }
}

/// Who has come in: the place of the record, or what it says in words.
fn caller(what: &Decided, peer: Option<&Place>) -> Side {
    match (peer, parse_address(&what.host)) {
        (Some(peer), _) => side(peer),
        (None, Some(ip)) => {
            let port = what.port.as_deref().and_then(|port| port.parse().ok());
            Side { ip: Some(ip.to_string()), port, ..Side::default() }
        }
        (None, None) => Side { address: Some(text(&what.host)), ..Side::default() },
    }
}

fn side(place: &Place) -> Side {
    match place {
        Place::Net(net) => Side { ip: Some(net.ip().to_string()), port: Some(net.port()), ..Side::default() },
        Place::Path(_) => Side { address: address(place), ..Side::default() },
    }
}

/// A place in one text; a local socket without a name has none.
fn address(place: &Place) -> Option<String> {
    Some(spell(place)).filter(|text| !text.is_empty())
}

fn spell(place: &Place) -> String {
    match place {
        Place::Net(net) => net.to_string(),
        Place::Path(path) => text(path),
    }
}

fn transport(kind: Kind) -> &'static str {
    match kind {
        Kind::Tcp => "tcp",
        Kind::Udp => "udp",
        Kind::UnixStream => "unix",
        Kind::UnixDgram => "unix-datagram",
    }
}

fn version(place: &Place) -> Option<&'static str> {
    match place {
        Place::Net(net) => Some(match net.ip() {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        }),
        Place::Path(_) => None,
    }
}

fn failure(failure: &CallFailure) -> Failure {
    let name = failure.code.name();
    let code = match failure.code {
        Code::Os | Code::Resolve | Code::Host => format!("{name}:{}", failure.detail),
        _ => name.to_owned(),
    };
    Failure { code, message: text(&failure.message) }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A text, cut where it is longer than any that means something.
fn text(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{} [cut: it has {} bytes]", &text[..end], text.len())
}

fn list(items: impl Iterator<Item = String>) -> Vec<String> {
    items.take(LIST_MAX).collect()
}

#[cfg(test)]
mod tests;
