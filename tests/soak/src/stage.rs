//! The daemons of a run: one that lasts, and one that is killed, started again and replaced.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use luasocketd_tests::{Daemon, Job, Running, Trail, program, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long the end of a killed process may take to be seen.
const SOON: Duration = Duration::from_secs(10);
/// How long a daemon whose place was taken serves the clients that it has.
const DRAIN: &str = "20";
/// How long a daemon may live; no run comes near.
const LIFETIME: Duration = Duration::from_secs(48 * 3600);

/// Where scripts find a daemon, and when it was cut off.
pub struct Target {
    name: &'static str,
    socket: PathBuf,
    cuts: Mutex<Vec<(Instant, Instant)>>,
}

impl Target {
    /// A daemon that listens on this path, and what complaints call it.
    pub fn new(name: &'static str, socket: &Path) -> Target {
        Target { name, socket: socket.to_owned(), cuts: Mutex::default() }
    }

    /// What complaints call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The path of its pipe.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether a daemon behind it was cut off within a time, or was not there.
    pub fn is_cut(&self, from: Instant, to: Instant) -> bool {
        self.cuts().iter().any(|(begin, end)| *begin <= to && *end >= from)
    }

    fn cut(&self, from: Instant, to: Instant) {
        self.cuts().push((from, to));
    }

    /// The last one is over.
    fn healed(&self, at: Instant) {
        if let Some((_, to)) = self.cuts().last_mut() {
            *to = at;
        }
    }

    fn cuts(&self) -> MutexGuard<'_, Vec<(Instant, Instant)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The daemon that is killed and replaced.
pub struct Mortal {
    directory: TempDir,
    running: Running,
    /// The one that serves.
    pid: u32,
    /// One whose place was taken, while it has clients, and since when it drains.
    old: Option<u32>,
}

impl Mortal {
    /// Starts it.
    pub fn start() -> Mortal {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let running = launch(directory.path());
        Mortal { pid: running.pid(), running, directory, old: None }
    }

    /// The path of its pipe.
    pub fn socket(&self) -> PathBuf {
        socket_in(self.directory.path())
    }

    /// Kills it, and its predecessor if that has clients yet, and starts it again on the same trail.
    pub fn kill(&mut self, target: &Target) {
        // It is known before any script can tell of it; as long as nothing listens there is no end to it.
        let from = Instant::now();
        target.cut(from, from + LIFETIME);
        self.end();
        self.running = launch(self.directory.path());
        self.pid = self.running.pid();
        target.healed(Instant::now());
    }

    /// Has a new process take its place; says why not, as long as the one before has clients.
    ///
    /// # Errors
    /// What the operator is told.
    pub fn replace(&mut self, target: &Target) -> Result<(), String> {
        self.look(target);
        let admin = self.directory.path().join("daemon.sock.admin");
        let job = Job::new(program()).args(["reload", "--exec", "--json", "--admin"]).arg(admin);
        let outcome = job.run();
        if !outcome.status.success() {
            return Err(outcome.errors());
        }
        let answer: Value = serde_json::from_str(&outcome.text()).map_err(|error| error.to_string())?;
        let pid = answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).ok_or("no pid")?;
        self.old = Some(std::mem::replace(&mut self.pid, pid));
        Ok(())
    }

    /// Sees whether a daemon whose place was taken has ended: its clients were cut off if they had not gone.
    pub fn look(&mut self, target: &Target) {
        if self.old.is_some_and(|old| !runs(old)) {
            self.old = None;
            let now = Instant::now();
            // It ended since the last look, or a little before.
            target.cut(now.checked_sub(2 * LOOK).unwrap_or(now), now);
        }
    }

    /// Ends it in order, and waits until it has written its trail.
    pub fn finish(&mut self) -> Trail {
        for pid in [self.old.take(), Some(self.pid)].into_iter().flatten() {
            let _ = kill_process(number(pid), Signal::TERM);
            wait_until("the daemon ends", 6 * SOON, || self.is_gone(pid));
        }
        Trail::at(trail_in(self.directory.path()))
    }

    fn end(&mut self) {
        for pid in [self.old.take(), Some(self.pid)].into_iter().flatten() {
            // Gone is what it should be.
            let _ = kill_process(number(pid), Signal::KILL);
            wait_until("the killed daemon is gone", SOON, || self.is_gone(pid));
        }
        // Its last thread may hold the listening socket a moment longer than its process seems to be there.
        let socket = self.socket();
        wait_until("nobody listens any more", SOON, || UnixStream::connect(&socket).is_err());
    }

    fn is_gone(&mut self, pid: u32) -> bool {
        // The first is a child that has to be waited for.
        !self.running.is_running() && self.running.pid() == pid || !runs(pid)
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.end();
    }
}

/// How often it is seen to that what has ended is known to have.
pub const LOOK: Duration = Duration::from_millis(250);

fn launch(directory: &Path) -> Running {
    let socket = socket_in(directory);
    let job =
        Job::new(program()).arg("serve").arg("--socket").arg(&socket).arg("--audit").arg(trail_in(directory));
    let job = job.args(["--durability", "relaxed", "--allow", "*", "--drain-timeout", DRAIN]).limit(LIFETIME);
    let mut running = job.start();
    assert_eq!(running.line(), format!("ready {}", socket.display()), "the ready line");
    running
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("daemon.sock")
}

fn trail_in(directory: &Path) -> PathBuf {
    directory.join("daemon.audit")
}

fn number(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("a process has a number")
}

fn runs(pid: u32) -> bool {
    // One that nobody has waited for yet does not run.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|state| !state.contains(") Z "))
}

/// The daemon that lasts, with two loops.
pub fn lasting() -> Daemon {
    Daemon::launched(|_, socket| Daemon::job(socket).args(["--allow", "*", "--workers", "2"]))
}
