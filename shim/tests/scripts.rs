//! The suites that stock interpreters run, in the embedded Lua of the version that this is built for: each
//! script in a thread and a Lua state of its own.
//!
//! Repeat one version with `cargo test -p luasocketd-shim --no-default-features --features luau,vendored
//! --test scripts`, `luau` being the version's feature.

#![allow(clippy::unwrap_used)] // what helps a test may fail as a test does

mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luasocketd_tests::judge::{assert_ran, differing_lines};
use luasocketd_tests::network::RefusedPort;
use luasocketd_tests::{Daemon, Interpreter, Peer, scripts};
use mlua::{Lua, Table};

/// A script needs a few seconds, which its own waits make up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// What a script is to find as in an interpreter: `print`, which is kept; the files beside it; variables
/// of the environment. Luau has no `io`.
const PRELUDE: &str = include_str!("state/prelude.lua");

/// The scripts of the differential suite that touch each part once; the suite itself is about the modules,
/// which are the same code.
const BASICS: [&str; 16] = [
    "accept",
    "arguments",
    "bind",
    "closed",
    "connect",
    "constructors",
    "coroutines",
    "misc",
    "options",
    "receive",
    "select",
    "send",
    "stats",
    "timeouts",
    "try_protect",
    "wrong_class",
];

fn is_basic(script: &Path) -> bool {
    BASICS.contains(&scripts::name(script).as_str())
}

/// What a script printed, and the error that ended it.
struct Outcome {
    printed: String,
    error: Option<String>,
}

fn run(script: &Path, daemon: &Daemon, variables: &[(&'static str, u16)]) -> Outcome {
    let (script, socket) = (script.to_owned(), daemon.socket().to_owned());
    let variables = variables.to_vec();
    let printed = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&printed);
    let name = scripts::name(&script);
    let ended = state::within(SCRIPT_LIMIT, &name, move || {
        let lua = state::state(&socket);
        run_in(&lua, &script, &variables, kept).err().map(|error| error.to_string())
    });
    let error = ended.unwrap_or_else(Some);
    Outcome { printed: printed.lock().unwrap().clone(), error }
}

fn run_in(
    lua: &Lua,
    script: &Path,
    variables: &[(&'static str, u16)],
    printed: Arc<Mutex<String>>,
) -> mlua::Result<()> {
    let emit = lua.create_function(move |_, text: mlua::LuaString| {
        printed.lock().unwrap().push_str(&text.to_string_lossy());
        Ok(())
    })?;
    let directory = script.parent().unwrap().to_owned();
    let beside = lua.create_function(move |lua, name: String| {
        load(lua, &directory.join(name).with_extension("lua"))?.eval::<mlua::Value>()
    })?;
    let table: Table = lua.create_table()?;
    for (name, value) in variables {
        table.set(*name, value.to_string())?;
    }
    // In Luau, a chunk's own globals; in the others, the ones that all share.
    lua.load(PRELUDE).set_name("=prelude").call::<()>((emit, beside, table))?;
    load(lua, script)?.exec()
}

fn load<'a>(lua: &Lua, script: &Path) -> mlua::Result<mlua::chunk::Chunk<'a>> {
    let text = std::fs::read(script)?;
    Ok(lua.load(text).set_name(format!("@{}", script.display())))
}

#[test]
fn luasocket_1_0_is_complete() {
    let (daemon, denying) = (Daemon::start(), Daemon::deny_all());
    let (peer, refused) = (Peer::start(), RefusedPort::take());
    let baseline = daemon.descriptors();
    let all = scripts::scripts_in("conformance/v1");
    let mut failures = Vec::new();
    for script in &all {
        let name = scripts::name(script);
        let served = if name.starts_with("denied") { &denying } else { &daemon };
        let outcome = run(script, served, &[("PEER_PORT", peer.port()), ("REFUSED_PORT", refused.number())]);
        let checks = outcome.printed.lines().filter(|line| line.starts_with("ok ")).count();
        let ended = outcome.printed.lines().last() == Some("done");
        if outcome.error.is_some() || checks == 0 || !ended {
            failures.push(format!("{name}: {checks} checks passed\n{}", outcome.ending()));
        }
    }
    scripts::report(&failures, all.len());
    daemon.settle_to(baseline, Duration::from_secs(10));
}

#[test]
fn luasocket_3_1_does_what_the_real_one_does() {
    let daemon = Daemon::start();
    let all: Vec<PathBuf> =
        scripts::scripts_in("differential").into_iter().filter(|script| is_basic(script)).collect();
    assert_eq!(all.len(), BASICS.len(), "each of {BASICS:?} is there");
    let mut failures = Vec::new();
    for script in &all {
        let name = scripts::name(script);
        let stock = judge().stock_job(script).limit(SCRIPT_LIMIT).run();
        assert_ran(&stock);
        let ours = run(script, &daemon, &[]);
        let (wanted, got) = (compared(&stock.text()), compared(&ours.printed));
        if wanted == got && ours.error.is_none() {
            continue;
        }
        failures.push(format!(
            "{name}: differs from {}\n{}\n{}",
            judge().name(),
            differing_lines(&wanted, &got).join("\n"),
            ours.ending()
        ));
    }
    scripts::report(&failures, all.len());
}

/// The interpreter whose LuaSocket says what is right. There is none for Lua 5.5 and Luau, which take after
/// these.
fn judge() -> Interpreter {
    if cfg!(any(feature = "lua51", feature = "luau")) {
        Interpreter::Lua51
    } else if cfg!(feature = "lua52") {
        Interpreter::Lua52
    } else if cfg!(feature = "lua53") {
        Interpreter::Lua53
    } else if cfg!(feature = "luajit") {
        Interpreter::LuaJit
    } else {
        Interpreter::Lua54
    }
}

/// The lines that are the same on every Lua. Luau words the errors of all its functions in its own way.
fn compared(printed: &str) -> String {
    let is_compared = |line: &&str| !cfg!(feature = "luau") || !line.contains(" raises: ");
    printed.lines().filter(is_compared).map(|line| format!("{line}\n")).collect()
}

impl Outcome {
    /// The error and the last lines.
    fn ending(&self) -> String {
        let lines: Vec<&str> = self.printed.lines().collect();
        let last = lines[lines.len().saturating_sub(3)..].join("\n  ");
        format!("error: {}\nlast lines:\n  {last}", self.error.as_deref().unwrap_or("none"))
    }
}
