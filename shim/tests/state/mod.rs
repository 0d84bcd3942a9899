//! Lua states of this process on a daemon that runs, and what they leave behind.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use luasocketd_shim::{Options, preload_with};
use mlua::{Lua, LuaOptions, StdLib};

/// A state with all safe libraries, on a daemon. Its `pcall` is Lua's own, which coroutines may yield across.
pub fn state(daemon: &Path) -> Lua {
    state_with(Options::new().path(daemon))
}

/// As [`state`], with another way to a daemon.
pub fn state_with(options: Options) -> Lua {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new().catch_rust_panics(false)).unwrap();
    preload_with(&lua, options).unwrap();
    lua
}

/// Runs `job` in a thread of its own, where a call that never ends fails the test; gives its result.
pub fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the limit was reached.
        let _ = sender.send(job());
    });
    receiver.recv_timeout(limit).map_err(|error| format!("{what}: {error} (the limit is {limit:?})"))
}
