//! `luasocketd exec`: any command in a jailed process, with a private daemon in this one. A Lua interpreter of
//! any version finds our module there.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use tracing::level_filters::LevelFilter;

use super::failed;
use super::modules;
use super::supervise::supervise;
use crate::cli::ExecOptions;
use crate::log;

/// Runs the command and exits as it did.
pub fn exec(options: ExecOptions) -> ExitCode {
    log::start(LevelFilter::OFF, &options.log);
    let variables = modules::variables(&modules::found(), &|name| env::var_os(name));
    if variables.is_empty() {
        eprintln!("luasocketd: no Lua modules at {}; {}", modules::places(), modules::HELP);
    }
    let mut helper = Command::new("/proc/self/exe");
    helper.arg("__command").args(options.jail.words()).arg("--").args(options.command.words());
    helper.envs(variables);
    supervise(&options.policy, &options.trail, &options.jail, helper).unwrap_or_else(|error| {
        let name: OsString = options.command.name().to_owned();
        failed(format!("cannot run {}: {error}", name.display()))
    })
}
