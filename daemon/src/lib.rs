//! luasocketd: one daemon that owns every real socket of a machine's Lua scripts.
//!
//! [`core`] decides and does no I/O; [`shell`] does system calls and decides nothing; [`audit`] keeps the trail,
//! [`admin`] has the words for operators.

// Only in the modules of the shell that are named for it.
#![deny(unsafe_code)]

pub mod admin;
pub mod audit;
pub mod core;
pub mod shell;
