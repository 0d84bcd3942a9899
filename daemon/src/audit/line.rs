//! Lines from entries: JSON in ASCII, numbered and chained.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::chain::{Point, seal};
use super::entry::Entry;

/// The longest line, in bytes. The texts and lists of an entry are cut so that none becomes longer, and what is longer
/// is none of ours.
pub(super) const LINE_MAX: usize = 1 << 20;

/// Lines that are written in one go.
#[derive(Debug)]
pub(super) struct Batch {
    /// With a newline each.
    pub(super) bytes: Vec<u8>,
    /// The last one.
    pub(super) last: Point,
    /// How many.
    pub(super) lines: u64,
}

impl Batch {
    /// An empty batch after `last`.
    pub(super) fn after(last: Point) -> Self {
        Batch { bytes: Vec::new(), last, lines: 0 }
    }

    /// The number that the next line has.
    pub(super) fn next_sequence(&self) -> u64 {
        self.last.sequence + 1
    }

    /// Appends the line of an entry, which gets its number here.
    pub(super) fn push(&mut self, mut entry: Entry) {
        let start = self.bytes.len();
        entry.event.sequence = self.next_sequence();
        write_entry(&entry, &mut self.bytes);
        let hash = seal(&mut self.bytes, start, self.last.hash);
        self.last = Point { sequence: entry.event.sequence, hash };
        self.lines += 1;
    }
}

/// Appends an entry's JSON.
pub(super) fn write_entry(entry: &Entry, bytes: &mut Vec<u8>) {
    entry
        .serialize(&mut Serializer::with_formatter(bytes, Ascii))
        .expect("an entry is texts and numbers, and memory takes whatever is written");
}

/// Compact JSON without a byte that a terminal could take for anything but a character: what is not printable
/// ASCII is escaped, line separators and marks that turn the direction of text included.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(position) = rest.bytes().position(|byte| byte >= 0x7f) {
            let (plain, odd) = rest.split_at(position);
            writer.write_all(plain.as_bytes())?;
            let mut characters = odd.chars();
            for unit in characters.next().iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::{Hash, unseal};
    use super::*;

    fn entry(reason: &str) -> Entry {
        let mut entry = Entry::default();
        entry.event.reason = Some(reason.to_owned());
        entry
    }

    #[test]
    fn nothing_in_a_text_reaches_a_terminal_as_it_is() {
        let mut batch = Batch::after(Point::default());
        batch.push(entry("a\n{\"b\u{1b}[31m\u{7f}\u{9b}\u{2028}\u{202e}ä\u{1f600}"));
        let line = String::from_utf8(batch.bytes).unwrap();
        assert!(line.contains(r#""a\n{\"b\u001b[31m\u007f\u009b\u2028\u202e\u00e4\ud83d\ude00""#), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn lines_are_numbered_and_each_one_has_the_hash_of_all_before_it() {
        let mut batch = Batch::after(Point { sequence: 7, hash: Hash::default().then(b"x") });
        batch.push(entry("one"));
        batch.push(entry("two"));
        let lines: Vec<&[u8]> = batch.bytes.trim_ascii_end().split(|&byte| byte == b'\n').collect();
        let (first, first_hash) = unseal(lines[0]).unwrap();
        let (second, second_hash) = unseal(lines[1]).unwrap();
        assert_eq!(first_hash, Hash::default().then(b"x").then(first));
        assert_eq!(second_hash, first_hash.then(second));
        assert_eq!(batch.last, Point { sequence: 9, hash: second_hash });
        assert_eq!(serde_json::from_slice::<Entry>(lines[1]).unwrap().event.sequence, 9);
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was(text: String) {
            let mut batch = Batch::after(Point::default());
            batch.push(entry(&text));
            let printable = |byte: &u8| (b' '..0x7f).contains(byte);
            prop_assert!(batch.bytes.trim_ascii_end().iter().all(printable));
            let back: Entry = serde_json::from_slice(&batch.bytes).unwrap();
            prop_assert_eq!(back.event.reason, Some(text));
        }
    }
}
