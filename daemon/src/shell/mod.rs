//! The system calls around the core: pipes, sockets, names, signals, one event loop.
//!
//! Nothing here decides anything: what a client may do, who owns what and when something is over is
//! the core's word. The shell moves the bytes and says how many.

mod accounts;
mod listener;
mod perform;
mod pipe;
mod queue;
mod resolver;
mod signals;
mod system;
mod table;
mod tcp;
mod tokens;
mod traffic;
mod unsafe_groups;
mod worker;

pub use accounts::{Account, System as SystemAccounts};
pub use listener::{ListenError, PipeListener};
pub use signals::{Caught, Signals, number};
pub use worker::{Ending, Worker};
