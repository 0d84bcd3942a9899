//! The trail as the event loop sees it: records go in and are never waited for.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::Settings;
use super::chain::Point;
use super::words::Own;
use crate::core::trail::{Record, TrailId};

/// Why there is no trail.
#[derive(Debug, Error)]
pub enum TrailError {
    /// Something that is needed could not be done to a file.
    #[error("cannot {doing} {path}: {error}", path = path.display())]
    File {
        /// What.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// There is nothing to wait for: go on.
    Done,
    /// It is wanted on disk: [`Trail::take_outcomes`] will have its number.
    Pending,
    /// It is wanted and cannot be written, for this reason: what it is about must not happen.
    Refused(String),
}

/// What has become of a decision that was wanted on disk: it is there, or why not.
pub type Outcome = (TrailId, Result<(), String>);

/// How the trail does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailState {
    /// Records that are not written yet.
    pub queued: usize,
    /// How long the oldest of them has been waiting.
    pub lag: Duration,
    /// The number of the last line that is written.
    pub committed: u64,
    /// Why nothing can be written, while that is so.
    pub failing: Option<String>,
    /// Bytes written by this run of the daemon.
    pub bytes: u64,
    /// Lines written by this run.
    pub lines: u64,
    /// Records of this run that are lost for good.
    pub lost: u64,
}

/// The trail, with the thread that writes it.
#[derive(Debug)]
pub struct Trail {}

impl Trail {
    /// Opens the trail, closes what an earlier run has left open, and starts to write. `wake` is called from another
    /// thread when there are outcomes, and when the trail is not full any more.
    ///
    /// # Errors
    /// [`TrailError`] says what cannot be done to which file.
    pub fn start(settings: &Settings, wake: impl Fn() + Send + 'static) -> Result<Trail, TrailError> {
        let _ = (settings, wake);
        unimplemented!()
    }

    /// Takes a record. `wanted` says that the caller waits until it is on disk.
    pub fn append(&self, record: Record, wanted: bool) -> Appended {
        let _ = (record, wanted);
        unimplemented!()
    }

    /// Takes a line of the trail's own, with what it says to people.
    pub fn note(&self, own: Own, reason: impl Into<String>) {
        let _ = (own, reason.into());
        unimplemented!()
    }

    /// What has become of decisions that were wanted, since the last time.
    pub fn take_outcomes(&self) -> Vec<Outcome> {
        unimplemented!()
    }

    /// Whether so much waits to be written that nothing new is to be begun.
    pub fn is_full(&self) -> bool {
        unimplemented!()
    }

    /// How it does.
    pub fn state(&self) -> TrailState {
        unimplemented!()
    }

    /// Writes what is queued and ends, within a bounded time; gives the place where the trail ends.
    ///
    /// # Errors
    /// Why not all of it is written.
    pub fn stop(self) -> Result<Point, String> {
        unimplemented!()
    }
}
