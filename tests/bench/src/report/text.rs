//! The table for the terminal.

use std::env;
use std::io::{self, IsTerminal};

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

use crate::contender::Contender;
use crate::results::{Line, Results, Spread};

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

    /// An empty table, with numbers on the right of their columns.
    pub fn table(self, headers: &[(&str, CellAlignment)]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let name = |(name, side): &(&str, CellAlignment)| Cell::new(name.to_uppercase()).set_alignment(*side);
        table.set_header(headers.iter().map(name));
        for (position, (_, side)) in headers.iter().enumerate() {
            if let Some(column) = table.column_mut(position) {
                column.set_cell_alignment(*side);
                column.set_padding((0, 2));
            }
        }
        match self.has_colours {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        table
    }

    /// Whether something is as it is to be.
    pub fn verdict(self, is_met: Option<bool>) -> Cell {
        let (word, colour) = match is_met {
            Some(true) => ("met", Color::Green),
            Some(false) => ("missed", Color::Red),
            None => return Cell::new(""),
        };
        if self.has_colours { Cell::new(word).fg(colour) } else { Cell::new(word) }
    }

    /// A cell that is read first.
    pub fn strong(self, text: impl ToString) -> Cell {
        let cell = Cell::new(text);
        if self.has_colours { cell.add_attribute(Attribute::Bold) } else { cell }
    }
}

/// Lines do not end in blanks.
pub fn trimmed(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Everything, for people.
pub fn text(results: &Results, look: Look) -> String {
    let mut text = format!("{}\n{}\n\n", results.machine.text(), results.machine.programs());
    text.push_str(&format!(
        "Medians of {} rounds of {} s each, in turn, and their range. Processor time is in seconds, of the script's process \
         and of what\nlies between it and the network, for 10^9 bytes or for 100,000 operations. OURS × is how many times \
         faster luasocketd is.\n",
        results.rounds, results.seconds
    ));
    for run in &results.runs {
        text.push_str(&format!("\n{}\n", run.lua.title()));
        let mut table = look.table(&HEADERS);
        for line in &run.lines {
            rows_of(line, look, &mut table);
        }
        text.push_str(&trimmed(&table));
    }
    for (contender, why) in &results.absent {
        text.push_str(&format!("\n{} is left out: {why}", contender.name()));
    }
    for failure in results.failures() {
        text.push_str(&format!("\nfailed: {failure}"));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

const HEADERS: [(&str, CellAlignment); 10] = [
    ("work", CellAlignment::Left),
    ("through", CellAlignment::Left),
    ("median", CellAlignment::Right),
    ("range", CellAlignment::Left),
    ("× LuaSocket", CellAlignment::Right),
    ("target", CellAlignment::Right),
    ("", CellAlignment::Left),
    ("ours ×", CellAlignment::Right),
    ("cpu script", CellAlignment::Right),
    ("between", CellAlignment::Right),
];

fn rows_of(line: &Line, look: Look, table: &mut Table) {
    let unit = line.row.unit;
    for (position, cell) in line.cells.iter().enumerate() {
        let contender = cell.contender;
        let title = if position == 0 { line.row.title } else { "" };
        let Some(rate) = cell.rate(unit) else {
            let why = if cell.failure.is_some() { "failed" } else { "-" };
            table.add_row(vec![Cell::new(title), Cell::new(contender.name()), Cell::new(why)]);
            continue;
        };
        let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let is_ours = contender.is_ours();
        let strong = |text: String| if is_ours { look.strong(text) } else { Cell::new(text) };
        let target = if is_ours { format!("≥ {:.2}", line.row.target) } else { String::new() };
        let met = if is_ours { line.is_met(contender) } else { None };
        // How often ours fits into the others.
        let ours = if is_ours { None } else { line.ratio(Contender::Luasocketd, contender) };
        let (script, between) = cell.cpu(unit).unwrap_or_default();
        table.add_row(vec![
            Cell::new(title),
            strong(contender.name().to_owned()),
            Cell::new(unit.rate(rate.median)),
            Cell::new(range(rate, |value| unit.rate(value))),
            strong(ratio(line.speed(contender))),
            Cell::new(target),
            look.verdict(met),
            Cell::new(ratio(ours)),
            Cell::new(format!("{script:.2}")),
            Cell::new(if contender == Contender::Luasocket {
                String::new()
            } else {
                format!("{between:.2}")
            }),
        ]);
    }
}

/// From where to where.
pub fn range(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!("{} – {}", show(spread.low), show(spread.high))
}
