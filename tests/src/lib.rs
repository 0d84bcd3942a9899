//! The harness of the tests that need two processes: a daemon, stock Lua interpreters, and peers on the
//! network.
//!
//! It knows the product only from outside: a binary, Lua modules in `target/lua`, environment variables,
//! bytes on a socket. Every wait is bounded, every child is ended by its guard, every failure says how to
//! repeat it.

#![allow(clippy::unwrap_used)] // a harness panics where a test would

pub mod build;
pub mod daemon;
pub mod interpreter;
pub mod jail;
pub mod judge;
pub mod network;
pub mod peer;
pub mod pipe;
pub mod policy;
pub mod process;
pub mod scripts;
pub mod trail;

pub use build::{ModulePath, modules_for, program};
pub use daemon::Daemon;
pub use interpreter::Interpreter;
pub use peer::Peer;
pub use pipe::{Pipe, Value};
pub use policy::PolicyFile;
pub use process::{Job, Outcome, Running, wait_until};
pub use trail::Trail;
