//! Texts and combinations of them, and the numbers that stand for them.

use std::collections::HashMap;
use std::hash::Hash;

use rusqlite::{Connection, OptionalExtension, Params, Result};

use super::super::super::core::trail::Matter;
use super::super::Entry;
use super::schema::{NO_PORT, NOTHING, TRANSPORTS, VERDICTS, code, matter_code};

/// Numbers that are kept at hand in each dictionary: more than a machine's scripts use in an hour, and some MiB.
const KEPT_MAX: usize = 20_000;

/// The numbers that were used lately.
#[derive(Debug, Default)]
pub(super) struct Dictionaries {
    texts: [HashMap<String, i64>; Text::COUNT],
    parties: HashMap<PartyKey, i64>,
    kinds: HashMap<KindKey, i64>,
}

/// The dictionaries of texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Run,
    Host,
    Address,
    Rule,
    Phrase,
}

impl Text {
    const COUNT: usize = 5;

    /// What finds a text, and what adds one.
    fn statements(self) -> (&'static str, &'static str) {
        match self {
            Text::Run => ("SELECT id FROM run WHERE text = ?1", "INSERT INTO run (text) VALUES (?1)"),
            Text::Host => ("SELECT id FROM host WHERE text = ?1", "INSERT INTO host (text) VALUES (?1)"),
            Text::Address => {
                ("SELECT id FROM address WHERE text = ?1", "INSERT INTO address (text) VALUES (?1)")
            }
            Text::Rule => ("SELECT id FROM rule WHERE text = ?1", "INSERT INTO rule (text) VALUES (?1)"),
            Text::Phrase => {
                ("SELECT id FROM phrase WHERE text = ?1", "INSERT INTO phrase (text) VALUES (?1)")
            }
        }
    }
}

const PARTY_COLUMNS: &str = "client, lua, socket, uid, gid, executable, profile";
const KIND_COLUMNS: &str = "host, port, service, party, matter, transport, verdict, would_deny, rule";

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartyKey {
    texts: [String; 5],
    uid: i64,
    gid: i64,
}

type KindKey = [i64; 9];

impl Dictionaries {
    /// Forgets everything: what was added is not there after all.
    pub(super) fn clear(&mut self) {
        *self = Dictionaries::default();
    }

    /// The number of a text.
    pub(super) fn text(&mut self, connection: &Connection, which: Text, text: &str) -> Result<i64> {
        let kept = &mut self.texts[which as usize];
        if let Some(id) = kept.get(text) {
            return Ok(*id);
        }
        let (find, add) = which.statements();
        let id = find_or_add(connection, find, add, [text])?;
        keep(kept, text.to_owned(), id);
        Ok(id)
    }

    /// The number of a text that may not be there.
    pub(super) fn optional(
        &mut self,
        connection: &Connection,
        which: Text,
        text: Option<&str>,
    ) -> Result<Option<i64>> {
        text.map(|text| self.text(connection, which, text)).transpose()
    }

    /// The number of a line's kind; `None` when it has words that there are none of.
    pub(super) fn kind(&mut self, connection: &Connection, entry: &Entry) -> Result<Option<i64>> {
        let Some(matter) = matter_code(&entry.luasocketd.matter) else { return Ok(None) };
        let verdict = entry.luasocketd.verdict.as_deref().unwrap_or_default();
        let transport = entry.network.as_ref().map_or("", |network| &network.transport);
        let (Some(verdict), Some(transport)) =
            (code(VERDICTS.iter().copied(), verdict), code(TRANSPORTS.iter().copied(), transport))
        else {
            return Ok(None);
        };
        let port = entry.destination.as_ref().and_then(|destination| destination.port);
        let service = entry.luasocketd.service.as_deref();
        // Mostly the service is the port's number; of what came in it is the peer's, which is of no kind.
        let came_in = entry.luasocketd.matter == Matter::Accepted.word();
        let usual = if came_in { entry.source.as_ref().and_then(|source| source.port) } else { port };
        let service = service.filter(|service| usual.is_none_or(|port| port.to_string() != *service));
        let host = asked_for(entry);
        let rule = entry.rule.as_ref().and_then(|rule| rule.name.as_deref());
        let key = [
            self.optional(connection, Text::Host, host)?.unwrap_or(NOTHING),
            port.map_or(NO_PORT, i64::from),
            self.optional(connection, Text::Phrase, service)?.unwrap_or(NOTHING),
            self.party(connection, entry)?,
            matter,
            transport,
            verdict,
            entry.luasocketd.enforce_would_deny.into(),
            self.optional(connection, Text::Rule, rule)?.unwrap_or(NOTHING),
        ];
        if let Some(id) = self.kinds.get(&key) {
            return Ok(Some(*id));
        }
        let (find, add) = statements("kind", KIND_COLUMNS);
        let id = find_or_add(connection, &find, &add, key)?;
        keep(&mut self.kinds, key, id);
        Ok(Some(id))
    }

    fn party(&mut self, connection: &Connection, entry: &Entry) -> Result<i64> {
        let number = |id: Option<&String>| id.and_then(|id| id.parse().ok()).unwrap_or(-1);
        let client = entry.luasocketd.client.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let key = PartyKey {
            texts: [
                text(client.map(|client| &client.name)),
                text(client.map(|client| &client.lua)),
                text(client.and_then(|client| client.socket.as_ref())),
                text(entry.process.as_ref().and_then(|process| process.executable.as_ref())),
                text(entry.rule.as_ref().map(|rule| &rule.ruleset)),
            ],
            uid: number(entry.user.as_ref().map(|user| &user.id)),
            gid: number(entry.group.as_ref().map(|group| &group.id)),
        };
        if let Some(id) = self.parties.get(&key) {
            return Ok(*id);
        }
        let (find, add) = statements("party", PARTY_COLUMNS);
        let [client, lua, socket, executable, profile] = &key.texts;
        let values = (client, lua, socket, key.uid, key.gid, executable, profile);
        let id = find_or_add(connection, &find, &add, values)?;
        keep(&mut self.parties, key, id);
        Ok(id)
    }
}

/// What was asked for: of what came in, the peer.
fn asked_for(entry: &Entry) -> Option<&str> {
    let question = entry.dns.as_ref().map(|dns| dns.question.name.as_str());
    let is_accepted = entry.luasocketd.matter == Matter::Accepted.word();
    if is_accepted {
        let side = entry.source.as_ref()?;
        return side.ip.as_deref().or(side.address.as_deref());
    }
    let asked = entry.destination.as_ref().and_then(|destination| {
        destination.address.as_deref().or(destination.domain.as_deref()).or(destination.ip.as_deref())
    });
    question.filter(|_| entry.luasocketd.matter == Matter::Lookup.word()).or(asked).or(question)
}

/// What finds a row by all of these columns, and what adds one.
fn statements(table: &str, columns: &str) -> (String, String) {
    let values: Vec<String> = (1..=columns.split(',').count()).map(|number| format!("?{number}")).collect();
    let values = values.join(", ");
    (
        format!("SELECT id FROM {table} WHERE ({columns}) = ({values})"),
        format!("INSERT INTO {table} ({columns}) VALUES ({values})"),
    )
}

fn keep<K: Eq + Hash>(kept: &mut HashMap<K, i64>, key: K, id: i64) {
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(key, id);
}

fn find_or_add(connection: &Connection, find: &str, add: &str, key: impl Params + Clone) -> Result<i64> {
    let found = connection.prepare_cached(find)?.query_row(key.clone(), |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => connection.prepare_cached(add)?.insert(key),
    }
}
