//! `luasocketd run`: a script in a jailed process of its own, with a private daemon in this one.

use std::process::{Command, ExitCode};

use tracing::level_filters::LevelFilter;

use super::failed;
use super::supervise::supervise;
use crate::cli::RunOptions;
use crate::log;

/// Runs the script and exits as it did.
pub fn run(options: RunOptions) -> ExitCode {
    log::start(LevelFilter::OFF, &options.log);
    let mut helper = Command::new("/proc/self/exe");
    helper.arg("__script").args(options.jail.words()).arg("--");
    helper.arg(options.script.path()).args(options.script.args());
    supervise(&options.policy, &options.trail, &options.jail, helper)
        .unwrap_or_else(|error| failed(format!("cannot run {}: {error}", options.script.path().display())))
}
