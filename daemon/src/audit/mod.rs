//! The audit trail on disk: lines in the names of the Elastic Common Schema (ECS), one for each record.
//!
//! [`Trail`] takes records from the event loop. A thread makes [`Entry`]s of them, chains their lines and writes those
//! in groups to the live file, `audit.jsonl`; another one compresses the files that it has rotated. [`verify()`] says
//! whether a trail is as it was written.
//!
//! Invariant: what counts as written is whole lines, numbered without a gap and chained, in a file that is found by
//! its name; and the head never knows of a line that is not written.

mod chain;
mod check;
mod directory;
mod entry;
mod files;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod housekeeper;
mod index;
mod item;
mod lending;
mod line;
mod live;
mod query;
mod recover;
mod relay;
mod render;
mod rotation;
#[cfg(test)]
mod samples;
mod shared;
mod store;
mod suggest;
mod text;
mod trail;
mod verify;
mod words;
mod writer;

pub use chain::{Hash, Point, PointError};
pub use check::{Fault, Noted};
pub use directory::default_directory;
pub use entry::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Gone, Group, Host, Luasocketd, Network, Process,
    Question, Rule, Side, User,
};
pub use files::{Segment, segments};
pub use index::{INDEX_FILE, Index, IndexError, Progress, Status, follow};
pub use query::{Dimension, Filter, Group as Sums, Moment, Order, Record, State};
pub use relay::Loan;
pub use store::make_directory;
pub use suggest::{Fact, suggest_policy};
pub use text::is_unprintable;
pub use trail::{Appended, Notes, Outcome, Trail, TrailError, TrailState};
pub use verify::{FAULTS_MAX, Verification, Wrong, verify};
pub use words::{DENIED, Half, OWN_MATTER, Own, decided, ended, half};

pub use crate::core::policy::{Audit as Settings, Durability};
