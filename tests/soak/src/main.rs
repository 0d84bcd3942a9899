//! `cargo xtask soak`: runs load and faults for some minutes, and prints the verdict.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use luasocketd_soak::run::{Outcome, run};
use luasocketd_soak::{schedule, table};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Checks every byte between real Lua scripts and their peers, while scripts and daemons are killed, stopped and starved.
///
/// What is checked: every byte that `send` accepted is delivered, or an error on that socket says that it was not; no byte comes
/// twice, and none out of order. Everything stays on loopback, takes free ports and ends with the call.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask soak",
    bin_name = "cargo xtask soak",
    after_help = "Exit codes: 0 all rows pass; 1 one does not, or the run was interrupted; 2 wrong usage."
)]
struct Cli {
    /// How long the load is kept up.
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = parse_minutes)]
    minutes: f64,
    /// What load and faults are chosen by [default: another one each time; it is printed].
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write the table and the schedule.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match soak(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(1)
        }
    }
}

/// Runs, shows and writes; whether all rows pass.
fn soak(cli: &Cli) -> Result<bool, String> {
    let seed = cli.seed.unwrap_or_else(any_seed);
    let length = Duration::from_secs_f64(cli.minutes * 60.0);
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_interrupted))
            .map_err(|error| format!("cannot wait for signals: {error}"))?;
    }
    let entries = schedule::schedule(seed, length);
    eprint!("soak: seed {seed}, {} s; faults, by second:\n{}", length.as_secs(), schedule::text(&entries));
    let outcome = run(seed, length, &is_interrupted);
    print!("{}", table::text(&outcome.rows, table::Look::of_stdout()));
    outcome.tally.complaints.iter().for_each(|complaint| println!("{complaint}"));
    println!("repeat: cargo xtask soak --minutes {} --seed {seed}", cli.minutes);
    if let Some(path) = &cli.json {
        write(path, &json(seed, length, &entries, &outcome))?;
    }
    Ok(outcome.passed())
}

fn json(seed: u64, length: Duration, entries: &[schedule::Entry], outcome: &Outcome) -> Value {
    let fault = |entry: &schedule::Entry| json!({"at": entry.at.as_secs_f64(), "fault": entry.fault.name()});
    json!({
        "seed": seed,
        "seconds": length.as_secs_f64(),
        "passed": outcome.passed(),
        "rows": table::json(&outcome.rows),
        "complaints": outcome.tally.complaints,
        "schedule": entries.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn write(path: &Path, value: &Value) -> Result<(), String> {
    let text = format!("{value:#}\n");
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A seed that nobody has chosen; short, as people type it again.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_micros())
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.1..=1440.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes from 0.1 to 1440 is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
