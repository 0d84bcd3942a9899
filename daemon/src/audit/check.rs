//! Whether lines follow each other as the trail has written them. No I/O: lines come in, faults come out.

use serde::Deserialize;
use thiserror::Error;

use super::chain::{Hash, Point, SEQUENCE_MAX, unseal};
use super::entry::Gone;
use super::words::Own;

/// What a line says that the chain and recovery need: words of the trail's own, which have nothing that JSON escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: &'a str,
    #[serde(borrow)]
    pub(super) event: SaidEvent<'a>,
    luasocketd: SaidOwn,
}

#[derive(Debug, Deserialize)]
pub(super) struct SaidEvent<'a> {
    pub(super) id: &'a str,
    pub(super) sequence: u64,
    pub(super) action: &'a str,
    #[serde(rename = "type", borrow)]
    pub(super) types: Vec<&'a str>,
}

#[derive(Debug, Deserialize)]
struct SaidOwn {
    #[serde(default)]
    gone: Option<Gone>,
}

impl<'a> Said<'a> {
    /// What a line says, its own bytes and its hash; `None` of what is no line of a trail.
    pub(super) fn parse(line: &'a [u8]) -> Option<(Self, &'a [u8], Hash)> {
        let (body, hash) = unseal(line)?;
        let said: Said<'_> = serde_json::from_slice(line).ok()?;
        (said.event.sequence <= SEQUENCE_MAX).then_some((said, body, hash))
    }

    /// The last line that is not there any more, if the line says so.
    fn gone(&self) -> Option<Point> {
        let gone = self.luasocketd.gone.as_ref()?;
        Some(Point { sequence: gone.sequence, hash: gone.sha256.parse().ok()? })
    }
}

/// What is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It is not JSON with what every line has, and its hash at the end.
    #[error("this is no line of a trail: it has been damaged or changed")]
    NoLine,
    /// The bytes do not fit the hash.
    #[error("the hash does not fit: this line has been changed, or the hash of the one before it")]
    Changed,
    /// Some are not there.
    #[error("the lines {0} to {1} before this one are missing")]
    Missing(u64, u64),
    /// It does not come after the one before it.
    #[error("this line stands behind line {0}: it has been moved or repeated")]
    Order(u64),
    /// A rotated file ends within a line.
    #[error("the file ends within a line")]
    Torn,
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// A rotated file begins with another line than its name says.
    #[error("the file begins with another line than its name says")]
    Misnamed,
    /// The head is further than the lines.
    #[error("the lines {0} to {1} were written and are missing: the trail has been cut at its end")]
    Cut(u64, u64),
    /// There is no head.
    #[error("the head is missing or no head: whether lines are missing at the end cannot be told")]
    NoHead,
    /// A line with a known hash has another one.
    #[error("{0} says that line {1} has another hash: the trail has been written anew, or is another one")]
    Other(Noted, u64),
    /// A line whose hash is known is older than all that there are.
    #[error("line {1}, which {0} knows, is not among the lines: nothing can be said by it")]
    Older(Noted, u64),
}

/// Who knows a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The file `audit.head`.
    Head,
    /// Whoever has asked.
    Anchor,
}

impl std::fmt::Display for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Noted::Head => "the head",
            Noted::Anchor => "the anchor",
        })
    }
}

/// Follows the lines of a trail.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// The first line's number.
    pub(super) first: Option<u64>,
    /// The line before the next one.
    pub(super) last: Option<Point>,
    /// How many were no lines since then: the hash of the line before the next one is not known.
    blind: u64,
    /// The first line, while nothing says what was before it.
    unproven: Option<Unproven>,
    /// Hashes that are known from elsewhere, and whether their lines have come.
    noted: Vec<(Noted, Point, bool)>,
}

#[derive(Debug)]
struct Unproven {
    sequence: u64,
    body: Vec<u8>,
    hash: Hash,
}

impl Check {
    /// Expects the line of this place to have its hash.
    pub(super) fn expect(&mut self, who: Noted, point: Point) {
        // Before the first line there is none, and nothing to compare.
        self.noted.push((who, point, point == Point::default()));
    }

    /// Takes the next line, without its newline. Gives its number, if it is one, and what is wrong with it.
    pub(super) fn accept(&mut self, line: &[u8]) -> (Option<u64>, Vec<Fault>) {
        let Some((said, body, hash)) = Said::parse(line) else {
            self.blind += 1;
            return (None, vec![Fault::NoLine]);
        };
        let sequence = said.event.sequence;
        let mut faults = Vec::new();
        let is_behind = self.last.is_some_and(|last| sequence <= last.sequence);
        match self.last {
            Some(last) if is_behind => faults.push(Fault::Order(last.sequence)),
            Some(last) if sequence - last.sequence > self.blind + 1 => {
                faults.push(Fault::Missing(last.sequence + 1, sequence - 1));
                let gone = said.gone().filter(|gone| gone.sequence == sequence - 1);
                if gone.is_some_and(|gone| gone.hash.then(body) != hash) {
                    faults.push(Fault::Changed);
                }
            }
            Some(last) if sequence - last.sequence == 1 && last.hash.then(body) != hash => {
                faults.push(Fault::Changed)
            }
            None if sequence <= 1 && Hash::default().then(body) != hash => faults.push(Fault::Changed),
            None if sequence > 1 => {
                self.unproven = Some(Unproven { sequence, body: body.to_vec(), hash });
            }
            Some(_) | None => {}
        }
        if said.event.action == Own::Pruned.action() {
            faults.extend(said.gone().and_then(|gone| self.prove(gone)));
        }
        if !is_behind {
            self.first.get_or_insert(sequence);
            self.last = Some(Point { sequence, hash });
            self.blind = 0;
        }
        for (who, point, has_come) in &mut self.noted {
            if point.sequence == sequence && !*has_come {
                *has_come = true;
                if point.hash != hash {
                    faults.push(Fault::Other(*who, sequence));
                }
            }
        }
        (Some(sequence), faults)
    }

    /// A line of the trail says which one was the last before the first that is there.
    fn prove(&mut self, gone: Point) -> Option<Fault> {
        let first = self.unproven.take_if(|first| first.sequence - 1 == gone.sequence)?;
        for (who, point, has_come) in &mut self.noted {
            if point.sequence == gone.sequence && !*has_come {
                *has_come = true;
                if point.hash != gone.hash {
                    return Some(Fault::Other(*who, gone.sequence));
                }
            }
        }
        (gone.hash.then(&first.body) != first.hash).then_some(Fault::Changed)
    }

    /// No more lines: what is wrong at the beginning of them all, and at the end.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let beginning =
            self.unproven.iter().map(|first| Fault::Missing(1, first.sequence - 1)).collect::<Vec<_>>();
        let last = self.last.unwrap_or_default().sequence;
        let end = self.noted.iter().filter(|(.., has_come)| !has_come).map(|(who, point, _)| {
            if point.sequence > last {
                Fault::Cut(last + 1, point.sequence)
            } else {
                Fault::Older(*who, point.sequence)
            }
        });
        (beginning, end.collect())
    }
}
