//! The table as the README has it.

use crate::contender::Contender;
use crate::results::{Line, Results, Run};

/// A table for each interpreter, and under it the machine.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for run in &results.runs {
        text.push_str(&table(results, run));
        text.push('\n');
    }
    text.push_str(&format!(
        "Medians of {} rounds of {} s, in turn; × is speed relative to LuaSocket in-process, with the range of luasocketd's \
         rounds against LuaSocket's median. Processor time: seconds for 10^9 bytes or 100,000 operations, LuaSocket's process \
         → script + luasocketd. {}. {}.\n",
        results.rounds,
        results.seconds,
        results.machine.text(),
        results.machine.programs(),
    ));
    for (contender, why) in &results.absent {
        text.push_str(&format!("\n{} is left out: {why}\n", contender.name()));
    }
    text
}

fn table(results: &Results, run: &Run) -> String {
    let relays: Vec<Contender> = others(results).collect();
    let mut head = vec![run.lua.title().to_owned(), "LuaSocket".into(), "luasocketd".into()];
    head.extend(["×", "target"].map(str::to_owned));
    head.extend(relays.iter().map(|relay| format!("{} ×", relay.name())));
    head.push("processor time".into());
    let mut rows = vec![head];
    rows.extend(run.lines.iter().map(|line| cells(line, &relays)));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let show = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>();
    format!("{}|{rule}\n{}", show(&rows[0]), rows[1..].iter().map(show).collect::<String>())
}

/// Whoever is in the table besides LuaSocket and luasocketd.
fn others(results: &Results) -> impl Iterator<Item = Contender> {
    let known = [Contender::Luasocket, Contender::Luasocketd];
    results.contenders.iter().copied().filter(move |contender| !known.contains(contender))
}

fn cells(line: &Line, others: &[Contender]) -> Vec<String> {
    let unit = line.row.unit;
    let rate =
        |contender: Contender| line.rate(contender).map_or("-".to_owned(), |rate| unit.rate(rate.median));
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let ours = || {
        let (base, own) = (line.rate(Contender::Luasocket)?, line.rate(Contender::Luasocketd)?);
        let spread = own.map(|value| value / base.median);
        Some(format!("**{:.2}** [{:.2}–{:.2}]", spread.median, spread.low, spread.high))
    };
    let verdict = match line.is_met(Contender::Luasocketd) {
        Some(true) => "met",
        Some(false) => "missed",
        None => "-",
    };
    let cpu = || {
        let (direct, _) = line.cell(Contender::Luasocket)?.cpu(unit)?;
        let (script, daemon) = line.cell(Contender::Luasocketd)?.cpu(unit)?;
        Some(format!("{direct:.2} → {script:.2} + {daemon:.2}"))
    };
    let dash = || "-".to_owned();
    // A title may have a pattern in it, but no bar.
    let mut cells = vec![line.row.title.to_owned(), rate(Contender::Luasocket), rate(Contender::Luasocketd)];
    cells.push(ours().unwrap_or_else(dash));
    cells.push(format!("≥ {:.2} {verdict}", line.row.target));
    cells.extend(others.iter().map(|other| ratio(line.speed(*other))));
    cells.push(cpu().unwrap_or_else(dash));
    cells
}
