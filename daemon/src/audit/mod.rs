//! The audit trail on disk: lines in the names of the Elastic Common Schema (ECS), one for each record.

mod chain;
mod directory;
mod entry;
mod index;
mod query;
mod suggest;
mod text;
mod trail;
mod words;

pub use chain::{Hash, Point, PointError};
pub use directory::default_directory;
pub use entry::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Gone, Group, Host, Luasocketd, Network, Process,
    Question, Rule, Side, User,
};
pub use index::{INDEX_FILE, Index, IndexError, Progress, Status, follow};
pub use query::{Dimension, Filter, Group as Sums, Moment, Order, Record, State};
pub use suggest::{Fact, suggest_policy};
pub use text::is_unprintable;
pub use trail::{Appended, Outcome, Trail, TrailError, TrailState};
pub use words::{Half, OWN_MATTER, Own, decided, ended, half};

pub use crate::core::policy::{Audit as Settings, Durability};
