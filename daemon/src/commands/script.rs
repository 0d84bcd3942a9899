//! The script's process of `luasocketd run`: an embedded Lua 5.4 that behaves as `lua` does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mlua::{Function, MultiValue, Value};
use rustix::process::Signal;
use signal_hook::consts::SIGPIPE;

use super::failed;
use super::unsafe_lua::full_lua;
use crate::cli::ScriptOptions;

/// Loads the script, calls it, and reports an error as `lua` does; gives the exit code.
const LAUNCHER: &str = include_str!("launcher.lua");

/// Runs the script to its end.
pub fn script(options: ScriptOptions) -> ExitCode {
    // Rust ignores the signal; `lua` ends by it when nobody reads what it prints any more.
    let always = Arc::new(AtomicBool::new(true));
    if let Err(error) = signal_hook::flag::register_conditional_default(SIGPIPE, always) {
        return failed(format!("cannot restore the default of SIGPIPE: {error}"));
    }
    // Without its daemon a script must not go on unseen.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(format!("cannot tie the script to its daemon: {error}"));
    }
    match run_in_lua(&options) {
        // The C library's exit, which writes what is left in Lua's output buffers.
        Ok(code) => process::exit(code),
        Err(error) => failed(error),
    }
}

fn run_in_lua(options: &ScriptOptions) -> mlua::Result<i32> {
    let lua = full_lua();
    luasocketd_shim::preload(&lua)?;
    let launcher: Function = lua.load(LAUNCHER).set_name("=launcher").into_function()?;
    let text = |text: &OsStr| lua.create_string(text.as_bytes()).map(Value::String);
    let mut arguments = MultiValue::new();
    arguments.push_back(text(options.path().as_os_str())?);
    for argument in options.args() {
        arguments.push_back(text(argument)?);
    }
    let code: mlua::Result<i32> = launcher.call(arguments);
    // Closes the state, so that finalizers run and sockets close as they do in `lua`.
    drop((launcher, lua));
    code
}
