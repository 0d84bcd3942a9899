//! The short ways of `receive` and `send`: a line, or a few bytes, that have come already; bytes for which there is room.
//! Most calls of a script that reads or writes a stream want nothing else, and the long ways ask Lua twice as much.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use mlua::ffi;

use super::entry::without_panic;
use super::object::{self, Home};
use super::push::COPIES_FIRST;
use crate::lua::function::Class;
use crate::pattern::{Pattern, Returns};

/// Where Lua may collect garbage before it copies, longer pieces go the long way: over memory of Lua's own.
const SHORT: usize = 1024;

/// Pushes the results of a `receive` of LuaSocket 3.1 that need nothing but what is here; gives their number. With
/// `None` the stack is as it was, and the long way answers.
///
/// # Safety
/// As in `entry`, with the arguments as the script gave them.
pub(super) unsafe fn receive(state: *mut ffi::lua_State, home: &Home) -> Option<c_int> {
    // SAFETY: as promised by the caller.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        let results = if (1..=2).contains(&arguments) { received(state, home, arguments) } else { None };
        if results.is_none() {
            ffi::lua_settop(state, arguments);
        }
        results
    }
}

/// The same, with the stack as it happens to be.
unsafe fn received(state: *mut ffi::lua_State, home: &Home, arguments: c_int) -> Option<c_int> {
    // SAFETY: as promised by the caller. There is room for the results (LUA_MINSTACK); what is alive here needs no
    // dropping when pushing them raises, and nothing is consumed before they are safe in Lua.
    unsafe {
        if home.class_leaving_metatable(state, 1) != Some(Class::TcpClient) {
            return None;
        }
        let pattern = match arguments {
            1 => Pattern::Line(Returns::DropAll),
            _ => pattern(state)?,
        };
        let (session, key) = (home.session()?, object::key_at(state, 1));
        let mut short = MaybeUninit::<[u8; SHORT]>::uninit();
        let room = short.as_mut_ptr().cast::<u8>();
        let read = |bytes: &[u8]| {
            if COPIES_FIRST {
                return Some((bytes.as_ptr(), bytes.len()));
            }
            if bytes.len() > SHORT {
                return None;
            }
            // So many bytes have room there, which is no part of the session.
            room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Some((room.cast_const(), bytes.len()))
        };
        let ((bytes, length), take) = without_panic(|| session.glance(key, pattern, read)).flatten()?;
        // Where they are the session's own, they stay where they are until Lua has copied them.
        ffi::lua_pushlstring(state, bytes.cast(), length);
        ffi::lua_pushnil(state);
        ffi::lua_pushnil(state);
        without_panic(|| session.commit(key, take));
        Some(3)
    }
}

/// Pushes the results of a `send` of LuaSocket 3.1 of one whole string that goes out at once; gives their number. With
/// `None` nothing was sent and the stack is as it was, and the long way answers.
///
/// # Safety
/// As [`receive`].
pub(super) unsafe fn send(state: *mut ffi::lua_State, home: &Home) -> Option<c_int> {
    // SAFETY: as promised by the caller.
    unsafe {
        if ffi::lua_gettop(state) != 2 || ffi::lua_type(state, 2) != ffi::LUA_TSTRING {
            return None;
        }
        let results = sent(state, home);
        if results.is_none() {
            ffi::lua_settop(state, 2);
        }
        results
    }
}

/// The same for an object and a string, with the stack as it happens to be.
unsafe fn sent(state: *mut ffi::lua_State, home: &Home) -> Option<c_int> {
    // SAFETY: as promised by the caller. There is room for the results (LUA_MINSTACK); pushing them neither allocates nor
    // raises. A string is not converted, and stays on the stack until it is sent.
    unsafe {
        if home.class_leaving_metatable(state, 1) != Some(Class::TcpClient) {
            return None;
        }
        let mut length = 0;
        let text = ffi::lua_tolstring(state, 2, &mut length);
        let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length);
        let (session, key) = (home.session()?, object::key_at(state, 1));
        without_panic(|| session.send_at_once(key, bytes)).filter(|is_sent| *is_sent)?;
        ffi::lua_pushnumber(state, length as f64);
        ffi::lua_pushnil(state);
        ffi::lua_pushnil(state);
        Some(3)
    }
}

/// The pattern in the second argument, if it is one for the short way.
unsafe fn pattern(state: *mut ffi::lua_State) -> Option<Pattern> {
    // SAFETY: as promised by the caller; a string is not converted, and a number stays one.
    unsafe {
        match ffi::lua_type(state, 2) {
            ffi::LUA_TSTRING => {
                let mut length = 0;
                let text = ffi::lua_tolstring(state, 2, &mut length);
                let pattern = Pattern::from_3_1(std::slice::from_raw_parts(text.cast(), length))?;
                matches!(pattern, Pattern::Line(_)).then_some(pattern)
            }
            ffi::LUA_TNUMBER => {
                Pattern::count(ffi::lua_tonumber(state, 2)).filter(|count| *count > 0).map(Pattern::Count)
            }
            _ => None,
        }
    }
}
