//! What a run has come to so far.

use std::collections::BTreeMap;

use crate::plan::{Manner, Plan, Way};
use crate::schedule::Fault;
use crate::verdict::Verdict;

/// How many complaints are kept: the first say what is wrong.
const COMPLAINTS: usize = 20;

/// Sums over all streams and processes.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Processes that have ended.
    pub processes: u64,
    /// Those of a moment.
    pub short_processes: u64,
    /// Streams that were judged.
    pub streams: u64,
    /// Those that were whole on both sides.
    pub whole: u64,
    /// Bytes that were compared.
    pub checked: u64,
    /// As [`Verdict::lost`].
    pub lost: u64,
    /// As [`Verdict::doubled`].
    pub doubled: u64,
    /// As [`Verdict::reordered`].
    pub reordered: u64,
    /// Faults that were injected.
    pub faults: BTreeMap<Fault, u64>,
    /// Streams by the manner of their peer.
    pub manners: BTreeMap<Manner, u64>,
    /// Streams by what their scripts did.
    pub ways: BTreeMap<Way, u64>,
    /// How many complaints there were.
    pub complaint_count: u64,
    /// The first of them.
    pub complaints: Vec<String>,
}

impl Tally {
    /// Adds a stream.
    pub fn add(&mut self, plan: &Plan, way: Way, verdict: &Verdict, who: &str) {
        self.streams += 1;
        self.whole += u64::from(verdict.is_whole && verdict.is_good());
        self.checked += verdict.checked;
        self.lost += verdict.lost;
        self.doubled += verdict.doubled;
        self.reordered += verdict.reordered;
        *self.manners.entry(plan.manner).or_default() += 1;
        *self.ways.entry(way).or_default() += 1;
        let Verdict { lost, doubled, reordered, complaints, .. } = verdict;
        if lost + doubled + reordered > 0 {
            self.complain(format!("{who}: {plan:?}: {lost} lost, {doubled} doubled, {reordered} reordered"));
        }
        complaints.iter().for_each(|complaint| self.complain(format!("{who}: {complaint}")));
    }

    /// Adds something that is wrong.
    pub fn complain(&mut self, what: String) {
        self.complaint_count += 1;
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(what);
        }
    }

    /// A fault was injected.
    pub fn injected(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }
}
