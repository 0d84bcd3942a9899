//! One row as an entry again: a decision with its end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rusqlite::types::FromSql;
use rusqlite::{Result, Row, Statement};

use super::super::index::schema::{OUTCOMES, RUN_SHIFT, TRANSPORTS, VERDICTS, end_word, matter_word, word};
use super::super::words::{DENIED, OWN_MATTER, Own};
use super::super::{
    Client, Destination, Dns, Entry, Event, Failure, Group, Luasocketd, Network, Process, Question, Rule,
    Side, User,
};
use super::filter::Moment;
use crate::core::policy::parse_address;
use crate::core::trail::Matter;

/// A decision, with its end if it has one, in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// All that is known: the fields of the end where there is one, with `@timestamp` and `event.start` the time of
    /// the decision. The machine and the version of the schema are left out.
    pub entry: Entry,
    /// Whether it goes on.
    pub is_open: bool,
    /// The number of the line of the decision; that of the last line is the entry's.
    pub line: u64,
}

/// The statement that gives all of one row.
pub(super) const ONE: &str = "SELECT a.*, k.*, p.*, host.text AS host_text, rule.text AS rule_text, \
    run.text AS run_text, parent_run.text AS parent_text, peer.text AS peer_text, own.text AS own_text, \
    service.text AS service_text, reason.text AS reason_text, code.text AS code_text, message.text AS message_text, \
    judged.text AS judged_text, answers.text AS answers_text, own_path.text AS own_path_text, \
    action.text AS action_text, a.id AS act_id \
    FROM act AS a CROSS JOIN kind AS k ON k.id = a.kind CROSS JOIN party AS p ON p.id = k.party \
    LEFT JOIN host ON host.id = k.host LEFT JOIN rule ON rule.id = k.rule LEFT JOIN run ON run.id = a.id >> 40 \
    LEFT JOIN run AS parent_run ON parent_run.id = a.parent >> 40 LEFT JOIN address AS peer ON peer.id = a.peer_ip \
    LEFT JOIN address AS own ON own.id = a.own_ip LEFT JOIN phrase AS service ON service.id = k.service \
    LEFT JOIN phrase AS reason ON reason.id = a.reason LEFT JOIN phrase AS code ON code.id = a.error_code \
    LEFT JOIN phrase AS message ON message.id = a.error_message LEFT JOIN phrase AS judged ON judged.id = a.judged \
    LEFT JOIN phrase AS answers ON answers.id = a.answers LEFT JOIN phrase AS own_path ON own_path.id = a.own_path \
    LEFT JOIN phrase AS action ON action.id = a.action WHERE a.id = ?1";

/// Where each column of [`ONE`] is: to look for its name in each row would take longer than to read it.
pub(super) struct Places(HashMap<String, usize>);

impl Places {
    pub(super) fn of(statement: &Statement<'_>) -> Self {
        let mut places = HashMap::new();
        for (place, name) in statement.column_names().into_iter().enumerate() {
            places.entry(name.to_owned()).or_insert(place);
        }
        Places(places)
    }
}

/// The columns of a row by their names.
struct Columns<'a, 'b> {
    row: &'a Row<'b>,
    places: &'a Places,
}

impl Columns<'_, '_> {
    fn value<T: FromSql>(&self, name: &str) -> Result<Option<T>> {
        match self.places.0.get(name) {
            Some(place) => self.row.get(*place),
            None => Err(rusqlite::Error::InvalidColumnName(name.to_owned())),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.value::<String>(name)?.filter(|text| !text.is_empty()))
    }

    fn number(&self, name: &str) -> Result<Option<i64>> {
        self.value(name)
    }

    fn unsigned(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.number(name)?.and_then(|number| u64::try_from(number).ok()))
    }

    fn port(&self, name: &str) -> Result<Option<u16>> {
        Ok(self.number(name)?.and_then(|number| u16::try_from(number).ok()))
    }

    fn list(&self, name: &str) -> Result<Vec<String>> {
        let text = self.text(name)?;
        Ok(text.iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect())
    }

    fn id(&self, run: &str, id: &str) -> Result<Option<String>> {
        let (Some(id), run) = (self.number(id)?, self.value::<String>(run)?) else {
            return Ok(None);
        };
        Ok(run.map(|run| format!("{run}{}", id & ((1 << RUN_SHIFT) - 1))))
    }
}

impl Record {
    /// Reads the row that [`ONE`] gives.
    pub(super) fn read(row: &Row<'_>, places: &Places) -> Result<Self> {
        let columns = Columns { row, places };
        let is_open = columns.number("open")? == Some(1);
        let line = columns.unsigned("line")?.unwrap_or_default();
        let matter = matter_word(columns.number("matter")?.unwrap_or_default());
        let started = Moment(columns.number("started")?.unwrap_or_default()).to_string();
        let mut entry = Entry {
            timestamp: started.clone(),
            event: event(&columns, matter, started, line)?,
            luasocketd: luasocketd(&columns, matter)?,
            ..Entry::default()
        };
        if matter == OWN_MATTER {
            return Ok(Record { entry, is_open, line });
        }
        add_sides(&mut entry, &columns, matter)?;
        add_party(&mut entry, &columns)?;
        let code = columns.text("code_text")?;
        let message = columns.text("message_text")?.unwrap_or_default();
        entry.error = code.map(|code| Failure { code, message });
        Ok(Record { entry, is_open, line })
    }
}

fn event(columns: &Columns<'_, '_>, matter: &str, started: String, line: u64) -> Result<Event> {
    let has_end = columns.number("end")?.is_some();
    let is_own = matter == OWN_MATTER;
    let half = if has_end { "ended" } else { "decided" };
    let outcome = word(OUTCOMES.iter().copied(), columns.number("outcome")?.unwrap_or_default());
    let action = columns.text("action_text")?.unwrap_or_else(|| format!("{matter}-{half}"));
    let own = Own::ALL.iter().find(|own| own.action() == action);
    let types: &[&str] = match (is_own, has_end, outcome) {
        (true, ..) => &[own.map_or("info", |own| own.kind())],
        (_, true, _) => &["connection", "end"],
        // The policy denies it, or a limit is reached.
        (_, false, "failure") => &["connection", DENIED],
        (_, false, _) => &["connection", "start", "allowed"],
    };
    Ok(Event {
        id: columns.id("run_text", "act_id")?.unwrap_or_default(),
        sequence: columns.unsigned("end_line")?.unwrap_or(line),
        kind: "event".to_owned(),
        category: vec![if is_own { "process" } else { "network" }.to_owned()],
        types: types.iter().map(|word| (*word).to_owned()).collect(),
        action,
        outcome: outcome.to_owned(),
        reason: columns.text("reason_text")?,
        start: has_end.then_some(started),
        duration: columns.unsigned("lasted")?,
    })
}

fn luasocketd(columns: &Columns<'_, '_>, matter: &str) -> Result<Luasocketd> {
    let verdict = word(VERDICTS.iter().copied(), columns.number("verdict")?.unwrap_or_default());
    let came_in = matter == Matter::Accepted.word();
    let port = columns.port(if came_in { "source_port" } else { "port" })?;
    let service = columns.text("service_text")?;
    let peer = columns.text("peer_text")?.and_then(|ip| ip.parse().ok());
    let judged = match (columns.list("judged_text")?, peer, port) {
        (judged, Some(ip), Some(port)) if judged.is_empty() => vec![SocketAddr::new(ip, port).to_string()],
        (judged, ..) => judged,
    };
    let client = Client {
        name: columns.text("client")?.unwrap_or_default(),
        lua: columns.text("lua")?.unwrap_or_default(),
        socket: columns.text("socket")?,
    };
    Ok(Luasocketd {
        matter: matter.to_owned(),
        verdict: (!verdict.is_empty()).then(|| verdict.to_owned()),
        enforce_would_deny: columns.number("would_deny")? == Some(1),
        end: columns.number("end")?.map(|end| end_word(end).to_owned()),
        parent: columns.id("parent_text", "parent")?,
        service: service.or_else(|| port.filter(|_| matter != OWN_MATTER).map(|port| port.to_string())),
        judged,
        lookup_time: columns.unsigned("lookup_time")?,
        connect_time: columns.unsigned("connect_time")?,
        client: (matter != OWN_MATTER).then_some(client),
        lost: columns.unsigned("lost")?,
        // It is for whoever checks the chain, who reads the lines.
        gone: None,
    })
}

/// Between whom it was, and what went over the network.
fn add_sides(entry: &mut Entry, columns: &Columns<'_, '_>, matter: &str) -> Result<()> {
    let came_in = matter == Matter::Accepted.word();
    let is_inbound = came_in || matter == Matter::Listener.word();
    let transport = word(TRANSPORTS.iter().copied(), columns.number("transport")?.unwrap_or_default());
    let (own_ip, peer_ip) = (columns.text("own_text")?, columns.text("peer_text")?);
    let sent = (columns.unsigned("sent")?, columns.unsigned("sent_packets")?);
    let received = (columns.unsigned("received")?, columns.unsigned("received_packets")?);
    let has_ended = entry.luasocketd.end.is_some();
    let sent = if has_ended { sent } else { (None, None) };
    let received = if has_ended { received } else { (None, None) };
    let path = columns.text("own_path_text")?;
    let host = columns.text("host_text")?;
    let version = match peer_ip.as_deref().or(own_ip.as_deref()).map(str::parse::<IpAddr>) {
        Some(Ok(IpAddr::V4(_))) => Some("ipv4".to_owned()),
        Some(Ok(IpAddr::V6(_))) => Some("ipv6".to_owned()),
        _ => None,
    };
    let sum = |one: Option<u64>, other: Option<u64>| {
        (one.is_some() || other.is_some()).then(|| one.unwrap_or(0) + other.unwrap_or(0))
    };
    entry.network = (!transport.is_empty()).then(|| Network {
        transport: transport.to_owned(),
        version,
        direction: if is_inbound { "inbound" } else { "outbound" }.to_owned(),
        bytes: sum(sent.0, received.0),
        packets: sum(sent.1, received.1),
    });
    let is_local = TRANSPORTS[3..].contains(&transport);
    if matter == Matter::Lookup.word() {
        let question = Question { name: host.unwrap_or_default() };
        entry.dns = Some(Dns { question, resolved_ip: columns.list("answers_text")? });
        return Ok(());
    }
    let (source, destination) = if came_in { (received, sent) } else { (sent, received) };
    let (source_ip, destination_ip) = if came_in { (peer_ip, own_ip) } else { (own_ip, peer_ip) };
    let peer_path = host.clone().filter(|_| came_in && is_local);
    let asked = if came_in { path.clone() } else { host };
    entry.source = Some(Side {
        ip: source_ip,
        port: columns.port("source_port")?,
        address: if came_in { peer_path } else { path },
        bytes: source.0,
        packets: source.1,
    });
    entry.destination = Some(Destination {
        domain: asked.clone().filter(|host| !is_local && host != "*" && parse_address(host).is_none()),
        address: asked,
        ip: destination_ip,
        port: columns.port("port")?,
        bytes: destination.0,
        packets: destination.1,
    });
    Ok(())
}

fn add_party(entry: &mut Entry, columns: &Columns<'_, '_>) -> Result<()> {
    let pid = columns.number("pid")?.and_then(|pid| i32::try_from(pid).ok());
    let executable = columns.text("executable")?;
    entry.process = pid.map(|pid| Process { pid, executable });
    let id = |name| columns.unsigned(name).map(|id| id.map(|id| id.to_string()));
    entry.user = id("uid")?.map(|id| User { id });
    entry.group = id("gid")?.map(|id| Group { id });
    let (name, ruleset) = (columns.text("rule_text")?, columns.text("profile")?);
    let has_rule = name.is_some() || ruleset.is_some();
    entry.rule = has_rule.then(|| Rule { name, ruleset: ruleset.unwrap_or_default() });
    Ok(())
}
