//! What it costs to begin: `luasocketd run`, and a script's first connect.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::goal::{FIRST_CONNECT, Finding, RUN};
use super::{Bench, Found, LUA};
use crate::contender::interpreter;
use crate::places;
use crate::results::Spread;
use crate::served::Served;

/// How many beginnings for each round that other things are measured.
const PER_ROUND: usize = 3;

/// Both.
pub fn measure(bench: &Bench) -> Found {
    bench.progress.row("the start of scripts");
    Ok(vec![run(bench)?, first_connect(bench)?])
}

/// Beside the plain interpreter.
fn run(bench: &Bench) -> Result<Finding, String> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds * PER_ROUND {
        let mut command = Command::new(places::daemon()?);
        command.args(["run", "--allow", "*"]).arg(places::script("scale/empty.lua"));
        ours.push(wall(command)?);
        let mut command = interpreter(LUA)?;
        command.arg(places::script("scale/empty.lua"));
        plain.push(wall(command)?);
    }
    let (own, base) = (spread(&ours)?, spread(&plain)?);
    Ok(Finding {
        goal: &RUN,
        found: own.median,
        note: format!("[{:.1}–{:.1}]; {} by itself {:.1} ms", own.low, own.high, LUA.program(), base.median),
        numbers: json!({"ms": [own.low, own.median, own.high], "interpreter_ms": base.median}),
    })
}

/// Milliseconds from start to end.
fn wall(mut command: Command) -> Result<f64, String> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot start: {error}"))?;
    let elapsed = began.elapsed().as_secs_f64() * 1e3;
    if output.status.success() {
        return Ok(elapsed);
    }
    Err(format!("an empty script fails: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn first_connect(bench: &Bench) -> Result<Finding, String> {
    let served = bench.serve("start", &[])?;
    let (mut ours, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds * PER_ROUND {
        ours.push(first(bench, Some(&served))?);
        direct.push(first(bench, None)?);
    }
    let (own, base) = (spread(&ours)?, spread(&direct)?);
    Ok(Finding {
        goal: &FIRST_CONNECT,
        found: own.median - base.median,
        note: format!(
            "{:.3} ms [{:.3}–{:.3}] against {:.3} ms [{:.3}–{:.3}]",
            own.median, own.low, own.high, base.median, base.low, base.high
        ),
        numbers: json!({
            "ms": [own.low, own.median, own.high],
            "luasocket_ms": [base.low, base.median, base.high],
        }),
    })
}

/// Milliseconds, as the script sees them.
fn first(bench: &Bench, served: Option<&Served>) -> Result<f64, String> {
    let mut script = bench.script(served, "first.lua", &[bench.port("echo").to_string()])?;
    let answer = script.answer("connected")?;
    script.finish()?;
    answer.first().map(|seconds| seconds * 1e3).ok_or_else(|| "the script found nothing".into())
}

fn spread(values: &[f64]) -> Result<Spread, String> {
    Spread::of(values.iter().copied()).ok_or_else(|| "nothing was measured".into())
}
