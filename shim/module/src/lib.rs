//! The loadable Lua module `luasocketd.so`, built once for each Lua version.
//!
//! Only entry points: the shim does the work. Lua's all-in-one searcher finds `luasocketd.v1`,
//! `luasocketd.core` and `luasocketd.unix` in the same file; under the names `socket.so`, `socket/core.so` and `socket/unix.so` it takes LuaSocket's
//! place.

use std::ffi::c_int;

use luasocketd_shim::open::{self, lua_State};

macro_rules! entry_points {
    ($($(#[$doc:meta])* $name:ident = $loader:path;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// To be called by Lua.
        // SAFETY: no other library exports the name for another purpose.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> c_int {
            // SAFETY: Lua calls it as it calls every loader.
            unsafe { $loader(state) }
        }
    )+};
}

entry_points! {
    /// `require "luasocketd"`
    luaopen_luasocketd = open::luasocketd;
    /// `require "luasocketd.core"`
    luaopen_luasocketd_core = open::socket_core;
    /// `require "luasocketd.unix"`
    luaopen_luasocketd_unix = open::socket_unix;
    /// `require "luasocketd.v1"`
    luaopen_luasocketd_v1 = open::luasocketd_v1;
    /// `require "socket"`
    luaopen_socket = open::socket;
    /// `require "socket.core"`
    luaopen_socket_core = open::socket_core;
    /// `require "socket.unix"`
    luaopen_socket_unix = open::socket_unix;
}

/// LuaSocket 1.0's one C function: registers its functions as globals.
///
/// # Safety
/// `state` is a live Lua state that is ready for calls. Errors of Lua's are raised.
// SAFETY: LuaSocket 1.0 exports the name, and takes the same.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lua_socklibopen(state: *mut lua_State) {
    // SAFETY: as promised by the caller.
    unsafe { open::socklibopen(state) }
}
