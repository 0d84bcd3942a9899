//! A command in its jail, and its private daemon in this process: the parent's part of `run` and `exec`.
//!
//! The command's process inherits one descriptor, its end of the pipe; the daemon's end stays here. As far as
//! anybody outside can tell, this process is the command: signals, stops and the end pass through.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd::audit::Durability;
use luasocketd::core::policy::Policy;
use luasocketd::core::{Config, Timeouts};
use luasocketd::shell::{Caught, Signals, Worker, number};
use nix::unistd::alarm;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};

use super::terminal;
use crate::cli::{JailOptions, PolicyOptions, SPIN, TrailOptions};
use crate::confine::{self, Confinement};
use crate::jail::{Fence, Keeper, Strictness, check};

/// The variable that tells a script the number of its pipe.
pub const PIPE_VARIABLE: &str = "LUASOCKETD_FD";

/// The signals that are for the command, and only kept from ending or stopping this process before the command
/// has.
const FORWARDED: [i32; 9] = [
    number::SIGTERM,
    number::SIGHUP,
    number::SIGINT,
    number::SIGQUIT,
    number::SIGUSR1,
    number::SIGUSR2,
    number::SIGALRM,
    number::SIGTSTP,
    number::SIGWINCH,
];

/// What a shell adds to the number of the signal that ended a command.
const SIGNAL_EXIT: i32 = 128;

/// The exit code when the time of `--time` is over, as `timeout` has it.
const TIME_EXIT: u8 = 124;

/// How many seconds a command whose time is over has for its own end.
const TIME_GRACE: u32 = 2;

/// How long after its time a jail is ended whose daemon has not done it: it is stopped, as its command is.
const LAST_GRACE: Duration = Duration::from_secs(4);

/// How long the end of what was killed is waited for. The kernel needs a moment for each process, and longer for
/// one that waits for a disk.
const END_WAIT: Duration = Duration::from_secs(5);

/// The wait for it looks again after the first of these, then after twice that, up to the second: most are gone
/// within a millisecond.
const END_TICK: Duration = Duration::from_micros(100);
const END_TICK_MAX: Duration = Duration::from_millis(10);

/// Runs the command that `helper` becomes, until all in its jail has ended.
///
/// # Errors
/// When it cannot be started or served, or its jail cannot be made.
pub fn supervise(
    policy: &PolicyOptions,
    trail: &TrailOptions,
    jail: &JailOptions,
    helper: Command,
) -> io::Result<ExitCode> {
    let mut jailed = Jailed::start(policy, trail, jail, helper)?;
    let served = jailed.serve();
    jailed.worker.end_trail();
    jailed.end();
    served?;
    Ok(jailed.exit())
}

/// The command and what ends it.
struct Jailed {
    worker: Worker,
    child: Pid,
    /// None where the kernel has no scope of signals, which a strict jail does not accept.
    fence: Option<Fence>,
    keeper: Option<Keeper>,
    end: End,
}

/// How far the command's end is.
#[derive(Default)]
struct End {
    status: Option<ExitStatus>,
    /// Its time was over, and it was asked to end.
    overdue: bool,
}

/// What the system tells of the command's process.
enum News {
    Ended(ExitStatus),
    Stopped,
    /// Not of the command's: of the process that ends the jail if this one cannot.
    KeeperEnded,
}

impl Jailed {
    fn start(
        policy: &PolicyOptions,
        trail: &TrailOptions,
        jail: &JailOptions,
        helper: Command,
    ) -> io::Result<Jailed> {
        check(&jail.jail(Vec::new())).map_err(|refused| io::Error::other(refused.to_string()))?;
        // The child runs as the same user: it must not look into this process, nor take its descriptors.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let fence = match (Fence::raise(), jail.strictness()) {
            (Ok(fence), _) => Some(fence),
            // The child says what lacks.
            (Err(_), Strictness::BestEffort) => None,
            (Err(reason), Strictness::Strict) => return Err(io::Error::other(format!("no jail: {reason}"))),
        };
        let last = jail.time.map(|time| time + LAST_GRACE);
        let keeper = fence.as_ref().map(|fence| Keeper::start(fence, last)).transpose()?;
        // What the command leaves behind becomes a child of this process, which waits for its end.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let signals = Signals::catch(&caught(&ignored()?))?;
        let config = Config {
            policy: Policy::new(policy.allow.clone()),
            rings: true,
            spin: Duration::from_micros(SPIN.into()),
            ..Config::default()
        };
        let mut worker = Worker::new(config, signals)?;
        // Its thread starts no process either.
        if let Some(settings) = trail.settings(None, Durability::Relaxed) {
            worker.keep_trail(&settings).map_err(io::Error::other)?;
        }
        let (ours, theirs) = UnixStream::pair()?;
        let child = spawn(helper, theirs)?;
        worker.add_client(ours, child.as_raw_nonzero().get())?;
        // Nothing is started any more. A layer of Landlock would hide the command's program, and it has one already.
        let confinement = Confinement {
            strictness: Some(Strictness::BestEffort),
            files: None,
            capabilities: None,
            has_jail: true,
        };
        let lacks = confine::enter(&confinement).map_err(io::Error::other)?;
        if !lacks.is_empty() {
            tracing::info!("{}", confine::warning(&lacks));
        }
        if let Some(time) = jail.time {
            // The option takes whole seconds above 0 that fit.
            alarm::set(u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1));
        }
        Ok(Jailed { worker, child, fence, keeper, end: End::default() })
    }

    /// Serves the command until it has ended and everything that it sent is delivered.
    fn serve(&mut self) -> io::Result<()> {
        let Jailed { worker, child, fence, keeper, end } = self;
        let (fence, child) = (fence.as_ref(), *child);
        let keeper = keeper.as_ref().map(|keeper| keeper.pid);
        let kill_all = || match fence {
            Some(fence) => fence.kill_all(),
            None => send(child, Signal::KILL),
        };
        worker.run(|worker, signal| match signal.number {
            number::SIGCHLD => {
                for news in news(child, keeper) {
                    match news {
                        News::Ended(status) => {
                            end.status = Some(status);
                            // First, so that nobody is left who could send more.
                            if let Some(fence) = fence {
                                fence.kill_all();
                            }
                            worker.drain(Timeouts::default().linger);
                        }
                        News::Stopped => terminal::stop_with(child),
                        // Without it the jail would not end with this process.
                        News::KeeperEnded if end.status.is_none() => {
                            eprintln!("luasocketd: the jail has lost its keeper; it is ended");
                            kill_all();
                        }
                        News::KeeperEnded => {}
                    }
                }
            }
            number::SIGALRM if !signal.sent && end.overdue => kill_all(),
            number::SIGALRM if !signal.sent => {
                eprintln!("luasocketd: the time is over");
                end.overdue = true;
                send(child, Signal::TERM);
                alarm::set(TIME_GRACE);
            }
            // Its number may be another process' by now.
            _ if end.status.is_some() => {}
            _ => forward(child, signal),
        })?;
        Ok(())
    }

    /// Kills what is left, and waits until it is gone.
    fn end(&mut self) {
        match &self.fence {
            Some(fence) => fence.kill_all(),
            None if self.end.status.is_none() => send(self.child, Signal::KILL),
            None => {}
        }
        let deadline = Instant::now() + END_WAIT;
        let mut tick = END_TICK;
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.child => {
                    self.end.status.get_or_insert(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                // Without the scope, what is left was not killed either.
                Ok(None) if self.fence.is_none() && self.end.status.is_some() => return,
                Ok(None) if Instant::now() < deadline => {
                    thread::sleep(tick);
                    tick = (tick * 2).min(END_TICK_MAX);
                }
                Ok(None) => return tracing::warn!("what the command has left running does not end"),
                Err(_) => return,
            }
        }
    }

    /// Ends this process as the command's ended.
    fn exit(&self) -> ExitCode {
        match self.end.status {
            _ if self.end.overdue => ExitCode::from(TIME_EXIT),
            Some(status) => exit_as(status),
            None => ExitCode::FAILURE,
        }
    }
}

/// Starts this program again as the command's process; it keeps `pipe` and nothing else of ours.
fn spawn(mut helper: Command, pipe: UnixStream) -> io::Result<Pid> {
    // This process has one thread, so nobody else can start a process that would inherit it too.
    rustix::io::fcntl_setfd(&pipe, rustix::io::FdFlags::empty())?;
    let child = helper.arg0("luasocketd").env(PIPE_VARIABLE, pipe.as_raw_fd().to_string()).spawn()?;
    Ok(Pid::from_child(&child))
}

/// What has happened to the command's process. Reaps all that has ended, whosever child it was.
fn news(child: Pid, keeper: Option<Pid>) -> Vec<News> {
    let mut news = Vec::new();
    loop {
        match rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == child => news.push(told(status)),
            Ok(Some((pid, status))) if Some(pid) == keeper && !status.stopped() => {
                news.push(News::KeeperEnded)
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return news,
        }
    }
}

fn told(status: WaitStatus) -> News {
    if status.stopped() { News::Stopped } else { News::Ended(ExitStatus::from_raw(status.as_raw())) }
}

fn forward(child: Pid, signal: Caught) {
    // What a terminal sends goes to the command's process by itself.
    if signal.sent
        && let Some(signal) = Signal::from_named_raw(signal.number)
    {
        send(child, signal);
    }
}

fn send(child: Pid, signal: Signal) {
    if let Err(error) = rustix::process::kill_process(child, signal) {
        tracing::debug!("cannot send a signal: {error}");
    }
}

/// The signals to be caught. One that was ignored stays so, for the command too: it would have been ignored
/// without this process in between.
fn caught(ignored: &[i32]) -> Vec<i32> {
    let forwarded = FORWARDED.into_iter().filter(|signal| !ignored.contains(signal));
    forwarded.chain([number::SIGCHLD, number::SIGALRM]).collect()
}

/// The signals that whoever started this process has it ignore.
fn ignored() -> io::Result<Vec<i32>> {
    Ok(ignored_in(&std::fs::read_to_string("/proc/self/status")?))
}

fn ignored_in(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_stays_ignored() {
        let ignored = ignored_in("SigBlk:\t0000000000000007\nSigIgn:\t0000000000001003\nSigCgt:\t0\n");
        assert_eq!(ignored, [1, 2, 13]);
        let caught = caught(&ignored);
        assert!(!caught.contains(&number::SIGHUP) && !caught.contains(&number::SIGINT));
        assert!(caught.contains(&number::SIGTERM) && caught.contains(&number::SIGCHLD));
        assert!(ignored_in("").is_empty());
    }
}
