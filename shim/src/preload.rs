//! For Rust programs that embed Lua: makes the modules known to a Lua state.

mod raw;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use mlua::{Lua, Table};

use crate::find::Source;

/// Where a Lua state finds its daemon, and what it calls itself.
#[derive(Debug)]
pub struct Options {
    source: Source,
    client: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options { source: Source::Environment, client: None }
    }
}

impl Options {
    /// As the loadable module does it: `LUASOCKETD_FD`, `LUASOCKETD_SOCKET`, the usual places.
    pub fn new() -> Self {
        Options::default()
    }

    /// Uses the daemon that listens at `path`.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::Path(path.into());
        self
    }

    /// Uses a stream socket that is connected to a daemon already, and on which nothing was said yet. When
    /// it ends there is no way to another one: every socket is closed, and calls that need a daemon fail.
    pub fn pipe(mut self, pipe: impl Into<OwnedFd>) -> Self {
        self.source = Source::Handed(RefCell::new(Some(pipe.into())));
        self
    }

    /// The name that the daemon's operator sees; without it, the name of the script. It is for people: the
    /// daemon grants nothing for it.
    pub fn client(mut self, name: impl Into<String>) -> Self {
        self.client = Some(name.into());
        self
    }
}

/// Lets scripts of `lua` require `socket`, `socket.core`, `socket.unix`, `luasocketd` and `luasocketd.v1`.
///
/// Nothing is connected before the first call that needs the daemon, so a missing daemon is an error of that
/// call, not of this function. A state without a `package` library has no `require`: hand the modules to its
/// scripts yourself, from [`module`].
///
/// # Errors
/// When Lua has no memory, or was preloaded before.
pub fn preload(lua: &Lua) -> mlua::Result<()> {
    preload_with(lua, Options::new())
}

/// As [`preload`], with another way to the daemon.
///
/// # Errors
/// As [`preload`].
pub fn preload_with(lua: &Lua, options: Options) -> mlua::Result<()> {
    if !raw::prepare(lua, options.source, options.client)? {
        return Err(mlua::Error::runtime("luasocketd: this Lua state was prepared before"));
    }
    for name in raw::NAMES {
        register(lua, name)?;
    }
    Ok(())
}

/// One of the modules itself, by the name that scripts would require.
///
/// # Errors
/// When there is no module of that name, or Lua has no memory.
pub fn module(lua: &Lua, name: &str) -> mlua::Result<Table> {
    let loader = raw::loader(lua, name)?;
    loader.ok_or_else(|| mlua::Error::runtime(format!("luasocketd: there is no module '{name}'")))?.call(name)
}

#[cfg(not(feature = "luau"))]
fn register(lua: &Lua, name: &'static str) -> mlua::Result<()> {
    let loader = raw::loader(lua, name)?;
    loader.map_or(Ok(()), |loader| lua.preload_module(name, loader))
}

/// Luau has no `package`: what its `require` finds without a path is registered, complete, and `@` is what
/// names of registered modules begin with. Scripts written for LuaSocket know nothing of that.
#[cfg(feature = "luau")]
fn register(lua: &Lua, name: &'static str) -> mlua::Result<()> {
    let module = module(lua, name)?;
    raw::register(lua, name, module.clone())?;
    lua.register_module(&format!("@{name}"), module)
}
