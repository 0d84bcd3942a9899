//! One plug-in: its Lua state, what is in it, and its limits.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use luasocketd_shim::{Options, module, preload_with};
use mlua::{Lua, LuaOptions, MultiValue, StdLib, Value, Variadic, VmState};

/// What a plug-in may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of Lua's memory. The buffers of its sockets are bounded by the daemon.
    pub memory: usize,
    /// From its start to its end, waiting included.
    pub time: Duration,
}

/// Why a plug-in came to no good end.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file.
    #[error("cannot read it: {0}")]
    Unreadable(io::Error),
    /// The pipe.
    #[error("no daemon at {path}: {error}; start one: luasocketd serve --socket {path}", path = .path.display())]
    NoDaemon { path: PathBuf, error: io::Error },
    /// The limit of [`Limits::memory`].
    #[error("it wanted more than {} MiB of memory", .0 / 1024 / 1024)]
    Memory(usize),
    /// The limit of [`Limits::time`].
    #[error("it ran for more than {0:?}")]
    Time(Duration),
    /// Its own error.
    #[error("{0}")]
    Script(String),
}

/// What Lua 5.3 says, as of any error of a script's, when there is no memory for a string that is being made.
const NO_BUFFER: &str = "not enough memory for buffer allocation";

/// The error that ends a plug-in whose time is up.
#[derive(Debug, thiserror::Error)]
#[error("time is up")]
struct TimeIsUp;

/// A script that is to be run.
pub struct Plugin<'a> {
    script: &'a Path,
    name: String,
}

impl<'a> Plugin<'a> {
    /// The plug-in in a file, which its output and the daemon's operator know by the file's name.
    pub fn new(script: &'a Path) -> Self {
        let name = script.file_stem().map_or("plugin".into(), |name| name.to_string_lossy().into_owned());
        Plugin { script, name }
    }

    /// Runs it to its end. Whatever it left open is closed then; bytes that its `send` accepted are delivered.
    pub fn run(&self, daemon: &Path, arguments: &[String], limits: Limits) -> Result<(), Problem> {
        let text = std::fs::read(self.script).map_err(Problem::Unreadable)?;
        // The plug-in gets this one connection and no way to another one. A clone of it, shut down by the
        // host at any time, would end every call of the plug-in's at once.
        let pipe = UnixStream::connect(daemon)
            .map_err(|error| Problem::NoDaemon { path: daemon.to_owned(), error })?;
        let end = Instant::now() + limits.time;
        let lua = self.state(pipe, limits, end).map_err(|error| explain(&error, limits))?;
        let chunk = lua.load(text).set_name(format!("@{}", self.script.display()));
        // A plug-in could bring bytecode that makes Lua itself fall.
        let chunk = chunk.set_mode(mlua::chunk::ChunkMode::Text);
        chunk.call::<()>(Variadic::from(arguments.to_vec())).map_err(|error| explain(&error, limits))
    }

    /// A state whose scripts reach nothing but their sockets.
    fn state(&self, pipe: UnixStream, limits: Limits, end: Instant) -> mlua::Result<Lua> {
        let harmless = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        #[cfg(not(feature = "lua51"))]
        let harmless = harmless | StdLib::COROUTINE;
        let lua = Lua::new_with(harmless, LuaOptions::new())?;
        preload_with(&lua, Options::new().pipe(pipe).client(&self.name))?;
        let globals = lua.globals();
        // These read files, or bytecode.
        for name in ["dofile", "load", "loadfile", "loadstring"] {
            globals.set(name, Value::Nil)?;
        }
        globals.set("require", lua.create_function(|lua, name: String| module(lua, &name))?)?;
        let name = self.name.clone();
        let print = lua.create_function(move |_, values: MultiValue| {
            let words: mlua::Result<Vec<_>> = values.iter().map(Value::to_string).collect();
            println!("[{name}] {}", words?.join(" "));
            Ok(())
        })?;
        globals.set("print", print)?;
        watch(&lua, end)?;
        #[cfg(feature = "luau")]
        lua.sandbox(true)?;
        lua.set_memory_limit(limits.memory)?;
        Ok(lua)
    }
}

/// Ends the script when its time is up: also while it waits, since the modules ask whoever watches.
#[cfg(feature = "luau")]
fn watch(lua: &Lua, end: Instant) -> mlua::Result<()> {
    lua.set_interrupt(move |_| still(end));
    Ok(())
}

/// As above. A script can catch the error, but then the next step of it raises it again.
#[cfg(not(feature = "luau"))]
fn watch(lua: &Lua, end: Instant) -> mlua::Result<()> {
    use mlua::HookTriggers;
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1000), move |lua, _| {
        if Instant::now() >= end {
            lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| still(end))?;
        }
        still(end)
    })
}

fn still(end: Instant) -> mlua::Result<VmState> {
    if Instant::now() < end { Ok(VmState::Continue) } else { Err(mlua::Error::external(TimeIsUp)) }
}

/// What Lua's error means for the one who runs the plug-in.
fn explain(error: &mlua::Error, limits: Limits) -> Problem {
    if error.downcast_ref::<TimeIsUp>().is_some() {
        return Problem::Time(limits.time);
    }
    match error {
        mlua::Error::MemoryError(_) => Problem::Memory(limits.memory),
        mlua::Error::RuntimeError(text) => match text.lines().next().unwrap_or_default() {
            line if line.ends_with(NO_BUFFER) => Problem::Memory(limits.memory),
            line => Problem::Script(line.to_owned()),
        },
        mlua::Error::CallbackError { cause, .. } => explain(cause, limits),
        other => Problem::Script(other.to_string()),
    }
}
