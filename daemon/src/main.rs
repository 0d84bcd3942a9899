//! The command line of luasocketd.

#![deny(unsafe_code)]

mod cli;
mod commands;
mod confine;
mod handover;
mod jail;
mod log;
mod steward;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(options) => commands::run(options),
        Command::Exec(options) => commands::exec(options),
        Command::Serve(options) => commands::serve(options),
        Command::Ps(options) => commands::ps(options),
        Command::Top(options) => commands::top(options),
        Command::Stats(options) => commands::stats(options),
        Command::Kill(options) => commands::kill(options),
        Command::Drain(options) => commands::drain(options),
        Command::Reload(options) => commands::reload(options),
        Command::Audit(options) => commands::audit(*options),
        Command::Check(options) => commands::check(options),
        Command::Path(options) => commands::path(options),
        Command::Script(options) => commands::script(options),
        Command::Become(options) => commands::become_command(options),
        Command::Keeper(options) => commands::keeper(options),
        Command::Steward(options) => commands::steward(options),
        Command::Generate(options) => commands::generate(options),
    }
}
