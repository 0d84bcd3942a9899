//! One target's run: libFuzzer in a process of its own, and what it says.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::command;
use crate::process::{repository, target};

/// An input that takes longer is as bad as one that crashes.
const INPUT_SECONDS: u64 = 20;

/// The most memory of a run, and of one allocation in it, in MiB: no input is a reason to take more.
const MEMORY_MIB: u64 = 2048;
const ALLOCATION_MIB: u64 = 256;

/// The longest input in bytes: what goes wrong needs less, and longer ones are slower.
const INPUT_MAX: usize = 8192;

/// How long a run may take to end when its time is over.
const GRACE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(100);

/// The variable by which a target is told where to put the inputs that it begins with.
const SEEDS: &str = "LUASOCKETD_SEEDS";

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// After this time.
    Seconds(u64),
    /// After so many inputs.
    Runs(u64),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Seconds(seconds) => write!(f, "{seconds} seconds each"),
            End::Runs(runs) => write!(f, "{runs} inputs each"),
        }
    }
}

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Result {
    /// Whose.
    pub(super) target: String,
    /// Inputs that it was given.
    pub(super) executions: u64,
    /// As many of them a second.
    pub(super) rate: u64,
    /// Edges of the program that inputs have taken.
    pub(super) coverage: u64,
    /// Inputs that take a new way, and are kept.
    pub(super) found: u64,
    /// What went wrong, and how to see it again.
    pub(super) crash: Option<String>,
}

/// A target that is to run.
pub(super) struct Run {
    target: String,
    program: PathBuf,
    /// For files that are there as long as an input.
    scratch: PathBuf,
}

impl Run {
    pub(super) fn new(target: &str, programs: &Path, scratch: &Path) -> Self {
        Run { target: target.to_owned(), program: programs.join(target), scratch: scratch.to_owned() }
    }

    /// Gives it inputs until the end.
    pub(super) fn fuzz(&self, end: End) -> std::result::Result<Result, String> {
        let corpus = self.directory("corpus")?;
        let artifacts = self.directory("artifacts")?;
        let log = target().join(format!("fuzz/{}.log", self.target));
        let file = File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let end_option = match end {
            End::Seconds(seconds) => format!("-max_total_time={seconds}"),
            End::Runs(runs) => format!("-runs={runs}"),
        };
        let mut command = self.command();
        command
            .arg(&corpus)
            .args([end_option, "-print_final_stats=1".into(), format!("-max_len={INPUT_MAX}")])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .env(SEEDS, &corpus)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        let child = command.spawn().map_err(|error| self.cannot_run(&error))?;
        let deadline = match end {
            End::Seconds(seconds) => Some(Instant::now() + Duration::from_secs(seconds) + GRACE),
            End::Runs(_) => None,
        };
        let status = wait(child, deadline)?;
        let said = fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
        Ok(self.result(status.is_some_and(|status| status.success()), &String::from_utf8_lossy(&said), &log))
    }

    /// Gives it these inputs, and shows what it says.
    pub(super) fn repeat(&self, inputs: &[PathBuf]) -> std::result::Result<(), String> {
        let status = self.command().args(inputs).status().map_err(|error| self.cannot_run(&error))?;
        if status.success() { Ok(()) } else { Err(format!("{} fails: {status}", self.target)) }
    }

    fn command(&self) -> std::process::Command {
        let mut command = command(&self.program);
        command
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-malloc_limit_mb={ALLOCATION_MIB}"))
            // It wants to look into its own process, which not every container allows; memory that is lost shows by
            // the limit above.
            .arg("-detect_leaks=0")
            .env("TMPDIR", &self.scratch)
            .env("RUST_BACKTRACE", "1");
        command
    }

    fn cannot_run(&self, error: &std::io::Error) -> String {
        format!("cannot run {}: {error}", self.program.display())
    }

    fn directory(&self, kind: &str) -> std::result::Result<PathBuf, String> {
        let path = repository().join("fuzz").join(kind).join(&self.target);
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(path)
    }

    fn result(&self, is_well: bool, said: &str, log: &Path) -> Result {
        let statistic = |name: &str| {
            let line = said.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or_default()
        };
        let coverage = said.rsplit_once(" cov: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        Result {
            target: self.target.clone(),
            executions: statistic("number_of_executed_units"),
            rate: statistic("average_exec_per_sec"),
            coverage: coverage.unwrap_or_default(),
            found: statistic("new_units_added"),
            crash: (!is_well).then(|| self.crash(said, log)),
        }
    }

    /// What went wrong, for people.
    fn crash(&self, said: &str, log: &Path) -> String {
        let target = &self.target;
        let why = said.lines().find(|line| line.contains("panicked at") || line.starts_with("SUMMARY: "));
        let why = why.unwrap_or("it ended without a word");
        let input = said.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1));
        let input = input.map(|path| Path::new(path).strip_prefix(repository()).unwrap_or(Path::new(path)));
        let repeat = input.map_or_else(
            || format!("run it again with `cargo xtask fuzz {target}`"),
            |input| format!("repeat it with `cargo xtask fuzz {target} --repeat {}`", input.display()),
        );
        format!("{target}: {why}\n  all that it said is in {}; {repeat}", log.display())
    }
}

/// Waits for the end of a run; `None` when it had to be ended.
fn wait(mut child: Child, deadline: Option<Instant>) -> std::result::Result<Option<ExitStatus>, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if deadline.is_some_and(|deadline| Instant::now() > deadline) => {
                let ended = child.kill().and_then(|()| child.wait());
                return ended.map(|_| None).map_err(|error| format!("cannot end a run: {error}"));
            }
            Ok(None) => thread::sleep(TICK),
            Err(error) => return Err(format!("cannot wait for a run: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #99\tDONE   cov: 812 ft: 2000 corp: 70/2Kb lim: 4 exec/s: 33 rss: 41Mb\nDone 99 runs in 3 second(s)\n\
        stat::number_of_executed_units: 99\nstat::average_exec_per_sec:     33\nstat::new_units_added:          7\n";

    fn result(is_well: bool, said: &str) -> Result {
        Run::new("codec", Path::new("x"), Path::new("y")).result(is_well, said, Path::new("codec.log"))
    }

    #[test]
    fn what_a_run_says_is_understood() {
        let found = result(true, SAID);
        let expected =
            Result { target: "codec".into(), executions: 99, rate: 33, coverage: 812, found: 7, crash: None };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_crash_says_how_to_see_it_again() {
        let said = format!(
            "thread '<unnamed>' panicked at protocol/src/x.rs:1:2:\n{SAID}\
             artifact_prefix='./'; Test unit written to {}/fuzz/artifacts/codec/crash-1\n",
            repository().display()
        );
        let crash = result(false, &said).crash.unwrap();
        assert!(
            crash.starts_with("codec: thread '<unnamed>' panicked at protocol/src/x.rs:1:2:\n"),
            "{crash}"
        );
        assert!(crash.contains("`cargo xtask fuzz codec --repeat fuzz/artifacts/codec/crash-1`"), "{crash}");
        assert!(result(false, "").crash.unwrap().contains("`cargo xtask fuzz codec`"));
    }
}
