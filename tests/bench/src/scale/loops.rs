//! Two event loops against one, where the daemon can have two: the total throughput of many clients.

use std::process::{Command, Stdio};

use serde_json::json;

use super::goal::{Finding, LOOPS};
use super::{Bench, Found};
use crate::places;
use crate::results::Spread;
use crate::script::Script;
use crate::served::Served;

/// How many clients are many.
const CLIENTS: usize = 16;
/// What they do.
const ROW: &str = "ping";

/// Two daemons side by side, and the same load on both in turn.
pub fn measure(bench: &Bench) -> Found {
    if !has_loops()? {
        // On standard error, whatever that is: the table has no row for it.
        eprintln!("bench: two loops against one: left out, as `luasocketd serve` has no --workers");
        return Ok(Vec::new());
    }
    bench.progress.row("two loops against one");
    let one = bench.serve("one_loop", &["--workers", "1"])?;
    let two = bench.serve("two_loops", &["--workers", "2"])?;
    let (mut with_one, mut with_two) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds {
        with_one.push(total(bench, &one)?);
        with_two.push(total(bench, &two)?);
    }
    let spread = |rates: &[f64]| Spread::of(rates.iter().copied()).ok_or("nothing was measured");
    let (slow, fast) = (spread(&with_one)?, spread(&with_two)?);
    Ok(vec![Finding {
        goal: &LOOPS,
        found: fast.median / slow.median,
        note: format!(
            "{CLIENTS} clients, {ROW}: {:.0} [{:.0}–{:.0}] against {:.0} [{:.0}–{:.0}] a second",
            fast.median, fast.low, fast.high, slow.median, slow.low, slow.high
        ),
        numbers: json!({"one": with_one, "two": with_two}),
    }])
}

fn has_loops() -> Result<bool, String> {
    let mut command = Command::new(places::daemon()?);
    let output = command.args(["serve", "--help"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start the daemon: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("--workers"))
}

/// Operations a second of all clients together.
fn total(bench: &Bench, served: &Served) -> Result<f64, String> {
    let scripts = (0..CLIENTS).map(|_| bench.row(served, ROW)).collect::<Result<Vec<Script>, String>>();
    let mut scripts = scripts?;
    scripts.iter_mut().try_for_each(|script| script.go("go"))?;
    let mut total = 0.0;
    for script in &mut scripts {
        let found = script.found()?;
        total += found.operations / found.seconds;
    }
    scripts.into_iter().try_for_each(Script::finish)?;
    Ok(total)
}
