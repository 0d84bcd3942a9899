//! The operator's view of a live daemon, and what he can do to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use luasocketd_tests::policy::own_profile;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, PolicyFile, program};
use rustix::process::Signal;

/// A script that holds a connection, says so, and then what has become of it when it ends.
fn holder(peer: &Peer) -> String {
    format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {}))
        held:send("hold x\n")
        print((held:receive(1))) io.stdout:flush()
        print((select(2, held:receive())))
        "#,
        peer.port()
    )
}

#[test]
fn its_socket_is_its_owners_and_goes_with_it() {
    let daemon = Daemon::start();
    let admin = daemon.admin();
    let mode = fs::symlink_metadata(&admin).expect("the admin socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "mode of the admin socket");
    daemon.signal(Signal::TERM);
    daemon.finish().success();
    assert!(!admin.exists(), "the file of the admin socket is taken away");
}

#[test]
fn a_daemon_that_is_not_there_is_an_error_that_says_where() {
    let job = || Job::new(program()).arg("reload");
    for (outcome, place) in [
        (job().args(["--admin", "/no/such/admin.sock"]).run(), "/no/such/admin.sock"),
        (job().env("LUASOCKETD_ADMIN", "/no/such/other.sock").run(), "/no/such/other.sock"),
    ] {
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().contains(place) && outcome.errors().contains("--admin PATH"), "{outcome}");
    }
}

#[test]
fn reload_swaps_the_policy_or_says_what_is_wrong_with_it() {
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let (peer, may) = (Peer::start(), || daemon.operator("reload").run());
    let script = format!(
        r#"local client, why = require("socket").connect("127.0.0.1", {}) print(client and "may" or why)"#,
        peer.port()
    );
    let says = || Interpreter::Lua54.inline(&script, &daemon).run().success();
    file.write(&own_profile(""));
    assert_eq!(may().success(), "the new policy is in force; its profiles: own\n");
    assert_eq!(says(), "permission denied\n");
    let json = daemon.operator("reload").arg("--json").run().success();
    assert_eq!(json, "{\"version\":1,\"profiles\":[\"own\"]}\n");
    file.write(&own_profile("allow = \"127.0.0.1\"\nalow = \"x\""));
    let wrong = may();
    assert_eq!(wrong.status.code(), Some(1), "{wrong}");
    assert!(wrong.errors().contains("the policy stays as it was"), "{wrong}");
    assert!(wrong.errors().contains("policy.toml:5: ") && wrong.errors().contains("alow"), "{wrong}");
    assert_eq!(says(), "permission denied\n");
    fs::remove_file(file.path()).expect("the file is there");
    let gone = may();
    assert_eq!(gone.status.code(), Some(1), "{gone}");
    assert!(gone.errors().contains(file.path()), "{gone}");
    assert_eq!(says(), "permission denied\n");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let daemon = Daemon::start();
    let outcome = daemon.operator("reload").run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("without --config"), "{outcome}");
}

#[test]
fn reload_ends_what_is_forbidden_now_only_when_told_to() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let mut running = Interpreter::Lua54.inline(&holder(&peer), &daemon).start();
    assert_eq!(running.line(), "x");
    file.write(&own_profile(""));
    daemon.operator("reload").run().success();
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "what was connected goes on");
    daemon.operator("reload").arg("--enforce-now").run().success();
    assert_eq!(running.finish().success(), "permission denied\n");
}
