//! The limits of a profile: how much, how fast, how long.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::Signal;

use luasocketd_tests::{Interpreter, Peer, Pipe, PolicyFile, network, wait_until};

#[test]
fn datagrams_go_no_faster_than_the_profile_says() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let port = receiver.local_addr().expect("a bound socket has a name").port();
    let daemon = PolicyFile::own("allow = \"*\"\n[profile.limits]\nsend_bytes_per_second = 20000").daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local udp, start = socket.udp(), socket.gettime()
        for i = 1, 60 do assert(udp:sendto(("x"):rep(1000), "127.0.0.1", {port})) end
        print(socket.gettime() - start)
        "#
    );
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    let took: f64 = outcome.success().trim().parse().expect("a time");
    assert!(took > 1.8, "40 of 60 datagrams at 20 a second took {took}: {outcome}");
    let mut buffer = [0; 2000];
    (0..60).for_each(|_| assert_eq!(receiver.recv(&mut buffer).expect("each one comes"), 1000));
}

#[test]
fn limits_of_a_profile_hold_for_each_of_its_clients() {
    let peer = Peer::start();
    let limits = "[profile.limits]\nsockets = 3\nconnections_per_second = 1";
    let daemon = PolicyFile::own(&format!("allow = \"*\"\n{limits}")).daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local held = {{}}
        for i = 1, 4 do
            local made, why = socket.bind("127.0.0.1", 0)
            held[i] = made
            if why then print(i, why) end
        end
        held[3]:close() held[2]:close()
        print(socket.connect("127.0.0.1", {0}) ~= nil)
        print(select(2, socket.connect("127.0.0.1", {0})))
        "#,
        peer.port()
    );
    for _ in 0..2 {
        let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
        let text = outcome.success();
        assert!(text.starts_with("4\tToo many open files\ntrue\n"), "{outcome}");
        // Unless a slow machine has let a second pass.
        assert!(
            text.ends_with("Too many open files\n") || outcome.took > Duration::from_secs(1),
            "{outcome}"
        );
    }
    let daemon = PolicyFile::own("allow = \"*\"\n[profile.limits]\nclients = 2").daemon();
    let first = Pipe::greeted(&daemon);
    let _second = Pipe::greeted(&daemon);
    let (code, message) = Pipe::silent(&daemon).hello("third").expect("it is refused");
    assert_eq!((code.as_str(), message.contains("2 clients at once of the profile `own`")), ("limit", true));
    drop(first);
    wait_until("there is room again", Duration::from_secs(5), || Pipe::silent(&daemon).hello("x").is_none());
}

#[test]
fn bytes_go_no_faster_than_the_profile_says_both_ways() {
    let rate = 200_000;
    let limits =
        format!("[profile.limits]\nsend_bytes_per_second = {rate}\nreceive_bytes_per_second = {rate}");
    let daemon = PolicyFile::own(&format!("allow = \"*\"\n{limits}")).daemon();
    // A second's worth goes at once, the other two take two seconds.
    let bytes = 3 * rate;
    let (listener, port) = network::listener();
    let reader = std::thread::spawn(move || {
        let mut stream = network::accept(&listener);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("the script ends its side");
        stream.write_all(&received).expect("the script reads");
        received.len()
    });
    let script = format!(
        r#"
        local socket = require "socket"
        local client = assert(socket.connect("127.0.0.1", {port}))
        local start = socket.gettime()
        assert(client:send(("x"):rep({bytes})))
        client:shutdown("send")
        print(#client:receive("*a"), socket.gettime() - start)
        "#
    );
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    let text = outcome.success();
    let mut words = text.split_whitespace();
    assert_eq!(words.next(), Some(bytes.to_string().as_str()), "{outcome}");
    let took: f64 = words.next().and_then(|word| word.parse().ok()).expect("a time");
    assert!(took > 3.5, "two ways of two seconds each took {took}: {outcome}");
    assert_eq!(reader.join().expect("the reader ends"), bytes);
}

#[test]
fn past_its_bytes_in_all_a_client_can_move_no_more() {
    let peer = Peer::start();
    let daemon = PolicyFile::own("allow = \"*\"\n[profile.limits]\nbytes_in_all = 100000").daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local client = assert(socket.connect("127.0.0.1", {0}))
        client:send("echo\n")
        local sent, received = 0, 0
        for i = 1, 100 do
            if not client:send(("x"):rep(1000)) then break end
            local piece, why, part = client:receive(1000)
            received = received + #(piece or part)
            if not piece then print(why) break end
        end
        print(received > 40000 and received < 51000 or received)
        print(select(2, socket.connect("127.0.0.1", {0})))
        "#,
        peer.port()
    );
    for _ in 0..2 {
        let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
        assert_eq!(outcome.success(), "Too many open files\ntrue\nToo many open files\n", "{outcome}");
    }
}

#[test]
fn a_profiles_time_bounds_a_call_that_has_none() {
    let silent = network::SilentPort::take();
    let daemon = PolicyFile::own("allow = \"*\"\n[profile.timeouts]\nconnect = 0.5").daemon();
    let script = format!("print(select(2, require('socket').connect('127.0.0.1', {})))", silent.number());
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    assert_eq!(outcome.success(), "timeout\n", "{outcome}");
    assert!(outcome.took < Duration::from_secs(20), "{outcome}");
}

#[test]
fn all_clients_of_a_user_share_what_one_user_may_hold() {
    let profile = PolicyFile::own("allow = \"*\"");
    let own = std::fs::read_to_string(profile.path()).expect("the file was just written");
    profile.write(&format!("[user_limits]\nsockets = 5\n{own}"));
    let daemon = profile.daemon();
    // As many as are everybody's own, and four of those that all have together.
    let script = r#"
        local socket = require "socket"
        local held = {}
        for i = 1, 68 do
            local made, why = socket.bind("127.0.0.1", 0)
            held[i] = made or print(i, why)
        end
        print("here") io.stdout:flush()
    "#;
    let mut first = Interpreter::Lua54.inline(&format!("{script} socket.sleep(60)"), &daemon).start();
    assert_eq!(first.line(), "here");
    let refused = Interpreter::Lua54.inline(script, &daemon).run();
    let many = "\tToo many open files\n";
    assert_eq!(refused.success(), format!("66{many}67{many}68{many}here\n"));
    first.signal(Signal::KILL);
    first.finish_or_kill();
    profile.swap(&daemon, &format!("[user_limits]\nclients = 2\n{own}"));
    wait_until("the new policy judges", Duration::from_secs(5), || {
        let _first = Pipe::greeted(&daemon);
        let _second = Pipe::greeted(&daemon);
        let refusal = Pipe::silent(&daemon).hello("third");
        refusal.is_some_and(|(code, text)| code == "limit" && text.contains("2 clients at once of one user"))
    });
}
