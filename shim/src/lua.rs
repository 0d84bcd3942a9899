//! LuaSocket's faces: which functions and methods there are, what they take and what they give.
//!
//! Each is a row of a table and a safe function over the session. Everything that touches the Lua stack
//! lies in `raw`. Invariant: between reading its arguments and pushing its results, no function of these
//! faces runs Lua or raises.

mod answer;
mod core;
mod dns;
mod function;
mod options;
pub(crate) mod raw;
mod tcp;
mod udp;
mod unix;
mod v1;
