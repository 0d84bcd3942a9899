//! Is a trail as it was written?
//!
//! A byte that was changed, a line that was removed, moved or added, a file that was cut or taken away shows, as each line
//! has the hash of all before it, and the head says which line is the last. Honestly: somebody who may write the
//! directory can write all of it anew, head included, and no check of these files alone can tell. What can is an
//! anchor: a line's number and hash that were noted where he cannot write. The daemon logs one when it starts, rotates and
//! ends, so the journal has some.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::chain::Point;
use super::check::{Check, Fault, Noted};
use super::files::{FileId, Found, HEAD, LIVE, Segment, read_head, read_line, segments};

/// The most faults that are told one by one; a file that is no trail has one on every line.
pub const FAULTS_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many files there are, the live one included.
    pub files: usize,
    /// How many lines.
    pub lines: u64,
    /// The first line's number; later lines than 1 come first where old files were pruned.
    pub first: Option<u64>,
    /// The last line.
    pub last: Option<Point>,
    /// What the head says.
    pub head: Option<Point>,
    /// Bytes behind the last line: one that a daemon is about to write, or could not when it ended.
    pub unfinished: u64,
    /// What is wrong, the first [`FAULTS_MAX`] of it.
    pub faults: Vec<Wrong>,
    /// How much is wrong in all.
    pub fault_count: u64,
}

/// Something is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In which file.
    pub file: PathBuf,
    /// In which line of it, from 1; `None` of the file as such.
    pub line: Option<u64>,
    /// The number that the line says it has.
    pub sequence: Option<u64>,
    /// What.
    pub fault: Fault,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, " (sequence {sequence})")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl Verification {
    /// Whether all is as it was written.
    pub fn is_sound(&self) -> bool {
        self.fault_count == 0
    }

    fn add(&mut self, file: &Path, line: Option<u64>, sequence: Option<u64>, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Wrong { file: file.to_owned(), line, sequence, fault });
        }
    }
}

/// Reads the whole trail in `directory` and says whether it is sound. A daemon may be writing it. `anchor` is a place in
/// the trail that was noted elsewhere.
///
/// # Errors
/// When the directory cannot be read, or there is no trail in it.
pub fn verify(directory: &Path, anchor: Option<Point>) -> io::Result<Verification> {
    // The head comes first: lines that are written meanwhile are behind it.
    let head = read_head(directory)?;
    let mut found = Verification { head, ..Verification::default() };
    let mut check = Check::default();
    head.iter().for_each(|&point| check.expect(Noted::Head, point));
    anchor.iter().for_each(|&point| check.expect(Noted::Anchor, point));
    let files = all_of(directory)?;
    if files.is_empty() && head.is_none() {
        let text = format!("there is no audit trail in {}", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut beginning = None;
    for (segment, reader) in files {
        found.files += 1;
        let lines = found.lines;
        match reader {
            Ok(reader) => read(&segment, reader, &mut check, &mut found),
            Err(error) => found.add(&segment.path, None, None, Fault::Unreadable(error.to_string())),
        }
        if beginning.is_none() && found.lines > lines {
            beginning = Some(segment.path);
        }
    }
    (found.first, found.last) = (check.first, check.last);
    let (at_beginning, at_end) = check.finish();
    for fault in at_beginning {
        found.add(beginning.as_deref().unwrap_or(directory), Some(1), found.first, fault);
    }
    let live = directory.join(LIVE);
    at_end.into_iter().for_each(|fault| found.add(&live, None, None, fault));
    if head.is_none() {
        found.add(&directory.join(HEAD), None, None, Fault::NoHead);
    }
    Ok(found)
}

type Reader = io::Result<Box<dyn io::BufRead>>;

/// How often the files are looked up again because one was rotated in this moment.
const LOOKS_MAX: usize = 8;

/// The files of a trail, opened so that a rotation meanwhile hides or repeats none.
fn all_of(directory: &Path) -> io::Result<Vec<(Segment, Reader)>> {
    let live = directory.join(LIVE);
    let identity = || fs::metadata(&live).map(|file| FileId::of(&file)).ok();
    let mut looks = 0;
    loop {
        let before = identity();
        let open = |segment: Segment| {
            let reader = segment.open();
            (segment, reader)
        };
        let files = segments(directory)?.into_iter().map(open).collect();
        looks += 1;
        if before == identity() || looks == LOOKS_MAX {
            return Ok(files);
        }
    }
}

fn read(segment: &Segment, mut reader: Box<dyn io::BufRead>, check: &mut Check, found: &mut Verification) {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        match read_line(&mut *reader, &mut line) {
            Ok((Found::End, _)) => return,
            Ok((Found::Partial, bytes)) if segment.is_live() => {
                found.unfinished = bytes;
                return;
            }
            Ok((Found::Partial, _)) => {
                found.add(&segment.path, Some(number), None, Fault::Torn);
                return;
            }
            Ok((Found::Line | Found::TooLong, _)) => {
                found.lines += 1;
                let (sequence, faults) = check.accept(&line);
                let is_misnamed = segment.first.is_some_and(|first| sequence.is_some_and(|n| n != first));
                if number == 1 && is_misnamed {
                    found.add(&segment.path, Some(number), sequence, Fault::Misnamed);
                }
                for fault in faults {
                    found.add(&segment.path, Some(number), sequence, fault);
                }
            }
            Err(error) => {
                found.add(&segment.path, Some(number), None, Fault::Unreadable(error.to_string()));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
