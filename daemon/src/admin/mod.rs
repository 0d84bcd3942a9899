//! What operators ask a running daemon, and what they are told: the words on the admin socket.
//!
//! No I/O: the shell's operators' threads carry the lines, the loop answers from the core.

mod words;

pub use words::{ANSWER_MAX, Answer, LINE_MAX, Reloaded, Request, VERSION, line};
