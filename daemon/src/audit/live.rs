//! The live file: what is written to, as long as it is the file that its name leads to.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files::{FileId, LIVE, Make, open_file};

/// The live file.
#[derive(Debug)]
pub(super) struct Live {
    path: PathBuf,
    file: File,
    identity: FileId,
    /// Bytes of whole lines that count as written.
    length: u64,
    /// Whether there may be more bytes behind them, of lines that do not count.
    has_rest: bool,
}

/// What stands where the live file has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The live file, with the bytes that it has to have.
    Ours,
    /// An empty file that somebody has put there, or the live file, emptied.
    Empty,
}

impl Live {
    /// The file in `directory`, of which `length` bytes count.
    pub(super) fn open(directory: &Path, length: u64) -> io::Result<Live> {
        let file = open_file(&directory.join(LIVE), Make::IfMissing)?;
        Live::of(directory, file, length)
    }

    /// The file that is, or will be, the live one in `directory`.
    pub(super) fn of(directory: &Path, file: File, length: u64) -> io::Result<Live> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
        }
        let has_rest = metadata.len() > length;
        Ok(Live { path: directory.join(LIVE), identity: FileId::of(&metadata), file, length, has_rest })
    }

    /// Bytes that count as written.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What stands where this file has to be.
    ///
    /// # Errors
    /// A sentence for the operator when that is nothing that can be written to.
    pub(super) fn standing(&self) -> Result<Standing, String> {
        let path = self.path.display();
        let found = match fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "{path} has gone: put it back, or make an empty file there to go on in that one"
                ));
            }
            Err(error) => return Err(format!("cannot look at {path}: {error}")),
        };
        let is_ours = FileId::of(&found) == self.identity;
        let has_length = found.len() == self.length || (self.has_rest && found.len() > self.length);
        match () {
            () if is_ours && has_length => Ok(Standing::Ours),
            () if found.is_file() && found.len() == 0 => Ok(Standing::Empty),
            () if is_ours => Err(format!(
                "{path} has been changed: it has {} bytes, and {} were written; put it right, or empty it to go \
                on in it",
                found.len(),
                self.length
            )),
            () => Err(format!(
                "{path} is another file now: put the daemon's own back, or make an empty one there to go on in that"
            )),
        }
    }

    /// Writes lines behind those that count; waits until they are on the disk if they are to be. They do not count yet.
    pub(super) fn write(&mut self, lines: &[u8], is_strict: bool) -> Result<(), String> {
        if self.standing()? == Standing::Empty {
            return Err(format!("{} has been emptied, or replaced by an empty file", self.path.display()));
        }
        self.cut_rest()?;
        self.has_rest = true;
        let written = self.file.write_all_at(lines, self.length);
        written.map_err(|error| format!("cannot write to {}: {error}", self.path.display()))?;
        if is_strict {
            self.sync()?;
        }
        // Lines in a file that was taken away meanwhile are no record that anybody finds.
        let length = self.length + lines.len() as u64;
        let found = fs::symlink_metadata(&self.path).ok();
        if found.is_some_and(|found| FileId::of(&found) == self.identity && found.len() == length) {
            return Ok(());
        }
        Err(format!("{} was replaced or changed while it was written to", self.path.display()))
    }

    /// What was written last counts.
    pub(super) fn accept(&mut self, bytes: u64) {
        self.length += bytes;
        self.has_rest = false;
    }

    /// Waits until what is written is on the disk.
    pub(super) fn sync(&self) -> Result<(), String> {
        let synced = self.file.sync_data();
        synced.map_err(|error| format!("cannot get {} to the disk: {error}", self.path.display()))
    }

    /// Removes what a write has left behind that did not come to its end.
    pub(super) fn cut_rest(&mut self) -> Result<(), String> {
        if self.has_rest {
            let cut = self.file.set_len(self.length);
            cut.map_err(|error| {
                format!("cannot cut an unfinished line off {}: {error}", self.path.display())
            })?;
            self.has_rest = false;
        }
        Ok(())
    }
}
