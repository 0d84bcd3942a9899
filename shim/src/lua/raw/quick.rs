//! The short way of `receive`: a line, or a few bytes, that have come already. Most calls of a script that reads a
//! stream want nothing else, and the long way asks Lua twice as much.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use mlua::ffi;

use super::entry::without_panic;
use super::object::{self, Home};
use crate::lua::function::Class;
use crate::pattern::{Pattern, Returns};

/// Longer pieces go the long way, where the copy is what costs.
const SHORT: usize = 1024;

/// Pushes the results of a `receive` of LuaSocket 3.1 that need nothing but what is here; gives their number. With
/// `None` the stack is as it was, and the long way answers.
///
/// # Safety
/// As in `entry`, with the arguments as the script gave them.
pub(super) unsafe fn receive(state: *mut ffi::lua_State, home: &Home) -> Option<c_int> {
    // SAFETY: as promised by the caller. There is room for the results (LUA_MINSTACK); what is alive here needs no
    // dropping when pushing them raises, and nothing is consumed before they are safe in Lua.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        if !(1..=2).contains(&arguments) || home.class_of(state, 1) != Some(Class::TcpClient) {
            return None;
        }
        let pattern = match arguments {
            1 => Pattern::Line(Returns::DropAll),
            _ => pattern(state)?,
        };
        let (session, key) = (home.session()?, object::key_at(state, 1));
        let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
        let (length, take) = without_panic(|| session.glance(key, pattern, &mut short)).flatten()?;
        ffi::lua_pushlstring(state, short.as_ptr().cast(), length);
        ffi::lua_pushnil(state);
        ffi::lua_pushnil(state);
        without_panic(|| session.commit(key, take));
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
