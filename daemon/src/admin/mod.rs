//! What operators ask a running daemon, and what they are told: the words on the admin socket.
//!
//! No I/O: the shell's operators' threads carry the lines, the loop answers from the core.

mod answers;
pub mod metrics;
mod words;

pub use answers::{Answer, Audit, Clients, Draining, Killed, Metrics, Reloaded, Replaced, Sockets, Stats};
pub use words::{ANSWER_MAX, LINE_MAX, Request, VERSION, line};
