//! The operator's log: on standard error, through `tracing`.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, LogOptions};
use crate::commands::wants_colours;

/// The variable that chooses levels by module, in tracing's own words.
const VARIABLE: &str = "LUASOCKETD_LOG";

/// Starts the log at `quiet`, or louder by one level for each `--verbose`.
pub fn start(quiet: LevelFilter, options: &LogOptions) {
    let verbose = options.verbose;
    let levels = [
        LevelFilter::OFF,
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let first = levels.iter().position(|level| *level == quiet).unwrap_or(0);
    // From silence the first step is to what somebody who asks wants to see: every call's outcome.
    let first = if verbose > 0 && quiet == LevelFilter::OFF { 3 } else { first };
    let level = levels[(first + usize::from(verbose)).min(levels.len() - 1)];
    let filter =
        EnvFilter::builder().with_default_directive(level.into()).with_env_var(VARIABLE).from_env_lossy();
    let colours = io::stderr().is_terminal() && wants_colours();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    match options.log_format {
        LogFormat::Plain => log.init(),
        LogFormat::Json => log.json().with_current_span(false).with_span_list(false).init(),
    }
}
