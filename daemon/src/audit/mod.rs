//! The audit trail on disk: lines in the names of the Elastic Common Schema (ECS), one for each record.

mod entry;

pub use entry::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Group, Host, Luasocketd, Network, Process,
    Question, Rule, Side, User,
};
