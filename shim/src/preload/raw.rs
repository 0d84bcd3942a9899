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
    let mut parts = Some((source, client));
    // SAFETY: mlua calls the closure in a live state, and catches what it raises; it owns nothing.
    unsafe { lua.exec_raw::<()>((), |state| new = open::prepare(state, &mut parts))? };
    Ok(new)
}

/// The modules' names.
pub(super) const NAMES: [&str; 7] = [
    "luasocketd",
    "luasocketd.core",
    "luasocketd.unix",
    "luasocketd.v1",
    "socket",
    "socket.core",
    "socket.unix",
];

/// The loader of a module; none if there is no module of that name.
///
/// # Errors
/// When Lua has no memory.
pub(super) fn loader(lua: &Lua, name: &str) -> mlua::Result<Option<Function>> {
    let loader = match name {
        "luasocketd" => open::luasocketd,
        "luasocketd.core" | "socket.core" => open::socket_core,
        "luasocketd.unix" | "socket.unix" => open::socket_unix,
        "luasocketd.v1" => open::luasocketd_v1,
        "socket" => open::socket,
        _ => return Ok(None),
    };
    // SAFETY: the loaders are C functions for Lua to call, and keep to the rules of this.
    unsafe { lua.create_c_function(loader).map(Some) }
}

/// Makes a module known to Luau's `require` under a name that need not begin with `@`.
///
/// # Errors
/// When Lua has no memory.
#[cfg(feature = "luau")]
pub(super) fn register(lua: &Lua, name: &'static str, module: mlua::Table) -> mlua::Result<()> {
    use mlua::ffi;
    // SAFETY: mlua calls the closure with the module on the stack and room for more, and catches what it
    // raises.
    unsafe {
        lua.exec_raw::<()>(module, |state| {
            ffi::luaL_getsubtable(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_REGISTERED_MODULES_TABLE);
            ffi::lua_pushlstring(state, name.as_ptr().cast(), name.len());
            ffi::lua_pushvalue(state, -3);
            ffi::lua_rawset(state, -3);
        })
    }
}
