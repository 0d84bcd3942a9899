//! A daemon in Prometheus' text form. `docs/metrics.md` and the dashboard are checked against the table here.
//!
//! Labels have values that the operator has chosen, in the policy file: no client can make more series.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::answers::{Audit, Stats};
use crate::core::policy::Decision;
use crate::core::{ProfileRow, Times};

/// The content type of the text.
pub use prometheus_text::CONTENT_TYPE;

/// What sort of thing a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It has buckets.
    Histogram,
}

impl Sort {
    /// Its word in the text.
    pub const fn word(self) -> &'static str {
        match self {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
            Sort::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $sort:ident, $labels:expr, $help:literal;)+) => {
        /// One metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $variant,)+
        }

        impl Metric {
            /// Every one, in the order of the text.
            pub const ALL: &[Metric] = &[$(Metric::$variant),+];

            /// Its name, which ends in its unit, of a counter with `_total` behind that.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name),+ }
            }

            /// What sort it is.
            pub const fn sort(self) -> Sort {
                match self { $(Metric::$variant => Sort::$sort),+ }
            }

            /// The names of its labels.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => $labels),+ }
            }

            /// What it says.
            pub const fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help),+ }
            }
        }
    };
}

metrics! {
    BuildInfo = "luasocketd_build_info", Gauge, &["version"], "Always 1, of the running version.";
    Uptime = "luasocketd_uptime_seconds", Gauge, &[], "How long the daemon has run.";
    Draining = "luasocketd_draining", Gauge, &[], "1 while the daemon begins nothing new because it ends, else 0.";
    Clients = "luasocketd_clients", Gauge, &["profile"],
        "Clients that are there; those without a profile have an empty one.";
    ClientsAccepted = "luasocketd_clients_accepted_total", Counter, &[], "Clients that have come.";
    Sockets = "luasocketd_sockets", Gauge, &[], "Sockets that are there.";
    SocketsOpened = "luasocketd_sockets_opened_total", Counter, &[], "Sockets that were made.";
    Lookups = "luasocketd_lookups", Gauge, &[], "Name lookups under way.";
    Bytes = "luasocketd_network_bytes_total", Counter, &["direction"],
        "Bytes of payload that were `sent` to the network and `received` from it.";
    Verdicts = "luasocketd_verdicts_total", Counter, &["profile", "verdict"],
        "Questions that the policy was asked, by its answer: `allow`, `deny` or `report`.";
    LimitsReached = "luasocketd_limits_reached_total", Counter, &["profile"],
        "How often a limit was in a client's way.";
    LookupTimes = "luasocketd_lookup_duration_seconds", Histogram, &[], "How long name lookups took.";
    ConnectTimes = "luasocketd_connect_duration_seconds", Histogram, &[],
        "How long it took from the first attempt to the connection.";
    Workers = "luasocketd_workers", Gauge, &[], "Event loops.";
    TurnTimes = "luasocketd_loop_turn_duration_seconds", Histogram, &[],
        "How long turns of the event loops took: whoever comes meanwhile waits so long.";
    AuditLag = "luasocketd_audit_lag_seconds", Gauge, &[],
        "How long the oldest audit record has waited that is not written yet.";
    AuditQueue = "luasocketd_audit_queued_records", Gauge, &[], "Audit records that are not written yet.";
    AuditFailing = "luasocketd_audit_failing", Gauge, &[],
        "1 while the audit trail cannot be written, so that nothing new is let through.";
}

/// A value of a metric.
enum Value<'a> {
    Whole(u64),
    Seconds(f64),
    Times(&'a Times),
}

/// A value with those of its labels.
type Sample<'a> = (Vec<&'a str>, Value<'a>);

impl Metric {
    /// Its values; none where there is nothing to tell.
    fn samples(self, stats: &Stats) -> Vec<Sample<'_>> {
        use Value::{Times, Whole};
        let totals = &stats.totals;
        let one = |value| vec![(vec![], value)];
        let trail = |value: fn(&Audit) -> Value<'static>| {
            stats.audit.as_ref().map_or(vec![], |audit| one(value(audit)))
        };
        match self {
            Metric::BuildInfo => vec![(vec![env!("CARGO_PKG_VERSION")], Whole(1))],
            Metric::Uptime => one(seconds(stats.uptime_ms)),
            Metric::Draining => one(Whole(totals.draining.into())),
            Metric::Clients => {
                totals.profiles.iter().map(|row| (vec![row.profile.as_str()], Whole(row.clients))).collect()
            }
            Metric::ClientsAccepted => one(Whole(totals.clients_total)),
            Metric::Sockets => one(Whole(totals.sockets)),
            Metric::SocketsOpened => one(Whole(totals.sockets_total)),
            Metric::Lookups => one(Whole(totals.lookups)),
            Metric::Bytes => vec![
                (vec!["sent"], Whole(totals.sent_bytes_total)),
                (vec!["received"], Whole(totals.received_bytes_total)),
            ],
            Metric::Verdicts => {
                let counts = |row: &ProfileRow| {
                    use Decision::{Allow, Deny, Report};
                    [(Allow, row.allowed), (Deny, row.denied), (Report, row.reported)]
                };
                let rows = totals.profiles.iter();
                rows.flat_map(|row| {
                    counts(row).map(|(said, count)| (vec![&*row.profile, said.name()], Whole(count)))
                })
                .collect()
            }
            Metric::LimitsReached => {
                let rows = totals.profiles.iter();
                rows.map(|row| (vec![row.profile.as_str()], Whole(row.limits_reached))).collect()
            }
            Metric::LookupTimes => one(Times(&totals.lookup_times)),
            Metric::ConnectTimes => one(Times(&totals.connect_times)),
            Metric::Workers => one(Whole(stats.workers)),
            Metric::TurnTimes => one(Times(&stats.turn_times)),
            Metric::AuditLag => trail(|audit| seconds(audit.lag_ms)),
            Metric::AuditQueue => trail(|audit| Whole(audit.queued)),
            Metric::AuditFailing => trail(|audit| Whole(audit.failing.is_some().into())),
        }
    }
}

fn seconds(ms: u64) -> Value<'static> {
    Value::Seconds(ms as f64 / 1000.0)
}

/// The text for a daemon in this state.
pub fn text(stats: Stats) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(stats)));
    let mut text = String::new();
    // A text takes what is written to it.
    prometheus_text::encode(&mut text, &registry).expect("metrics can be written to a text");
    text
}

/// What is told of at a time.
#[derive(Debug)]
struct Snapshot(Stats);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in Metric::ALL {
            let samples = metric.samples(&self.0);
            if samples.is_empty() {
                continue;
            }
            let (name, sort) = match metric.sort() {
                // The encoder puts the ending back.
                Sort::Counter => (metric.name().trim_end_matches("_total"), MetricType::Counter),
                Sort::Gauge => (metric.name(), MetricType::Gauge),
                Sort::Histogram => (metric.name(), MetricType::Histogram),
            };
            let mut family = encoder.encode_descriptor(name, metric.help(), None, sort)?;
            for (values, value) in samples {
                let labels: Vec<(&str, &str)> = metric.labels().iter().copied().zip(values).collect();
                match labels.is_empty() {
                    true => write(&mut family, metric.sort(), &value)?,
                    false => write(&mut family.encode_family(&labels)?, metric.sort(), &value)?,
                }
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, sort: Sort, value: &Value<'_>) -> fmt::Result {
    match (sort, value) {
        (Sort::Counter, Value::Whole(value)) => encoder.encode_counter::<NoLabelSet, _, u64>(value, None),
        (Sort::Counter, Value::Seconds(value)) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
        (_, Value::Whole(value)) => encoder.encode_gauge(value),
        (_, Value::Seconds(value)) => encoder.encode_gauge(value),
        (_, Value::Times(times)) => {
            let bounds = times.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(times.counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(times.sum_seconds, times.count, &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::answers::Audit;
    use super::*;
    use crate::core::{Histogram, ProfileRow, TURNS, Totals, WAITS};

    fn stats() -> Stats {
        let mut turns = Histogram::new(TURNS);
        turns.count(Duration::from_micros(30));
        let profile = ProfileRow {
            profile: "a \"quoted\"\nname".to_owned(),
            clients: 2,
            allowed: 3,
            denied: 4,
            reported: 5,
            limits_reached: 6,
        };
        Stats {
            daemon: "luasocketd".to_owned(),
            pid: 1,
            uptime_ms: 1500,
            totals: Totals {
                clients: 2,
                clients_total: 7,
                sockets: 3,
                sockets_total: 9,
                lookups: 1,
                sent_bytes_total: 10,
                received_bytes_total: 20,
                draining: false,
                profiles: vec![profile],
                lookup_times: Histogram::new(WAITS).times(),
                connect_times: Histogram::new(WAITS).times(),
            },
            workers: 2,
            turn_times: turns.times(),
            audit: Some(Audit { lag_ms: 250, queued: 8, failing: Some("no room".into()) }),
        }
    }

    #[test]
    fn the_text_has_every_metric_with_its_help_and_its_sort() {
        let text = text(stats());
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(text.contains(&format!("# HELP {name} {}\n", metric.help())), "{name}: {text}");
            assert!(text.contains(&format!("# TYPE {name} {}\n", metric.sort().word())), "{name}: {text}");
        }
        for line in [
            "luasocketd_uptime_seconds 1.5",
            "luasocketd_network_bytes_total{direction=\"received\"} 20",
            "luasocketd_verdicts_total{profile=\"a \\\"quoted\\\"\\nname\",verdict=\"deny\"} 4",
            "luasocketd_loop_turn_duration_seconds_bucket{le=\"2.5e-05\"} 0",
            "luasocketd_loop_turn_duration_seconds_bucket{le=\"5e-05\"} 1",
            "luasocketd_loop_turn_duration_seconds_bucket{le=\"+Inf\"} 1",
            "luasocketd_loop_turn_duration_seconds_count 1",
            "luasocketd_audit_lag_seconds 0.25",
            "luasocketd_audit_failing 1",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in {text}");
        }
    }

    #[test]
    fn without_a_trail_nothing_is_said_of_one() {
        assert!(!text(Stats { audit: None, ..stats() }).contains("audit"));
    }

    #[test]
    fn every_sample_has_a_value_for_each_label() {
        let stats = stats();
        for metric in Metric::ALL {
            for (values, value) in metric.samples(&stats) {
                assert_eq!(values.len(), metric.labels().len(), "{}", metric.name());
                assert_eq!(matches!(value, Value::Times(_)), metric.sort() == Sort::Histogram);
            }
        }
    }

    #[test]
    fn names_follow_prometheus_conventions() {
        for metric in Metric::ALL {
            assert_eq!(
                metric.name().ends_with("_total"),
                metric.sort() == Sort::Counter,
                "{}",
                metric.name()
            );
            assert!(metric.name().starts_with("luasocketd_") && metric.help().ends_with('.'));
        }
    }

    #[test]
    fn the_documented_metrics_are_these() {
        let documented = include_str!("../../../docs/metrics.md");
        let mut rows = documented.lines().filter(|line| line.starts_with("| `luasocketd_"));
        for metric in Metric::ALL {
            let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
            let row =
                format!("| `{}` | {} | {labels} | {} |", metric.name(), metric.sort().word(), metric.help());
            assert_eq!(rows.next(), Some(row.as_str()));
        }
        assert_eq!(rows.next(), None, "docs/metrics.md has a metric that is not there");
    }

    #[test]
    fn the_dashboard_asks_for_metrics_that_are_there() {
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/grafana-dashboard.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let asked: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
        assert!(asked.len() >= 10, "{asked:?}");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut seen = Vec::new();
        for expression in asked {
            let words = expression.split(|c| !is_word(c)).filter(|word| word.starts_with("luasocketd_"));
            for word in words {
                let found = Metric::ALL.iter().find(|metric| {
                    let histogram = metric.sort() == Sort::Histogram;
                    let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", metric.name()));
                    if histogram { parts.iter().any(|part| part == word) } else { metric.name() == word }
                });
                seen.push(*found.unwrap_or_else(|| panic!("`{expression}` asks for `{word}`")));
            }
        }
        for metric in Metric::ALL {
            assert!(seen.contains(metric), "no panel shows {}", metric.name());
        }
    }
}
