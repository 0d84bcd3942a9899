//! The verdict table: what was found, within which limit, and whether that is enough.

use std::env;
use std::io::{self, IsTerminal};

use comfy_table::{Cell, CellAlignment, Color, Table, presets};
use serde_json::{Value, json};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What it has to be.
    pub limit: String,
    /// Whether it is.
    pub passed: bool,
}

impl Row {
    /// A number that has to be at least so large.
    pub fn at_least(what: &str, found: u64, limit: u64) -> Row {
        Row {
            what: what.into(),
            found: spaced(found),
            limit: format!(">= {}", spaced(limit)),
            passed: found >= limit,
        }
    }

    /// A number that has to be at most so large.
    pub fn at_most(what: &str, found: u64, limit: u64) -> Row {
        let limit_text = if limit == 0 { "0".into() } else { format!("<= {}", spaced(limit)) };
        Row { what: what.into(), found: spaced(found), limit: limit_text, passed: found <= limit }
    }

    /// A measure with its unit that has to be at most so large.
    pub fn measured(what: &str, found: f64, limit: f64, unit: &str) -> Row {
        Row {
            what: what.into(),
            found: format!("{found:.1} {unit}"),
            limit: format!("<= {limit:.1} {unit}"),
            passed: found <= limit,
        }
    }

    /// Something that has to be so.
    pub fn holds(what: &str, outcome: &Result<String, String>) -> Row {
        let (found, passed) = match outcome {
            Ok(found) => (found.clone(), true),
            // Its first line: the rest is among the complaints.
            Err(error) => (error.lines().next().unwrap_or_default().to_owned(), false),
        };
        Row { what: what.into(), found, limit: "yes".into(), passed }
    }
}

/// Thousands apart, for people.
fn spaced(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// What the output can show.
#[derive(Clone, Copy)]
pub struct Look {
    has_colours: bool,
}

impl Look {
    /// What standard output can show.
    pub fn of_stdout() -> Look {
        let refuses = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Look { has_colours: io::stdout().is_terminal() && !refuses && !is_dumb }
    }

    fn verdict(self, passed: bool) -> Cell {
        let (word, colour) = if passed { ("pass", Color::Green) } else { ("FAIL", Color::Red) };
        if self.has_colours { Cell::new(word).fg(colour) } else { Cell::new(word) }
    }
}

const HEADERS: [(&str, CellAlignment); 4] = [
    ("WHAT", CellAlignment::Left),
    ("FOUND", CellAlignment::Right),
    ("LIMIT", CellAlignment::Right),
    ("", CellAlignment::Left),
];

/// The table for people.
pub fn text(rows: &[Row], look: Look) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADERS.iter().map(|(name, side)| Cell::new(name).set_alignment(*side)));
    for (position, (_, side)) in HEADERS.iter().enumerate() {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(*side);
            column.set_padding((0, 2));
        }
    }
    match look.has_colours {
        true => table.enforce_styling(),
        false => table.force_no_tty(),
    };
    for row in rows {
        let cells = [&row.what, &row.found, &row.limit].map(Cell::new);
        table.add_row(cells.into_iter().chain([look.verdict(row.passed)]));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The table for machines.
pub fn json(rows: &[Row]) -> Value {
    rows.iter()
        .map(|Row { what, found, limit, passed }| {
            json!({"what": what, "found": found, "limit": limit, "passed": passed})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_decide() {
        assert!(Row::at_least("a", 3, 3).passed && !Row::at_least("a", 2, 3).passed);
        assert!(Row::at_most("a", 0, 0).passed && !Row::at_most("a", 1, 0).passed);
        assert!(Row::measured("a", 1.0, 1.0, "ms").passed && !Row::measured("a", 1.1, 1.0, "ms").passed);
        assert!(!Row::holds("a", &Err("one\ntwo".into())).passed);
    }

    #[test]
    fn columns_align_and_there_is_no_colour_without_a_terminal() {
        let rows = [Row::at_most("bytes lost", 0, 0), Row::at_least("bytes checked", 12_345_678, 1)];
        let text = text(&rows, Look { has_colours: false });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[2].contains("12 345 678"), "{text}");
        let ends = lines[1..].iter().map(|line| line.find("pass"));
        assert_eq!(ends.clone().next(), ends.clone().next_back(), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
