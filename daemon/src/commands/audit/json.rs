//! Answers as JSON, one object in each line, in the words of the trail's own lines.

use std::io::{self, Write};

use luasocketd::audit::{Dimension, Record, Sums, is_unprintable};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Value, json};

/// One record.
pub fn record(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    write(&record.entry, out)
}

/// One group: its key under the name of its field, and its sums.
pub fn group(group: &Sums, by: Dimension, out: &mut dyn Write) -> io::Result<()> {
    let key = if group.key.is_empty() { Value::Null } else { Value::String(group.key.clone()) };
    let object = json!({
        by.field(): key,
        "count": group.count,
        "denied": group.denied,
        "sent": group.sent,
        "received": group.received,
        "last": group.last.to_string(),
    });
    write(&object, out)
}

fn write(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Escaping))?;
    out.write_all(b"\n")
}

/// As JSON is written mostly, but with nothing in it that a terminal obeys.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        if !text.contains(is_unprintable) {
            return CompactFormatter.write_string_fragment(out, text);
        }
        for letter in text.chars() {
            let mut units = [0; 2];
            if is_unprintable(letter) {
                letter.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            } else {
                write!(out, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_finds_nothing_to_obey() {
        let mut out = Vec::new();
        let text = "a\u{9b}2J\u{202e}\u{e0001}\x1b\"ü";
        write(&json!(text), &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "\"a\\u009b2J\\u202e\\udb40\\udc01\\u001b\\\"ü\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
