//! `luasocketd run`: a script in a process of its own, with a private daemon in this one.
//!
//! The script's process inherits one descriptor, its end of the pipe; the daemon's end stays here.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};

use luasocketd::core::policy::Policy;
use luasocketd::core::{Config, Timeouts};
use luasocketd::shell::{Signals, Worker, number};
use rustix::process::{Pid, Signal};
use tracing::level_filters::LevelFilter;

use super::failed;
use crate::cli::{RunOptions, ScriptOptions};
use crate::log;

/// The signals that are for the script, and only kept from ending this process before it has delivered
/// everything.
const FORWARDED: [i32; 6] =
    [number::SIGTERM, number::SIGHUP, number::SIGINT, number::SIGQUIT, number::SIGUSR1, number::SIGUSR2];

/// What a shell adds to the number of the signal that ended a command.
const SIGNAL_EXIT: i32 = 128;

/// Runs the script and exits as it did.
pub fn run(options: RunOptions) -> ExitCode {
    log::start(LevelFilter::OFF, options.log.verbose);
    match run_script(&options) {
        Ok(status) => exit_as(status),
        Err(error) => failed(format!("cannot run {}: {error}", options.script.path().display())),
    }
}

fn run_script(options: &RunOptions) -> io::Result<ExitStatus> {
    let signals = Signals::catch(&[&FORWARDED[..], &[number::SIGCHLD]].concat())?;
    let config = Config { policy: Policy::new(options.policy.allow.clone()), ..Config::default() };
    let mut worker = Worker::new(config, signals)?;
    let (ours, theirs) = UnixStream::pair()?;
    worker.add_client(ours)?;
    let mut child = spawn(&options.script, theirs)?;
    let mut ended = None;
    let served = worker.run(|worker, signal| match signal.number {
        number::SIGCHLD => match child.try_wait() {
            Ok(Some(status)) => {
                ended = Some(status);
                worker.drain(Timeouts::default().linger);
            }
            Ok(None) => {}
            Err(error) => tracing::error!("cannot wait for the script: {error}"),
        },
        // What a terminal sends goes to the script's process by itself.
        number if signal.sent => forward(&child, number),
        _ => {}
    });
    if let Err(error) = served {
        // Without its daemon the script could only wait for answers that nobody gives.
        child.kill()?;
        child.wait()?;
        return Err(error);
    }
    ended.map_or_else(|| child.wait(), Ok)
}

/// Starts this program again as the script's process; it keeps `pipe` and nothing else of ours.
fn spawn(script: &ScriptOptions, pipe: UnixStream) -> io::Result<Child> {
    // This process has one thread, so nobody else can start a process that would inherit it too.
    rustix::io::fcntl_setfd(&pipe, rustix::io::FdFlags::empty())?;
    Command::new("/proc/self/exe")
        .arg0("luasocketd")
        .arg("__script")
        .arg("--")
        .arg(script.path())
        .args(script.args())
        .env("LUASOCKETD_FD", pipe.as_raw_fd().to_string())
        .spawn()
}

fn forward(child: &Child, signal: i32) {
    let (pid, signal) = (Pid::from_child(child), Signal::from_named_raw(signal));
    if let Some(signal) = signal
        && let Err(error) = rustix::process::kill_process(pid, signal)
    {
        tracing::debug!("cannot forward a signal: {error}");
    }
}

/// Ends this process as the script's ended.
fn exit_as(status: ExitStatus) -> ExitCode {
    if let Some(code) = status.code() {
        return ExitCode::from(code as u8);
    }
    let signal = status.signal().unwrap_or(0);
    // It returns only for signals whose default is not to end a process; those cannot have ended one.
    if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
        tracing::error!("cannot end by signal {signal}: {error}");
    }
    ExitCode::from((SIGNAL_EXIT + signal) as u8)
}
