//! The lines of the trail in their order, from where somebody has stopped reading them: the rotated files, then the
//! live one.
//!
//! A file is known by the number of its first line, which its name has once it is rotated. So it does not matter
//! whether the live file is rotated between two looks, or during one: its lines stay what they were.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::Entry;
use super::super::files::{Found, LIVE, READ_AT_ONCE, Segment, read_line, rotated, segments};

/// How much of the end of what was read is kept, to see whether the file is still the same: more than a line's hash.
const TAIL_MAX: usize = 128;
/// Lines that are read before they are written to the index: enough that a transaction costs little, few enough that
/// they fit in some MiB and that nobody waits long for the index meanwhile.
const BATCH_LINES: usize = 8192;
/// Bytes of lines that are read before they are written.
const BATCH_BYTES: u64 = 16 << 20;

/// How far the lines are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the first line of the file that is read.
    pub(super) first: u64,
    /// How many of its bytes are read.
    pub(super) offset: u64,
    /// The last of these.
    pub(super) tail: Vec<u8>,
}

/// One file of the trail.
struct Part {
    first: u64,
    segment: Segment,
    /// If it is still written to: opened before the others were listed, so that none is missed when it is rotated then.
    live: Option<File>,
}

/// What a batch of lines has come to.
#[derive(Default)]
pub(super) struct Batch {
    /// The lines.
    pub(super) entries: Vec<Entry>,
    /// How many lines were no entries.
    pub(super) unreadable: u64,
    /// How many bytes they are, unpacked.
    pub(super) bytes: u64,
}

/// Reads the files of a trail.
pub(super) struct Lines {
    /// Those that are not read yet, the next one last.
    parts: Vec<Part>,
    /// The number of the oldest line that there is.
    oldest: Option<u64>,
    source: Option<Source>,
    position: Option<Position>,
    line: Vec<u8>,
}

struct Source {
    bytes: Box<dyn BufRead>,
    path: PathBuf,
    is_live: bool,
}

/// What comes next in a file.
enum Next {
    /// A line, in the buffer.
    Line,
    /// A line that is too long, or the last one without its end.
    NoLine,
    End,
}

/// Where reading can go on.
pub(super) enum Start {
    /// There.
    At(Lines),
    /// Nowhere: what was read is no longer what the files have.
    Changed,
}

impl Lines {
    /// The lines of the trail in `dir` from `position`, or from the beginning.
    ///
    /// # Errors
    /// When a file or the directory cannot be read.
    pub(super) fn open(dir: &Path, position: Option<Position>) -> io::Result<Start> {
        let mut parts = parts(dir)?;
        let oldest = parts.first().map(|part| part.first);
        let reached = position.as_ref().map_or(0, |position| position.first);
        let newest = parts.last().map(|part| part.first);
        parts.retain(|part| part.first >= reached);
        if newest.is_some() && parts.is_empty() {
            return Ok(Start::Changed);
        }
        parts.reverse();
        let mut lines = Lines { parts, oldest, source: None, position, line: Vec::new() };
        let is_next =
            |position: &Position| lines.parts.last().is_some_and(|part| part.first == position.first);
        if let Some(position) = lines.position.clone().filter(is_next)
            && !lines.resume(&position)?
        {
            return Ok(Start::Changed);
        }
        Ok(Start::At(lines))
    }

    /// How far the lines are read; `None` before the first one.
    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The number of the oldest line that there is.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.oldest
    }

    /// The next lines; none when all are read.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn batch(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        while batch.entries.len() < BATCH_LINES && batch.bytes < BATCH_BYTES {
            if self.source.is_none() && !self.open_next()? {
                break;
            }
            let before = self.offset();
            match self.next() {
                Ok(Next::Line) => match serde_json::from_slice(&self.line) {
                    Ok(entry) => batch.entries.push(entry),
                    Err(_) => batch.unreadable += 1,
                },
                Ok(Next::NoLine) => batch.unreadable += 1,
                Ok(Next::End) if self.parts.is_empty() => break,
                Ok(Next::End) => self.source = None,
                // Of a damaged file the rest is lost, and what comes after it is not.
                Err(error) if is_damage(&error) && !self.parts.is_empty() => {
                    let path = self.source.take().map(|source| source.path).unwrap_or_default();
                    tracing::warn!("{} is damaged, its rest is not read: {error}", path.display());
                    batch.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
            batch.bytes += self.offset().saturating_sub(before);
        }
        Ok(batch)
    }

    fn offset(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.offset)
    }

    /// Opens the file that `position` is in, and goes there; `false` when it is another file.
    fn resume(&mut self, position: &Position) -> io::Result<bool> {
        let Some(part) = self.parts.pop() else { return Ok(true) };
        let mut source = Source::open(part)?;
        let skipped = position.offset.saturating_sub(position.tail.len() as u64);
        if io::copy(&mut source.bytes.by_ref().take(skipped), &mut io::sink())? != skipped {
            return Ok(false);
        }
        let mut tail = vec![0; position.tail.len()];
        if let Err(error) = source.bytes.read_exact(&mut tail) {
            return if is_damage(&error) { Ok(false) } else { Err(error) };
        }
        self.source = Some(source);
        Ok(tail == position.tail)
    }

    /// Opens the next file; `false` when there is none.
    fn open_next(&mut self) -> io::Result<bool> {
        let Some(part) = self.parts.pop() else { return Ok(false) };
        self.position = Some(Position { first: part.first, ..Position::default() });
        self.source = Some(Source::open(part)?);
        Ok(true)
    }

    /// Reads one line, without its end, into the buffer.
    fn next(&mut self) -> io::Result<Next> {
        let (Some(source), Some(position)) = (&mut self.source, &mut self.position) else {
            return Ok(Next::End);
        };
        let (found, taken) = read_line(&mut *source.bytes, &mut self.line)?;
        let is_whole = match found {
            Found::End => return Ok(Next::End),
            // It is being written.
            Found::Partial if source.is_live => return Ok(Next::End),
            Found::Line => true,
            Found::Partial | Found::TooLong => false,
        };
        position.offset += taken;
        position.tail.clear();
        // Of a line that is too long only the beginning is here.
        if self.line.len() as u64 + u64::from(is_whole) == taken {
            let kept = self.line.len().saturating_sub(TAIL_MAX);
            position.tail.extend(self.line.get(kept..).unwrap_or_default());
            position.tail.extend(is_whole.then_some(b'\n'));
        }
        Ok(if is_whole { Next::Line } else { Next::NoLine })
    }
}

impl Source {
    fn open(part: Part) -> io::Result<Self> {
        let path = part.segment.path.clone();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let is_live = part.live.is_some();
        let bytes: Box<dyn BufRead> = match part.live {
            Some(file) => Box::new(BufReader::with_capacity(READ_AT_ONCE, file)),
            None => part.segment.open().map_err(named)?,
        };
        Ok(Source { bytes, path, is_live })
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
    )
}

/// The files of a trail, the oldest first.
fn parts(dir: &Path) -> io::Result<Vec<Part>> {
    let live = live(dir)?;
    let of = |segment: Segment| Some(Part { first: segment.first?, segment, live: None });
    let mut parts: Vec<Part> = rotated(dir)?.into_iter().filter_map(of).collect();
    if let Some(live) = live {
        // It was rotated just now.
        parts.retain(|part| part.first != live.first);
        parts.push(live);
        parts.sort_by_key(|part| part.first);
    }
    Ok(parts)
}

/// The live file, once it has a line that says its number.
fn live(dir: &Path) -> io::Result<Option<Part>> {
    #[derive(Deserialize)]
    struct Numbered {
        event: Sequence,
    }
    #[derive(Deserialize)]
    struct Sequence {
        sequence: u64,
    }
    let path = dir.join(LIVE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    let mut reader = BufReader::new((&mut file).take(BATCH_BYTES));
    let mut line = Vec::new();
    let mut before = 0;
    // A line that says no number counts all the same.
    let first = loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        if let Ok(numbered) = serde_json::from_slice::<Numbered>(&line) {
            break numbered.event.sequence.saturating_sub(before);
        }
        before += 1;
    };
    drop(reader);
    file.seek(SeekFrom::Start(0))?;
    Ok(Some(Part { first, segment: Segment { first: None, path }, live: Some(file) }))
}

/// The size of the files of a trail; packed ones count with what they are unpacked, as far as that can be guessed.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    /// How many times lines become smaller when they are packed.
    const PACKED: u64 = 12;
    let mut size = 0;
    for segment in segments(dir)? {
        let times = if segment.is_compressed() { PACKED } else { 1 };
        size += times * fs::metadata(&segment.path)?.len();
    }
    Ok(size)
}
