//! The index beside the lines: an SQLite file that questions to the trail are answered from. It is a cache: whatever is
//! in it comes from the lines, and it can be made again from them at any time.
//!
//! Whoever asks brings it up to date first ([`Index::catch_up`]); the daemon does so all along ([`follow`]). Both may
//! at once: how far the lines are read stands in the same file, and changes with the rows.

mod dictionary;
mod insert;
mod lines;
pub(crate) mod schema;
mod store;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use thiserror::Error;

use super::files::FileId;
use dictionary::Dictionaries;
use insert::Inserter;
pub(crate) use insert::split_id;
use lines::{Batch, Lines, Position, Start};

/// The index's file, in the trail's directory.
pub const INDEX_FILE: &str = "audit.index";
/// What the daemon keeps at hand of it, in KiB.
const FOLLOWED_KIB: i64 = 4 << 10;
/// How many rows are deleted in one transaction when their lines have gone: others want to write, too.
const PRUNED_AT_ONCE: i64 = 10_000;
/// How large a trail may be to be indexed in memory, when its directory cannot be written: it takes a sixth of that.
const IN_MEMORY_MAX: u64 = 512 << 20;
/// How often it is tried within one call when the index turns out not to fit the lines, or one of their files goes
/// meanwhile; more often something else is wrong.
const TRIES: usize = 8;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum IndexError {
    /// There is no trail.
    #[error("there is no audit trail in {}: say where it is with --audit DIR", .0.display())]
    NoTrail(PathBuf),
    /// The lines or the index's file cannot be read or written.
    #[error("cannot read the audit trail in {}: {source}", .dir.display())]
    Files {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index says so.
    #[error("the index of the audit trail in {}: {source}", .dir.display())]
    Index {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It would have to be made in memory.
    #[error(
        "{} cannot be written, and the trail is too large ({} MiB) to be indexed in memory: ask as its owner, or copy it",
        .0.display(), .1 >> 20
    )]
    TooLarge(PathBuf, u64),
}

/// What is in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How many lines it has taken in.
    pub lines: u64,
    /// How many lines were no entries.
    pub unreadable: u64,
    /// How many records were lost before they became lines, as the trail says.
    pub lost: u64,
}

/// How far bringing the index up to date has come; told after each batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines taken in by this call.
    pub lines: u64,
    /// Their bytes, unpacked.
    pub bytes: u64,
    /// Whether the lines are in, and what finds them quickly is made.
    pub is_sorting: bool,
}

/// The index of a trail.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    dir: PathBuf,
    dictionaries: Dictionaries,
    /// Of the file that is open; none in memory.
    file: Option<FileId>,
}

impl Index {
    /// Opens the index of the trail in `dir`, or makes an empty one. One that is damaged, or of another form, is
    /// replaced. In a directory that cannot be written a small trail is indexed in memory.
    ///
    /// # Errors
    /// [`IndexError`] says why there can be none.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        if !dir.is_dir() {
            return Err(IndexError::NoTrail(dir.to_owned()));
        }
        if !store::is_writable(dir) {
            return Self::in_memory(dir);
        }
        let (connection, file) = store::open(dir)?;
        Ok(Index { connection, dir: dir.to_owned(), dictionaries: Dictionaries::default(), file: Some(file) })
    }

    pub(super) fn in_memory(dir: &Path) -> Result<Self, IndexError> {
        let size = lines::size(dir).map_err(|source| files(dir, source))?;
        if size > IN_MEMORY_MAX {
            return Err(IndexError::TooLarge(dir.to_owned(), size));
        }
        let connection = store::in_memory().map_err(|source| index(dir, source))?;
        Ok(Index { connection, dir: dir.to_owned(), dictionaries: Dictionaries::default(), file: None })
    }

    /// Keeps little at hand: what is new is at the end of each table, and the daemon's memory is for its clients.
    fn shrink(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "cache_size", -FOLLOWED_KIB)
    }

    /// Throws what there is away and begins with nothing.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn reset(&mut self) -> Result<(), IndexError> {
        if let Some(file) = self.file {
            store::discard(&self.dir, file).map_err(|source| files(&self.dir, source))?;
        }
        *self = Self::open(&self.dir)?;
        Ok(())
    }

    /// Takes in the lines that have come since; `progress` is told after each batch of them.
    ///
    /// # Errors
    /// When the lines cannot be read, or the index cannot be written.
    pub fn catch_up(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Status, IndexError> {
        for _ in 1..TRIES {
            if self.file.is_some_and(|file| store::file_id(&self.dir).ok() != Some(file)) {
                // Somebody has replaced it.
                *self = Self::open(&self.dir)?;
            }
            match self.take_lines(progress) {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => self.reset()?,
                Err(error) if error.is_damage() => {
                    tracing::warn!("{error}; it is made anew");
                    self.reset()?;
                }
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        self.take_lines(progress)?.ok_or_else(|| {
            let text = "the files change faster than they can be read";
            files(&self.dir, io::Error::other(text))
        })
    }

    /// What is in it.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn status(&self) -> Result<Status, IndexError> {
        let status = self.connection.query_row("SELECT lines, unreadable, lost FROM state", [], |row| {
            Ok(Status {
                lines: unsigned(row.get(0)?),
                unreadable: unsigned(row.get(1)?),
                lost: unsigned(row.get(2)?),
            })
        });
        status.map_err(|source| index(&self.dir, source))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn error(&self, source: rusqlite::Error) -> IndexError {
        index(&self.dir, source)
    }

    /// Takes in what there is; `None` when the lines are not those that the index was made from.
    fn take_lines(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Option<Status>, IndexError> {
        self.dictionaries.clear();
        let mut done = Progress::default();
        'files: loop {
            let position = self.position()?;
            let start = Lines::open(&self.dir, position).map_err(|source| files(&self.dir, source))?;
            let Start::At(mut lines) = start else { return Ok(None) };
            loop {
                let before = lines.position().cloned();
                let batch = lines.batch().map_err(|source| files(&self.dir, source))?;
                if lines.position() == before.as_ref() {
                    self.prune(lines.oldest())?;
                    break 'files;
                }
                let written = self.write(&batch, before.as_ref(), lines.position());
                if !written.map_err(|source| index(&self.dir, source))? {
                    // Somebody else has taken them in.
                    continue 'files;
                }
                done.lines += batch.entries.len() as u64 + batch.unreadable;
                done.bytes += batch.bytes;
                progress(done);
            }
        }
        self.sort(done, progress)?;
        self.status().map(Some)
    }

    fn position(&self) -> Result<Option<Position>, IndexError> {
        position(&self.connection).map_err(|source| index(&self.dir, source))
    }

    /// Writes a batch; `false` if the index is no longer where the batch begins.
    fn write(
        &mut self,
        batch: &Batch,
        before: Option<&Position>,
        after: Option<&Position>,
    ) -> rusqlite::Result<bool> {
        let transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        if position(&transaction)?.as_ref() != before {
            self.dictionaries.clear();
            return Ok(false);
        }
        let written = write(&transaction, &mut self.dictionaries, batch, after);
        match written.and_then(|()| transaction.commit()) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.dictionaries.clear();
                Err(error)
            }
        }
    }

    /// Makes what finds rows quickly, if it is not there yet.
    fn sort(&mut self, done: Progress, progress: &mut dyn FnMut(Progress)) -> Result<(), IndexError> {
        let mut sort = |connection: &Connection| {
            let there: i64 = connection.query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
                [],
                |row| row.get(0),
            )?;
            if there == 0 {
                progress(Progress { is_sorting: true, ..done });
                connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT", schema::indexes()))?;
            }
            Ok(())
        };
        let sorted = sort(&self.connection);
        if sorted.is_err() && !self.connection.is_autocommit() {
            // The first error is the one that is told.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        sorted.map_err(|source| index(&self.dir, source))
    }

    /// Deletes what was made of lines that have gone: whoever throws lines away means it.
    fn prune(&mut self, oldest: Option<u64>) -> Result<(), IndexError> {
        let Some(oldest) = oldest.and_then(|oldest| i64::try_from(oldest).ok()) else { return Ok(()) };
        store::prune(&mut self.connection, oldest, PRUNED_AT_ONCE).map_err(|source| index(&self.dir, source))
    }
}

/// Keeps the index of the trail in `dir` up to date: looks for new lines every `period`, and once more when the other
/// end of `stop` goes. An error is logged once, and tried again.
pub fn follow(dir: &Path, period: Duration, stop: &Receiver<()>) {
    let mut index = None;
    let mut last_error = None;
    loop {
        let is_over = match stop.recv_timeout(period) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        };
        match follow_once(dir, &mut index) {
            Ok(()) => last_error = None,
            Err(error) => {
                index = None;
                let text = error.to_string();
                if last_error.as_ref() != Some(&text) {
                    tracing::warn!("the index falls behind; whoever asks makes up for it: {text}");
                }
                last_error = Some(text);
            }
        }
        if is_over {
            return;
        }
    }
}

fn follow_once(dir: &Path, index: &mut Option<Index>) -> Result<(), IndexError> {
    let index = match index {
        Some(index) => index,
        None => {
            let opened = index.insert(Index::open(dir)?);
            opened.shrink().map_err(|source| self::index(dir, source))?;
            opened
        }
    };
    index.catch_up(&mut |_| {}).map(drop)
}

impl IndexError {
    /// Whether a file has gone since it was listed: it was pruned.
    fn is_gone(&self) -> bool {
        matches!(self, IndexError::Files { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the index's file is not what SQLite has written.
    pub fn is_damage(&self) -> bool {
        let IndexError::Index { source, .. } = self else { return false };
        store::is_damage(source)
    }
}

fn position(connection: &Connection) -> rusqlite::Result<Option<Position>> {
    connection.prepare_cached("SELECT first, offset, tail FROM state")?.query_row([], |row| {
        let first: Option<i64> = row.get(0)?;
        let (offset, tail) = (unsigned(row.get(1)?), row.get(2)?);
        Ok(first.map(|first| Position { first: unsigned(first), offset, tail }))
    })
}

fn write(
    connection: &Connection,
    dictionaries: &mut Dictionaries,
    batch: &Batch,
    after: Option<&Position>,
) -> rusqlite::Result<()> {
    let mut inserter = Inserter::new(connection, dictionaries);
    batch.entries.iter().try_for_each(|entry| inserter.add(entry))?;
    inserter.flush()?;
    let unreadable = batch.unreadable + inserter.unreadable;
    let lines = batch.entries.len() as u64 + batch.unreadable;
    let lost = inserter.lost;
    let after = after.cloned().unwrap_or_default();
    let moved = connection.prepare_cached(
        "UPDATE state SET first = ?1, offset = ?2, tail = ?3, lines = lines + ?4, unreadable = unreadable + ?5, \
         lost = lost + ?6",
    );
    moved?.execute((
        signed(after.first),
        signed(after.offset),
        &after.tail,
        signed(lines),
        signed(unreadable),
        signed(lost),
    ))?;
    Ok(())
}

fn files(dir: &Path, source: io::Error) -> IndexError {
    IndexError::Files { dir: dir.to_owned(), source }
}

fn index(dir: &Path, source: rusqlite::Error) -> IndexError {
    IndexError::Index { dir: dir.to_owned(), source }
}

/// As SQLite has numbers; nothing real is above its limit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
