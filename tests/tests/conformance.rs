//! LuaSocket 1.0, sentence by sentence: every script of `conformance/v1` on every stock interpreter.

use std::time::Duration;

use luasocketd_tests::network::RefusedPort;
use luasocketd_tests::{Daemon, Interpreter, Peer, scripts};

/// A script needs a few seconds, which its own waits make up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(40);

fn conforms(interpreter: Interpreter) {
    let daemon = Daemon::start();
    let denying = Daemon::deny_all();
    let (peer, refused) = (Peer::start(), RefusedPort::take());
    let baseline = daemon.descriptors();
    let all = scripts::scripts_in("conformance/v1");
    let mut failures = Vec::new();
    for script in &all {
        let name = scripts::name(script);
        let served = if name.starts_with("denied") { &denying } else { &daemon };
        let outcome = interpreter
            .job(script, served)
            .env("PEER_PORT", peer.port().to_string())
            .env("REFUSED_PORT", refused.number().to_string())
            .limit(SCRIPT_LIMIT)
            .start()
            .finish_or_kill();
        if let Some(complaint) = scripts::complaint(&outcome) {
            failures.push(format!("{name} on {}: {complaint}", interpreter.name()));
        }
    }
    scripts::report(&failures, all.len());
    daemon.settle_to(baseline, Duration::from_secs(5));
}

luasocketd_tests::each_interpreter!(
    conforms:
    on_lua51 = Lua51,
    on_lua52 = Lua52,
    on_lua53 = Lua53,
    on_lua54 = Lua54,
    on_lua55 = Lua55,
    on_luajit = LuaJit,
);
