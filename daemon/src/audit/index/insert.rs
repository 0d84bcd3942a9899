//! Lines become rows: a decision and its end the same one.

use std::collections::HashMap;
use std::net::SocketAddr;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::super::super::core::policy::Decision;
use super::super::super::core::trail::Matter;
use super::super::{Entry, Side};
use super::dictionary::{Dictionaries, Text};
use super::schema::{DAY_US, EVER, OUTCOMES, RUN_SHIFT, RUNS_MAX, TRANSPORTS, code, end_code};
use super::signed;

/// One row of `act`.
#[derive(Debug, Default)]
struct Row {
    id: i64,
    kind: i64,
    started: i64,
    is_open: bool,
    sent: i64,
    received: i64,
    pid: Option<i64>,
    peer_ip: Option<i64>,
    end: Option<i64>,
    lasted: Option<i64>,
    line: i64,
    end_line: Option<i64>,
    own_ip: Option<i64>,
    source_port: Option<i64>,
    outcome: Option<i64>,
    reason: Option<i64>,
    error_code: Option<i64>,
    error_message: Option<i64>,
    sent_packets: Option<i64>,
    received_packets: Option<i64>,
    lookup_time: Option<i64>,
    connect_time: Option<i64>,
    parent: Option<i64>,
    judged: Option<i64>,
    answers: Option<i64>,
    own_path: Option<i64>,
    action: Option<i64>,
    lost: Option<i64>,
}

/// The sums of one kind on one day.
#[derive(Default)]
struct Tally {
    count: i64,
    sent: i64,
    received: i64,
    last: i64,
}

/// The most bytes that a row counts, a pebibyte: no socket moves more, and sums of thousands of such rows still fit.
const BYTES_MAX: i64 = 1 << 50;

/// Bytes as rows have them.
fn summable(bytes: u64) -> i64 {
    signed(bytes).min(BYTES_MAX)
}

/// Writes lines to the index, in one transaction.
pub(super) struct Inserter<'a> {
    connection: &'a Connection,
    dictionaries: &'a mut Dictionaries,
    /// Decisions that are not written yet: most ends come soon, and one row is then written once.
    rows: HashMap<i64, Row>,
    tallies: HashMap<(i64, i64), Tally>,
    /// How many lines were no entries after all.
    pub(super) unreadable: u64,
    /// How many records the trail itself says were lost.
    pub(super) lost: u64,
}

const INSERT: &str = "INSERT INTO act VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
    ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28) ON CONFLICT DO NOTHING";

/// What an end knows better than its decision.
const END: &str = "UPDATE act SET kind = ?2, open = 0, sent = ?3, received = ?4, end = ?5, lasted = ?6, end_line = ?7, \
    peer_ip = coalesce(?8, peer_ip), own_ip = coalesce(?9, own_ip), source_port = coalesce(?10, source_port), \
    outcome = ?11, reason = coalesce(?12, reason), error_code = ?13, error_message = ?14, sent_packets = ?15, \
    received_packets = ?16, lookup_time = ?17, connect_time = ?18, judged = coalesce(?19, judged), answers = ?20, \
    own_path = coalesce(?21, own_path) WHERE id = ?1";

const ADD_TALLY: &str = "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
    count = count + excluded.count, sent = sent + excluded.sent, received = received + excluded.received, \
    last = max(last, excluded.last)";

impl<'a> Inserter<'a> {
    pub(super) fn new(connection: &'a Connection, dictionaries: &'a mut Dictionaries) -> Self {
        Inserter {
            connection,
            dictionaries,
            rows: HashMap::new(),
            tallies: HashMap::new(),
            unreadable: 0,
            lost: 0,
        }
    }

    /// Takes one line.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        let Some(row) = self.row(entry)? else {
            self.unreadable += 1;
            return Ok(());
        };
        self.lost += entry.luasocketd.lost.unwrap_or(0);
        if row.end.is_none() {
            self.rows.entry(row.id).or_insert(row);
            return Ok(());
        }
        if let Some(decided) = self.rows.get_mut(&row.id) {
            decided.finish(row);
        } else if !self.finish_written(&row)? {
            // The decision is not in the trail, or no longer.
            self.rows.insert(row.id, row);
        }
        Ok(())
    }

    /// Writes what has been taken.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut rows: Vec<Row> = self.rows.drain().map(|(_, row)| row).collect();
        rows.sort_by_key(|row| row.id);
        for row in rows {
            if self.insert(&row)? {
                self.tally(&row, 1);
            }
        }
        let mut add = self.connection.prepare_cached(ADD_TALLY)?;
        let mut tallies: Vec<_> = self.tallies.drain().collect();
        tallies.sort_by_key(|(key, _)| *key);
        for ((day, kind), tally) in tallies {
            add.execute((day, kind, tally.count, tally.sent, tally.received, tally.last))?;
        }
        Ok(())
    }

    fn tally(&mut self, row: &Row, count: i64) {
        for day in [row.started.div_euclid(DAY_US), EVER] {
            let tally = self.tallies.entry((day, row.kind)).or_default();
            tally.count += count;
            tally.sent = tally.sent.saturating_add(row.sent);
            tally.received = tally.received.saturating_add(row.received);
            tally.last = tally.last.max(row.started);
        }
    }

    /// Adds its end to a row that is written already; `false` when there is none.
    fn finish_written(&mut self, row: &Row) -> Result<bool> {
        let mut find = self.connection.prepare_cached("SELECT kind, started, open FROM act WHERE id = ?1")?;
        let found: Option<(i64, i64, bool)> =
            find.query_row([row.id], |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?))).optional()?;
        let Some((kind, started, is_open)) = found else { return Ok(false) };
        if !is_open {
            // It has ended once: a second end changes nothing.
            return Ok(true);
        }
        self.connection.prepare_cached(END)?.execute(params![
            row.id,
            row.kind,
            row.sent,
            row.received,
            row.end,
            row.lasted,
            row.end_line,
            row.peer_ip,
            row.own_ip,
            row.source_port,
            row.outcome,
            row.reason,
            row.error_code,
            row.error_message,
            row.sent_packets,
            row.received_packets,
            row.lookup_time,
            row.connect_time,
            row.judged,
            row.answers,
            row.own_path,
        ])?;
        // The end may tell the port that the system has chosen, so that it is of another kind.
        let moved = i64::from(kind != row.kind);
        if moved != 0 {
            self.tally(&Row { kind, started, ..Row::default() }, -moved);
        }
        let sums = Row { kind: row.kind, started, sent: row.sent, received: row.received, ..Row::default() };
        self.tally(&sums, moved);
        Ok(true)
    }

    fn insert(&self, row: &Row) -> Result<bool> {
        let changed = self.connection.prepare_cached(INSERT)?.execute(params![
            row.id,
            row.kind,
            row.started,
            row.is_open,
            row.sent,
            row.received,
            row.pid,
            row.peer_ip,
            row.end,
            row.lasted,
            row.line,
            row.end_line,
            row.own_ip,
            row.source_port,
            row.outcome,
            row.reason,
            row.error_code,
            row.error_message,
            row.sent_packets,
            row.received_packets,
            row.lookup_time,
            row.connect_time,
            row.parent,
            row.judged,
            row.answers,
            row.own_path,
            row.action,
            row.lost,
        ])?;
        Ok(changed > 0)
    }

    /// The row of one line; `None` when that says what the daemon never says.
    fn row(&mut self, entry: &Entry) -> Result<Option<Row>> {
        let (Some(id), Some(said)) = (self.id(&entry.event.id)?, micros(&entry.timestamp)) else {
            return Ok(None);
        };
        let Some(kind) = self.dictionaries.kind(self.connection, entry)? else { return Ok(None) };
        let ours = &entry.luasocketd;
        let end = match ours.end.as_deref().map(end_code) {
            Some(None) => return Ok(None),
            Some(end) => end,
            None => None,
        };
        let started = match &entry.event.start {
            Some(start) => micros(start),
            None => Some(said),
        };
        let Some(started) = started else { return Ok(None) };
        let is_denied = ours.verdict.as_deref() == Some(Decision::Deny.name());
        let is_done = entry.event.outcome == OUTCOMES[2] || ours.verdict.is_none();
        let line = signed(entry.event.sequence);
        let mut row = Row {
            id,
            kind,
            started,
            is_open: end.is_none() && !is_denied && !is_done,
            end,
            lasted: entry.event.duration.map(signed),
            line,
            end_line: end.is_some().then_some(line),
            pid: entry.process.as_ref().map(|process| process.pid.into()),
            outcome: code(OUTCOMES.iter().copied(), &entry.event.outcome),
            lookup_time: ours.lookup_time.map(signed),
            connect_time: ours.connect_time.map(signed),
            lost: ours.lost.map(signed),
            ..Row::default()
        };
        row.parent = match &ours.parent {
            Some(parent) => self.id(parent)?,
            None => None,
        };
        self.add_sides(&mut row, entry)?;
        self.add_texts(&mut row, entry)?;
        Ok(Some(row))
    }

    /// What went over the network, and between whom.
    fn add_sides(&mut self, row: &mut Row, entry: &Entry) -> Result<()> {
        let destination = entry.destination.as_ref().map(|destination| Side {
            ip: destination.ip.clone(),
            port: destination.port,
            address: destination.address.clone(),
            bytes: destination.bytes,
            packets: destination.packets,
        });
        row.source_port = entry.source.as_ref().and_then(|source| source.port).map(i64::from);
        let came_in = entry.luasocketd.matter == Matter::Accepted.word();
        let (own, peer) =
            if came_in { (destination, entry.source.clone()) } else { (entry.source.clone(), destination) };
        let ours = own.as_ref();
        let theirs = peer.as_ref();
        row.sent = ours.and_then(|side| side.bytes).map_or(0, summable);
        row.received = theirs.and_then(|side| side.bytes).map_or(0, summable);
        row.sent_packets = ours.and_then(|side| side.packets).map(signed);
        row.received_packets = theirs.and_then(|side| side.packets).map(signed);
        let mut address = |side: Option<&Side>| {
            let ip = side.and_then(|side| side.ip.as_deref());
            self.dictionaries.optional(self.connection, Text::Address, ip)
        };
        row.own_ip = address(ours)?;
        row.peer_ip = address(theirs)?;
        let is_local = entry
            .network
            .as_ref()
            .is_some_and(|network| TRANSPORTS[3..].contains(&network.transport.as_str()));
        let path = ours.filter(|_| is_local).and_then(|side| side.address.as_deref());
        row.own_path = self.dictionaries.optional(self.connection, Text::Phrase, path)?;
        Ok(())
    }

    fn add_texts(&mut self, row: &mut Row, entry: &Entry) -> Result<()> {
        let mut phrase = |text: Option<&str>| self.dictionaries.optional(self.connection, Text::Phrase, text);
        row.reason = phrase(entry.event.reason.as_deref())?;
        row.error_code = phrase(entry.error.as_ref().map(|error| error.code.as_str()))?;
        row.error_message = phrase(entry.error.as_ref().map(|error| error.message.as_str()))?;
        // One text for all: the same host has the same addresses mostly.
        let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.join("\n"));
        // Mostly it is the peer alone, which is in the row already.
        let judged = &entry.luasocketd.judged;
        let is_peer = |place: &String| peer(entry).is_some_and(|peer| peer.to_string() == *place);
        let judged = if judged.len() == 1 && judged.iter().all(is_peer) { &[] } else { judged.as_slice() };
        row.judged = phrase(list(judged).as_deref())?;
        row.answers = phrase(entry.dns.as_ref().and_then(|dns| list(&dns.resolved_ip)).as_deref())?;
        // Of all others it follows from the matter.
        let own_action = entry.luasocketd.verdict.is_none().then_some(entry.event.action.as_str());
        row.action = phrase(own_action)?;
        Ok(())
    }

    /// The number of an id: the run of the daemon, and the number in it. So rows lie in the order of time, and a
    /// decision is found again without an index.
    fn id(&mut self, id: &str) -> Result<Option<i64>> {
        let Some((run, number)) = split_id(id) else { return Ok(None) };
        let run = self.dictionaries.text(self.connection, Text::Run, run)?;
        Ok((run <= RUNS_MAX).then_some(run << RUN_SHIFT | number))
    }
}

impl Row {
    /// Adds its end to a decision.
    fn finish(&mut self, end: Row) {
        if !self.is_open {
            return;
        }
        *self = Row {
            started: self.started,
            line: self.line,
            pid: end.pid.or(self.pid),
            peer_ip: end.peer_ip.or(self.peer_ip),
            own_ip: end.own_ip.or(self.own_ip),
            source_port: end.source_port.or(self.source_port),
            reason: end.reason.or(self.reason),
            judged: end.judged.or(self.judged),
            own_path: end.own_path.or(self.own_path),
            parent: end.parent.or(self.parent),
            ..end
        };
    }
}

/// The other side's address.
fn peer(entry: &Entry) -> Option<SocketAddr> {
    let (ip, port) = if entry.luasocketd.matter == Matter::Accepted.word() {
        entry.source.as_ref().map(|side| (side.ip.as_deref(), side.port))
    } else {
        entry.destination.as_ref().map(|side| (side.ip.as_deref(), side.port))
    }?;
    Some(SocketAddr::new(ip?.parse().ok()?, port?))
}

/// The run of the daemon and the number of an id; `None` when it has no number at its end.
pub(crate) fn split_id(id: &str) -> Option<(&str, i64)> {
    let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (run, number) = id.split_at(id.len() - digits);
    // `7` and `07` are different ids.
    let (zeros, number) = number.split_at(number.bytes().take_while(|byte| *byte == b'0').count());
    let (run, number) = match (zeros.len(), number.is_empty()) {
        (0, true) => return None,
        (0, false) => (run, number),
        (count, true) => (id.get(..run.len() + count - 1)?, "0"),
        (count, false) => (id.get(..run.len() + count)?, number),
    };
    let number: i64 = number.parse().ok()?;
    (number < 1 << RUN_SHIFT).then_some((run, number))
}

/// The microseconds since 1970 of a time in RFC 3339.
fn micros(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_run_and_a_number() {
        let cases = [
            ("run-12", Some(("run-", 12))),
            ("run-0", Some(("run-", 0))),
            ("run-007", Some(("run-00", 7))),
            ("run-00", Some(("run-0", 0))),
            ("12", Some(("", 12))),
            ("run", None),
            ("", None),
            ("run-9999999999999", None),
        ];
        for (id, split) in cases {
            assert_eq!(split_id(id), split, "{id}");
            if let Some((run, number)) = split {
                assert_eq!(format!("{run}{number}"), id);
            }
        }
    }
}
