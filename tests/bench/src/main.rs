//! The benchmark of luasocketd. `cargo xtask bench` builds what is measured and runs this; README.md says what is measured how.

mod child;
mod cli;
mod contender;
mod left;
mod limits;
mod machine;
mod peers;
mod places;
mod progress;
mod relay;
mod report;
mod results;
mod rows;
mod scale;
mod script;
mod served;
mod table;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Mode, TableOptions};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = left::watch().and_then(|()| limits::raise_descriptors()).and_then(|()| match cli.mode {
        None => table(&cli.table),
        Some(Mode::Scale(options)) => scale::measure(&options),
        Some(Mode::Hold) => scale::hold(),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(1)
        }
    }
}

/// Measures, shows and writes the table; whether all of it could be measured.
fn table(options: &TableOptions) -> Result<bool, String> {
    let results = table::measure(options)?;
    if let Some(path) = &options.output.json {
        write(path, &format!("{:#}\n", report::json(&results)))?;
    }
    if let Some(path) = &options.svg {
        write(path, &report::svg(&results))?;
    }
    match options.markdown {
        true => print!("{}", report::markdown(&results)),
        false => print!("{}", report::text(&results, report::Look::of_stdout())),
    }
    Ok(results.is_whole())
}

/// Writes a file that was asked for.
fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
