//! What the two sides say of a stream.

use std::fmt;

use crate::arrival::{Arrival, Run};
use crate::pattern::Lane;
use crate::plan::named;

/// How a stream ended for the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has not said so.
    None,
    /// Everything was accepted and received, and then the peer's end came.
    Whole,
    /// It waited long enough for `send`, and closed.
    GaveUp,
    /// A call failed with this error, or the end came too early.
    Failed(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Ending::None => f.write_str("silently"),
            Ending::Whole => f.write_str("as if it were whole"),
            Ending::GaveUp => f.write_str("as it gave up"),
            Ending::Failed(error) => write!(f, "by `{error}`"),
        }
    }
}

named! {
    /// How a stream ended for the peer.
    PeerEnd {
        /// By the script's end, after all that it has sent.
        Orderly = "an orderly end",
        /// By a reset.
        Reset = "a reset",
        /// By its own doing.
        Own = "its own end",
        /// Nothing came for longer than it waits.
        Silence = "nothing came any more",
    }
}

/// What the script said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptReport {
    /// How many bytes `send` accepted, as far as it has said so.
    pub accepted: u64,
    /// How many bytes it received that were as they should be.
    pub received: u64,
    /// The hash of what was accepted.
    pub sent_hash: u64,
    /// The hash of what was received.
    pub received_hash: u64,
    /// What it received, by place.
    pub runs: Vec<Run>,
    /// How many bytes it received that belong nowhere.
    pub foreign: u64,
    /// How it ended.
    pub ending: Ending,
}

/// What the peer saw and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// What came, by place.
    pub runs: Vec<Run>,
    /// How many bytes came that belong nowhere.
    pub foreign: u64,
    /// How many bytes came.
    pub received: u64,
    /// The hash of what came.
    pub received_hash: u64,
    /// How many bytes it has sent, or tried to.
    pub sent: u64,
    /// The hash of what it has sent.
    pub sent_hash: u64,
    /// How it ended.
    pub end: PeerEnd,
}

impl PeerReport {
    /// What is known of a peer that nobody has reached.
    pub fn nothing() -> PeerReport {
        let end = PeerEnd::Silence;
        PeerReport { runs: Vec::new(), foreign: 0, received: 0, received_hash: 0, sent: 0, sent_hash: 0, end }
    }
}

impl ScriptReport {
    /// What a script that has said nothing is known to have done.
    pub fn nothing() -> ScriptReport {
        ScriptReport {
            accepted: 0,
            received: 0,
            sent_hash: 0,
            received_hash: 0,
            runs: Vec::new(),
            foreign: 0,
            ending: Ending::None,
        }
    }

    /// What its lines say of one stream: the last counts of `at STREAM ACCEPTED RECEIVED`, the end of
    /// `end STREAM ACCEPTED RECEIVED HASH HASH whole|gave-up|error TEXT`, and what was wrong of `bad STREAM OFFSET HEX`.
    /// A line that was cut short by a kill says nothing.
    pub fn from_lines(stream: u64, text: &str) -> ScriptReport {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut report = ScriptReport::nothing();
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            if words.get(1).and_then(|word| word.parse().ok()) != Some(stream) {
                continue;
            }
            match words[0] {
                "at" | "end" => {
                    (report.accepted, report.received) = (number(2), number(3));
                    (report.sent_hash, report.received_hash) = (number(4), number(5));
                    report.ending = ending(words.get(6..).unwrap_or_default());
                }
                "bad" => report.place(stream, number(2), words.get(3).copied().unwrap_or_default()),
                _ => {}
            }
        }
        if report.runs.is_empty() {
            report.runs = vec![Run { from: 0, to: report.received }];
        }
        report
    }

    /// Places what the script received at an offset where it does not belong.
    fn place(&mut self, stream: u64, offset: u64, hex: &str) {
        let pairs = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        let mut arrival = Arrival::at(Lane::down(stream), offset);
        arrival.take(&bytes);
        (self.runs, self.foreign) = arrival.end();
    }
}

fn ending(words: &[&str]) -> Ending {
    match words {
        [] => Ending::None,
        ["whole"] => Ending::Whole,
        ["gave-up"] => Ending::GaveUp,
        ["error", rest @ ..] => Ending::Failed(rest.join(" ")),
        other => Ending::Failed(format!("no ending: {}", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_script_are_understood_and_a_cut_one_is_not() {
        let text = "at 7 100 20\nat 8 5 5\nend 8 6 7 1 2 error connect: timeout\nat 7 200 30\nat 7 3";
        let report = ScriptReport::from_lines(7, text);
        assert_eq!((report.accepted, report.received, &report.ending), (200, 30, &Ending::None));
        let other = ScriptReport::from_lines(8, text);
        assert_eq!((other.accepted, other.received, other.sent_hash, other.received_hash), (6, 7, 1, 2));
        assert_eq!(other.ending, Ending::Failed("connect: timeout".into()));
        assert_eq!(ScriptReport::from_lines(9, text).accepted, 0);
        assert_eq!(ScriptReport::from_lines(1, "end 1 1 1 1 1 whole\n").ending, Ending::Whole);
    }

    #[test]
    fn what_a_script_finds_wrong_is_placed() {
        let lane = Lane::down(3);
        let hex: String = lane.bytes(500, 2000).iter().map(|byte| format!("{byte:02x}")).collect();
        let report = ScriptReport::from_lines(3, &format!("bad 3 700 {hex}\nend 3 0 700 0 0 error bad\n"));
        let runs: Vec<(u64, u64)> = report.runs.iter().map(|run| (run.from, run.to)).collect();
        assert_eq!((runs, report.foreign), (vec![(0, 700), (500, 2500)], 0));
    }
}
