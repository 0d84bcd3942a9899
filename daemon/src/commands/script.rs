//! The script's process of `luasocketd run`: in the jail, an embedded Lua 5.4 that behaves as `lua` does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mlua::{Function, MultiValue, Value};
use signal_hook::consts::SIGPIPE;

use super::failed;
use super::inside::{go_inside, tie_to_daemon};
use super::unsafe_lua::full_lua;
use crate::cli::{JailedScriptOptions, ScriptOptions};

/// Loads the script, calls it, and reports an error as `lua` does; gives the exit code.
const LAUNCHER: &str = include_str!("launcher.lua");

/// Runs the script to its end.
pub fn script(options: JailedScriptOptions) -> ExitCode {
    // Rust ignores the signal; `lua` ends by it when nobody reads what it prints any more.
    let always = Arc::new(AtomicBool::new(true));
    if let Err(error) = signal_hook::flag::register_conditional_default(SIGPIPE, always) {
        return failed(format!("cannot restore the default of SIGPIPE: {error}"));
    }
    let inside = tie_to_daemon().and_then(|()| go_inside(&options.jail.jail(needed(&options.script))));
    if let Err(code) = inside {
        return code;
    }
    match run_in_lua(&options.script) {
        // The C library's exit, which writes what is left in Lua's output buffers.
        Ok(code) => process::exit(code),
        Err(error) => failed(error),
    }
}

/// The script itself, which can be read whatever else cannot.
fn needed(script: &ScriptOptions) -> Vec<PathBuf> {
    if script.path() == Path::new("-") { Vec::new() } else { vec![script.path().to_owned()] }
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
