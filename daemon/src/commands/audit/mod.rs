//! `luasocketd audit`: questions to the audit trail.
//!
//! An interrupt ends it as it ends any program: what the index has not committed is not there, and the next question
//! goes on from there.

mod csv;
mod json;
mod progress;
mod table;
mod verify;
mod words;

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use luasocketd::audit::{
    Dimension, Filter, Index, IndexError, Order, Record, Sums, default_directory, suggest_policy,
};
use tracing::level_filters::LevelFilter;

use super::{failed, misconfigured};
use crate::cli::{AuditOptions, Format, LogOptions};
use crate::log;

/// How many a table shows unless more are asked for: a screen.
const SHOWN: u64 = 40;

/// What stands in the place of a table without rows.
const NOTHING: &str = "nothing that fits was recorded";

/// Answers.
pub fn audit(options: AuditOptions) -> ExitCode {
    log::start(LevelFilter::WARN, &LogOptions::default());
    let filter = match options.what.filter() {
        Ok(filter) => filter,
        Err(error) => return misconfigured(error),
    };
    if options.sort == Some(Order::Name) && options.by.is_none() {
        return misconfigured("`--sort name` needs --by");
    }
    let Some(dir) = options.audit.clone().or_else(default_directory) else {
        return misconfigured(
            "neither XDG_STATE_HOME nor HOME is set: say where the trail is with --audit DIR",
        );
    };
    if options.verify {
        return verify::verify(&dir, options.anchor, options.shown_as());
    }
    match answer(&dir, &options, &filter) {
        Ok(code) => code,
        Err(Trouble::Index(error)) => failed(error),
        // Whoever reads has read enough.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => failed(format!("cannot write the answer: {error}")),
    }
}

/// Why there is no answer.
enum Trouble {
    Index(IndexError),
    Output(io::Error),
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        Trouble::Index(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Output(error)
    }
}

fn answer(dir: &Path, options: &AuditOptions, filter: &Filter) -> Result<ExitCode, Trouble> {
    let mut index = Index::open(dir)?;
    if options.rebuild {
        index.reset()?;
    }
    let mut progress = progress::Progress::new();
    let status = index.catch_up(&mut |done| progress.show(done))?;
    progress.clear();
    if status.unreadable > 0 {
        eprintln!("luasocketd: {} lines of the trail are no entries and are left out", status.unreadable);
    }
    if status.lost > 0 {
        eprintln!("luasocketd: {} records were lost before they came to the trail", status.lost);
    }
    let out = BufWriter::new(io::stdout().lock());
    match print(&index, options, filter, out) {
        // It can be made again.
        Err(Trouble::Index(error)) if error.is_damage() => {
            index.reset()?;
            index.catch_up(&mut |_| {})?;
            print(&index, options, filter, BufWriter::new(io::stdout().lock()))
        }
        printed => printed,
    }
}

fn print(
    index: &Index,
    options: &AuditOptions,
    filter: &Filter,
    mut out: impl Write,
) -> Result<ExitCode, Trouble> {
    if options.suggest_policy {
        return suggest(index, filter, out);
    }
    match options.by {
        Some(by) => {
            let mut groups = index.groups(filter, by, options.order())?;
            let all = groups.len();
            groups.truncate(usize::try_from(limit(options).unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
            print_groups(&groups, all, by, options.shown_as(), &mut out)?;
        }
        None => print_records(index, options, filter, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn limit(options: &AuditOptions) -> Option<u64> {
    let usual = (options.shown_as() == Format::Table).then_some(SHOWN);
    options.limit.or(usual)
}

fn print_groups(
    groups: &[Sums],
    all: usize,
    by: Dimension,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Table if all == 0 => writeln!(out, "{NOTHING}"),
        Format::Table => {
            writeln!(out, "{}", table::groups(groups, by, &table::Look::of_stdout()))?;
            let more = all.saturating_sub(groups.len());
            if more > 0 { writeln!(out, "{}", table::more(more as u64)) } else { Ok(()) }
        }
        Format::Json => groups.iter().try_for_each(|group| json::group(group, by, out)),
        Format::Csv => csv::groups(groups, by, out),
    }
}

fn print_records(
    index: &Index,
    options: &AuditOptions,
    filter: &Filter,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let limit = limit(options);
    let order = options.order();
    let mut written = Ok(());
    match options.shown_as() {
        Format::Table => {
            let mut records = Vec::new();
            index.records(filter, order, limit, &mut |record| {
                records.push(record);
                ControlFlow::Continue(())
            })?;
            let shown = records.len() as u64;
            if records.is_empty() {
                return Ok(writeln!(out, "{NOTHING}")?);
            }
            writeln!(out, "{}", table::records(&records, &table::Look::of_stdout()))?;
            // Less than there may be is all that there is.
            let all = if Some(shown) == limit { index.count(filter)? } else { shown };
            if all > shown {
                writeln!(out, "{}", table::more(all - shown))?;
            }
        }
        Format::Json => {
            index.records(filter, order, limit, &mut |record| {
                go_on(json::record(&record, out), &mut written)
            })?;
        }
        Format::Csv => {
            let mut rows = csv::Records::new(out)?;
            let mut write = |record: &Record| rows.write(record);
            index.records(filter, order, limit, &mut |record| go_on(write(&record), &mut written))?;
            rows.finish()?;
        }
    }
    Ok(written?)
}

/// Ends the question when its answer cannot be written.
fn go_on(done: io::Result<()>, written: &mut io::Result<()>) -> ControlFlow<()> {
    match done {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *written = Err(error);
            ControlFlow::Break(())
        }
    }
}

fn suggest(index: &Index, filter: &Filter, mut out: impl Write) -> Result<ExitCode, Trouble> {
    let facts = index.facts(filter)?;
    let Some(text) = suggest_policy(&facts) else {
        return Ok(failed("nothing is selected that a policy could allow"));
    };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
