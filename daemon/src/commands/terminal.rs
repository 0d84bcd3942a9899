//! Stopping as the command has stopped, so that the shell that started us gets its terminal back.

use std::fs::{File, OpenOptions};

use nix::sys::signal::{SigSet, SigmaskHow, Signal as BlockedSignal};
use rustix::process::{Pid, Signal};

/// Stops this process, since `child` has stopped; when it is continued, the child is.
///
/// A stop reaches the whole group only if the terminal sends it. One that a program makes for itself, after it
/// has put the screen in order, stays inside the jail.
pub fn stop_with(child: Pid) {
    let ours = rustix::process::getpgrp();
    let theirs = rustix::process::getpgid(Some(child)).unwrap_or(ours);
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
    let owns = |group| terminal.as_ref().is_some_and(|tty| rustix::termios::tcgetpgrp(tty) == Ok(group));
    // A command that is a shell of its own has made itself the terminal's group.
    let lent = theirs != ours && owns(theirs);
    if lent {
        hand(terminal.as_ref(), ours);
    }
    log(rustix::process::kill_process(rustix::process::getpid(), Signal::STOP));
    // Somebody has continued us.
    if lent && owns(ours) {
        hand(terminal.as_ref(), theirs);
    }
    log(rustix::process::kill_process_group(theirs, Signal::CONT));
}

/// Makes `group` the terminal's.
fn hand(terminal: Option<&File>, group: Pid) {
    let Some(terminal) = terminal else { return };
    // A process in the background is stopped for it, unless it blocks the signal.
    let mut stop = SigSet::empty();
    stop.add(BlockedSignal::SIGTTOU);
    let old = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    log(rustix::termios::tcsetpgrp(terminal, group));
    if let Ok(old) = old
        && let Err(error) = old.thread_set_mask()
    {
        tracing::debug!("cannot restore the blocked signals: {error}");
    }
}

fn log(done: rustix::io::Result<()>) {
    if let Err(error) = done {
        tracing::debug!("stopping with the command: {error}");
    }
}
