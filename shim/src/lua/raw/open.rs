//! The loaders: what `require` calls.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use luasocketd_protocol::CLIENT_NAME_MAX;
use mlua::ffi;

use super::{compat, object, select};
use crate::find::Source;
use crate::lua::function::Function;
use crate::lua::{core, dns, unix, v1};
use crate::session::Session;

const TRY: &str = include_str!("../try.lua");
const SOCKET: &str = include_str!("../../../lua/socket.lua");

/// Registry keys of the tables that are made once for each state: the addresses of these.
static CORE: u8 = 0;
static V1: u8 = 1;
static UNIX: u8 = 2;

/// `require "luasocketd"`: what neither LuaSocket has.
///
/// # Safety
/// To be called by Lua.
pub unsafe extern "C-unwind" fn luasocketd(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        let home = push_home(state);
        ffi::lua_newtable(state);
        set_functions(state, home, core::LUASOCKETD_FUNCTIONS);
        set_text(state, c"_VERSION", concat!("luasocketd ", env!("CARGO_PKG_VERSION")));
        set_integer(state, c"protocol", luasocketd_protocol::VERSION.into());
    }
    1
}

/// `require "luasocketd.v1"`: LuaSocket 1.0.
///
/// # Safety
/// To be called by Lua.
pub unsafe extern "C-unwind" fn luasocketd_v1(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        if push_known(state, &V1) {
            return 1;
        }
        let home = push_home(state);
        ffi::lua_newtable(state);
        set_functions(state, home, v1::FUNCTIONS);
        ffi::lua_pushvalue(state, -1);
        compat::push_closure(state, install, c"install", 1);
        ffi::lua_setfield(state, -2, c"install".as_ptr());
        keep(state, &V1);
    }
    1
}

/// `require "socket.core"`: LuaSocket 3.1 without its Lua part.
///
/// # Safety
/// To be called by Lua.
pub unsafe extern "C-unwind" fn socket_core(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        if !push_known(state, &CORE) {
            make_core(state);
        }
    }
    1
}

/// `require "socket"`: LuaSocket 3.1.
///
/// # Safety
/// To be called by Lua.
pub unsafe extern "C-unwind" fn socket(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller; whatever `socket_core` leaves, the core is on top of it.
    unsafe {
        socket_core(state);
        let core = ffi::lua_gettop(state);
        load(state, SOCKET, c"=luasocketd socket.lua");
        ffi::lua_pushvalue(state, core);
        ffi::lua_call(state, 1, 1);
    }
    1
}

/// `require "socket.unix"`: LuaSocket 3.1's local sockets.
///
/// # Safety
/// To be called by Lua.
pub unsafe extern "C-unwind" fn socket_unix(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        if push_known(state, &UNIX) {
            return 1;
        }
        let home = push_home(state);
        ffi::lua_newtable(state);
        set_functions(state, home, unix::FUNCTIONS);
        for (alias, name) in [(c"tcp", c"stream"), (c"udp", c"dgram")] {
            ffi::lua_getfield(state, -1, name.as_ptr());
            ffi::lua_setfield(state, -2, alias.as_ptr());
        }
        // Once the module was a function that makes a stream; the table is its own metatable.
        compat::push_closure(state, call_unix, c"unix", 0);
        ffi::lua_setfield(state, -2, c"__call".as_ptr());
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setmetatable(state, -2);
        keep(state, &UNIX);
    }
    1
}

/// Registers LuaSocket 1.0's functions as globals, as its C library did.
///
/// # Safety
/// `state` is a live Lua state that is ready for calls. Errors of Lua's, no memory say, are raised.
pub unsafe extern "C-unwind" fn socklibopen(state: *mut ffi::lua_State) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::luaL_checkstack(state, 20, c"lua_socklibopen".as_ptr());
        let top = ffi::lua_gettop(state);
        luasocketd_v1(state);
        let module = ffi::lua_gettop(state);
        ffi::lua_pushglobaltable(state);
        copy_functions(state, module, module + 1);
        ffi::lua_settop(state, top);
    }
}

/// Gives a state its session, before any module is loaded. Says no when it has one already. What the session
/// is made of is taken once nothing can raise any more, since a jump would leak it.
///
/// # Safety
/// As [`socklibopen`].
pub(crate) unsafe fn prepare(
    state: *mut ffi::lua_State,
    parts: &mut Option<(Source, Option<String>)>,
) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        if object::push_home(state) {
            ffi::lua_pop(state, 1);
            return false;
        }
        new_home(state);
        let (source, client) = parts.take().unwrap_or((Source::Environment, None));
        object::give_session(state, new_session(state, source, client));
        ffi::lua_pop(state, 3);
        true
    }
}

/// Makes the table of `socket.core`; it is on top of the stack then.
unsafe fn make_core(state: *mut ffi::lua_State) {
    // SAFETY: as promised by the caller.
    unsafe {
        let home = push_home(state);
        ffi::lua_newtable(state);
        let table = ffi::lua_gettop(state);
        set_functions(state, home, core::FUNCTIONS);
        object::push_c_function(state, home, select::select, c"select");
        ffi::lua_setfield(state, table, c"select".as_ptr());
        compat::push_closure(state, skip, c"skip", 0);
        ffi::lua_setfield(state, table, c"skip".as_ptr());
        set_text(state, c"_VERSION", core::VERSION);
        set_integer(state, c"_DATAGRAMSIZE", core::DATAGRAM_SIZE);
        set_integer(state, c"_SETSIZE", core::SET_SIZE);
        set_integer(state, c"_SOCKETINVALID", core::INVALID);
        ffi::lua_newtable(state);
        set_functions(state, home, dns::FUNCTIONS);
        ffi::lua_setfield(state, table, c"dns".as_ptr());
        load(state, TRY, c"=luasocketd try.lua");
        ffi::lua_call(state, 0, 2);
        ffi::lua_setfield(state, table, c"protect".as_ptr());
        ffi::lua_setfield(state, table, c"newtry".as_ptr());
        keep(state, &CORE);
    }
}

/// Pushes the state's home, making it at the first time; gives its position.
unsafe fn push_home(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::luaL_checkstack(state, 20, c"luasocketd".as_ptr());
        if !object::push_home(state) {
            new_home(state);
            object::give_session(state, new_session(state, Source::Environment, None));
            ffi::lua_remove(state, -2);
            ffi::lua_remove(state, -2);
        }
        ffi::lua_gettop(state)
    }
}

/// Pushes the name of the running script, Lua's version, and a new home.
unsafe fn new_home(state: *mut ffi::lua_State) {
    // SAFETY: as promised by the caller. Raw access, since globals may be guarded by metamethods.
    unsafe {
        push_global(state, c"arg");
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            ffi::lua_rawgeti(state, -1, 0);
            ffi::lua_remove(state, -2);
        }
        push_global(state, c"jit");
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushstring(state, c"version".as_ptr());
            ffi::lua_rawget(state, -2);
            ffi::lua_remove(state, -2);
        } else {
            ffi::lua_pop(state, 1);
            push_global(state, c"_VERSION");
        }
        object::make_home(state);
    }
}

/// The session of the home on top of the stack. Neither raises nor allocates in Lua.
unsafe fn new_session(state: *mut ffi::lua_State, source: Source, client: Option<String>) -> Session {
    // SAFETY: as promised by the caller; `new_home` has left two values below the home.
    let (script, lua) = unsafe { (text_at(state, -3), text_at(state, -2)) };
    let mut client = client.or(script).unwrap_or_else(|| "lua".to_owned());
    while client.len() > CLIENT_NAME_MAX {
        client.pop();
    }
    Session::new(source, client, lua.unwrap_or_else(|| "Lua".to_owned()))
}

/// A string on the stack.
unsafe fn text_at(state: *mut ffi::lua_State, position: c_int) -> Option<String> {
    // SAFETY: the value is a string, so nothing is converted.
    unsafe {
        if ffi::lua_type(state, position) != ffi::LUA_TSTRING {
            return None;
        }
        let mut length = 0;
        let bytes = ffi::lua_tolstring(state, position, &mut length);
        Some(String::from_utf8_lossy(std::slice::from_raw_parts(bytes.cast(), length)).into_owned())
    }
}

unsafe fn push_global(state: *mut ffi::lua_State, name: &CStr) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::lua_pushglobaltable(state);
        ffi::lua_pushstring(state, name.as_ptr());
        ffi::lua_rawget(state, -2);
        ffi::lua_remove(state, -2);
    }
}

/// Pushes a table that was made before.
unsafe fn push_known(state: *mut ffi::lua_State, key: &'static u8) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::luaL_checkstack(state, 20, c"luasocketd".as_ptr());
        if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, address(key)) == ffi::LUA_TTABLE {
            return true;
        }
        ffi::lua_pop(state, 1);
        false
    }
}

/// Remembers the table on top of the stack.
unsafe fn keep(state: *mut ffi::lua_State, key: &'static u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, address(key));
    }
}

fn address(key: &'static u8) -> *const c_void {
    ptr::from_ref(key).cast()
}

/// Sets functions in the table on top of the stack.
unsafe fn set_functions(state: *mut ffi::lua_State, home: c_int, functions: &'static [Function]) {
    for function in functions {
        // SAFETY: as promised by the caller.
        unsafe {
            object::push_function(state, home, function);
            ffi::lua_setfield(state, -2, function.name.as_ptr());
        }
    }
}

unsafe fn set_text(state: *mut ffi::lua_State, name: &CStr, text: &str) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
        ffi::lua_setfield(state, -2, name.as_ptr());
    }
}

unsafe fn set_integer(state: *mut ffi::lua_State, name: &CStr, number: i64) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::lua_pushinteger(state, number as ffi::lua_Integer);
        ffi::lua_setfield(state, -2, name.as_ptr());
    }
}

/// Pushes a chunk of our own.
unsafe fn load(state: *mut ffi::lua_State, source: &str, name: &CStr) {
    // SAFETY: as promised by the caller. It fails only without memory.
    unsafe {
        ffi::luaL_checkstack(state, 20, c"luasocketd".as_ptr());
        if ffi::luaL_loadbuffer(state, source.as_ptr().cast(), source.len(), name.as_ptr()) != ffi::LUA_OK {
            ffi::lua_error(state);
        }
    }
}

/// A call of `socket.unix` itself: calls its field `stream`.
unsafe extern "C-unwind" fn call_unix(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with the table as its first argument.
    unsafe {
        ffi::lua_getfield(state, 1, c"stream".as_ptr());
        ffi::lua_replace(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

/// `install(t)` of LuaSocket 1.0's module, which is its upvalue.
unsafe extern "C-unwind" fn install(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua, with the module as its upvalue.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_settop(state, 1);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        copy_functions(state, 2, 1);
    }
    0
}

/// Copies LuaSocket 1.0's functions from one table to another.
unsafe fn copy_functions(state: *mut ffi::lua_State, from: c_int, to: c_int) {
    for function in v1::FUNCTIONS {
        // SAFETY: as promised by the caller.
        unsafe {
            ffi::lua_getfield(state, from, function.name.as_ptr());
            ffi::lua_setfield(state, to, function.name.as_ptr());
        }
    }
}

/// `skip(n, ...)`
unsafe extern "C-unwind" fn skip(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let skipped = ffi::luaL_checkinteger(state, 1).max(0);
        let others = ffi::lua_Integer::from(ffi::lua_gettop(state) - 1);
        c_int::try_from(others.saturating_sub(skipped).max(0)).unwrap_or(0)
    }
}
