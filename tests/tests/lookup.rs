//! Names and a name server that never answers: a call that asks it ends with its own time limit, and nobody
//! else notices.

use std::time::{Duration, Instant};

use luasocketd_tests::{Daemon, Interpreter};

#[test]
fn a_name_server_that_never_answers_costs_a_call_no_more_than_its_timeout() {
    let daemon = Daemon::with_silent_name_server();
    let script = r#"
        local socket = require "socket"
        local client = socket.tcp()
        client:settimeout(0.5)
        local start = socket.gettime()
        print(client:connect("slow.example", 80))
        local took = socket.gettime() - start
        print(took > 0.3 and took < 2 or took)
        -- The lookup that was given up holds nobody up.
        start = socket.gettime()
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        local other = assert(socket.connect("127.0.0.1", port))
        took = socket.gettime() - start
        print(took < 1 or took)
    "#;
    for interpreter in [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit] {
        let outcome = interpreter.inline(script, &daemon).run();
        assert_eq!(outcome.success(), "nil\ttimeout\ntrue\ntrue\n", "{outcome}");
    }
}

#[test]
fn lookups_of_one_client_do_not_hold_up_another() {
    let daemon = Daemon::with_silent_name_server();
    // Eight scripts wait for the name server for as long as they may.
    let waiting = r#"
        local client = require("socket").tcp()
        client:settimeout(8)
        print("asking") io.stdout:flush()
        client:connect("slow.example", 80)
    "#;
    let mut asking: Vec<_> = (0..8).map(|_| Interpreter::Lua54.inline(waiting, &daemon).start()).collect();
    for script in &mut asking {
        assert_eq!(script.line(), "asking");
    }
    let polite = r#"
        local socket = require "socket"
        local server = assert(socket.bind("localhost", 0))
        local _, port = server:getsockname()
        local client = assert(socket.connect("localhost", port))
        local other = assert(server:accept())
        client:send("here\n")
        print((other:receive()))
    "#;
    let start = Instant::now();
    let outcome = Interpreter::Lua54.inline(polite, &daemon).run();
    assert_eq!(outcome.success(), "here\n", "{outcome}");
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
}

#[test]
fn a_lookup_that_is_given_up_by_a_killed_script_leaves_nothing() {
    let daemon = Daemon::with_silent_name_server();
    let baseline = daemon.descriptors();
    let waiting = r#"
        print("asking") io.stdout:flush()
        require("socket").connect("slow.example", 80)
    "#;
    let mut script = Interpreter::Lua54.inline(waiting, &daemon).start();
    assert_eq!(script.line(), "asking");
    std::thread::sleep(Duration::from_millis(200));
    drop(script);
    // The resolver's own descriptor stays until its question is over; the client's is gone at once.
    daemon.settle_to(baseline + 1, Duration::from_secs(1));
}
