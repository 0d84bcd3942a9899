//! LuaSocket 3.1, line by line: what a script prints on the LuaSocket that the machine has installed, it has
//! to print on ours.

use std::time::Duration;

use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, scripts};

/// A script needs a few seconds, which its own waits make up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(40);

fn agrees(interpreter: Interpreter) {
    let daemon = Daemon::start();
    let all = scripts::scripts_in("differential");
    let mut failures = Vec::new();
    for script in &all {
        let stock = interpreter.stock_job(script).limit(SCRIPT_LIMIT).run();
        let hint = "(the judge itself failed; is Debian's lua-socket there? apt-get install lua-socket)";
        assert!(stock.status.success() && !stock.stdout.is_empty(), "{hint}\n{stock}");
        let ours = interpreter.job(script, &daemon).limit(SCRIPT_LIMIT).start().finish_or_kill();
        if let Some(difference) = difference(&stock, &ours) {
            failures.push(format!("{} on {}: {difference}", scripts::name(script), interpreter.name()));
        }
    }
    scripts::report(&failures, all.len());
}

/// Which lines differ, and how both are repeated.
fn difference(stock: &Outcome, ours: &Outcome) -> Option<String> {
    if stock.stdout == ours.stdout && ours.status == stock.status {
        return None;
    }
    let (wanted, got) = (stock.text(), ours.text());
    let (wanted, got): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), got.lines().collect());
    let missing = "(nothing)";
    let lines = (0..wanted.len().max(got.len())).filter_map(|i| {
        let (stock, ours) = (wanted.get(i).unwrap_or(&missing), got.get(i).unwrap_or(&missing));
        (stock != ours).then(|| format!("  line {}\n    stock {stock}\n    ours  {ours}", i + 1))
    });
    let lines: Vec<String> = lines.take(30).collect();
    Some(format!(
        "{}\n{}\nstderr: {}\nrepeat stock: {}\nrepeat ours: {}",
        ours.status,
        lines.join("\n"),
        ours.errors(),
        stock.shell_line,
        ours.shell_line
    ))
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
