//! A client that never reads, and everybody sends to it: the daemon keeps no more than it has promised to.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::goal::{Finding, MUTE};
use super::{Bench, Found};
use crate::served::Served;

/// How often the memory is looked at.
const TICK: Duration = Duration::from_millis(100);
/// When it has not grown for so long, it does not grow.
const STILL: Duration = Duration::from_secs(3);
/// The longest look.
const LIMIT: Duration = Duration::from_secs(60);

/// The most memory that the daemon has, from before the client comes until it no longer grows.
pub fn measure(bench: &Bench) -> Found {
    let senders = bench.sizes.senders;
    bench.progress.row(&format!("{senders} senders to a client that never reads"));
    let served = bench.serve("memory", &[])?;
    let before = served.memory()?;
    let args = [senders.to_string(), bench.port("source").to_string()];
    let mut script = bench.script(Some(&served), "mute.lua", &args)?;
    script.wait()?;
    let most = most(&served)?;
    script.finish()?;
    Ok(vec![Finding {
        goal: &MUTE,
        found: most.saturating_sub(before) as f64,
        note: format!("{senders} fast senders; the target is the limit of a client's bytes"),
        numbers: json!({"senders": senders, "before": before, "most": most}),
    }])
}

fn most(served: &Served) -> Result<u64, String> {
    let began = Instant::now();
    let (mut most, mut grew) = (served.memory()?, began);
    while grew.elapsed() < STILL && began.elapsed() < LIMIT {
        thread::sleep(TICK);
        let now = served.memory()?;
        if now > most {
            (most, grew) = (now, Instant::now());
        }
    }
    Ok(most)
}
