//! The trail's directory, as the one daemon that writes it has it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::chain::Point;
use super::entry::Entry;
use super::files::{
    HEAD, LOCK, Make, numbered, open_file, open_head, open_path, put, remove, rotated, sync_directory,
    write_head,
};
use super::line::{Batch, write_entry};
use super::live::{Live, Standing};
use super::recover::{Left, look, unfinished};
use super::rotation::{Rotation, Step};
use super::trail::TrailError;
use super::{Durability, Settings};

/// The directory of a trail that is ours to write.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) settings: Settings,
    live: Live,
    /// The live file's first line, and when it was written.
    first: Option<(u64, Timestamp)>,
    head: File,
    /// The last line that counts as written.
    point: Point,
    /// Whether the head is older than the lines, or the disk than the file.
    is_behind: bool,
    /// Held as long as the store is.
    _lock: File,
}

impl Store {
    /// Opens the trail, or begins one; gives what an earlier run has left as well.
    ///
    /// # Errors
    /// [`TrailError`] says what cannot be done to which file.
    pub(super) fn open(settings: &Settings) -> Result<(Store, Left), TrailError> {
        let directory = &settings.directory;
        make_directory(directory)?;
        let lock = lock(directory)?;
        let left = look(directory).map_err(TrailError::file("read the audit trail in", directory))?;
        tidy(directory).map_err(TrailError::file("tidy up the audit trail in", directory))?;
        if left.first.is_none() && left.point.sequence > 0 {
            // The live file begins here. What was open has to be known to the next start as well.
            let path = open_path(directory, left.point.sequence + 1);
            put(&path, &open_lines(left.open.iter().cloned())).map_err(TrailError::file("write", &path))?;
        }
        let mut live = Live::open(directory, left.length)
            .map_err(TrailError::file("open the audit trail in", directory))?;
        live.cut_rest().map_err(TrailError::Store)?;
        let path = directory.join(HEAD);
        let head = open_head(&path).map_err(TrailError::file("open", &path))?;
        // A time that nobody can read is as good as now: the file is rotated that much later.
        let first = left.first.as_ref();
        let first = first.map(|(first, time)| (*first, time.parse().unwrap_or_else(|_| Timestamp::now())));
        sync_directory(directory).map_err(TrailError::file("write", directory))?;
        let settings = settings.clone();
        let store = Store { settings, live, first, head, point: left.point, is_behind: true, _lock: lock };
        let begun = store.first.map_or(store.point.sequence + 1, |(first, _)| first);
        store.remove_snapshots(begun).map_err(TrailError::file("tidy up the audit trail in", directory))?;
        Ok((store, left))
    }

    /// The last line that counts as written.
    pub(super) fn point(&self) -> Point {
        self.point
    }

    /// Writes lines. They count as written when this succeeds, and else not at all: strict, they are on the disk then.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn write(&mut self, batch: &Batch, at: Timestamp) -> Result<(), String> {
        let is_strict = self.settings.durability == Durability::Strict;
        let first = self.point.sequence + 1;
        self.live.write(&batch.bytes, is_strict)?;
        if is_strict {
            // After the lines, so that it never knows of any that a power failure can take away.
            self.write_head(batch.last)?;
        }
        self.live.accept(batch.bytes.len() as u64);
        self.point = batch.last;
        self.is_behind = !is_strict;
        self.first.get_or_insert((first, at));
        Ok(())
    }

    /// Brings all that is written to the disk, and the head up to it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        self.live.sync()?;
        self.write_head(self.point)?;
        self.head.sync_data().map_err(|error| format!("cannot get {HEAD} to the disk: {error}"))?;
        self.is_behind = false;
        Ok(())
    }

    /// Whether [`Store::flush`] has more to do than to write the head again.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether the live file can be written to as it is.
    ///
    /// # Errors
    /// A sentence for the operator when it cannot.
    pub(super) fn look(&self) -> Result<Standing, String> {
        self.live.standing()
    }

    /// Goes on in the empty file that the operator has put where the live one was. Gives the last line that is missing
    /// with the old one.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn go_on_in_empty(&mut self, open: &[u8]) -> Result<Point, String> {
        let directory = &self.settings.directory;
        let failed =
            |error: io::Error| format!("cannot go on in a new file in {}: {error}", directory.display());
        put(&open_path(directory, self.point.sequence + 1), open).map_err(failed)?;
        let mut live = Live::open(directory, 0).map_err(failed)?;
        live.cut_rest()?;
        sync_directory(directory).map_err(failed)?;
        (self.live, self.first) = (live, None);
        self.remove_snapshots(self.point.sequence + 1).map_err(failed)?;
        Ok(self.point)
    }

    /// Whether the live file is to be rotated.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let Some((_, since)) = self.first else { return false };
        let age = now.duration_since(since);
        self.live.length() >= self.settings.rotate_bytes || age >= as_signed(self.settings.rotate_age)
    }

    /// Rotates the live file; `open` has the decisions that have no end. After a failure the trail goes on in the old file.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn rotate(&mut self, open: &[u8]) -> Result<(), String> {
        let Some((first, _)) = self.first else { return Ok(()) };
        self.flush()?;
        let directory = self.settings.directory.clone();
        let rotation = Rotation { directory: &directory, first, next: self.point.sequence + 1, open };
        let mut next = None;
        for &step in Step::ALL {
            let mut done = rotation.perform(step, &self.head);
            if step == Step::MakeNext {
                // Opened before any name changes, so that nothing can fail between the old file and the new one.
                let file = done.and_then(|()| open_file(&rotation.unfinished(), Make::No));
                done = file.and_then(|file| Live::of(&directory, file, 0)).map(|live| next = Some(live));
            }
            if step == Step::MoveNext && done.is_ok() {
                self.live = next.take().expect("a step before this one has opened it");
                self.first = None;
            }
            if let Err(error) = done {
                rotation.go_back(step);
                return Err(format!("cannot rotate the audit trail in {}: {error}", directory.display()));
            }
        }
        let begun = self.point.sequence + 1;
        self.remove_snapshots(begun).map_err(|error| format!("cannot remove an old snapshot: {error}"))
    }

    fn write_head(&self, point: Point) -> Result<(), String> {
        let path = self.settings.directory.join(HEAD);
        write_head(&self.head, point).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Removes what was open when other files were begun than the one with this first line.
    fn remove_snapshots(&self, first: u64) -> io::Result<()> {
        for (number, path) in numbered(&self.settings.directory, ".open")? {
            if number != first {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// The lines of a snapshot: decisions that have no end.
pub(super) fn open_lines(open: impl Iterator<Item = Entry>) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in open {
        write_entry(&entry, &mut lines);
        lines.push(b'\n');
    }
    lines
}

fn as_signed(time: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX)
}

/// Makes the directory if it is missing, for the daemon's user only; one that others may write is none for a trail.
///
/// # Errors
/// [`TrailError`] says what cannot be done to it.
pub fn make_directory(directory: &Path) -> Result<(), TrailError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(TrailError::file("make", directory))?;
    let found = fs::metadata(directory).map_err(TrailError::file("look at", directory))?;
    if found.permissions().mode() & 0o022 != 0 {
        return Err(TrailError::Open { directory: directory.to_owned() });
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, TrailError> {
    let path = directory.join(LOCK);
    let file = open_file(&path, Make::IfMissing).map_err(TrailError::file("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(TrailError::Taken { directory: directory.to_owned() }),
        Err(error) => Err(TrailError::file("lock", &path)(error.into())),
    }
}

/// Removes files that were not finished when an earlier run ended.
fn tidy(directory: &Path) -> io::Result<()> {
    unfinished(directory)?.iter().try_for_each(|path| remove(path))
}

/// The rotated files that are more than `keep`, the oldest first.
pub(super) fn too_many(directory: &Path, keep: u64) -> io::Result<Vec<super::files::Segment>> {
    let mut files = rotated(directory)?;
    let kept = files.len().min(usize::try_from(keep).unwrap_or(usize::MAX));
    files.truncate(files.len() - kept);
    Ok(files)
}

impl TrailError {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TrailError {
        let path: PathBuf = path.to_owned();
        move |error| TrailError::File { doing, path, error }
    }
}

#[cfg(test)]
mod tests;
