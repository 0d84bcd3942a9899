//! A new policy for a running daemon: what it changes for those that are there.

use std::fs;
use std::thread;
use std::time::Duration;

use luasocketd_tests::pipe::connect_params;
use luasocketd_tests::policy::own_profile;
use luasocketd_tests::{Interpreter, Peer, Pipe, PolicyFile, Running, wait_until};
use rustix::process::Signal;

/// How long a new policy may take to show.
const SOON: Duration = Duration::from_secs(10);

/// Of a script that prints every twentieth of a second: it prints the same on when the new policy has had its time.
fn stays(running: &mut Running, expected: &str) {
    thread::sleep(Duration::from_millis(500));
    // Ten at the most were printed meanwhile.
    (0..12).for_each(|_| assert_eq!(running.line(), expected));
}

#[test]
fn a_datagram_socket_loses_what_a_new_policy_forbids() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = receiver.local_addr().expect("a bound socket has a name").port();
    // The peer is asked for by name: it is judged so again.
    for (kept, rules) in [(true, "datagram:localhost"), (false, "datagram:127.0.0.2")] {
        let file = PolicyFile::own("allow = \"datagram:localhost\"\ndeny = \"evil.example\"");
        let daemon = file.daemon();
        let script = format!(
            r#"
            local udp = require("socket").udp4()
            assert(udp:setpeername("localhost", {port}))
            print("up") io.stdout:flush()
            while true do
                require("socket").sleep(0.05)
                local sent = udp:send("x")
                print(sent and "sent" or "gone") io.stdout:flush()
            end
            "#
        );
        let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
        assert_eq!(running.line(), "up");
        assert_eq!(running.line(), "sent");
        let profile = own_profile(&format!("allow = \"{rules}\"\ndeny = \"evil.example\""));
        file.swap(&daemon, &format!("enforce_now = true\n{profile}"));
        if kept {
            stays(&mut running, "sent");
        } else {
            wait_until("it may not send any more", SOON, || running.line() == "gone");
        }
    }
}

#[test]
fn a_new_policy_comes_with_sighup_and_a_wrong_one_changes_nothing() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let stop = file.directory().join("stop");
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {port}))
        held:send("echo\n")
        while not io.open("{stop}") do
            local client = socket.connect("127.0.0.1", {port})
            print(client and "may" or "may not") io.stdout:flush()
            if client then client:close() end
            socket.sleep(0.05)
        end
        print("asked") held:send("still here\n")
        print((held:receive()))
        "#,
        port = peer.port(),
        stop = stop.display()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    assert_eq!(running.line(), "may");
    file.swap(&daemon, &own_profile(""));
    wait_until("it may not connect any more", SOON, || running.line() == "may not");
    file.swap(&daemon, "[[profile]]\nname = \"own\"\nallow = \"127.0.0.1\"\n");
    wait_until("it may connect again", SOON, || running.line() == "may");
    file.swap(&daemon, "not toml");
    stays(&mut running, "may");
    fs::remove_file(file.path()).expect("the file is there");
    daemon.signal(Signal::HUP);
    stays(&mut running, "may");
    // What was connected goes on, whatever came.
    fs::write(&stop, "").expect("a file can be written");
    wait_until("it has seen the end", SOON, || running.line() == "asked");
    assert_eq!(running.finish().success(), "still here\n");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert_eq!(log.matches("new policy from").count(), 2, "{log}");
    assert_eq!(log.matches("the policy stays as it was").count(), 2, "{log}");
    assert!(log.contains("policy.toml:1: ") && log.contains("cannot read the policy file"), "{log}");
}

#[test]
fn a_new_policy_ends_what_it_forbids_if_it_says_so() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = [\"127.0.0.1\", \"listen:127.0.0.1\"]");
    let daemon = file.daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local server = assert(socket.bind("127.0.0.1", 0))
        local held = assert(socket.connect("127.0.0.1", {}))
        held:send("hold x\n")
        print((held:receive(1))) io.stdout:flush()
        print((select(2, held:receive())))
        print((select(2, server:accept())))
        print((select(2, socket.connect("127.0.0.1", 1))))
        "#,
        peer.port()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    assert_eq!(running.line(), "x");
    file.swap(&daemon, &format!("enforce_now = true\n{}", own_profile("")));
    let outcome = running.finish();
    assert_eq!(outcome.success(), "permission denied\nclosed\npermission denied\n", "{outcome}");
}

#[test]
fn a_client_that_a_new_policy_knows_no_more_may_nothing_or_is_let_go() {
    let peer = Peer::start();
    for enforce_now in [false, true] {
        let file = PolicyFile::own("allow = \"*\"");
        let daemon = file.daemon();
        let mut pipe = Pipe::greeted(&daemon);
        let other = format!("enforce_now = {enforce_now}\n[[profile]]\nname = \"other\"\nuid = 4242424\n");
        file.swap(&daemon, &other);
        if enforce_now {
            pipe.expect_end();
            continue;
        }
        wait_until("it may not connect any more", SOON, || {
            let failure = pipe.failure("connect", &connect_params(peer.port()));
            failure.is_some_and(|(code, _)| code == "denied")
        });
    }
}
