//! The command's process of `luasocketd exec`: goes into the jail and becomes the command.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::inside::{go_inside, tie_to_daemon};
use super::modules;
use crate::cli::BecomeOptions;
use crate::jail::command_file;

/// The exit codes that shells and `env` have for a command that cannot be run, and for one that is not there.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Becomes the command. Returns only when that fails.
pub fn become_command(options: BecomeOptions) -> ExitCode {
    if let Err(code) = tie_to_daemon() {
        return code;
    }
    let needed = command_file(options.command.name()).into_iter().chain(modules::found_places());
    if let Err(code) = go_inside(&options.jail.jail(needed.collect())) {
        return code;
    }
    let name = options.command.name();
    let error = Command::new(name).args(options.command.args()).exec();
    eprintln!("luasocketd: cannot run {}: {}", name.display(), reason(&error));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such command, or its interpreter is missing".to_owned(),
        _ => error.to_string(),
    }
}
