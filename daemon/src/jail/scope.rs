//! The end of everything in the jail, also of what the command has left running.
//!
//! The daemon's own process is inside a Landlock scope of signals that it makes before it starts anything. From
//! there the kernel delivers a signal to "everybody" to the jail and nobody else, in one go, so that nothing
//! gets away by forking. The jail itself is a further scope inside that one: from it neither the daemon nor
//! the keeper can be reached.

use std::fmt;
use std::io::{self, PipeWriter};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landlock::RulesetStatus;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// The daemon's scope. Whoever has one has seen that it is in force.
#[derive(Debug)]
pub struct Fence(());

/// Why there is no scope.
#[derive(Debug)]
pub struct NoFence(String);

impl fmt::Display for NoFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Fence {
    /// Keeps the signals of this process, and of all that it starts from here on, among themselves. To be
    /// called while the process has one thread. Sets `no_new_privs`.
    ///
    /// # Errors
    /// When the kernel cannot, or the scope turns out not to hold.
    pub fn raise() -> Result<Fence, NoFence> {
        match super::landlock::keep_signals() {
            Ok(RulesetStatus::FullyEnforced) => Fence::seen(getppid()),
            Ok(status) => Err(NoFence(format!("Landlock is {status:?}"))),
            Err(error) => Err(NoFence(error.to_string())),
        }
    }

    /// The scope that this process is in, and `outside` is not.
    ///
    /// # Errors
    /// When there is none.
    fn seen(outside: Pid) -> Result<Fence, NoFence> {
        // No scope is made without it, so without it this was started by hand.
        if !rustix::thread::no_new_privs().unwrap_or(false) {
            return Err(NoFence("this process is in no jail".to_owned()));
        }
        // A signal to everybody must never leave by mistake: it is sent only where even the parent of the daemon
        // is out of reach. That has number 0 where it is in another namespace of processes.
        match kill(outside, None) {
            Ok(()) if outside.as_raw() != 0 => Err(NoFence("signals leave the scope".to_owned())),
            _ => Ok(Fence(())),
        }
    }

    /// Kills all processes of the jail, and the keeper; not this one.
    pub fn kill_all(&self) {
        match kill(Pid::from_raw(-1), Signal::SIGKILL) {
            // Nobody is left.
            Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
            Err(error) => tracing::error!("cannot end what is left in the jail: {error}"),
        }
    }
}

/// The process that ends the jail when the daemon is killed. It dies with the jail.
#[derive(Debug)]
pub struct Keeper {
    /// Its process.
    pub pid: rustix::process::Pid,
    /// Its end is how the keeper learns of ours.
    _alive: PipeWriter,
}

impl Keeper {
    /// Starts it, in a group of its own: what a terminal sends is not for it. After `limit` it ends all, this
    /// process too: that may be stopped, which a command that stops itself brings about.
    ///
    /// # Errors
    /// The system's.
    pub fn start(_inside: &Fence, limit: Option<Duration>) -> io::Result<Keeper> {
        let (end, alive) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .arg0("luasocketd")
            .arg("__keeper")
            .arg(getppid().to_string())
            .args(limit.map(|limit| limit.as_secs().to_string()))
            .env_clear()
            .stdin(end)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Keeper { pid: rustix::process::Pid::from_child(&child), _alive: alive })
    }
}

/// The keeper's life: waits until the daemon has ended, however it did, or for `limit`, and kills what is left. The
/// process `outside` is the daemon's parent.
///
/// # Errors
/// When this process is no keeper.
pub fn keep(outside: i32, limit: Option<Duration>) -> Result<(), NoFence> {
    let fence = Fence::seen(Pid::from_raw(outside))?;
    let deadline = limit.map(|limit| Instant::now() + limit);
    // Nothing is ever written, so what there is to read is the daemon's end. If it cannot be waited for, the daemon
    // cannot be watched any more.
    let stdin = io::stdin();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    fence.kill_all();
    Ok(())
}
