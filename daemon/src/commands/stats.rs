//! `luasocketd stats`: a running daemon in numbers, totals and rates.

use std::process::ExitCode;
use std::thread;

use luasocketd::admin::{Audit, Metrics, Request, Stats, line};
use luasocketd::core::Times;
use serde::Serialize;

use super::failed;
use super::operator::Operator;
use super::table::{Side, Table, age, bytes, colours, printable};
use crate::cli::StatsOptions;

/// Prints them.
pub fn stats(options: StatsOptions) -> ExitCode {
    match ask(&options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

fn ask(options: &StatsOptions) -> Result<String, String> {
    let mut operator = Operator::connect(&options.admin.daemon)?;
    if options.prometheus {
        let Metrics { text } = operator.ask_for(&Request::Metrics {})?;
        return Ok(text);
    }
    let before: Stats = operator.ask_for(&Request::Stats {})?;
    thread::sleep(options.interval);
    let stats: Stats = operator.ask_for(&Request::Stats {})?;
    let rates = Rates::between(&before, &stats);
    Ok(match options.admin.json {
        true => line(&WithRates { stats, rates }),
        false => text(&stats, &rates, colours()),
    })
}

#[derive(Debug, Serialize)]
struct WithRates {
    #[serde(flatten)]
    stats: Stats,
    rates: Rates,
}

/// How much of it came in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// New clients.
    pub clients: f64,
    /// New sockets.
    pub sockets: f64,
    /// Bytes to the network.
    pub sent_bytes: f64,
    /// Bytes from the network.
    pub received_bytes: f64,
    /// Questions to the policy.
    pub verdicts: f64,
    /// Lookups that were answered.
    pub lookups: f64,
    /// Connections that came about.
    pub connects: f64,
}

impl Rates {
    /// The rates between two looks at the same daemon; none between looks at two.
    pub fn between(before: &Stats, after: &Stats) -> Self {
        let elapsed = after.uptime_ms.saturating_sub(before.uptime_ms) as f64 / 1000.0;
        if elapsed <= 0.0 || before.pid != after.pid {
            return Rates::default();
        }
        let rate = |count: fn(&Stats) -> u64| count(after).saturating_sub(count(before)) as f64 / elapsed;
        Rates {
            clients: rate(|stats| stats.totals.clients_total),
            sockets: rate(|stats| stats.totals.sockets_total),
            sent_bytes: rate(|stats| stats.totals.sent_bytes_total),
            received_bytes: rate(|stats| stats.totals.received_bytes_total),
            verdicts: rate(verdicts),
            lookups: rate(|stats| stats.totals.lookup_times.count),
            connects: rate(|stats| stats.totals.connect_times.count),
        }
    }
}

/// Questions that the policy has answered.
fn verdicts(stats: &Stats) -> u64 {
    stats.totals.profiles.iter().map(|row| row.allowed + row.denied + row.reported).sum()
}

fn text(stats: &Stats, rates: &Rates, colours: bool) -> String {
    use Side::{Left, Right};
    let totals = &stats.totals;
    let mut head = printable(&title(stats));
    if let Some(audit) = &stats.audit {
        head += &format!("\n{}", trail(audit));
    }
    let mut numbers = Table::new(&[("", Left), ("NOW", Right), ("IN ALL", Right), ("PER SECOND", Right)]);
    let whole = |count: u64| count.to_string();
    let none = String::new;
    for (name, now, all, rate) in [
        ("clients", whole(totals.clients), whole(totals.clients_total), number(rates.clients)),
        ("sockets", whole(totals.sockets), whole(totals.sockets_total), number(rates.sockets)),
        ("lookups", whole(totals.lookups), whole(totals.lookup_times.count), number(rates.lookups)),
        ("connections", none(), whole(totals.connect_times.count), number(rates.connects)),
        ("verdicts", none(), whole(verdicts(stats)), number(rates.verdicts)),
        ("sent", none(), bytes(totals.sent_bytes_total), bytes(rates.sent_bytes as u64)),
        ("received", none(), bytes(totals.received_bytes_total), bytes(rates.received_bytes as u64)),
    ] {
        numbers.row(vec![name.to_owned(), now, all, rate]);
    }
    let mut profiles = Table::new(&[
        ("PROFILE", Left),
        ("CLIENTS", Right),
        ("ALLOWED", Right),
        ("DENIED", Right),
        ("REPORTED", Right),
        ("LIMITS REACHED", Right),
    ]);
    for row in &totals.profiles {
        let name = if row.profile.is_empty() { "(none)" } else { &row.profile };
        let counts = [row.clients, row.allowed, row.denied, row.reported, row.limits_reached];
        profiles.row([name.to_owned()].into_iter().chain(counts.map(whole)).collect());
    }
    let mut times =
        Table::new(&[("TIME OF", Left), ("HALF", Right), ("95 %", Right), ("99 %", Right), ("MEAN", Right)]);
    for (name, measured) in [
        ("lookups", &totals.lookup_times),
        ("connecting", &totals.connect_times),
        ("turns of the loop", &stats.turn_times),
    ] {
        let parts = [0.5, 0.95, 0.99].map(|part| within(measured, part));
        let cells = [name.to_owned()].into_iter().chain(parts).chain([mean(measured)]);
        times.row(cells.collect());
    }
    let tables = [numbers, profiles, times].map(|table| table.text(colours));
    format!("{head}\n\n{}", tables.join("\n"))
}

fn title(stats: &Stats) -> String {
    let ending = if stats.totals.draining { ", ending" } else { "" };
    let loops = if stats.workers > 1 { format!(", {} loops", stats.workers) } else { String::new() };
    format!("{}, pid {}, up {}{loops}{ending}", stats.daemon, stats.pid, age(stats.uptime_ms))
}

/// How the audit trail does.
fn trail(audit: &Audit) -> String {
    let waiting = format!("audit trail: {} records wait, the oldest for {} ms", audit.queued, audit.lag_ms);
    match &audit.failing {
        Some(reason) => format!(
            "{waiting}\naudit trail: NOTHING CAN BE WRITTEN, so nothing new is let through: {}",
            printable(reason)
        ),
        None => waiting,
    }
}

fn number(rate: f64) -> String {
    format!("{rate:.1}")
}

/// Within which time this part of them was done: the bound of the bucket where that part is reached.
fn within(times: &Times, part: f64) -> String {
    if times.count == 0 {
        return "-".to_owned();
    }
    let wanted = (times.count as f64 * part).ceil() as u64;
    let mut sum = 0;
    for (index, count) in times.counts.iter().enumerate() {
        sum += count;
        if sum >= wanted {
            return match times.bounds.get(index) {
                Some(bound) => format!("<{}", duration(*bound)),
                None => format!(">{}", duration(times.bounds.last().copied().unwrap_or(0.0))),
            };
        }
    }
    "-".to_owned()
}

fn mean(times: &Times) -> String {
    if times.count == 0 { "-".to_owned() } else { duration(times.sum_seconds / times.count as f64) }
}

fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_reached_in_some_bucket() {
        let times =
            Times { count: 100, sum_seconds: 0.5, bounds: vec![0.0005, 0.01], counts: vec![90, 9, 1] };
        assert_eq!([0.5, 0.95, 0.999].map(|part| within(&times, part)), ["<500 µs", "<10.0 ms", ">10.0 ms"]);
        assert_eq!((within(&Times::default(), 0.5), mean(&times)), ("-".to_owned(), "5.0 ms".to_owned()));
    }
}
