//! The load: script processes one after the other, each of them judged when it has ended.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::build::{modules_for, repository};
use luasocketd_tests::{Interpreter, Job, Peer, Running};
use rustix::process::Signal;

use crate::dice::Dice;
use crate::peers::Peers;
use crate::plan::{Process, Way};
use crate::report::{Ending, ScriptReport};
use crate::stage::{LOOK, Target};
use crate::tally::Tally;
use crate::verdict::{Circumstances, judge};

/// The longest life of a process: what is slower is broken. A script waits for 150 seconds, and may be stopped for a minute.
const LIFETIME: Duration = Duration::from_secs(300);
/// How often it is seen whether a process has ended.
const TICK: Duration = Duration::from_millis(5);
/// The pause between processes of a moment: they are to be many, not to have the machine for themselves.
const PAUSE: Duration = Duration::from_millis(15);

/// What all threads of a run share.
pub struct Load {
    /// What everything is chosen by.
    pub seed: u64,
    /// The other ends.
    pub peers: Peers,
    /// The other ends of those that only want an echo.
    pub echo: Peer,
    /// The host that can fork.
    pub host: PathBuf,
    /// How long a script waits for a peer that does not read.
    pub give_up: Duration,
    next: AtomicU64,
    is_over: AtomicBool,
    tally: Mutex<Tally>,
    live: Mutex<Vec<Arc<Live>>>,
}

/// A script process that runs.
struct Live {
    running: Mutex<Option<Running>>,
    is_killed: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is whole whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn is_running(&self) -> bool {
        locked(&self.running).as_mut().is_some_and(Running::is_running)
    }

    fn signal(&self, signal: Signal) -> bool {
        let mut running = locked(&self.running);
        let Some(running) = running.as_mut() else { return false };
        if !running.is_running() {
            return false;
        }
        running.signal(signal);
        self.is_killed.fetch_or(signal == Signal::KILL, Ordering::SeqCst);
        true
    }
}

/// A script that was stopped; it goes on when this is dropped.
pub struct Stopped(Arc<Live>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

impl Load {
    /// Peers, and nothing that runs yet.
    pub fn new(seed: u64, host: PathBuf, give_up: Duration) -> Load {
        Load {
            seed,
            // They begin to read when the script has given up, and before what it has left is dropped.
            peers: Peers::start(give_up * 2 + Duration::from_secs(1)),
            echo: Peer::start(),
            host,
            give_up,
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            tally: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// What it has come to.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }

    /// No further process is started.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether no further process is started.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Runs one process after the other until the end.
    pub fn keep(&self, target: &Target) {
        while !self.is_over() {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            self.run(target, &Process::of(self.seed, number));
        }
    }

    /// The next process, which is to go about it in this way.
    pub fn next(&self, way: Way) -> Process {
        Process::in_way(self.seed, self.next.fetch_add(1, Ordering::SeqCst), way)
    }

    /// Runs one process that goes about it in this way.
    pub fn run_one(&self, target: &Target, way: Way) {
        self.run(target, &self.next(way));
    }

    /// Starts processes of a moment, one after the other, until `more` has enough of them.
    pub fn keep_short(&self, target: &Target, mut more: impl FnMut() -> ControlFlow<()>) {
        let script = repository("tests/soak/lua/short.lua");
        while more().is_continue() {
            let job = Interpreter::Lua54.job_at(&script, target.socket()).arg(self.echo.port().to_string());
            let outcome = job.run();
            let mut tally = self.tally();
            tally.short_processes += 1;
            if !outcome.status.success() {
                tally.complain(format!("a process of a moment: {outcome}"));
            }
            drop(tally);
            thread::sleep(PAUSE);
        }
    }

    /// Kills a script; whether there was one.
    pub fn kill_one(&self, choice: u64) -> bool {
        self.choose(choice).is_some_and(|live| live.signal(Signal::KILL))
    }

    /// Stops a script, if there is one.
    pub fn stop_one(&self, choice: u64) -> Option<Stopped> {
        self.choose(choice).filter(|live| live.signal(Signal::STOP)).map(Stopped)
    }

    fn choose(&self, choice: u64) -> Option<Arc<Live>> {
        let live = locked(&self.live);
        let at = Dice::new(choice, 0).below(live.len().max(1) as u64);
        live.get(at as usize).cloned()
    }

    /// Runs a process and judges its streams.
    pub fn run(&self, target: &Target, process: &Process) {
        let from = Instant::now();
        let job = self.job(target, process);
        let live =
            Arc::new(Live { running: Mutex::new(Some(job.start())), is_killed: AtomicBool::new(false) });
        locked(&self.live).push(Arc::clone(&live));
        while live.is_running() && from.elapsed() < LIFETIME {
            thread::sleep(TICK);
        }
        locked(&self.live).retain(|other| !Arc::ptr_eq(other, &live));
        let Some(running) = locked(&live.running).take() else { return };
        let outcome = running.finish_or_kill();
        let is_script_killed = live.is_killed.load(Ordering::SeqCst);
        let text = outcome.text();
        let Process { interpreter, way, .. } = process;
        let who = format!("{} {way} of the seed {} on {}", interpreter.name(), self.seed, target.name());
        if !is_script_killed && (!outcome.status.success() || outcome.timed_out) {
            self.tally().complain(format!("{who}: {outcome}"));
        }
        for plan in &process.streams {
            let script = ScriptReport::from_lines(plan.stream, &text);
            if matches!(script.ending, Ending::Failed(_)) {
                // That a daemon has come to its end is seen a moment after its scripts see it.
                thread::sleep(4 * LOOK);
            }
            let peer = self.peers.report(plan.stream);
            let circumstances =
                Circumstances { is_script_killed, is_daemon_cut: target.is_cut(from, Instant::now()) };
            let verdict = judge(plan, circumstances, &script, peer.as_ref());
            let mut tally = self.tally();
            tally.add(plan, process.way, &verdict, &who);
            if !verdict.is_good() {
                let ending: &Ending = &script.ending;
                let peer = peer.map(|peer| (peer.received, peer.sent, peer.end));
                tally.complain(format!(
                    "  it said {} accepted, {} received, and ended {ending}; the peer {peer:?}; {circumstances:?}",
                    script.accepted, script.received
                ));
            }
        }
        self.tally().processes += 1;
    }

    fn job(&self, target: &Target, process: &Process) -> Job {
        let script = repository("tests/soak/lua/stream.lua");
        let job = match process.way {
            Way::Fork => {
                let modules = modules_for("5.4");
                let job = Job::new(&self.host).arg(&script);
                job.env("LUA_PATH", modules.lua).env("LUA_CPATH", modules.c)
            }
            _ => process.interpreter.job_at(&script, target.socket()),
        };
        let job = job.env("LUASOCKETD_SOCKET", target.socket()).limit(LIFETIME);
        let job = job.arg(process.way.name()).arg(self.peers.port().to_string());
        job.arg(self.give_up.as_secs().to_string()).args(process.streams.iter().map(|plan| plan.word()))
    }
}
