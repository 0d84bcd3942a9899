//! LuaSocket 3.1 under random sequences of calls: the same seeds on the LuaSocket that the machine has
//! installed and on ours have to print the same.
//!
//! `LUASOCKETD_SEQUENCES` is how many sequences each version does, `LUASOCKETD_SEED` the first of their seeds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use luasocketd_tests::build::repository;
use luasocketd_tests::process::{Job, Outcome};
use luasocketd_tests::{Daemon, Interpreter, judge};

/// Sequences of each version when nobody asks for another number: some seconds.
const SEQUENCES: u64 = 300;
/// Sequences of one process: few enough that a failure is repeated soon, and that no descriptors run out.
const BATCH: u64 = 100;
/// A batch takes a few seconds; one that waits where it should not takes far longer.
const BATCH_LIMIT: Duration = Duration::from_secs(120);
/// How many lines before a difference are shown.
const CONTEXT: usize = 12;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

fn agrees(interpreter: Interpreter) {
    let script = repository("tests/differential_random/sequence.lua");
    let daemon = Daemon::start();
    let first = setting("LUASOCKETD_SEED", 1);
    let end = first + setting("LUASOCKETD_SEQUENCES", SEQUENCES);
    for seed in (first..end).step_by(BATCH as usize) {
        let count = BATCH.min(end - seed);
        // Both at once: they mostly wait.
        let stock = sequences(interpreter.stock_job(&script), seed, count).start();
        let ours = sequences(interpreter.job(&script, &daemon), seed, count).start();
        let (stock, ours) = (stock.finish(), ours.finish_or_kill());
        judge::assert_ran(&stock);
        assert!(stock.text().ends_with("done\n"), "{stock}");
        if let Some(difference) = difference(&stock, &ours) {
            panic!("on {}: {difference}\n{}", interpreter.name(), repeat(&script, interpreter, &ours));
        }
    }
}

fn sequences(job: Job, seed: u64, count: u64) -> Job {
    job.arg(seed.to_string()).arg(count.to_string()).limit(BATCH_LIMIT)
}

/// The first line that differs, with its sequence and what came before it.
fn difference(stock: &Outcome, ours: &Outcome) -> Option<String> {
    let (wanted, got) = (stock.text(), ours.text());
    let (wanted, got): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), got.lines().collect());
    let at = (0..wanted.len().max(got.len())).find(|&i| wanted.get(i) != got.get(i));
    let Some(at) = at else {
        let failed = !ours.status.success();
        return failed.then(|| format!("all lines agree, but: {ours}"));
    };
    let start = wanted[..at.min(wanted.len())].iter().rposition(|line| line.starts_with("sequence "));
    let start = start.unwrap_or_default();
    let shown = &wanted[start.max(at.saturating_sub(CONTEXT))..at.min(wanted.len())];
    Some(format!(
        "{} (seed), line {}\n  {}\nstock {}\nours  {}\nstderr of ours: {}",
        wanted.get(start).unwrap_or(&"before the first sequence"),
        at - start,
        shown.join("\n  "),
        wanted.get(at).unwrap_or(&"(nothing)"),
        got.get(at).unwrap_or(&"(nothing)"),
        ours.errors()
    ))
}

fn repeat(script: &Path, interpreter: Interpreter, ours: &Outcome) -> String {
    let script: PathBuf = script.to_owned();
    format!(
        "repeat one sequence: LUA_PATH='{0}/?.lua;;' {1} {2} SEED 1\nrepeat ours: {3}",
        script.parent().expect("a script lies in a directory").display(),
        interpreter.name(),
        script.display(),
        ours.shell_line
    )
}

luasocketd_tests::each_judge!(agrees);
