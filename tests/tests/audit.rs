//! What is on record of each way in which something can be decided, and can end.

use std::time::Duration;

use luasocketd_tests::network::{RefusedPort, SilentPort};
use luasocketd_tests::{Daemon, Interpreter, Job, Outcome, Peer, PolicyFile, Trail, program};
use rustix::process::{Signal, getegid, geteuid};

fn run(daemon: &Daemon, script: &str) -> Outcome {
    let script = format!("local socket = require 'socket'\n{script}");
    Interpreter::Lua54.inline(&script, daemon).run()
}

/// A daemon with a profile `own` of this text.
fn own(text: &str) -> Daemon {
    PolicyFile::own(text).daemon()
}

#[test]
fn a_connection_is_told_from_its_decision_to_its_end() {
    let peer = Peer::start();
    let (port, text) = (peer.port().to_string(), "allow = [\"127.0.0.1\"]");
    let daemon = own(text);
    let script = format!(
        r#"
        local held = assert(socket.connect("127.0.0.1", {port}))
        held:send("hold answer\n")
        print(held:receive(6), held:getsockname())
        held:close()
        "#
    );
    let outcome = run(&daemon, &script);
    let text = outcome.success();
    let printed: Vec<&str> = text.split_whitespace().collect();
    let (decided, ended) = daemon.trail().pair("connection");
    decided.says(&[
        ("/event/outcome", "unknown"),
        ("/luasocketd/matter", "connection"),
        ("/luasocketd/verdict", "allow"),
        ("/network/transport", "tcp"),
        ("/network/direction", "outbound"),
        ("/destination/address", "127.0.0.1"),
        ("/destination/ip", "127.0.0.1"),
        ("/luasocketd/service", &port),
        ("/rule/ruleset", "own"),
    ]);
    assert!(
        decided.text("/rule/name").contains("`allow connect:127.0.0.1`") && !decided.has("/event/duration")
    );
    for line in [&decided, &ended] {
        line.says(&[
            ("/user/id", &geteuid().as_raw().to_string()),
            ("/group/id", &getegid().as_raw().to_string()),
            ("/luasocketd/client/lua", "Lua 5.4"),
            ("/luasocketd/client/socket", &daemon.socket().display().to_string()),
        ]);
        let program = std::fs::canonicalize(Interpreter::Lua54.path()).expect("the interpreter is there");
        assert_eq!(line.text("/process/executable"), program.display().to_string());
        assert!(line.number("/process/pid") > 1);
    }
    ended.says(&[
        ("/event/outcome", "success"),
        ("/luasocketd/end", "closed"),
        ("/destination/ip", "127.0.0.1"),
        ("/source/ip", "127.0.0.1"),
    ]);
    assert_eq!(ended.number("/source/port").to_string(), printed[2]);
    assert_eq!(ended.number("/destination/port").to_string(), port);
    assert_eq!((ended.number("/source/bytes"), ended.number("/destination/bytes")), (12, 6));
    assert_eq!(ended.number("/network/bytes"), 18);
    assert!(ended.number("/source/packets") >= 3 && ended.number("/destination/packets") >= 2);
    assert!(ended.number("/event/duration") >= ended.number("/luasocketd/connect_time"));
    assert_eq!(ended.text("/event/start"), decided.text("/@timestamp"));
}

#[test]
fn what_is_denied_is_told_with_the_rule_and_has_no_end() {
    let peer = Peer::start();
    let daemon = own("allow = [\"127.0.0.1\"]\ndeny = [\"127.0.0.1:1-1023\", \"evil.example\"]");
    let script = format!(
        r#"
        print(select(2, socket.connect("127.0.0.1", 80)))
        print(select(2, socket.connect("evil.example", {port})))
        print(select(2, socket.connect("127.0.0.2", {port})))
        print(select(2, socket.dns.toip("evil.example")))
        print(select(2, socket.bind("127.0.0.1", 0)))
        print(select(2, socket.udp():sendto("x", "127.0.0.3", 53)))
        print(select(2, socket.udp():setpeername("127.0.0.4", 53)))
        print(select(2, socket.udp():setsockname("127.0.0.1", 0)))
        print(select(2, require("socket.unix")():connect("/run/x")))
        "#,
        port = peer.port()
    );
    let outcome = run(&daemon, &script);
    let expected = "permission denied";
    let text = outcome.success();
    let texts: Vec<&str> = text.lines().collect();
    assert!(texts.iter().all(|text| text.contains(expected)) && texts.len() == 9, "{outcome}");
    let trail = daemon.trail();
    let connections = trail.several("connection-decided", 4);
    for line in &connections {
        line.says(&[
            ("/luasocketd/verdict", "deny"),
            ("/event/outcome", "failure"),
            ("/error/code", "denied"),
        ]);
    }
    assert!(
        connections[0].text("/rule/name").contains("`deny connect:127.0.0.1:1-1023`"),
        "{connections:#?}"
    );
    assert!(connections[0].text("/rule/name").contains("policy.toml:"), "{connections:#?}");
    connections[0].says(&[("/destination/ip", "127.0.0.1")]);
    connections[1].says(&[("/destination/domain", "evil.example"), ("/destination/ip", "")]);
    assert!(connections[2].text("/event/reason").contains("loopback") && !connections[2].has("/rule/name"));
    connections[3].says(&[("/network/transport", "unix"), ("/destination/address", "/run/x")]);
    trail
        .only("lookup-decided")
        .says(&[("/luasocketd/verdict", "deny"), ("/dns/question/name", "evil.example")]);
    let listeners = trail.several("listener-decided", 2);
    listeners[0].says(&[("/luasocketd/verdict", "deny"), ("/network/transport", "tcp")]);
    listeners[1].says(&[("/luasocketd/verdict", "deny"), ("/network/transport", "udp")]);
    let peers = trail.several("datagram-peer-decided", 2);
    peers[0].says(&[("/luasocketd/verdict", "deny"), ("/destination/ip", "127.0.0.3")]);
    peers[1].says(&[("/luasocketd/verdict", "deny"), ("/destination/ip", "127.0.0.4")]);
    assert!(trail.lines().iter().all(|line| !line.text("/event/action").ends_with("-ended")));
}

#[test]
fn a_connection_that_does_not_come_about_has_its_reason() {
    let (refused, silent) = (RefusedPort::take(), SilentPort::take());
    let daemon = own("allow = [\"127.0.0.1\"]\n[profile.limits]\nconnections_per_second = 3");
    let script = format!(
        r#"
        print(select(2, socket.connect("127.0.0.1", {})))
        local waits = socket.tcp() waits:settimeout(0.2)
        print(select(2, waits:connect("127.0.0.1", {silent})))
        local gives_up = socket.tcp() gives_up:settimeout(0)
        print(select(2, gives_up:connect("127.0.0.1", {silent})))
        gives_up:close()
        print(select(2, socket.connect("127.0.0.1", {silent})))
        "#,
        refused.number(),
        silent = silent.number()
    );
    run(&daemon, &script).success();
    let trail = daemon.trail();
    let ended = trail.several("connection-ended", 3);
    ended[0].says(&[("/luasocketd/end", "failed"), ("/error/code", "os:111"), ("/event/outcome", "failure")]);
    assert_eq!(ended[0].number("/destination/port"), u64::from(refused.number()));
    ended[1].says(&[("/luasocketd/end", "timeout"), ("/error/code", "timeout")]);
    ended[2].says(&[("/luasocketd/end", "cancelled")]);
    // At a limit the module collects garbage, which may hold sockets, and asks once more.
    let decided = trail.several("connection-decided", 5);
    decided[3].says(&[
        ("/error/code", "limit"),
        ("/event/outcome", "failure"),
        ("/luasocketd/verdict", "deny"),
    ]);
    assert!(decided[3].text("/event/reason").contains("3 connections per second"), "{decided:#?}");
}

#[test]
fn what_the_policy_lets_through_and_a_limit_does_not_is_told() {
    let daemon = own("allow = \"*\"\n[profile.limits]\nsockets = 1\nlookups = 0");
    let script = r#"
        local held = assert(socket.udp4())
        print(select(2, socket.tcp():connect("127.0.0.1", 9)))
        print(select(2, socket.dns.toip("name.example")))
    "#;
    run(&daemon, script).success();
    let trail = daemon.trail();
    for (action, limit) in [("connection-decided", "1 sockets"), ("lookup-decided", "0 name lookups")] {
        let lines = trail.with_action(action);
        assert!(!lines.is_empty(), "{action}: {:#?}", trail.lines());
        for line in lines {
            line.says(&[("/luasocketd/verdict", "deny"), ("/error/code", "limit")]);
            assert!(line.text("/event/reason").contains(limit), "{line:?}");
        }
    }
}

#[test]
fn each_way_in_which_a_connection_can_end_is_told() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = [\"127.0.0.1\"]");
    let daemon = file.daemon();
    let script = format!(
        r#"
        local function ordered(order)
            local held = assert(socket.connect("127.0.0.1", {})) held:send(order .. "\n") return held
        end
        local ended = ordered("say x") ended:receive("*a") ended:close()
        local broken = ordered("reset x") broken:receive(1) broken:send("y") broken:receive(1)
        kept, forbidden = ordered("hold x"), ordered("hold x")
        kept:receive(1) forbidden:receive(1)
        print("up") io.stdout:flush()
        print((select(2, forbidden:receive())))
        "#,
        peer.port()
    );
    let mut running =
        Interpreter::Lua54.inline(&format!("local socket = require 'socket'\n{script}"), &daemon).start();
    assert_eq!(running.line(), "up");
    let trail = daemon.trail();
    let ended = trail.several("connection-ended", 2);
    ended[0].says(&[("/luasocketd/end", "peer-ended"), ("/event/outcome", "success")]);
    ended[1].says(&[("/luasocketd/end", "broken"), ("/error/code", "closed"), ("/event/outcome", "failure")]);
    let profile = luasocketd_tests::policy::own_profile("");
    file.swap(&daemon, &format!("enforce_now = true\n{profile}"));
    running.finish().success();
    let ended = trail.several("connection-ended", 4);
    for line in &ended[2..] {
        line.says(&[("/luasocketd/end", "forbidden"), ("/error/code", "denied")]);
    }
    // From the start of the trail, and from the new file.
    assert_eq!(trail.with_action("policy-loaded").len(), 2);
}

#[test]
fn ends_by_a_limit_by_a_killed_script_and_by_a_daemon_are_told() {
    let peer = Peer::start();
    let daemon = own("allow = [\"127.0.0.1\"]\n[profile.limits]\nbytes_in_all = 100");
    let held = |order: &str| {
        format!(
            r#"
            local socket = require "socket"
            local held = assert(socket.connect("127.0.0.1", {})) held:send("{order}\n")
            print((held:receive(1))) io.stdout:flush() print(held:receive("*a"))
            "#,
            peer.port()
        )
    };
    let limited = Interpreter::Lua54.inline(&held(&format!("say {}", "x".repeat(200))), &daemon).run();
    limited.success();
    let mut killed = Interpreter::Lua54.inline(&held("hold x"), &daemon).start();
    assert_eq!(killed.line(), "x");
    killed.signal(Signal::KILL);
    let trail = daemon.trail();
    let ended = trail.several("connection-ended", 2);
    ended[0].says(&[("/luasocketd/end", "limit"), ("/error/code", "limit")]);
    ended[1].says(&[("/luasocketd/end", "client-gone")]);
    let mut stays = Interpreter::Lua54.inline(&held("hold x"), &daemon).start();
    assert_eq!(stays.line(), "x");
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::TERM);
    drop(stays);
    let directory = trail.directory().to_owned();
    // The directory goes with the daemon's end, so it is read while it is there.
    let lines = wait_for_last(&Trail::at(directory), "trail-ended");
    let last = lines.iter().rfind(|line| line.text("/event/action") == "connection-ended").expect("it ended");
    assert!(matches!(last.text("/luasocketd/end"), "daemon-ended" | "client-gone"), "{last:?}");
    drop(daemon);
}

fn wait_for_last(trail: &Trail, action: &str) -> Vec<luasocketd_tests::trail::Line> {
    luasocketd_tests::wait_until(action, Duration::from_secs(10), || {
        trail.lines().last().is_some_and(|line| line.text("/event/action") == action)
    });
    trail.lines()
}

#[test]
fn ends_by_the_operator_and_by_a_slow_peer_are_told() {
    let peer = Peer::start();
    let daemon = own("allow = [\"127.0.0.1\"]\n[profile.timeouts]\nlinger = 0.2");
    let script = format!(
        r#"
        local socket = require "socket"
        local slow = assert(socket.connect("127.0.0.1", {port})) slow:send("tally 3000\n")
        slow:settimeout(0.2) repeat until not slow:send(("x"):rep(100000))
        slow:close()
        local held = assert(socket.connect("127.0.0.1", {port})) held:send("hold x\n")
        print((held:receive(1))) io.stdout:flush() print(select(2, held:receive()))
        "#,
        port = peer.port()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    assert_eq!(running.line(), "x");
    let ended = daemon.trail().only("connection-ended");
    ended.says(&[("/luasocketd/end", "linger-over"), ("/event/outcome", "failure")]);
    assert!(ended.number("/source/bytes") > 100_000, "{ended:?}");
    let shown = daemon.operator("ps").arg("--json").run().success();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("ps prints JSON");
    let mark = shown["clients"][0]["id"].as_str().expect("a client has a mark").to_owned();
    daemon.operator("kill").arg(mark).run().success();
    running.finish();
    let ended = daemon.trail().several("connection-ended", 2);
    ended[1].says(&[("/luasocketd/end", "killed"), ("/error/message", "the operator has ended it")]);
}

#[test]
fn a_listener_and_what_comes_by_it_belong_together() {
    let daemon = own("allow = [\"127.0.0.1\", \"listen:127.0.0.1\"]");
    let script = r#"
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        local client = assert(socket.connect("127.0.0.1", port))
        local accepted = assert(server:accept())
        client:send("hello") accepted:receive(5)
        client:close() accepted:close() server:close()
    "#;
    run(&daemon, script).success();
    let trail = daemon.trail();
    let (listener, gone) = trail.pair("listener");
    listener.says(&[("/luasocketd/verdict", "allow"), ("/network/direction", "inbound")]);
    gone.says(&[("/luasocketd/end", "closed")]);
    let (accepted, ended) = trail.pair("accepted");
    accepted.says(&[
        ("/luasocketd/parent", listener.text("/event/id")),
        ("/network/direction", "inbound"),
        ("/luasocketd/verdict", "allow"),
        ("/rule/name", listener.text("/rule/name")),
    ]);
    let (_, outbound) = trail.pair("connection");
    // Who began is the source: of what came in, the peer.
    assert_eq!(ended.number("/source/port"), outbound.number("/source/port"));
    assert_eq!(ended.number("/destination/port"), outbound.number("/destination/port"));
    assert_eq!((ended.number("/source/bytes"), ended.number("/destination/bytes")), (5, 0));
}

#[test]
fn a_lookup_is_told_with_its_answer_and_what_it_was_for() {
    let peer = Peer::start();
    let daemon = own("allow = [\"localhost\", \"resolve:localhost\", \"resolve:*.invalid\"]");
    let script = format!(
        r#"
        local held = assert(socket.connect("localhost", {})) held:close()
        assert(socket.dns.toip("localhost"))
        print(select(2, socket.dns.toip("no.such.name.invalid")))
        "#,
        peer.port()
    );
    run(&daemon, &script).success();
    let trail = daemon.trail();
    let decided = trail.several("lookup-decided", 3);
    let ended = trail.several("lookup-ended", 3);
    let (connection, closed) = trail.pair("connection");
    decided[0]
        .says(&[("/dns/question/name", "localhost"), ("/luasocketd/parent", connection.text("/event/id"))]);
    assert!(!decided[1].has("/luasocketd/parent"));
    ended[0].says(&[("/luasocketd/end", "answered"), ("/event/outcome", "success")]);
    assert!(ended[0].0.pointer("/dns/resolved_ip/0").is_some(), "{ended:#?}");
    ended[2].says(&[("/luasocketd/end", "failed"), ("/event/outcome", "failure")]);
    assert!(ended[2].text("/error/code").starts_with("host:"), "{ended:#?}");
    connection.says(&[("/destination/domain", "localhost"), ("/destination/ip", "127.0.0.1")]);
    assert!(closed.number("/luasocketd/lookup_time") > 0);
}

#[test]
fn datagrams_are_told_peer_by_peer() {
    let daemon = own("allow = [\"datagram:127.0.0.0/8\", \"listen:127.0.0.1\"]");
    let script = r#"
        local server = socket.udp() assert(server:setsockname("127.0.0.1", 0))
        local _, port = server:getsockname()
        local client = socket.udp()
        for i = 1, 3 do assert(client:sendto(("x"):rep(10), "127.0.0.1", port)) server:receive() end
        assert(client:setpeername("127.0.0.1", port)) assert(client:send("yy")) server:receive()
        assert(client:setpeername("*")) client:close() server:close()
        local many = socket.udp()
        for i = 1, 70 do assert(many:sendto("x", "127.0.0." .. i, 9)) end
        many:close()
    "#;
    run(&daemon, script).success();
    let trail = daemon.trail();
    let (_, server) = trail.pair("listener");
    server.says(&[("/luasocketd/end", "closed"), ("/network/transport", "udp")]);
    assert_eq!((server.number("/source/bytes"), server.number("/source/packets")), (32, 4));
    let peers = trail.several("datagram-peer-ended", 71);
    // The same peer by `sendto` and by `setpeername`: one record.
    peers[0].says(&[("/luasocketd/end", "closed"), ("/network/direction", "outbound")]);
    assert_eq!((peers[0].number("/source/bytes"), peers[0].number("/source/packets")), (32, 4));
    let displaced = peers.iter().filter(|line| line.text("/luasocketd/end") == "displaced").count();
    assert_eq!(displaced, 6, "70 peers of which 64 are followed at a time");
    trail.several("datagram-peer-decided", 71);
}

#[test]
fn what_enforcing_would_deny_is_told() {
    let peer = Peer::start();
    let daemon = own("report = [\"127.0.0.1\"]");
    let script = format!("socket.connect('127.0.0.1', {}):close()", peer.port());
    run(&daemon, &script).success();
    let (decided, ended) = daemon.trail().pair("connection");
    decided.says(&[("/luasocketd/verdict", "report")]);
    assert_eq!(decided.0.pointer("/luasocketd/enforce_would_deny"), Some(&true.into()));
    assert!(decided.text("/rule/name").contains("`report connect:127.0.0.1`"));
    ended.says(&[("/luasocketd/verdict", "report"), ("/luasocketd/end", "closed")]);
}

#[test]
fn nobody_forges_a_line() {
    let daemon = own("allow = [\"127.0.0.1\"]");
    let evil = "x\\n{\\\"event\\\":1}\\r\\27[2J\\u{202e}\\u{2028}\\0\\\"";
    let script = format!(r#"print(socket.connect("{evil}", 80)) print(socket.dns.toip("{evil}"))"#);
    let name = "a\n{\"b\":1}\u{1b}[31m\u{202e}.lua";
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join(name);
    std::fs::write(&path, format!("local socket = require 'socket'\n{script}"))
        .expect("a file can be written");
    Interpreter::Lua54.job(&path, &daemon).run().success();
    let trail = daemon.trail();
    trail.several("connection-decided", 1);
    let file = std::fs::read(trail.directory().join("audit.jsonl")).expect("the trail is there");
    assert!(file.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)), "{file:?}");
    // Each one is whole, as far as a reader that knows nothing of us can tell.
    assert!(trail.lines().iter().all(|line| line.has("/event/sequence") && line.has("/hash/sha256")));
    trail.verify();
}

#[test]
fn run_and_exec_keep_a_trail_where_they_are_told() {
    let peer = Peer::start();
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let trail = Trail::at(directory.path().join("trail"));
    let script = format!("require('socket').connect('127.0.0.1', {}):close()", peer.port());
    let job = |verb: &str| {
        let job = Job::new(program()).arg(verb).arg("--allow").arg("127.0.0.1");
        job.arg("--audit").arg(trail.directory())
    };
    job("run").script(&script).run().success();
    let (decided, ended) = trail.pair("connection");
    decided.says(&[("/rule/name", "`allow connect:127.0.0.1`")]);
    ended.says(&[("/luasocketd/end", "closed")]);
    let lua = Interpreter::Lua54.path();
    job("exec").arg("--").arg(&lua).script(&script).run().success();
    let decided = trail.several("connection-decided", 2);
    let program = std::fs::canonicalize(lua).expect("the interpreter is there");
    assert_eq!(decided[1].text("/process/executable"), program.display().to_string());
    trail.verify();
}
