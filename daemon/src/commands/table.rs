//! Tables and quantities for people.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

/// Bold, and back.
const BOLD: (&str, &str) = ("\x1b[1m", "\x1b[0m");

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table whose columns align.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(head: &[(&'static str, Side)]) -> Self {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// Its text, with a bold head if it is to be coloured.
    pub fn text(&self, colours: bool) -> String {
        let names: Vec<String> = self.head.iter().map(|(name, _)| (*name).to_owned()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.chain(names.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        let head = self.line(&names, &widths);
        match colours {
            true => text.push_str(&format!("{}{head}{}\n", BOLD.0, BOLD.1)),
            false => text.push_str(&format!("{head}\n")),
        }
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, side)) in cells.iter().zip(widths).zip(&self.head) {
            // Writing to a text does not fail.
            let _ = match side {
                Side::Left => write!(line, "{cell:width$}  "),
                Side::Right => write!(line, "{cell:>width$}  "),
            };
        }
        line.trim_end().to_owned()
    }
}

/// Whether standard output takes colours.
pub fn colours() -> bool {
    io::stdout().is_terminal() && wants_colours()
}

/// Whether the user has not said that he wants none.
pub fn wants_colours() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A text that moves no cursor, whoever has chosen it.
pub fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' || is_letter(c) { c } else { '?' };
    text.chars().map(shown).collect()
}

/// Letters outside ASCII, which have a width of their own at most; marks that combine or change the direction of writing
/// are none.
fn is_letter(c: char) -> bool {
    !c.is_ascii() && c.is_alphanumeric()
}

/// Bytes, in at most five characters and the unit.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if count < 1024 {
        return count.to_string();
    }
    let mut value = count as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 999.95
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = Some(next);
    }
    format!("{value:.1}{}", unit.unwrap_or(&""))
}

/// A time, by its two largest units.
pub fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A text, or a dash where there is none.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_where_their_text_does() {
        let mut table = Table::new(&[("NAME", Side::Left), ("N", Side::Right), ("REST", Side::Left)]);
        table.row(vec!["a".into(), "100".into(), String::new()]);
        table.row(vec!["long name".into(), "1".into(), "x".into()]);
        assert_eq!(table.text(false), "NAME         N  REST\na          100\nlong name    1  x\n");
        assert!(table.text(true).starts_with("\x1b[1mNAME"));
    }

    #[test]
    fn nothing_that_is_shown_moves_the_cursor() {
        assert_eq!(printable("a\x1b[2J\n\u{202e}\u{301}ü日"), "a?[2J???ü日");
        let mut table = Table::new(&[("A", Side::Left)]);
        table.row(vec!["\x1b]0;x\x07".into()]);
        assert_eq!(table.text(false), "A\n?]0;x?\n");
    }

    #[test]
    fn quantities_are_short() {
        for (count, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (1024 * 1024 - 1, "1.0M"),
            (5 * 1024 * 1024 * 1024, "5.0G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (ms, text) in
            [(999, "0s"), (59_999, "59s"), (61_000, "1m01s"), (3_600_000, "1h00m"), (90_000_000, "1d01h")]
        {
            assert_eq!(age(ms), text);
        }
    }
}
