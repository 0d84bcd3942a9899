//! The daemon's decisions, with no I/O and no clock.
//!
//! [`Core::handle`] takes what happened and the time, [`Core::poll_action`] gives what the shell has
//! to do, [`Core::poll_timeout`] says when time alone changes something. Who owns which socket, how
//! much credit flows, what a client may hold and when a call is over is decided here; the bytes
//! themselves pass by in the shell and are only counted here, by [`Core::admit_data`],
//! [`Core::on_pushed`] and [`Core::on_written`].
//!
//! Invariant: whatever is held for a client is covered by a [`budget::Charge`] of its budget first,
//! and a socket id or a request number is answered to its owner only.

pub mod account;
mod action;
mod admitting;
mod association;
mod backoff;
mod binding;
pub mod budget;
mod calls;
mod client;
mod connecting;
mod datagram;
mod dial;
mod drain;
mod flow;
mod holding;
mod judging;
mod killing;
mod lane;
mod listening;
mod lookups;
mod machine;
mod mark;
mod meter;
mod numbers;
mod offenders;
mod options;
mod pacing;
mod place;
pub mod policy;
mod question;
mod recording;
mod requests;
pub mod rota;
mod sending;
mod sharing;
mod slots;
mod socket;
mod tally;
mod timers;
pub mod trail;
mod view;
mod words;

pub use action::{Action, Ask, Input, Names, Reply};
pub use client::{Credentials, Identity};
pub use flow::Admission;
pub use lane::{LOOPS_MAX, Lane, Row, join};
pub use machine::{Config, Core, PIPE_BYTES, PIPE_OUT_MAX, Timeouts};
pub use mark::{Mark, MarkError};
pub(crate) use numbers::eai;
pub use offenders::{Further, Offence, Offender, Offenders};
pub use place::Place;
pub use question::{Answer, Lookup, Question};
pub use sharing::{RING_BYTES, RING_IDLE, RINGS_MAX};
pub use slots::{ClientId, Key, LookupId, Slots};
pub use tally::{Bounds, Histogram, TURNS, Times, WAITS};
pub use view::{ClientRow, PAGE_ROWS, Page, ProfileRow, SocketRow, SocketState, Totals};
