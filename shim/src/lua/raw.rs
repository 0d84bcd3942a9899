//! The Lua stack: everything that is unsafe about being called by Lua.
//!
//! It knows no socket and no error text. Invariants, on which all of its safety rests:
//! - Lua raises by jumping over Rust frames, so nothing that needs dropping is alive around a call that
//!   may raise, and no such call stands inside `catch_unwind`.
//! - Anything that allocates in Lua may collect garbage and run a script's finalizers, which may use our
//!   sockets: no borrow of the session and no pointer into it is alive then.
//! - A script's value is ours only if it is a full userdata with one of our metatables.

mod call;
mod compat;
mod entry;
mod object;
pub(crate) mod open;
mod push;
mod quick;
mod select;

pub(crate) use call::Call;
