//! What an earlier run has left: where the trail goes on, what was open, and what is amiss.
//!
//! Only the live file is read, and what was open when it was begun: the rotated ones are as many as there were days.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::chain::Point;
use super::check::Said;
use super::entry::Entry;
use super::files::{
    Found, HEAD, LIVE, Segment, UNFINISHED, numbered, open_path, read_head, read_line, rotated, rotated_path,
};
use super::words::{DENIED, Half, half};

/// What an earlier run has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Where the trail goes on.
    pub(super) point: Point,
    /// Bytes of the live file that stay; what is behind them was never acknowledged.
    pub(super) length: u64,
    /// The first line of the live file, and its time.
    pub(super) first: Option<(u64, String)>,
    /// Decisions without an end.
    pub(super) open: Vec<Entry>,
    /// The last line that is missing, where lines are.
    pub(super) gone: Option<Point>,
    /// What the operator has to be told.
    pub(super) amiss: Vec<String>,
}

/// Looks at what is in `directory`, and changes nothing.
pub(super) fn look(directory: &Path) -> io::Result<Left> {
    let head = read_head(directory)?;
    let mut left = Left::default();
    let live = match File::open(directory.join(LIVE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    let scan = live.as_ref().map(|file| Scan::of(file, head)).transpose()?.unwrap_or_default();
    (left.length, left.first) = (scan.length, scan.first.clone());
    left.amiss.extend(scan.amiss.iter().cloned());
    let written = match scan.last {
        Some(last) => Some(last),
        None => before_live(directory, head)?,
    };
    left.place(directory, head, written, &scan);
    left.open = still_open(directory, &scan, live.as_ref(), &mut left.amiss)?;
    Ok(left)
}

impl Left {
    /// Decides where the trail goes on: behind the last line that is there, or that the head knows of.
    fn place(&mut self, directory: &Path, head: Option<Point>, written: Option<Point>, scan: &Scan) {
        let last = written.unwrap_or_default();
        self.point = last;
        match head {
            Some(head) if head.sequence > last.sequence => {
                self.amiss.push(format!(
                    "the lines {} to {} were written and are missing: somebody has cut the trail, or the disk has lost \
                    them",
                    last.sequence + 1,
                    head.sequence
                ));
                (self.point, self.gone) = (head, Some(head));
            }
            Some(_) if scan.is_other_at_head => self.amiss.push(format!(
                "{HEAD} knows another hash of its line than the line has: one of both was changed"
            )),
            None if last != Point::default() => {
                let path = directory.join(HEAD);
                self.amiss.push(format!(
                    "{} is missing or no head: whether lines are missing at the end cannot be told",
                    path.display()
                ));
            }
            Some(_) | None => {}
        }
    }
}

/// The last line before a live file that has none.
fn before_live(directory: &Path, head: Option<Point>) -> io::Result<Option<Point>> {
    let Some(newest) = rotated(directory)?.pop() else { return Ok(None) };
    let is_plain = newest.first.is_some_and(|first| newest.path == rotated_path(directory, first));
    // Rotation wrote the head before it began, and the file that the live one was to become tells its number. Where that
    // does not fit the compressed file has to be read after all.
    let begun = numbered(directory, ".open")?.pop().map(|(first, _)| first);
    match head {
        Some(head) if !is_plain && begun.is_none_or(|begun| begun == head.sequence + 1) => Ok(Some(head)),
        Some(_) | None => last_of(&newest),
    }
}

/// The last line of a file, by reading all of it.
pub(super) fn last_of(segment: &Segment) -> io::Result<Option<Point>> {
    let (mut reader, mut line, mut last) = (segment.open()?, Vec::new(), None);
    loop {
        match read_line(&mut *reader, &mut line)?.0 {
            Found::End | Found::Partial => return Ok(last),
            Found::TooLong => {}
            Found::Line => {
                let said = Said::parse(&line);
                last = said.map(|(said, _, hash)| Point { sequence: said.event.sequence, hash }).or(last);
            }
        }
    }
}

/// The decisions that have no end: those that had none when the live file was begun, and those in it.
fn still_open(
    directory: &Path,
    scan: &Scan,
    live: Option<&File>,
    amiss: &mut Vec<String>,
) -> io::Result<Vec<Entry>> {
    let snapshot = match &scan.first {
        Some((first, _)) => Some(open_path(directory, *first)),
        None => numbered(directory, ".open")?.pop().map(|(_, path)| path),
    };
    let mut open = Vec::new();
    let is_first = scan.first.as_ref().is_none_or(|(first, _)| *first <= 1);
    match snapshot.as_deref().map(File::open) {
        None => {}
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound && is_first => {}
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => amiss.push(format!(
            "{} is missing: what was open at the rotation and has not ended since is not known",
            snapshot.unwrap_or_default().display()
        )),
        Some(file) => {
            let (mut reader, mut line) = (BufReader::new(file?), Vec::new());
            while read_line(&mut reader, &mut line)?.0 == Found::Line {
                open.extend(serde_json::from_slice::<Entry>(&line).ok());
            }
            open.retain(|entry| !scan.ended.contains(&entry.event.id));
        }
    }
    let mut in_live: Vec<(u64, usize)> = scan.open.values().copied().collect();
    in_live.sort_unstable();
    if let Some(live) = live {
        let mut line = Vec::new();
        for (offset, length) in in_live {
            line.resize(length, 0);
            live.read_exact_at(&mut line, offset)?;
            open.extend(serde_json::from_slice::<Entry>(&line).ok());
        }
    }
    Ok(open)
}

/// What is in a live file.
#[derive(Debug, Default)]
struct Scan {
    /// Bytes up to the end of the last line that stays.
    length: u64,
    first: Option<(u64, String)>,
    last: Option<Point>,
    /// The lines of decisions without an end: where they begin, and how long they are.
    open: HashMap<String, (u64, usize)>,
    /// What ended that was decided before this file.
    ended: HashSet<String>,
    is_other_at_head: bool,
    amiss: Vec<String>,
}

impl Scan {
    fn of(file: &File, head: Option<Point>) -> io::Result<Scan> {
        let (mut reader, mut line) = (BufReader::with_capacity(1 << 18, file), Vec::new());
        let (mut scan, mut offset, mut number) = (Scan::default(), 0, 0u64);
        let mut damaged = Vec::new();
        // A line without its newline is a write that did not come to its end: it was never acknowledged.
        while let (found @ (Found::Line | Found::TooLong), bytes) = read_line(&mut reader, &mut line)? {
            number += 1;
            if found == Found::Line && scan.take(&line, offset, head) {
                scan.damaged(&mut damaged);
                scan.length = offset + bytes;
            } else {
                damaged.push(number);
            }
            offset += bytes;
        }
        let last = scan.last.unwrap_or_default().sequence;
        if head.is_none_or(|head| head.sequence > last) {
            // They are all that is left of what was acknowledged.
            scan.damaged(&mut damaged);
            scan.length = offset;
        }
        if !damaged.is_empty() {
            let text = "lines at the end that were never acknowledged were not whole, and are removed";
            scan.amiss.push(format!("{} {text}", damaged.len()));
        }
        Ok(scan)
    }

    fn damaged(&mut self, lines: &mut Vec<u64>) {
        if let (Some(first), Some(last)) = (lines.first(), lines.last()) {
            self.amiss.push(format!(
                "the lines {first} to {last} of {LIVE} are no lines of a trail: somebody has changed them"
            ));
        }
        lines.clear();
    }

    /// Takes a line that begins at `offset`; says whether it is one.
    fn take(&mut self, line: &[u8], offset: u64, head: Option<Point>) -> bool {
        let Some((said, body, hash)) = Said::parse(line) else { return false };
        let sequence = said.event.sequence;
        let head_sequence = head.map_or(u64::MAX, |head| head.sequence);
        if sequence > head_sequence {
            // Of what the disk had not confirmed any part may be missing.
            let before = self.last.or(head);
            if before.is_some_and(|last| sequence - 1 != last.sequence || last.hash.then(body) != hash) {
                return false;
            }
        }
        if head.is_some_and(|head| head.sequence == sequence && head.hash != hash) {
            self.is_other_at_head = true;
        }
        if self.first.is_none() {
            self.first = Some((sequence, said.timestamp.to_owned()));
        }
        self.last = Some(Point { sequence, hash });
        let id = said.event.id;
        match half(said.event.action) {
            Some(Half::Decided) if !said.event.types.contains(&DENIED) => {
                self.open.insert(id.to_owned(), (offset, line.len()));
            }
            Some(Half::Ended) if self.open.remove(id).is_none() => {
                self.ended.insert(id.to_owned());
            }
            Some(Half::Decided | Half::Ended) | None => {}
        }
        true
    }
}

/// Where a file that is not whole yet may have been left.
pub(super) fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory)? {
        let file = file?;
        let name = file.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("audit.") && name.ends_with(UNFINISHED)) {
            found.push(file.path());
        }
    }
    Ok(found)
}
