//! Many client processes, each with one busy socket: whether the slowest gets its share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::goal::{Finding, SLOWEST};
use super::{Bench, Found};
use crate::limits;
use crate::results::Spread;
use crate::script::Script;
use crate::served::Served;

/// How many times longer it is measured than one busy socket by itself: each gets little of the machine.
const LONGER: f64 = 10.0;
/// Descriptors of this process for each client: its three pipes, and the peer's end of its socket.
const DESCRIPTORS_EACH: u64 = 4;
/// How many processes are started before it is waited for them: they load their modules side by side, not all at once.
const AT_ONCE: usize = 50;
/// Between the word to begin and the beginning, beside what it takes to tell everybody.
const LEAD: Duration = Duration::from_secs(2);
/// What it takes at most to tell one.
const TELL: Duration = Duration::from_micros(500);

/// Through the daemon; and in-process, which shows how even the machine itself is.
pub fn measure(bench: &Bench) -> Found {
    let most = usize::try_from(limits::descriptors() / (DESCRIPTORS_EACH + 1)).unwrap_or(usize::MAX);
    let clients = bench.sizes.clients.min(most);
    let seconds = bench.sizes.seconds * LONGER;
    bench.progress.row(&format!("{clients} client processes, through the daemon and in-process"));
    let served = bench.serve("fairness", &[])?;
    let before = served.cpu();
    let ours = window(bench, Some(&served), clients, seconds)?;
    // With what it took to connect them, which is little beside the window.
    let cpu = served.cpu() - before;
    let direct = window(bench, None, clients, seconds)?;
    let (own, base) = (spread(&ours)?, spread(&direct)?);
    let rate = |trips: &[f64]| trips.iter().sum::<f64>() / seconds;
    Ok(vec![Finding {
        goal: &SLOWEST,
        found: own.low / own.median,
        note: format!(
            "{clients} processes for {seconds} s: {} to {} round trips each, median {}, {:.0} a second in all, \
             {:.2} s of the daemon's processor time for 100,000; LuaSocket in-process {:.2} ×, {:.0} a second",
            own.low,
            own.high,
            own.median,
            rate(&ours),
            cpu / ours.iter().sum::<f64>() * 1e5,
            base.low / base.median,
            rate(&direct),
        ),
        numbers: json!({
            "clients": clients,
            "seconds": seconds,
            "trips": [own.low, own.median, own.high],
            "per_second": rate(&ours),
            "cpu_daemon": cpu,
            "luasocket_trips": [base.low, base.median, base.high],
            "luasocket_per_second": rate(&direct),
        }),
    }])
}

fn spread(trips: &[f64]) -> Result<Spread, String> {
    Spread::of(trips.iter().copied()).filter(|spread| spread.median > 0.0).ok_or("nobody got anything".into())
}

/// How many round trips each of them makes in the same window of time.
fn window(bench: &Bench, served: Option<&Served>, clients: usize, seconds: f64) -> Result<Vec<f64>, String> {
    let args = [bench.port("crowd").to_string()];
    let mut scripts: Vec<Script> = Vec::with_capacity(clients);
    while scripts.len() < clients {
        let known = scripts.len();
        for _ in 0..AT_ONCE.min(clients - known) {
            scripts.push(bench.script(served, "ping_at.lua", &args)?);
        }
        scripts[known..].iter_mut().try_for_each(Script::wait)?;
    }
    let lead = LEAD + TELL * u32::try_from(clients).unwrap_or(u32::MAX);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let word = format!("{:.3} {seconds}", (now + lead).as_secs_f64());
    scripts.iter_mut().try_for_each(|script| script.go(&word))?;
    let mut trips = Vec::with_capacity(clients);
    for script in &mut scripts {
        match script.answer("trips")?.as_slice() {
            &[count] => trips.push(count),
            other => return Err(format!("a script found {other:?}")),
        }
    }
    scripts.into_iter().try_for_each(Script::finish)?;
    Ok(trips)
}
