//! One run: load, faults, and what is to be seen at the end.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::build::repository;
use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::{Daemon, Interpreter, Job, Trail};
use rustix::process::Signal;

use crate::load::{Load, Stopped};
use crate::phases;
use crate::plan::{Manner, Way};
use crate::progress::Progress;
use crate::schedule::{Entry, Fault, schedule, stop_length};
use crate::stage::{LOOK, Mortal, Target, lasting};
use crate::table::Row;
use crate::tally::Tally;

/// Threads that keep one process after the other on the daemon that lasts, and on the other one.
const ON_LASTING: usize = 3;
const ON_MORTAL: usize = 2;
/// Processes of a moment before anything is measured: what a daemon makes once is no leak.
const WARM: usize = 50;
/// From here on a run is long: scripts are stopped for a minute, and wait longer for a peer that does not read.
const LONG: Duration = Duration::from_secs(300);
/// How long a daemon may take to let go of what it delivers yet: its linger time and some.
const SETTLE: Duration = Duration::from_secs(40);

/// Resident memory that may have come to be the daemon's own for good: what its allocator keeps of the peaks of a few
/// streams with megabytes in flight, whatever the length of the run.
const MEMORY_GROWTH: u64 = 16 << 20;
/// The share of a core that a daemon without descriptors may use, as clients knock.
const STARVED: f64 = 20.0;
/// The 99th percentile and the worst of a ping, in milliseconds, on a machine whose cores are all busy.
const P99: f64 = 250.0;
const WORST: f64 = 5000.0;

/// What a run has come to.
pub struct Outcome {
    /// The verdict table.
    pub rows: Vec<Row>,
    /// The sums.
    pub tally: Tally,
}

impl Outcome {
    /// Whether all rows pass.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.passed)
    }
}

/// What is found beside the streams.
#[derive(Default)]
struct Findings {
    starved: Option<f64>,
    rows: Vec<Row>,
}

/// Runs for so long, or until `is_interrupted`.
pub fn run(seed: u64, length: Duration, is_interrupted: &AtomicBool) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let give_up = Duration::from_secs(if length >= LONG { 8 } else { 2 });
    let load = Load::new(seed, forking_host(directory.path()), give_up);
    let (daemon, mut mortal) = (lasting(), Mortal::start());
    let (lasting, other) = (
        Target::new("the daemon that lasts", daemon.socket()),
        Target::new("the one that is killed", &mortal.socket()),
    );
    warm_up(&load, &lasting);
    let _ = settle(&daemon, 0, Duration::from_secs(2));
    let before = Footprint::of(&daemon);
    let findings = Mutex::new(Findings::default());
    let ping = repository("tests/soak/lua/ping.lua");
    let ping = Interpreter::Lua54.job(&ping, &daemon).arg(load.echo.port().to_string());
    let ping = ping.arg(length.as_secs().to_string()).limit(length * 2 + SETTLE).start();
    thread::scope(|scope| {
        (0..ON_LASTING).for_each(|_| drop(scope.spawn(|| load.keep(&lasting))));
        (0..ON_MORTAL).for_each(|_| drop(scope.spawn(|| load.keep(&other))));
        scope.spawn(|| load.keep_short(&lasting, || until(load.is_over())));
        let mut injector = Injector {
            load: &load,
            mortal: &mut mortal,
            other: &other,
            lasting: &lasting,
            findings: &findings,
            length,
            waiting: schedule(seed, length).into(),
            stopped: Vec::new(),
        };
        // Whatever goes wrong in between, the threads of the scope end.
        let _end = EndOfLoad(&load);
        injector.inject_all(scope, is_interrupted);
    });
    mortal.look(&other);
    let ping = ping.finish_or_kill();
    let mut findings = findings.into_inner().expect("no thread has panicked");
    findings.rows.extend(
        latency(&ping.text())
            .unwrap_or_else(|| vec![Row::holds("the polite client", &Err(ping.to_string()))]),
    );
    let settled = settle(&daemon, before.descriptors, SETTLE);
    findings.rows.extend(before.compared(&Footprint::of(&daemon), settled));
    let trail = daemon.trail();
    findings.rows.push(Row::at_most("open audit records at the end", trail.open_records() as u64, 0));
    daemon.signal(Signal::TERM);
    let ended = daemon_ended(daemon, &trail);
    let of_mortal = phases::verified(&mortal.finish()).map(|()| "whole".to_owned());
    findings.rows.push(Row::holds("audit chain of the daemon that lasts", &ended));
    findings.rows.push(Row::holds("audit chain of the one that is killed", &of_mortal));
    let to_the_end = match is_interrupted.load(Ordering::SeqCst) {
        true => Err("interrupted".into()),
        false => Ok("yes".into()),
    };
    findings.rows.push(Row::holds("ran to its end", &to_the_end));
    let mut tally = load.tally().clone();
    for error in [&ended, &of_mortal].into_iter().filter_map(|outcome| outcome.as_ref().err()) {
        tally.complain(error.clone());
    }
    Outcome { rows: rows(&tally, findings, length), tally }
}

/// Ends the load when it is dropped.
struct EndOfLoad<'a>(&'a Load);

impl Drop for EndOfLoad<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn until(is_over: bool) -> ControlFlow<()> {
    if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Compiles the host that can fork.
fn forking_host(directory: &Path) -> PathBuf {
    let compiler = find_command("cc").expect("a C compiler is missing; run: apt-get install gcc");
    let headers = Path::new("/usr/include/lua5.4");
    assert!(headers.join("lua.h").is_file(), "lua.h is missing; run: apt-get install liblua5.4-dev");
    let host = directory.join("forking");
    let job = Job::new(compiler).args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&host);
    let job = job.arg(repository("tests/soak/host/forking.c")).arg(format!("-I{}", headers.display()));
    job.args(["-llua5.4", "-ldl"]).run().success();
    host
}

/// Has the daemon do everything once.
fn warm_up(load: &Load, target: &Target) {
    for way in Way::ALL {
        load.run_one(target, *way);
    }
    let mut left = WARM;
    load.keep_short(target, || {
        left -= 1;
        until(left == 0)
    });
}

/// Injects the faults of the schedule when they are due.
struct Injector<'a> {
    load: &'a Load,
    mortal: &'a mut Mortal,
    other: &'a Target,
    lasting: &'a Target,
    findings: &'a Mutex<Findings>,
    length: Duration,
    waiting: VecDeque<Entry>,
    stopped: Vec<(Instant, Stopped)>,
}

impl<'a> Injector<'a> {
    fn inject_all<'s>(&mut self, scope: &'s thread::Scope<'s, '_>, is_interrupted: &AtomicBool)
    where
        'a: 's,
    {
        let (start, progress) = (Instant::now(), Progress::new(self.length));
        while start.elapsed() < self.length && !is_interrupted.load(Ordering::SeqCst) {
            let due = self.waiting.partition_point(|entry| entry.at <= start.elapsed());
            let due: Vec<Entry> = self.waiting.drain(..due).collect();
            // What cannot be done now is tried again.
            let later: Vec<Entry> = due.into_iter().filter(|entry| !self.inject(scope, *entry)).collect();
            later.into_iter().rev().for_each(|entry| self.waiting.push_front(entry));
            self.stopped.retain(|(until, _)| Instant::now() < *until);
            self.mortal.look(self.other);
            progress.show(&self.load.tally());
            thread::sleep(LOOK);
        }
        self.stopped.clear();
        progress.end();
    }

    /// Injects one; whether it could be done.
    fn inject<'s>(&mut self, scope: &'s thread::Scope<'s, '_>, entry: Entry) -> bool
    where
        'a: 's,
    {
        let Entry { fault, choice, .. } = entry;
        let (load, lasting, findings) = (self.load, self.lasting, self.findings);
        let is_done = match fault {
            Fault::KillScript => load.kill_one(choice),
            Fault::StopScript => match load.stop_one(choice) {
                Some(stopped) => {
                    self.stopped.push((Instant::now() + stop_length(self.length, choice), stopped));
                    true
                }
                None => false,
            },
            Fault::KillDaemon => {
                self.mortal.kill(self.other);
                true
            }
            Fault::Handover => self.hand_over(),
            Fault::Fork => {
                scope.spawn(move || load.run_one(lasting, Way::Fork));
                true
            }
            Fault::Descriptors => {
                scope.spawn(move || {
                    note(load, fault, || {
                        let share = phases::descriptors(load)? * 100.0;
                        let mut findings = findings.lock().expect("no thread has panicked");
                        findings.starved = Some(findings.starved.unwrap_or(0.0).max(share));
                        Ok(())
                    })
                });
                true
            }
            Fault::Disk => {
                scope.spawn(move || note(load, fault, || phases::disk(load)));
                true
            }
            Fault::Resolver => {
                scope.spawn(move || note(load, fault, phases::resolver));
                true
            }
        };
        if is_done {
            load.tally().injected(fault);
        }
        is_done
    }

    fn hand_over(&mut self) -> bool {
        match self.mortal.replace(self.other) {
            Ok(()) => true,
            Err(error) if error.contains("still has clients") => false,
            Err(error) => {
                self.load.tally().complain(format!("a handover: {error}"));
                true
            }
        }
    }
}

/// A failure of something with a daemon of its own.
fn note(load: &Load, fault: Fault, work: impl FnOnce() -> Result<(), String>) {
    if let Err(error) = work() {
        load.tally().complain(format!("{fault}: {error}"));
    }
}

/// What a daemon holds.
struct Footprint {
    descriptors: usize,
    memory: u64,
}

impl Footprint {
    fn of(daemon: &Daemon) -> Footprint {
        Footprint { descriptors: daemon.descriptors(), memory: daemon.memory() }
    }

    fn compared(&self, after: &Footprint, settled: Duration) -> Vec<Row> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        vec![
            Row {
                what: "descriptors of the daemon, before and after".into(),
                found: format!(
                    "{}, {} after {:.1} s",
                    self.descriptors,
                    after.descriptors,
                    settled.as_secs_f64()
                ),
                limit: format!("<= {}", self.descriptors),
                passed: after.descriptors <= self.descriptors,
            },
            Row {
                what: "memory of the daemon, before and after".into(),
                found: format!("{:.1}, {:.1} MiB", mib(self.memory), mib(after.memory)),
                limit: format!("<= {:.1} MiB", mib(self.memory + MEMORY_GROWTH)),
                passed: after.memory <= self.memory + MEMORY_GROWTH,
            },
        ]
    }
}

/// Waits until the daemon has no more descriptors than this, or the time is over; how long that was.
fn settle(daemon: &Daemon, descriptors: usize, limit: Duration) -> Duration {
    let since = Instant::now();
    while daemon.descriptors() > descriptors && since.elapsed() < limit {
        thread::sleep(LOOK);
    }
    since.elapsed()
}

fn daemon_ended(daemon: Daemon, trail: &Trail) -> Result<String, String> {
    // Its directory is to be there for the verification.
    let (trail_directory, pid) = (trail.directory().to_owned(), daemon.pid());
    let deadline = Instant::now() + SETTLE;
    let mut daemon = daemon;
    while daemon.is_running() {
        if Instant::now() > deadline {
            return Err(format!("the daemon {pid} does not end"));
        }
        thread::sleep(LOOK);
    }
    phases::verified(&Trail::at(trail_directory)).map(|()| "whole".to_owned())
}

/// The rows of a line `pings COUNT P50 P99 WORST`.
fn latency(text: &str) -> Option<Vec<Row>> {
    let words: Vec<&str> = text.lines().last()?.strip_prefix("pings ")?.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<f64>().ok();
    Some(vec![
        Row::at_least("pings of a polite client throughout", number(0)? as u64, 10),
        Row::measured("its latency, 99th percentile", number(2)?, P99, "ms"),
        Row::measured("its latency, worst", number(3)?, WORST, "ms"),
    ])
}

/// The whole table.
fn rows(tally: &Tally, findings: Findings, length: Duration) -> Vec<Row> {
    let seconds = length.as_secs().max(1);
    let mut rows = vec![
        // A machine that does less is too busy to show anything.
        Row::at_least("script processes", tally.processes, seconds / 4),
        Row::at_least("processes of a moment", tally.short_processes, seconds),
        Row::at_least("streams judged", tally.streams, seconds / 2),
        Row::at_least("of them whole, and both sides said so", tally.whole, tally.streams / 2),
        Row::at_least("bytes checked", tally.checked, seconds << 18),
    ];
    rows.extend(Fault::ALL.iter().map(|fault| {
        Row::at_least(&format!("faults: {fault}"), tally.faults.get(fault).copied().unwrap_or(0), 1)
    }));
    rows.extend(Manner::ALL.iter().map(|manner| {
        let count = tally.manners.get(manner).copied().unwrap_or(0);
        Row::at_least(&format!("peers: {manner}"), count, 1)
    }));
    rows.extend([
        Row::at_most("bytes lost", tally.lost, 0),
        Row::at_most("bytes doubled", tally.doubled, 0),
        Row::at_most("bytes reordered", tally.reordered, 0),
        Row::at_most("other complaints", tally.complaint_count, 0),
        match findings.starved {
            Some(share) => Row::measured("processor time without descriptors", share, STARVED, "%"),
            None => Row::holds("processor time without descriptors", &Err("not measured".into())),
        },
    ]);
    rows.extend(findings.rows);
    rows
}
