//! What a wake-up costs, in instructions: a number that no neighbour on the machine changes. By the processor's own counter where it
//! can be had, else under callgrind, which counts the same ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::goal::{Finding, WAKE_UP};
use super::hold::{Idle, possible};
use super::{Bench, Found};
use crate::child::Running;
use crate::places;
use crate::served::Served;

/// How many idle connections are few.
const FEW: usize = 100;
/// How long perf may take until it counts; it does not say when.
const PERF_START: Duration = Duration::from_millis(500);

/// The same load beside few idle connections and beside many.
pub fn measure(bench: &Bench) -> Found {
    let counter = Counter::find()?;
    let many = possible(bench.sizes.idle);
    bench
        .progress
        .row(&format!("instructions by {}, beside {FEW} and {many} idle connections", counter.name()));
    let few_cost = beside(bench, counter, "few", FEW)?;
    let many_cost = beside(bench, counter, "many", many)?;
    Ok(vec![Finding {
        goal: &WAKE_UP,
        found: many_cost / few_cost,
        note: format!("{few_cost:.0} beside {FEW}, {many_cost:.0} beside {many}; by {}", counter.name()),
        numbers: json!({
            "by": counter.name(),
            "few": FEW,
            "many": many,
            "instructions_beside_few": few_cost,
            "instructions_beside_many": many_cost,
        }),
    }])
}

/// Instructions of the daemon for a round trip on one socket, beside so many idle ones.
fn beside(bench: &Bench, counter: Counter, name: &str, idle: usize) -> Result<f64, String> {
    let place = bench.place(name)?;
    let args = ["--no-audit", "--allow", "*"];
    let served = Served::start_under(counter.wrapper(&place), &place, &args)?;
    let idle = Idle::open(bench, &served, idle)?;
    let mut script = bench.row(&served, "ping")?;
    let counting = counter.begin(&served, &place)?;
    let found = script.measure()?;
    let instructions = counter.end(counting, &served, &place)?;
    script.finish()?;
    drop(idle);
    Ok(instructions / found.operations)
}

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    /// The processor.
    Perf,
    /// valgrind's tool.
    Callgrind,
}

impl Counter {
    fn find() -> Result<Counter, String> {
        if has_perf() {
            return Ok(Counter::Perf);
        }
        if places::command("valgrind").is_some() && places::command("callgrind_control").is_some() {
            return Ok(Counter::Callgrind);
        }
        Err("`perf stat -e instructions:u` does not work here, and valgrind is not installed".into())
    }

    fn name(self) -> &'static str {
        match self {
            Counter::Perf => "perf",
            Counter::Callgrind => "callgrind",
        }
    }

    /// What a daemon is started under.
    fn wrapper(self, place: &Path) -> Vec<String> {
        match self {
            Counter::Perf => Vec::new(),
            Counter::Callgrind => {
                let out = format!("--callgrind-out-file={}", counts(place).display());
                vec!["valgrind".into(), "--quiet".into(), "--tool=callgrind".into(), out]
            }
        }
    }

    fn begin(self, served: &Served, place: &Path) -> Result<Option<Running>, String> {
        match self {
            Counter::Perf => {
                let mut perf = Command::new("perf");
                perf.args(["stat", "-x", ",", "-e", "instructions:u", "-p", &served.pid().to_string(), "-o"]);
                perf.arg(counts(place));
                let running = Running::start(perf)?;
                // The daemon has nothing to do meanwhile.
                thread::sleep(PERF_START);
                Ok(Some(running))
            }
            Counter::Callgrind => control("--zero", served).map(|()| None),
        }
    }

    fn end(self, counting: Option<Running>, served: &Served, place: &Path) -> Result<f64, String> {
        if let Some(mut perf) = counting {
            perf.interrupt()?;
        }
        let (path, read): (PathBuf, fn(&str) -> Option<f64>) = match self {
            Counter::Perf => (counts(place), perf_number),
            Counter::Callgrind => {
                control("--dump", served)?;
                (counts(place).with_extension("counts.1"), callgrind_number)
            }
        };
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        read(&text).filter(|count| *count > 0.0).ok_or_else(|| format!("{} has no count", path.display()))
    }
}

fn has_perf() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ",", "-e", "instructions:u", "true"]).stdin(Stdio::null());
    perf.output().is_ok_and(|output| perf_number(&String::from_utf8_lossy(&output.stderr)).is_some())
}

fn counts(place: &Path) -> PathBuf {
    place.join("callgrind.counts")
}

fn control(order: &str, served: &Served) -> Result<(), String> {
    let mut command = Command::new("callgrind_control");
    let output = command.arg(order).arg(served.pid().to_string()).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("callgrind_control: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("cannot run callgrind_control: {error}")),
    }
}

/// The first field of perf's line, where it counted.
fn perf_number(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("instructions"))?;
    line.split(',').next()?.parse().ok()
}

/// What callgrind has counted since it was told to begin.
fn callgrind_number(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_in_both_texts() {
        assert_eq!(perf_number("\n123456,,instructions:u,100,100.00,,\n"), Some(123_456.0));
        assert_eq!(perf_number("<not supported>,,instructions:u,0,100.00,,"), None);
        assert_eq!(callgrind_number("events: Ir\nsummary: 1\ntotals: 1176\n"), Some(1176.0));
    }
}
