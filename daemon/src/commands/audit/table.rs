//! Answers as tables.

use std::env;
use std::io::{self, IsTerminal};
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use luasocketd::audit::{Dimension, Record, Sums};

use super::words::{lasted, local, local_text, number, shown, size};

/// What the output can show.
pub struct Look {
    /// How wide it is; unlimited if it is no terminal.
    width: Option<u16>,
    has_colours: bool,
}

impl Look {
    /// What standard output can show.
    pub fn of_stdout() -> Self {
        let out = io::stdout();
        if !out.is_terminal() {
            return Look { width: None, has_colours: false };
        }
        let width =
            rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col).filter(|width| *width > 0);
        let refuses = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Look { width, has_colours: !refuses && env::var_os("TERM").is_none_or(|term| term != "dumb") }
    }

    fn table(&self, headers: &[(&str, CellAlignment)]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(
            headers.iter().map(|(name, side)| Cell::new(name.to_uppercase()).set_alignment(*side)),
        );
        for (position, (_, side)) in headers.iter().enumerate() {
            if let Some(column) = table.column_mut(position) {
                column.set_cell_alignment(*side);
                column.set_padding((0, 1));
            }
        }
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        if self.has_colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table
    }

    fn coloured(&self, text: &str, verdict: &str) -> Cell {
        match verdict {
            "deny" if self.has_colours => Cell::new(text).fg(Color::Red),
            "report" if self.has_colours => Cell::new(text).fg(Color::Yellow),
            _ => Cell::new(text),
        }
    }
}

const LEFT: CellAlignment = CellAlignment::Left;
const RIGHT: CellAlignment = CellAlignment::Right;

/// Records, one in each line.
pub fn records(records: &[Record], look: &Look) -> String {
    let headers = [
        ("when", LEFT),
        ("client", LEFT),
        ("uid", RIGHT),
        ("pid", RIGHT),
        ("matter", LEFT),
        ("verdict", LEFT),
        ("host", LEFT),
        ("port", RIGHT),
        ("ip", LEFT),
        ("sent", RIGHT),
        ("received", RIGHT),
        ("lasted", RIGHT),
        ("end", LEFT),
        ("id", LEFT),
    ];
    let mut table = look.table(&headers);
    for record in records {
        table.add_row(cells(record, look));
    }
    finish(&table)
}

fn cells(record: &Record, look: &Look) -> Vec<Cell> {
    let entry = &record.entry;
    let ours = &entry.luasocketd;
    let seen = super::csv::Seen::of(record);
    let verdict = ours.verdict.as_deref().unwrap_or_default();
    let end = match (&ours.end, &entry.error) {
        (Some(end), Some(error)) => format!("{end}: {}", error.message),
        (Some(end), None) => end.clone(),
        (None, Some(error)) => error.message.clone(),
        (None, None) if record.is_open => "open".to_owned(),
        (None, None) if verdict.is_empty() => entry.event.action.clone(),
        (None, None) => entry.event.reason.clone().unwrap_or_default(),
    };
    let bytes = |bytes: Option<u64>| bytes.map(size).unwrap_or_default();
    let texts = [
        local_text(&entry.timestamp),
        ours.client.as_ref().map(|client| shown(&client.name)).unwrap_or_default(),
        entry.user.as_ref().map(|user| shown(&user.id)).unwrap_or_default(),
        entry.process.as_ref().map(|process| process.pid.to_string()).unwrap_or_default(),
        shown(&ours.matter),
        verdict.to_owned(),
        shown(seen.host.unwrap_or_default()),
        seen.port.map(|port| port.to_string()).unwrap_or_default(),
        shown(seen.ip.unwrap_or_default()),
        bytes(seen.sent),
        bytes(seen.received),
        entry.event.duration.map(|time| lasted(Duration::from_nanos(time))).unwrap_or_default(),
        shown(&end),
        shown(&entry.event.id),
    ];
    texts.iter().map(|text| look.coloured(text, verdict)).collect()
}

/// Groups, one in each line.
pub fn groups(groups: &[Sums], by: Dimension, look: &Look) -> String {
    let headers = [
        (by.name(), LEFT),
        ("count", RIGHT),
        ("denied", RIGHT),
        ("sent", RIGHT),
        ("received", RIGHT),
        ("last", LEFT),
    ];
    let mut table = look.table(&headers);
    for group in groups {
        let key = if group.key.is_empty() { "-".to_owned() } else { shown(&group.key) };
        let has_denied = if group.denied > 0 { "deny" } else { "" };
        table.add_row(vec![
            Cell::new(key),
            Cell::new(number(group.count)),
            look.coloured(&number(group.denied), has_denied),
            Cell::new(size(group.sent)),
            Cell::new(size(group.received)),
            Cell::new(local(group.last.time())),
        ]);
    }
    finish(&table)
}

/// What is said of those that are not shown.
pub fn more(count: u64) -> String {
    format!("and {} more; --limit N shows them", number(count))
}

fn finish(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}
