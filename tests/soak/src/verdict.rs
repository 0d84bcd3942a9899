//! What became of a stream: what its script said and what its peer saw, held against each other.
//!
//! The rule: every byte that `send` accepted is delivered, or an error on that socket says that it was not; no byte comes
//! twice, and none out of order. What excuses what is written down here and nowhere else.

use crate::arrival::Run;
use crate::plan::{Manner, Plan};
use crate::report::{Ending, PeerEnd, PeerReport, ScriptReport};

/// What was done to a stream from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Its script was killed.
    pub is_script_killed: bool,
    /// A daemon was killed, or at the end of its time, while the stream lived.
    pub is_daemon_cut: bool,
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Bytes that were accepted, not delivered, and of which nobody was told.
    pub lost: u64,
    /// Bytes that were delivered more than once, or that nobody had sent.
    pub doubled: u64,
    /// Bytes that came behind such as follow them.
    pub reordered: u64,
    /// Bytes that were compared, on both sides.
    pub checked: u64,
    /// Whether everything was there, and both sides said so.
    pub is_whole: bool,
    /// What else is not as it has to be.
    pub complaints: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.lost + self.doubled + self.reordered == 0 && self.complaints.is_empty()
    }
}

/// Judges one stream. A script that could not even connect has no report of a peer; one that was killed may have none itself.
pub fn judge(
    plan: &Plan,
    circumstances: Circumstances,
    script: &ScriptReport,
    peer: Option<&PeerReport>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let nothing = PeerReport::nothing();
    let seen = peer.unwrap_or(&nothing);
    let up = verdict.place(&seen.runs, seen.foreign);
    let down = verdict.place(&script.runs, script.foreign);
    verdict.checked = up + down;
    verdict.is_whole = script.ending == Ending::Whole;
    let excuse = Excuse::of(plan, circumstances, script, seen);
    if up < script.accepted && excuse == Excuse::None {
        verdict.lost += script.accepted - up;
    }
    // Who was killed has not said how much it was at last.
    let is_final = script.ending != Ending::None;
    if is_final && up > script.accepted && !circumstances.is_daemon_cut {
        verdict.doubled += up - script.accepted;
    }
    if down > seen.sent {
        verdict.doubled += down - seen.sent;
    }
    verdict.check_ending(plan, circumstances, script, peer);
    verdict
}

/// Why bytes that were accepted need not have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    None,
    /// The script was told by an error.
    Told,
    /// The script is no more, and what its daemon held went with a daemon, or the peer saw a reset.
    Gone,
}

impl Excuse {
    fn of(plan: &Plan, circumstances: Circumstances, script: &ScriptReport, peer: &PeerReport) -> Excuse {
        let is_disturbed =
            circumstances.is_daemon_cut || matches!(plan.manner, Manner::Reset | Manner::Never);
        match script.ending {
            Ending::Failed(_) if is_disturbed => Excuse::Told,
            // It had closed when the peer's reset came: with a socket of its own, nobody could have told it either.
            Ending::GaveUp if plan.manner == Manner::Never => Excuse::Gone,
            // What it had left with its daemon when it closed went with that: no error could have reached it any more.
            Ending::GaveUp if circumstances.is_daemon_cut => Excuse::Gone,
            Ending::None if circumstances.is_script_killed && is_disturbed => Excuse::Gone,
            // The kernel of a script that had its own socket would reset as well, with bytes that nobody has read.
            Ending::None if circumstances.is_script_killed && peer.end == PeerEnd::Reset => Excuse::Gone,
            Ending::Failed(_) | Ending::GaveUp | Ending::None | Ending::Whole => Excuse::None,
        }
    }
}

impl Verdict {
    /// Counts what one side saw out of place; how much of it is a piece from the beginning without a gap.
    fn place(&mut self, runs: &[Run], foreign: u64) -> u64 {
        self.doubled += foreign;
        let mut seen: Vec<Run> = Vec::new();
        let mut furthest = 0;
        for run in runs {
            let covered: u64 = seen.iter().map(|other| common(run, other)).sum();
            self.doubled += covered;
            if run.from < furthest {
                self.reordered += run.to - run.from - covered;
            }
            furthest = furthest.max(run.to);
            insert(&mut seen, *run);
        }
        let total: u64 = seen.iter().map(|run| run.to - run.from).sum();
        // What came later than a gap shows that the gap is one.
        self.lost += furthest - total;
        furthest
    }

    fn check_ending(
        &mut self,
        plan: &Plan,
        circumstances: Circumstances,
        script: &ScriptReport,
        peer: Option<&PeerReport>,
    ) {
        if circumstances.is_daemon_cut {
            return;
        }
        match (&script.ending, plan.manner, peer) {
            (Ending::None, _, _) if circumstances.is_script_killed => {}
            (Ending::None, _, _) => self.complain(plan, "the script did not say how it ended"),
            (Ending::Failed(_), Manner::Reset | Manner::Never, _) | (Ending::GaveUp, Manner::Never, _) => {}
            (Ending::GaveUp, Manner::Late, Some(peer)) if peer.end == PeerEnd::Orderly => {}
            // Whoever was busy with other streams may have been patient enough for a late reader.
            (Ending::Whole, Manner::Plain | Manner::HalfClose | Manner::Drip | Manner::Late, Some(peer)) => {
                self.check_whole(plan, script, peer);
            }
            (ending, manner, peer) => {
                let end = peer.map_or("never came", |peer| peer.end.name());
                self.complain(
                    plan,
                    &format!("with a peer of manner `{manner}` the script ended {ending}; the peer: {end}"),
                );
            }
        }
    }

    fn check_whole(&mut self, plan: &Plan, script: &ScriptReport, peer: &PeerReport) {
        let up = (script.accepted, script.sent_hash) == (peer.received, peer.received_hash);
        let down = (peer.sent, peer.sent_hash) == (script.received, script.received_hash);
        if script.accepted != plan.up || script.received != plan.down {
            self.complain(plan, "the script took a part for the whole");
        }
        // What is short is counted as lost.
        if peer.received >= script.accepted && (!up || !down) {
            self.complain(plan, "counts or hashes of the two sides differ");
        }
        if peer.end != PeerEnd::Orderly {
            self.complain(plan, &format!("all went well for the script, but the peer: {}", peer.end.name()));
        }
    }

    fn complain(&mut self, plan: &Plan, what: &str) {
        self.complaints.push(format!("stream {}: {what}", plan.stream));
    }
}

fn common(one: &Run, other: &Run) -> u64 {
    one.to.min(other.to).saturating_sub(one.from.max(other.from))
}

/// Adds a run to those that neither touch nor overlap.
fn insert(runs: &mut Vec<Run>, mut new: Run) {
    runs.retain(|run| {
        let is_apart = run.to < new.from || new.to < run.from;
        if !is_apart {
            new = Run { from: run.from.min(new.from), to: run.to.max(new.to) };
        }
        is_apart
    });
    runs.push(new);
}

#[cfg(test)]
mod tests;
