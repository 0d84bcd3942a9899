//! What the thread that writes is given.

use std::sync::mpsc::SyncSender;

use jiff::Timestamp;

use super::chain::Point;
use super::housekeeper::Prune;
use super::relay::{Inherited, Lend};
use super::words::Own;
use crate::core::trail::{Record, TrailId};

/// One thing for the writer.
#[derive(Debug)]
pub(super) enum Item {
    /// A record, and which of the loops waits for it, if one does.
    Record { record: Record, waits: Option<usize>, at: Timestamp },
    /// A line of the trail's own.
    Own { own: Own, reason: String, at: Timestamp },
    /// A line that says what is going to be removed.
    Prune { prune: Prune, at: Timestamp },
    /// What the daemon before this one has recorded since this one took its trail over.
    Inherited { inherited: Inherited, at: Timestamp },
    /// Another daemon is to write the trail.
    Lend(Lend),
    /// The daemon ends.
    Stop(SyncSender<Result<Point, String>>),
}

impl Item {
    /// When it was given; the epoch for what becomes no line.
    pub(super) fn at(&self) -> Timestamp {
        match self {
            Item::Record { at, .. }
            | Item::Own { at, .. }
            | Item::Prune { at, .. }
            | Item::Inherited { at, .. } => *at,
            Item::Lend(_) | Item::Stop(_) => Timestamp::UNIX_EPOCH,
        }
    }

    /// The decision that somebody waits for, and which loop that is.
    pub(super) fn waiting(&self) -> Option<(usize, TrailId)> {
        match self {
            Item::Record { record: Record::Decided(what), waits: Some(reader), .. } => {
                Some((*reader, what.id))
            }
            _ => None,
        }
    }
}
