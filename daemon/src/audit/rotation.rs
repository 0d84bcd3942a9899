//! Rotation and compression, step by step: after a crash behind any step all lines are there, once.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::files::{
    LIVE, Make, UNFINISHED, behind, open_file, open_path, put, remove, rotated_path, sync_directory,
};

/// A rotation: the live file becomes `audit.FIRST.jsonl`, and an empty one takes its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation<'a> {
    pub(super) directory: &'a Path,
    /// The number of the live file's first line.
    pub(super) first: u64,
    /// The number of the line that comes next.
    pub(super) next: u64,
    /// The lines of the decisions that have no end.
    pub(super) open: &'a [u8],
}

/// What a rotation does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The head is on the disk: nobody has to read the rotated file to know its last line.
    SyncHead,
    /// What is open is written down for the next start, which reads the new file only.
    WriteOpen,
    /// The new file is there, under another name.
    MakeNext,
    /// The live file has its new name.
    MoveLive,
    /// The new file is the live one.
    MoveNext,
    /// The names are on the disk.
    SyncNames,
}

impl Step {
    pub(super) const ALL: &[Step] =
        &[Step::SyncHead, Step::WriteOpen, Step::MakeNext, Step::MoveLive, Step::MoveNext, Step::SyncNames];
}

impl Rotation<'_> {
    pub(super) fn perform(&self, step: Step, head: &File) -> io::Result<()> {
        let live = self.directory.join(LIVE);
        let next = self.unfinished();
        match step {
            Step::SyncHead => head.sync_data(),
            Step::WriteOpen => put(&open_path(self.directory, self.next), self.open),
            Step::MakeNext => open_file(&next, Make::Anew)?.sync_all(),
            Step::MoveLive => fs::rename(&live, rotated_path(self.directory, self.first)),
            Step::MoveNext => fs::rename(&next, &live),
            Step::SyncNames => sync_directory(self.directory),
        }
    }

    /// Where the new file is before it has its name.
    pub(super) fn unfinished(&self) -> PathBuf {
        behind(&self.directory.join(LIVE), UNFINISHED)
    }

    /// Makes the old file the live one again after `step` has failed.
    pub(super) fn go_back(&self, step: Step) {
        if step == Step::MoveNext {
            let back = fs::rename(rotated_path(self.directory, self.first), self.directory.join(LIVE));
            if let Err(error) = back {
                // The next record fails with it, and so the operator hears what to do.
                tracing::error!("cannot give the audit trail's file its name back: {error}");
            }
        }
    }
}

/// What compressing a rotated file does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Squeeze {
    /// The compressed file is on the disk, under another name.
    Compress,
    /// It has its name: from here on there are both forms.
    Move,
    /// The name is on the disk.
    SyncNames,
    /// The file that is not compressed has gone.
    Remove,
}

impl Squeeze {
    pub(super) const ALL: &[Squeeze] =
        &[Squeeze::Compress, Squeeze::Move, Squeeze::SyncNames, Squeeze::Remove];

    /// Performs the step for a rotated file; gives up when `is_over`.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Interrupted`] after giving up.
    pub(super) fn perform(self, directory: &Path, first: u64, is_over: &AtomicBool) -> io::Result<()> {
        let plain = rotated_path(directory, first);
        let compressed = behind(&plain, ".gz");
        let unfinished = behind(&compressed, UNFINISHED);
        match self {
            Squeeze::Compress => compress(&plain, &unfinished, is_over),
            Squeeze::Move => fs::rename(&unfinished, &compressed),
            Squeeze::SyncNames => sync_directory(directory),
            Squeeze::Remove => remove(&plain),
        }
    }
}

fn compress(from: &Path, to: &Path, is_over: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(from)?);
    let mut encoder = GzEncoder::new(open_file(to, Make::Anew)?, Compression::default());
    let mut piece = [0; 1 << 16];
    loop {
        if is_over.load(Ordering::Relaxed) {
            remove(to)?;
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the daemon ends"));
        }
        match reader.read(&mut piece)? {
            0 => break,
            length => encoder.write_all(&piece[..length])?,
        }
    }
    encoder.finish()?.sync_all()
}
