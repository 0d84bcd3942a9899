//! One line of the trail, field by field. Where ECS has a field for something, it has that name and meaning; the rest
//! stands under `luasocketd`. `docs/audit.md` says what each one means.
//!
//! The hash of a line is not among the fields: it is appended to the line by whoever writes it.

use serde::{Deserialize, Serialize};

/// A line, without its hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in UTC, with microseconds (RFC 3339).
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// What happened.
    pub event: Event,
    /// Over which kind of network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The script's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Side>,
    /// The other side: what was asked for, and where it led. Of a listener, and of what came in by one, the own side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// What was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// The script's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The rule that has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What ECS has no names for.
    pub luasocketd: Luasocketd,
    /// The version of the schema; of every line, but not of what comes from the index.
    #[serde(default, skip_serializing_if = "Ecs::is_unknown")]
    pub ecs: Ecs,
}

/// `event.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The same for a decision and its end, different for everything else: the daemon's run and a number.
    pub id: String,
    /// The line's number in the trail, without gaps.
    pub sequence: u64,
    /// `event`.
    pub kind: String,
    /// `network`, or `process` of the trail's own.
    pub category: Vec<String>,
    /// `connection` with `start`, `end`, `allowed` or `denied`, or `info`.
    #[serde(rename = "type")]
    pub types: Vec<String>,
    /// What it is about, and which half of it: `connection-decided`, `connection-ended`, ...
    pub action: String,
    /// `success` or `failure`; of a decision `unknown` while it is under way.
    pub outcome: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was decided (RFC 3339); only at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// How long it lasted, in nanoseconds; only at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
}

/// `network.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// `tcp`, `udp`, `unix` or `unix-datagram`.
    pub transport: String,
    /// `ipv4`, `ipv6`, absent for local sockets and while unknown.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// Payload both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Segments or datagrams both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
}

/// `source.*`: who began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Its IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its path, of a local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Payload that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Segments or datagrams that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
}

/// `destination.*`: who was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// The host or path in the script's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The host, where it is a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The address that was dialled, sent to or listened on; of a decision the first of those that may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Payload that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Segments or datagrams that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
}

/// `dns.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dns {
    /// What was asked.
    pub question: Question,
    /// The addresses that were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_ip: Vec<String>,
}

/// `dns.question.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The name, or the address whose name is wanted.
    pub name: String,
}

/// `process.*`, as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its number; 0 when the daemon cannot see it.
    pub pid: i32,
    /// The file that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

/// `user.*`, as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its number.
    pub id: String,
}

/// `group.*`, as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its number.
    pub id: String,
}

/// `rule.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule with the place where it stands; absent when no rule has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The profile.
    pub ruleset: String,
}

/// `error.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The failure's code on the pipe; of one of the system `os:` and the number, of the resolver `resolve:` and it.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `host.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The machine's name.
    pub hostname: String,
}

/// `luasocketd.*`: what ECS has no names for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Luasocketd {
    /// `connection`, `accepted`, `listener`, `datagram-peer`, `lookup`, or `trail`.
    pub matter: String,
    /// `allow`, `deny` or `report`; absent for the trail's own lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Whether enforcing would have denied what was let through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enforce_would_deny: bool,
    /// Why it ended; only at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// The id of what it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The port or service in the script's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// All the addresses that were judged, `IP:port` or paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<String>,
    /// How long the lookup took, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup_time: Option<u64>,
    /// How long connecting took, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_time: Option<u64>,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
    /// How many records were lost before this line, of a trail's own line that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// The last of the lines before this one that are not there any more, of a trail's own line that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
}

/// `luasocketd.gone.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gone {
    /// The line's number.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits.
    pub sha256: String,
}

/// `luasocketd.client.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// What it calls itself: anything.
    pub name: String,
    /// Its Lua version, as it says.
    pub lua: String,
    /// The listening path that it came in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
}

/// `ecs.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ecs {
    /// The version of the schema that the names are from.
    pub version: String,
}

impl Ecs {
    fn is_unknown(&self) -> bool {
        self.version.is_empty()
    }
}
