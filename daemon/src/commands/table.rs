//! Tables and quantities for people.

use std::env;
use std::io::{self, IsTerminal};

use comfy_table::{Attribute, Cell, CellAlignment, presets};

/// Blanks between columns.
const GAP: u16 = 2;

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
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        let bold = |cell: Cell| if colours { cell.add_attribute(Attribute::Bold) } else { cell };
        table.set_header(self.head.iter().map(|(name, _)| bold(Cell::new(name))));
        for ((_, side), column) in self.head.iter().zip(table.column_iter_mut()) {
            column.set_padding((0, GAP)).set_cell_alignment(match side {
                Side::Left => CellAlignment::Left,
                Side::Right => CellAlignment::Right,
            });
        }
        table.add_rows(&self.rows);
        if colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.trim_fmt() + "\n"
    }
}

/// Whether standard output takes colours.
pub fn colours() -> bool {
    io::stdout().is_terminal() && wants_colours()
}

/// Whether the user has not said that he wants none, and his terminal can show them.
pub fn wants_colours() -> bool {
    let refuses = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refuses && env::var_os("TERM").is_none_or(|term| term != "dumb")
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
        // Letters that take two columns of a terminal move nothing either.
        let mut table = Table::new(&[("A", Side::Left), ("B", Side::Left)]);
        table.row(vec!["日本".into(), "x".into()]);
        assert_eq!(table.text(false), "A     B\n日本  x\n");
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
