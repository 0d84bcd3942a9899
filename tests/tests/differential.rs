//! LuaSocket 3.1, line by line: what a script prints on the LuaSocket that the machine has installed, it has
//! to print on ours.

use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, judge, scripts};

/// A script needs a few seconds, which its own waits make up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

fn agrees(interpreter: Interpreter) {
    let daemon = Daemon::start();
    let mut all = scripts::scripts_in("differential");
    // `differential_names.rs` runs the others.
    all.retain(|script| !scripts::is_about_names(script));
    let mut failures = Vec::new();
    for script in &all {
        // Both at once: they mostly wait.
        let stock = interpreter.stock_job(script).limit(SCRIPT_LIMIT).start();
        let ours = interpreter.job(script, &daemon).limit(SCRIPT_LIMIT).start();
        let (stock, ours) = (stock.finish(), ours.finish_or_kill());
        judge::assert_ran(&stock);
        if let Some(difference) = judge::difference(&stock, &ours) {
            failures.push(format!("{} on {}: {difference}", scripts::name(script), interpreter.name()));
        }
    }
    scripts::report(&failures, all.len());
}

luasocketd_tests::each_judge!(agrees);
