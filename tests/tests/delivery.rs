//! Nothing that `send` accepted is lost, whatever ends after it: the socket, the script, the daemon.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, network};
use rustix::process::Signal;

/// Sends numbered lines until nothing more is accepted, says how many bytes were, and ends.
const SENDER: &str = r#"
    local lines = {}
    for i = 1, 100000 do lines[i] = ("%07d\n"):format(i) end
    local data = table.concat(lines)
    local total, accepted = 0, nil
    if os.getenv("FACE") == "v1" then
        local client = assert(require("luasocketd.v1").connect("127.0.0.1", os.getenv("PORT")))
        client:timeout(0.5)
        repeat
            local err, count = client:send(data)
            total = total + count
        until err or total >= 16000000
        if os.getenv("ENDING") == "close" then client:close() end
    else
        local client = assert(require("socket").connect("127.0.0.1", os.getenv("PORT")))
        client:settimeout(0.5)
        repeat
            local last, err, partial = client:send(data)
            total = total + (last or partial)
        until err or total >= 16000000
        if os.getenv("ENDING") == "close" then client:close() end
    end
    io.stdout:write(("%d\n"):format(total))
    io.stdout:flush()
    local ending = os.getenv("ENDING")
    if ending == "exit" then os.exit(0) end
    if ending == "error" then error("on purpose") end
    if ending == "kill" then os.execute("kill -9 $PPID") end
"#;

/// What has to arrive when so many bytes were accepted.
fn expected(total: usize) -> Vec<u8> {
    let block: String = (1..=100_000).map(|i| format!("{i:07}\n")).collect();
    block.bytes().cycle().take(total).collect()
}

fn read_all(listener: &TcpListener) -> Vec<u8> {
    let mut bytes = Vec::new();
    network::accept(listener).read_to_end(&mut bytes).expect("the stream ends without a reset");
    bytes
}

fn ends(face: &str, ending: &str, interpreter: Interpreter) {
    let daemon = Daemon::start();
    let baseline = daemon.descriptors();
    let (listener, port) = network::listener();
    let job = interpreter.inline(SENDER, &daemon).env("FACE", face).env("ENDING", ending);
    let mut script = job.env("PORT", port.to_string()).start();
    let total: usize = script.line().parse().expect("the number of accepted bytes");
    let outcome = script.finish();
    assert!(total > 100_000, "{outcome}");
    // Nobody has read a byte yet, and the script is gone.
    std::thread::sleep(Duration::from_millis(300));
    let bytes = read_all(&listener);
    assert_eq!(bytes.len(), total, "{face}, {ending}: {outcome}");
    assert!(bytes == expected(total), "{face}, {ending}: other bytes: {outcome}");
    daemon.settle_to(baseline, Duration::from_secs(5));
}

#[test]
fn when_a_script_falls_off_its_end() {
    ends("v1", "fall", Interpreter::Lua54);
    ends("3.1", "fall", Interpreter::Lua51);
}

#[test]
fn when_a_script_exits() {
    ends("v1", "exit", Interpreter::Lua51);
    ends("3.1", "exit", Interpreter::Lua54);
    ends("v1", "exit", Interpreter::LuaJit);
}

#[test]
fn when_a_script_fails() {
    ends("v1", "error", Interpreter::Lua54);
    ends("3.1", "error", Interpreter::LuaJit);
}

#[test]
fn when_a_script_is_killed() {
    ends("v1", "kill", Interpreter::Lua54);
    ends("3.1", "kill", Interpreter::Lua54);
}

#[test]
fn when_a_script_closes() {
    ends("v1", "close", Interpreter::Lua54);
    ends("3.1", "close", Interpreter::LuaJit);
}

#[test]
fn when_the_daemon_is_told_to_end() {
    let daemon = Daemon::start();
    let (listener, port) = network::listener();
    let job = Interpreter::Lua54.inline(SENDER, &daemon).env("FACE", "v1").env("ENDING", "exit");
    let mut script = job.env("PORT", port.to_string()).start();
    let total: usize = script.line().parse().expect("the number of accepted bytes");
    script.finish().success();
    daemon.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    let bytes = read_all(&listener);
    assert_eq!(bytes.len(), total);
    assert!(bytes == expected(total), "other bytes");
    let outcome = daemon.finish();
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
}

#[test]
fn a_peer_that_never_reads_does_not_hold_the_daemon_for_ever_and_learns_that_bytes_are_missing() {
    let daemon = Daemon::with_args(&["--allow", "*", "--drain-timeout", "0.5"]);
    let (listener, port) = network::listener();
    let job = Interpreter::Lua54.inline(SENDER, &daemon).env("FACE", "v1").env("ENDING", "exit");
    job.env("PORT", port.to_string()).run().success();
    let mut held = network::accept(&listener);
    daemon.signal(Signal::TERM);
    let outcome = daemon.finish();
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    assert!(outcome.took < Duration::from_secs(20), "{outcome}");
    let end = held.read_to_end(&mut Vec::new());
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "an orderly end");
}
