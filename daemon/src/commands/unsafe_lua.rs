//! The one thing here that the compiler cannot check: a Lua with all of its libraries.

#![allow(unsafe_code, reason = "mlua calls a state unsafe that can load C modules and use `debug`")]

use mlua::Lua;

/// A Lua 5.4 as the `lua` command has it, with `debug` and C modules.
pub fn full_lua() -> Lua {
    // SAFETY: with `debug` or a C module a script can crash its own process. That process holds
    // nothing but the script and its pipe; the daemon lives in another one and believes neither.
    unsafe { Lua::unsafe_new() }
}
