//! LuaSocket's face over luasocketd's pipe.
//!
//! A Lua script that uses this crate's modules opens no socket itself: each call travels over a local pipe
//! to the daemon, which asks its policy and does the work. The script sees what LuaSocket would have
//! returned. [`preload`] brings the modules into an embedded Lua; [`open`] holds the loaders for a loadable
//! module, which is a crate of its own.
//!
//! ```no_run
//! # fn main() -> mlua::Result<()> {
//! let lua = mlua::Lua::new();
//! luasocketd_shim::preload(&lua)?;
//! lua.load(r#"print(require("socket").connect("localhost", 80))"#).exec()
//! # }
//! ```
//!
//! The way of a call is visible in the file names: `lua` (what the script sees) > `session` (what its
//! sockets are) > `pipe` (the waiting) > `mux` (the messages), and back.

mod buffer;
mod find;
mod frames;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod link;
mod lua;
mod mailbox;
mod mux;
mod path;
mod pattern;
mod pipe;
mod preload;
mod range;
mod session;
mod spin;
mod stream;
mod text;
mod unsafe_advice;
mod unsafe_fork;

pub use preload::{Options, module, preload, preload_with};

/// The loaders of the Lua modules, for `luaopen_…` entry points.
pub mod open {
    pub use crate::lua::raw::open::{
        luasocketd, luasocketd_v1, socket, socket_core, socket_unix, socklibopen,
    };
    pub use mlua::lua_State;
}
