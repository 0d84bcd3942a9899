//! What a fuzz target needs of the trail's inside: lines that are sealed as they should be, and the readers of an earlier
//! run's files.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::chain::{Hash, Point, seal};
use super::index::{Index, IndexError};
use super::line::Batch;
use super::recover::look;
use super::store::Store;
use super::{Entry, Settings, TrailError};

/// Ends a line, a JSON object, with its hash and a newline.
pub fn sealed(object: &[u8], previous: Hash) -> (Vec<u8>, Hash) {
    let mut line = object.to_vec();
    let hash = seal(&mut line, 0, previous);
    (line, hash)
}

/// Where a trail goes on after what an earlier run has left, and what had no end.
///
/// # Errors
/// When the files cannot be read.
pub fn recover(directory: &Path) -> io::Result<(Point, Vec<Entry>)> {
    look(directory).map(|left| (left.point, left.open))
}

/// Goes on where an earlier run has ended, by a line.
///
/// # Errors
/// When the trail cannot be opened.
pub fn go_on(settings: &Settings) -> Result<Result<Point, String>, TrailError> {
    let (mut store, _) = Store::open(settings)?;
    let mut batch = Batch::after(store.point());
    batch.push(Entry::default());
    let written = store.write(&batch, Timestamp::UNIX_EPOCH).and_then(|()| store.flush());
    Ok(written.map(|()| store.point()))
}

/// An index in memory of the trail in `directory`, up to date.
///
/// # Errors
/// As [`Index::catch_up`].
pub fn indexed(directory: &Path) -> Result<Index, IndexError> {
    let mut index = Index::in_memory(directory)?;
    index.catch_up(&mut |_| {})?;
    Ok(index)
}
