//! What an operator is told.

use serde::{Deserialize, Serialize};

use super::words::line;
use crate::core::{ClientRow, Mark, Page, SocketRow, Times, Totals};

/// One answer; its line is the object of its kind under the version.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To `ps`.
    Clients(Clients),
    /// To `sockets`.
    Sockets(Sockets),
    /// To `kill`.
    Killed(Box<Killed>),
    /// To `stats`.
    Stats(Box<Stats>),
    /// To `metrics`.
    Metrics(Metrics),
    /// To `reload`.
    Reloaded(Reloaded),
    /// To `drain`.
    Draining(Draining),
    /// To `replace`.
    Replaced(Replaced),
    /// It was not done.
    Error {
        /// Why, for people.
        error: String,
    },
}

impl Answer {
    /// An answer that says why there is none.
    pub fn error(error: impl ToString) -> Self {
        Answer::Error { error: error.to_string() }
    }

    /// Its line.
    pub fn line(&self) -> String {
        line(self)
    }
}

/// A page of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// The clients.
    pub clients: Vec<ClientRow>,
    /// What `from` has to be for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// A page of sockets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sockets {
    /// The sockets.
    pub sockets: Vec<SocketRow>,
    /// What `from` has to be for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

impl From<Page<ClientRow>> for Clients {
    fn from(Page { rows, next }: Page<ClientRow>) -> Self {
        Clients { clients: rows, next }
    }
}

impl From<Clients> for Page<ClientRow> {
    fn from(Clients { clients, next }: Clients) -> Self {
        Page { rows: clients, next }
    }
}

impl From<Page<SocketRow>> for Sockets {
    fn from(Page { rows, next }: Page<SocketRow>) -> Self {
        Sockets { sockets: rows, next }
    }
}

impl From<Sockets> for Page<SocketRow> {
    fn from(Sockets { sockets, next }: Sockets) -> Self {
        Page { rows: sockets, next }
    }
}

/// What was ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Killed {
    /// What was asked for.
    pub killed: Mark,
    /// The client, or the socket's client, as it was.
    pub client: Option<ClientRow>,
    /// The socket as it was, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<SocketRow>,
}

/// A daemon in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Its name and version.
    pub daemon: String,
    /// Its process.
    pub pid: u32,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// What the core has counted.
    #[serde(flatten)]
    pub totals: Totals,
    /// How many event loops there are.
    pub workers: u64,
    /// How long the event loops' turns took.
    pub turn_times: Times,
    /// The audit trail, if one is kept.
    pub audit: Option<Audit>,
}

impl Stats {
    /// Those of two loops of the same daemon in one; the trail is the same for all.
    pub fn and(mut self, other: Stats) -> Self {
        self.uptime_ms = self.uptime_ms.max(other.uptime_ms);
        self.workers += other.workers;
        self.totals.add(other.totals);
        self.turn_times.add(&other.turn_times);
        self
    }
}

/// How far the audit trail is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// How long the oldest record has waited that is not written, in milliseconds.
    pub lag_ms: u64,
    /// How many records wait.
    pub queued: u64,
    /// Why nothing can be written, while that is so: what is not recorded is not done.
    pub failing: Option<String>,
}

/// Metrics in Prometheus' text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// The text.
    pub text: String,
}

/// The policy was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The names of its profiles, in the order of the file.
    pub profiles: Vec<String>,
}

/// Another process has taken the daemon's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The new process, which has the sockets now.
    pub pid: u32,
    /// The one before it, which goes on with the clients that it has.
    pub before: u32,
}

/// Nothing new is begun any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// How long clients with sockets may go on, in milliseconds; of a daemon that was ending already, its own time
    /// stays, and this is missing.
    pub timeout_ms: Option<u64>,
    /// The clients that are there.
    pub clients: u64,
    /// The sockets that are there.
    pub sockets: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use luasocketd_protocol::Kind;
    use serde_json::Value;

    use super::*;
    use crate::core::{Config, Core, Credentials, SocketState};

    /// One of each, with everything that may be left out.
    fn every_answer() -> Vec<Answer> {
        let now = Instant::now();
        let mut core = Core::new(Config::default(), now);
        core.add_client(Credentials { uid: 1, gid: 1, pid: 1 }, now).unwrap();
        let client = core.client_page(0, 1, now).rows.remove(0);
        let socket = SocketRow {
            id: "s1.1".parse().unwrap(),
            client: client.id,
            kind: Kind::Tcp,
            state: SocketState::Client,
            local: None,
            peer: None,
            host: None,
            sent: 0,
            received: 0,
            queued: 0,
            credit: 0,
            timeout_block_ms: None,
            timeout_total_ms: None,
            age_ms: 0,
        };
        let stats = Stats {
            daemon: String::new(),
            pid: 1,
            uptime_ms: 1,
            totals: core.totals(),
            workers: 1,
            turn_times: Times::default(),
            audit: None,
        };
        let killed = Killed { killed: client.id, client: Some(client.clone()), socket: Some(socket.clone()) };
        vec![
            Answer::Clients(Clients { clients: vec![client], next: Some(1) }),
            Answer::Sockets(Sockets { sockets: vec![socket], next: Some(1) }),
            Answer::Killed(Box::new(killed)),
            Answer::Stats(Box::new(stats)),
            Answer::Metrics(Metrics { text: String::new() }),
            Answer::Reloaded(Reloaded { profiles: vec![] }),
            Answer::Draining(Draining { timeout_ms: None, clients: 0, sockets: 0 }),
            Answer::Replaced(Replaced { pid: 2, before: 1 }),
            Answer::error("why"),
        ]
    }

    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                found.push(key.clone());
                keys(value, found);
            }),
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_of_an_answer_is_documented() {
        let documented = include_str!("../../../docs/admin.md");
        for answer in every_answer() {
            let line = answer.line();
            assert!(line.starts_with("{\"version\":1,") && line.ends_with("}\n"), "{line}");
            let mut found = Vec::new();
            keys(&serde_json::from_str(&line).unwrap(), &mut found);
            for key in found {
                assert!(documented.contains(&format!("\"{key}\":")), "docs/admin.md does not know `{key}`");
            }
        }
    }
}
