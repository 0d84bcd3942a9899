//! Which fault is injected when: a function of the seed and of the length of the run.

use std::fmt::Write;
use std::time::Duration;

use crate::dice::Dice;
use crate::plan::named;

named! {
    /// What is done to scripts, to a daemon, or to the machine under it.
    Fault {
        /// `kill -9` of a script.
        KillScript = "scripts killed",
        /// SIGSTOP of a script, and SIGCONT some seconds later.
        StopScript = "scripts stopped",
        /// `kill -9` of a daemon, which is started again.
        KillDaemon = "daemons killed",
        /// `luasocketd reload --exec`.
        Handover = "handovers",
        /// A host forks while it sends.
        Fork = "hosts that fork",
        /// A daemon has hardly any descriptors, and many clients knock.
        Descriptors = "descriptors run out",
        /// The disk under the audit trail is full.
        Disk = "disks full",
        /// A name server takes questions and never answers.
        Resolver = "resolvers that hang",
    }
}

impl Fault {
    /// How much time there is for each on average. Even the shortest run has one of each.
    fn every(self) -> Duration {
        Duration::from_secs(match self {
            Fault::KillScript => 2,
            Fault::StopScript => 10,
            Fault::KillDaemon => 20,
            Fault::Handover => 30,
            Fault::Fork => 10,
            Fault::Descriptors | Fault::Disk | Fault::Resolver => 100,
        })
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// A number for whatever has to be chosen then.
    pub choice: u64,
}

/// How long a script is stopped in a run of this length: a minute, once there is room for it, some seconds otherwise.
pub fn stop_length(run: Duration, choice: u64) -> Duration {
    let is_long = run >= Duration::from_secs(300) && choice.is_multiple_of(5);
    Duration::from_secs(if is_long { 60 } else { 1 + choice % 3 })
}

/// The faults of a run, in order. None is in the first tenth or the last fifth: it has to be seen what comes after it.
pub fn schedule(seed: u64, run: Duration) -> Vec<Entry> {
    let (first, room) = (run / 10, run * 7 / 10);
    let mut entries = Vec::new();
    for (number, fault) in Fault::ALL.iter().enumerate() {
        let mut dice = Dice::new(seed, u64::MAX - number as u64);
        let count = (run.as_secs() / fault.every().as_secs()).max(1) as u32;
        let slot = room / count;
        entries.extend((0..count).map(|each| {
            let within = slot.mul_f64(dice.below(1000) as f64 / 1000.0);
            Entry { at: first + slot * each + within, fault: *fault, choice: dice.throw() }
        }));
    }
    entries.sort();
    entries
}

/// The schedule for people: a line for each kind, with the seconds.
pub fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for fault in Fault::ALL {
        let of_kind = entries.iter().filter(|entry| entry.fault == *fault);
        let times: Vec<String> = of_kind.map(|entry| format!("{:.1}", entry.at.as_secs_f64())).collect();
        // A text takes whatever is written.
        let _ = writeln!(text, "  {:20} {}", fault.name(), times.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_repeatable_in_order_and_has_each_fault() {
        for seconds in [10, 600] {
            let run = Duration::from_secs(seconds);
            let entries = schedule(5, run);
            assert_eq!(entries, schedule(5, run));
            assert_ne!(entries, schedule(6, run));
            assert!(entries.is_sorted());
            for fault in Fault::ALL {
                assert!(entries.iter().any(|entry| entry.fault == *fault), "{fault}");
            }
            assert!(entries.iter().all(|entry| entry.at >= run / 10 && entry.at <= run * 4 / 5));
        }
        let text = text(&schedule(5, Duration::from_secs(600)));
        assert_eq!(text.lines().count(), Fault::ALL.len(), "{text}");
    }

    #[test]
    fn only_a_long_run_stops_a_script_for_a_minute() {
        let longest = |seconds| (0..20).map(|choice| stop_length(Duration::from_secs(seconds), choice)).max();
        assert_eq!(longest(600), Some(Duration::from_secs(60)));
        assert_eq!(longest(60), Some(Duration::from_secs(3)));
    }
}
