//! The system calls around the core: pipes, sockets, names, signals, one event loop or several.
//!
//! Nothing here decides anything: what a client may do, who owns what and when something is over is
//! the core's word. The shell moves the bytes and says how many.

mod accounts;
mod arrivals;
mod asking;
mod closing;
mod complaints;
mod crew;
mod datagram;
mod desk;
mod guests;
mod line;
mod listener;
mod metrics;
mod operators;
mod option;
mod orders;
mod others;
mod path;
mod perform;
mod pipe;
mod process;
mod questions;
mod queue;
mod resolver;
mod retiring;
mod sharing;
mod signals;
mod socket;
mod system;
mod table;
mod tokens;
mod traffic;
mod trail;
mod unsafe_groups;
mod unsafe_hosts;
mod unsafe_inherited;
mod unsafe_option;
mod unsafe_ring;
mod worker;

pub use accounts::{Account, System as SystemAccounts};
pub use asking::Asker;
pub use guests::House;
pub use line::{Bounded, Line, read_line};
pub use listener::{Callers, Claim, ListenError, PipeListener};
pub use metrics::listen_for_metrics;
pub use operators::{Leave, Operators};
pub use process::{bear_witness, set_witness};
pub use signals::{Caught, Signals, number};
pub use unsafe_inherited::take_inherited;
pub use worker::{Ending, Worker};
