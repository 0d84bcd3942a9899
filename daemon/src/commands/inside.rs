//! What the script's and the command's process do first.

use std::env;
use std::os::fd::RawFd;
use std::process::ExitCode;

use rustix::process::Signal;

use super::failed;
use super::supervise::PIPE_VARIABLE;
use crate::jail::{Jail, enter, warning};

/// Has this process killed when its daemon ends: without it, it must not go on unseen.
///
/// # Errors
/// The exit code, after the reason was said.
pub fn tie_to_daemon() -> Result<(), ExitCode> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed(format!("cannot tie this process to its daemon: {error}")))
}

/// Goes into the jail.
///
/// # Errors
/// The exit code, after the reason was said.
pub fn go_inside(jail: &Jail) -> Result<(), ExitCode> {
    let lacks = enter(jail, pipe()).map_err(failed)?;
    if !lacks.is_empty() {
        eprintln!("luasocketd: {}", warning(&lacks));
    }
    Ok(())
}

/// The descriptor that stays open.
fn pipe() -> Option<RawFd> {
    env::var(PIPE_VARIABLE).ok()?.parse().ok()
}
