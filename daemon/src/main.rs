//! The command line of luasocketd.

#![deny(unsafe_code)]

mod cli;
mod commands;
mod log;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(options) => commands::run(options),
        Command::Serve(options) => commands::serve(options),
        Command::Check(options) => commands::check(options),
        Command::Path(options) => commands::path(options),
        Command::Script(options) => commands::script(options),
        Command::Generate(options) => commands::generate(options),
    }
}
