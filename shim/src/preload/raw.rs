//! Hands the loaders, which are C functions, to mlua.

use mlua::{Function, Lua};

use crate::find::Source;
use crate::lua::raw::open;

/// Gives the state its session; false when it has one already.
///
/// # Errors
/// When Lua has no memory.
pub(super) fn prepare(lua: &Lua, source: Source, client: Option<String>) -> mlua::Result<bool> {
    let mut new = false;
    // SAFETY: mlua calls the closure in a live state, and catches what it raises.
    unsafe { lua.exec_raw::<()>((), |state| new = open::prepare(state, source, client))? };
    Ok(new)
}

/// The modules' names and loaders.
///
/// # Errors
/// When Lua has no memory.
pub(super) fn loaders(lua: &Lua) -> mlua::Result<[(&'static str, Function); 7]> {
    // SAFETY: the loaders are C functions for Lua to call, and keep to the rules of this.
    unsafe {
        Ok([
            ("luasocketd", lua.create_c_function(open::luasocketd)?),
            ("luasocketd.core", lua.create_c_function(open::socket_core)?),
            ("luasocketd.unix", lua.create_c_function(open::socket_unix)?),
            ("luasocketd.v1", lua.create_c_function(open::luasocketd_v1)?),
            ("socket", lua.create_c_function(open::socket)?),
            ("socket.core", lua.create_c_function(open::socket_core)?),
            ("socket.unix", lua.create_c_function(open::socket_unix)?),
        ])
    }
}
