//! Answers as CSV, with the names of the trail's fields in the first row.

use std::io::{self, Write};

use luasocketd::audit::{Dimension, Record, Sums};
use luasocketd::core::trail::Matter;

/// What is seen of a record whichever way it went.
pub struct Seen<'a> {
    /// What was asked for; of what came in, the peer.
    pub host: Option<&'a str>,
    /// The port that was asked for, or came in by.
    pub port: Option<u16>,
    /// The other side's address; of a listener the own one.
    pub ip: Option<&'a str>,
    /// Bytes to the network.
    pub sent: Option<u64>,
    /// Bytes from the network.
    pub received: Option<u64>,
}

impl<'a> Seen<'a> {
    /// What is seen of this one.
    pub fn of(record: &'a Record) -> Self {
        let entry = &record.entry;
        let came_in = entry.luasocketd.matter == Matter::Accepted.word();
        let source = entry.source.as_ref();
        let destination = entry.destination.as_ref();
        let question = entry.dns.as_ref().map(|dns| dns.question.name.as_str());
        let source_ip = source.and_then(|side| side.ip.as_deref());
        let source_bytes = source.and_then(|side| side.bytes);
        let destination_bytes = destination.and_then(|side| side.bytes);
        let peer = source_ip.or(source.and_then(|side| side.address.as_deref()));
        let asked = destination.and_then(|side| side.address.as_deref()).or(question);
        let destination_ip = destination.and_then(|side| side.ip.as_deref());
        Seen {
            host: if came_in { peer } else { asked },
            port: destination.and_then(|side| side.port),
            ip: if came_in { source_ip } else { destination_ip },
            sent: if came_in { destination_bytes } else { source_bytes },
            received: if came_in { source_bytes } else { destination_bytes },
        }
    }
}

/// A column: the field that it has, and how that is found.
type Column = (&'static str, fn(&Record) -> Option<String>);

/// The columns of records. Those without the name of a field are what [`Seen`] has.
const COLUMNS: &[Column] = &[
    ("@timestamp", |record| Some(record.entry.timestamp.clone())),
    ("event.id", |record| Some(record.entry.event.id.clone())),
    ("event.sequence", |record| Some(record.entry.event.sequence.to_string())),
    ("event.duration", |record| Some(record.entry.event.duration?.to_string())),
    ("event.outcome", |record| Some(record.entry.event.outcome.clone())),
    ("event.reason", |record| safe(record.entry.event.reason.as_deref())),
    ("luasocketd.matter", |record| Some(record.entry.luasocketd.matter.clone())),
    ("luasocketd.verdict", |record| record.entry.luasocketd.verdict.clone()),
    ("luasocketd.end", |record| record.entry.luasocketd.end.clone()),
    ("luasocketd.client.name", |record| safe(Some(&record.entry.luasocketd.client.as_ref()?.name))),
    ("process.pid", |record| Some(record.entry.process.as_ref()?.pid.to_string())),
    ("process.executable", |record| safe(record.entry.process.as_ref()?.executable.as_deref())),
    ("user.id", |record| Some(record.entry.user.as_ref()?.id.clone())),
    ("rule.ruleset", |record| safe(Some(&record.entry.rule.as_ref()?.ruleset))),
    ("rule.name", |record| safe(record.entry.rule.as_ref()?.name.as_deref())),
    ("network.transport", |record| Some(record.entry.network.as_ref()?.transport.clone())),
    ("host", |record| safe(Seen::of(record).host)),
    ("port", |record| Some(Seen::of(record).port?.to_string())),
    ("ip", |record| safe(Seen::of(record).ip)),
    ("sent", |record| Some(Seen::of(record).sent?.to_string())),
    ("received", |record| Some(Seen::of(record).received?.to_string())),
    ("error.code", |record| safe(Some(&record.entry.error.as_ref()?.code))),
    ("error.message", |record| safe(Some(&record.entry.error.as_ref()?.message))),
];

/// A text that no spreadsheet takes for a formula: one that would begin like that begins with an apostrophe.
fn safe(text: Option<&str>) -> Option<String> {
    let text = text?;
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let shown = super::words::shown(text);
    Some(if is_formula { format!("'{shown}") } else { shown })
}

/// Records, one row each.
pub struct Records<'a>(csv::Writer<&'a mut dyn Write>);

impl<'a> Records<'a> {
    /// Writes the first row.
    pub fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        let mut rows = csv::Writer::from_writer(out);
        rows.write_record(COLUMNS.iter().map(|(name, _)| *name))?;
        Ok(Records(rows))
    }

    /// Writes one.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        Ok(self.0.write_record(COLUMNS.iter().map(|(_, value)| value(record).unwrap_or_default()))?)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Groups, one row each.
pub fn groups(groups: &[Sums], by: Dimension, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = csv::Writer::from_writer(out);
    rows.write_record([by.field(), "count", "denied", "sent", "received", "last"])?;
    for group in groups {
        rows.write_record([
            safe(Some(&group.key)).unwrap_or_default(),
            group.count.to_string(),
            group.denied.to_string(),
            group.sent.to_string(),
            group.received.to_string(),
            group.last.to_string(),
        ])?;
    }
    rows.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"] {
            assert!(safe(Some(text)).unwrap().starts_with('\''), "{text:?}");
        }
        assert_eq!(safe(Some("a=1")), Some("a=1".to_owned()));
    }
}
