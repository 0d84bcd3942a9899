//! Many idle connections: how many one daemon holds, what each costs, and what a busy one costs beside them.

use serde_json::json;

use super::goal::{BUSY, Finding, HELD, MEMORY_EACH};
use super::hold::{Idle, possible};
use super::{Bench, Found};
use crate::results::{Sample, Spread};
use crate::served::Served;

/// Round trips that processor time is given for.
const CPU_TRIPS: f64 = 1e5;

/// Two daemons side by side, one with idle connections and one without, and the same load on both in turn.
pub fn measure(bench: &Bench) -> Found {
    let count = possible(bench.sizes.idle);
    bench.progress.row(&format!("{count} idle connections"));
    let (empty, full) = (bench.serve("empty", &[])?, bench.serve("full", &[])?);
    let before = full.memory()?;
    let idle = Idle::open(bench, &full, count)?;
    let each = full.memory()?.saturating_sub(before) as f64 / count as f64;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds {
        without.push(bench.sample(&empty, "ping")?);
        with.push(bench.sample(&full, "ping")?);
    }
    drop(idle);
    Ok(vec![
        Finding {
            goal: &HELD,
            found: count as f64,
            note: match count < bench.sizes.idle {
                true => {
                    format!("{} wanted; no process may have more descriptors (ulimit -Hn)", bench.sizes.idle)
                }
                false => String::new(),
            },
            numbers: json!({"wanted": bench.sizes.idle}),
        },
        Finding {
            goal: &MEMORY_EACH,
            found: each,
            note: "Pss of the daemon; the kernel's own memory for sockets is not in it".into(),
            numbers: json!({"connections": count, "before": before}),
        },
        busy(&without, &with, &full)?,
    ])
}

fn busy(without: &[Sample], with: &[Sample], full: &Served) -> Result<Finding, String> {
    let trip = |samples: &[Sample]| {
        let each = samples.iter().map(|sample| sample.found.seconds / sample.found.operations * 1e6);
        Spread::of(each).ok_or("nothing was measured")
    };
    let cpu = |samples: &[Sample]| {
        let each = samples.iter().map(|sample| sample.between / sample.found.operations * CPU_TRIPS);
        Spread::of(each).ok_or("nothing was measured")
    };
    let (fast, slow) = (trip(without)?, trip(with)?);
    let (light, heavy) = (cpu(without)?, cpu(with)?);
    Ok(Finding {
        goal: &BUSY,
        found: slow.median / fast.median,
        note: format!(
            "{:.1} µs [{:.1}–{:.1}] against {:.1} µs [{:.1}–{:.1}]; the daemon's processor time for 100,000: {:.2} s against {:.2} s",
            slow.median, slow.low, slow.high, fast.median, fast.low, fast.high, heavy.median, light.median
        ),
        numbers: json!({
            "with_us": [slow.low, slow.median, slow.high],
            "without_us": [fast.low, fast.median, fast.high],
            "with_cpu": heavy.median,
            "without_cpu": light.median,
            "memory_at_the_end": full.memory()?,
        }),
    })
}
