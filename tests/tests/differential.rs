//! LuaSocket 3.1, line by line: what a script prints on the LuaSocket that the machine has installed, it has
//! to print on ours.

use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, judge, scripts};

/// A script needs a few seconds, which its own waits make up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);
/// What the scripts of namespaces of their own begin with; `differential_names.rs` runs them.
const NAMES: &str = "names_";

fn agrees(interpreter: Interpreter) {
    let daemon = Daemon::start();
    let mut all = scripts::scripts_in("differential");
    all.retain(|script| !scripts::name(script).starts_with(NAMES));
    let mut failures = Vec::new();
    for script in &all {
        // Both at once: they mostly wait.
        let stock = interpreter.stock_job(script).limit(SCRIPT_LIMIT).start();
        let ours = interpreter.job(script, &daemon).limit(SCRIPT_LIMIT).start();
        let (stock, ours) = (stock.finish(), ours.finish_or_kill());
        let hint = "(the judge itself failed; is Debian's lua-socket there? apt-get install lua-socket)";
        assert!(stock.status.success() && !stock.stdout.is_empty(), "{hint}\n{stock}");
        if let Some(difference) = judge::difference(&stock, &ours) {
            failures.push(format!("{} on {}: {difference}", scripts::name(script), interpreter.name()));
        }
    }
    scripts::report(&failures, all.len());
}

#[test]
fn on_lua51() {
    agrees(Interpreter::Lua51);
}

#[test]
fn on_lua52() {
    agrees(Interpreter::Lua52);
}

#[test]
fn on_lua53() {
    agrees(Interpreter::Lua53);
}

#[test]
fn on_lua54() {
    agrees(Interpreter::Lua54);
}

#[test]
fn on_luajit() {
    agrees(Interpreter::LuaJit);
}
