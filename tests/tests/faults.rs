//! What goes wrong outside of the script: no daemon, one that dies or hangs, none of its descriptors left.

use std::time::{Duration, Instant};

use luasocketd_tests::network::{RefusedPort, SilentPort};
use luasocketd_tests::{Daemon, Interpreter, Peer};
use rustix::process::Signal;

/// The three kinds of interpreter: the oldest, the newest, and the one with a compiler.
const KINDS: [Interpreter; 3] = [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit];

#[test]
fn no_daemon_is_an_error_that_names_what_was_tried() {
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        local function show(first, message) print(first, message) end
        show(v1.connect("127.0.0.1", 80))
        show(v1.bind("127.0.0.1", 0))
        show(socket.connect("127.0.0.1", 80))
        show(socket.bind("127.0.0.1", 0))
        show(socket.tcp():connect("127.0.0.1", 80))
        show(socket.tcp():bind("127.0.0.1", 0))
    "#;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("nobody.sock");
    for interpreter in KINDS {
        let outcome = interpreter.inline_without_daemon(script).env("LUASOCKETD_SOCKET", &missing).run();
        let text = outcome.success();
        assert_eq!(text.lines().count(), 6, "{outcome}");
        for line in text.lines() {
            let names_it = line.contains("luasocketd") && line.contains(&missing.display().to_string());
            assert!(line.starts_with("nil\t") && names_it, "{line}\n{outcome}");
        }
    }
}

#[test]
fn without_settings_the_usual_places_are_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = r#"print(require("luasocketd.v1").connect("127.0.0.1", 80))"#;
    let job = Interpreter::Lua54.inline_without_daemon(script).env("XDG_RUNTIME_DIR", directory.path());
    let outcome = job.run();
    let usual = format!("{}/luasocketd.sock", directory.path().display());
    let text = outcome.success();
    assert!(text.starts_with("nil\t") && text.contains(&usual), "{outcome}");
    assert!(text.contains("/run/luasocketd/luasocketd.sock"), "{outcome}");
}

#[test]
fn a_descriptor_that_is_no_pipe_is_an_error() {
    let script = r#"print(require("luasocketd.v1").connect("127.0.0.1", 80))"#;
    for number in ["99", "0", "-3", "many"] {
        let outcome = Interpreter::Lua54.inline_without_daemon(script).env("LUASOCKETD_FD", number).run();
        let text = outcome.success();
        assert!(text.starts_with("nil\t") && text.contains("luasocketd"), "{number}: {outcome}");
    }
}

/// Prints how the pending call ended when its daemon died, what the old socket says, and that a later
/// connect works.
const SURVIVOR: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    local port = os.getenv("PORT")
    local old, wait = (loadstring or load)(os.getenv("CALL"), "=call")()
    print("waiting")
    io.stdout:flush()
    print(wait(old))
    print(pcall(old.close, old))
    io.stdout:flush()
    local stop = socket.gettime() + 30
    local fresh
    repeat
        fresh = v1.connect("127.0.0.1", port)
        if not fresh then socket.sleep(0.05) end
    until fresh or socket.gettime() > stop
    assert(fresh, "no connection after the daemon came back")
    fresh:send("say again\\n\n")
    print(fresh:receive("*l"))
"#;

fn dies_mid_call(call: &str, expected: &str) {
    let peer = Peer::start();
    let threads = KINDS.map(|interpreter| {
        let (call, expected, port) = (call.to_owned(), expected.to_owned(), peer.port().to_string());
        std::thread::spawn(move || {
            let mut daemon = Daemon::start();
            let mut script =
                interpreter.inline(SURVIVOR, &daemon).env("PORT", port).env("CALL", &call).start();
            assert_eq!(script.line(), "waiting");
            std::thread::sleep(Duration::from_millis(300));
            let killed = Instant::now();
            daemon.kill();
            assert_eq!(script.line(), expected, "{call} on {}", interpreter.name());
            assert!(killed.elapsed() < Duration::from_secs(2), "it took {:?}", killed.elapsed());
            assert!(script.line().starts_with("true"), "the old socket can be closed");
            let _daemon = daemon.restart();
            assert_eq!(script.line(), "again\tnil", "{call} on {}", interpreter.name());
            script.finish().success();
        })
    });
    for thread in threads {
        thread.join().expect("the call ends as it should");
    }
}

#[test]
fn a_script_that_was_busy_elsewhere_does_not_notice_a_new_daemon() {
    let script = r#"
        local socket = require "socket"
        local old = assert(socket.connect("127.0.0.1", os.getenv("PORT")))
        print("waiting")
        io.stdout:flush()
        while io.open(os.getenv("FLAG")) == nil do os.execute("sleep 0.02") end
        local fresh = assert(socket.connect("127.0.0.1", os.getenv("PORT")))
        fresh:send("say again\\n\n")
        print((fresh:receive("*l")))
        print((select(2, old:receive(1))))
    "#;
    let peer = Peer::start();
    for interpreter in KINDS {
        let mut daemon = Daemon::start();
        let flag = daemon.directory().join("restarted");
        let job = interpreter.inline(script, &daemon).env("PORT", peer.port().to_string()).env("FLAG", &flag);
        let mut running = job.start();
        assert_eq!(running.line(), "waiting");
        daemon.kill();
        let _daemon = daemon.restart();
        std::fs::write(&flag, "").expect("a file can be written");
        assert_eq!(running.line(), "again", "on {}", interpreter.name());
        assert_eq!(running.line(), "closed", "on {}", interpreter.name());
        running.finish().success();
    }
}

#[test]
fn a_pending_receive_ends_closed_when_the_daemon_dies() {
    dies_mid_call(
        r#"local c = require("luasocketd.v1").connect("127.0.0.1", os.getenv("PORT"))
        c:send("hold abc\n")
        return c, function() return c:receive(10) end"#,
        "abc\tclosed",
    );
}

#[test]
fn a_pending_receive_of_luasocket_3_ends_closed_when_the_daemon_dies() {
    dies_mid_call(
        r#"local c = require("socket").connect("127.0.0.1", os.getenv("PORT"))
        c:send("hold abc\n")
        return c, function() return c:receive(10) end"#,
        "nil\tclosed\tabc",
    );
}

#[test]
fn a_pending_send_ends_closed_when_the_daemon_dies() {
    dies_mid_call(
        r#"local c = require("luasocketd.v1").connect("127.0.0.1", os.getenv("PORT"))
        c:send("tally 60000\n")
        local much = ("x"):rep(100000000)
        return c, function() return (c:send(much)) end"#,
        "closed",
    );
}

#[test]
fn a_pending_accept_ends_closed_when_the_daemon_dies() {
    dies_mid_call(
        r#"local s = require("luasocketd.v1").bind("127.0.0.1", 0)
        return s, function() return s:accept() end"#,
        "nil\tclosed",
    );
}

#[test]
fn a_pending_select_ends_when_the_daemon_dies() {
    dies_mid_call(
        r#"local socket = require("socket")
        local c = socket.connect("127.0.0.1", os.getenv("PORT"))
        c:send("hold \n")
        return c, function()
            local readable = socket.select({c}, nil, 30)
            return readable[1] == c, (select(2, c:receive()))
        end"#,
        "true\tclosed",
    );
}

#[test]
fn a_daemon_that_hangs_costs_a_call_no_more_than_its_timeout() {
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        local port = os.getenv("PORT")
        local function timed(name, call)
            local start = socket.gettime()
            local err = call()
            local took = socket.gettime() - start
            print(name, err, took > 0.7 and took < 3 or took)
            io.stdout:flush()
        end
        local old, new = v1.connect("127.0.0.1", port), socket.connect("127.0.0.1", port)
        local later = v1.connect("127.0.0.1", port)
        old:send("hold a\n")
        new:send("hold b\n")
        assert(old:receive(1) == "a" and new:receive(1) == "b")
        local server = socket.bind("127.0.0.1", 0)
        local big = ("x"):rep(20000000)
        print("ready")
        io.stdout:flush()
        while io.open(os.getenv("FLAG")) == nil do socket.sleep(0.01) end

        old:timeout(1)
        timed("v1 receive", function() return select(2, old:receive(1)) end)
        old:timeout(1, "r")
        timed("v1 receive, both modes", function() return select(2, old:receive("*l")) end)
        timed("v1 send", function() return (old:send(big)) end)
        new:settimeout(1)
        timed("receive", function() return select(2, new:receive(1)) end)
        timed("send", function() return select(2, new:send(big)) end)
        server:settimeout(1)
        timed("accept", function() return select(2, server:accept()) end)
        local fresh = socket.tcp()
        fresh:settimeout(1)
        timed("connect", function() return select(2, fresh:connect("127.0.0.1", port)) end)
        timed("select", function() return select(3, socket.select({new}, nil, 1)) end)
        os.remove(os.getenv("FLAG"))

        later:send("say awake\\n\n")
        print(later:receive("*l"))
    "#;
    let peer = Peer::start();
    for interpreter in KINDS {
        let daemon = Daemon::start();
        let flag = daemon.directory().join("stopped");
        let job = interpreter.inline(script, &daemon).env("PORT", peer.port().to_string()).env("FLAG", &flag);
        let mut running = job.start();
        assert_eq!(running.line(), "ready");
        daemon.signal(Signal::STOP);
        std::fs::write(&flag, "").expect("a file can be written");
        let calls = [
            "v1 receive",
            "v1 receive, both modes",
            "v1 send",
            "receive",
            "send",
            "accept",
            "connect",
            "select",
        ];
        let lines: Vec<String> = calls.map(|_| running.line()).into();
        daemon.signal(Signal::CONT);
        for (call, line) in calls.iter().zip(&lines) {
            assert_eq!(line, &format!("{call}\ttimeout\ttrue"), "on {}", interpreter.name());
        }
        assert_eq!(running.line(), "awake\tnil", "on {}", interpreter.name());
        running.finish().success();
    }
}

#[test]
fn a_host_that_does_not_answer_costs_no_more_than_the_timeout() {
    let silent = SilentPort::take();
    let daemon = Daemon::start();
    let script = r#"
        local socket = require "socket"
        for _, mode in ipairs({"b", "t"}) do
            local client = socket.tcp()
            client:settimeout(0.5, mode)
            local start = socket.gettime()
            local _, err = client:connect("127.0.0.1", os.getenv("PORT"))
            local took = socket.gettime() - start
            print(err, took > 0.4 and took < 2 or took)
        end
    "#;
    let outcome = Interpreter::Lua54.inline(script, &daemon).env("PORT", silent.number().to_string()).run();
    assert_eq!(outcome.success(), "timeout\ttrue\ntimeout\ttrue\n", "{outcome}");
}

#[test]
fn an_unknown_host_is_an_error_within_the_timeout() {
    let daemon = Daemon::start();
    let script = r#"
        local socket = require "socket"
        local client = socket.tcp()
        client:settimeout(2)
        local start = socket.gettime()
        print(client:connect("no-such-host.invalid", 80))
        print(socket.gettime() - start < 4)
    "#;
    let messages = [
        "host or service not provided, or not known",
        "temporary failure in name resolution",
        "non-recoverable failure in name resolution",
        "timeout",
    ];
    let outcome = Interpreter::Lua54.inline(script, &daemon).run();
    let text = outcome.success();
    assert!(messages.iter().any(|message| text == format!("nil\t{message}\ntrue\n")), "{outcome}");
}

#[test]
fn a_refused_port_is_an_error_at_once() {
    let (daemon, refused) = (Daemon::start(), RefusedPort::take());
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        local start = socket.gettime()
        print(v1.connect("127.0.0.1", os.getenv("PORT")))
        print(socket.connect("127.0.0.1", os.getenv("PORT")))
        print(socket.connect("localhost", os.getenv("PORT")))
        print(socket.gettime() - start < 2)
    "#;
    for interpreter in KINDS {
        let job = interpreter.inline(script, &daemon).env("PORT", refused.number().to_string());
        let outcome = job.run();
        assert_eq!(outcome.success(), "nil\tconnection refused\n".repeat(3) + "true\n", "{outcome}");
    }
}

#[test]
fn a_killed_script_leaves_nothing_in_the_daemon_after_a_second() {
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        local port, held = os.getenv("PORT"), {}
        for i = 1, 20 do
            held[i] = assert(v1.connect("127.0.0.1", port))
            held[i]:send("hold some bytes\n")
            held[20 + i] = assert(socket.bind("127.0.0.1", 0))
        end
        print("holding")
        io.stdout:flush()
        local wait = os.getenv("WAIT")
        if wait == "accept" then held[21]:accept() end
        if wait == "receive" then held[1]:receive("*a") end
        if wait == "send" then held[2]:send(("x"):rep(100000000)) end
        socket.sleep(60)
    "#;
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let port = peer.port().to_string();
    // Whatever is made once, at the first client, is no leak.
    Interpreter::Lua54.inline(r#"require("socket").bind("localhost", 0)"#, &daemon).run().success();
    std::thread::sleep(Duration::from_millis(300));
    let baseline = daemon.descriptors();
    for wait in ["accept", "receive", "send", "sleep"] {
        let job = Interpreter::Lua54.inline(script, &daemon).env("PORT", &port).env("WAIT", wait);
        let mut running = job.start();
        assert_eq!(running.line(), "holding");
        std::thread::sleep(Duration::from_millis(200));
        assert!(daemon.descriptors() >= baseline + 40, "the sockets are the daemon's");
        running.signal(Signal::KILL);
        daemon.settle_to(baseline, Duration::from_secs(1));
    }
}

/// Uses up all descriptors, shows the error, that the others work on, and that closing some helps.
const HOARDER: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    local port, held, err = os.getenv("PORT"), {}, nil
    local connect = os.getenv("FACE") == "v1" and v1.connect or socket.connect
    for i = 1, 200 do
        local one
        one, err = connect("127.0.0.1", port)
        if not one then break end
        held[#held + 1] = one
    end
    print(#held > 3 and #held < 100 or #held, err)
    print((select(2, v1.bind("127.0.0.1", 0))))
    print((select(2, socket.tcp4())))
    held[1]:send("echo\n")
    held[1]:send("still here\n")
    print((held[1]:receive("*l")))
    io.stdout:flush()
    socket.sleep(1) -- others knock meanwhile
    for i = 2, #held do held[i]:close() end
    local again = assert(connect("127.0.0.1", port))
    again:send("say again\\n\n")
    print((again:receive("*l")))
"#;

#[test]
fn without_descriptors_only_new_sockets_fail_and_only_until_some_are_closed() {
    let peer = Peer::start();
    for (face, message) in [("v1", "descriptor table is full"), ("3.1", "Too many open files")] {
        let daemon = Daemon::with_descriptor_limit(32);
        let job = Interpreter::Lua54.inline(HOARDER, &daemon);
        let mut hoarder = job.env("PORT", peer.port().to_string()).env("FACE", face).start();
        let first = hoarder.line();
        assert_eq!(first, format!("true\t{message}"), "{face}");
        assert_eq!(hoarder.line(), "descriptor table is full", "bind of v1");
        assert_eq!(hoarder.line(), "Too many open files", "tcp4 of 3.1");
        assert_eq!(hoarder.line(), "still here", "{face}");
        // One that comes now is served at once, or as soon as there are descriptors again.
        let script = r#"
            local v1 = require "luasocketd.v1"
            local client
            for _ = 1, 200 do
                client = v1.connect("127.0.0.1", os.getenv("PORT"))
                if client then break end
                require("socket").sleep(0.05)
            end
            client:send("say served\\n\n")
            print((client:receive("*l")))
        "#;
        let late = Interpreter::Lua54.inline(script, &daemon).env("PORT", peer.port().to_string()).start();
        assert_eq!(hoarder.line(), "again", "{face}");
        hoarder.finish().success();
        assert_eq!(late.finish().success(), "served\n", "{face}");
    }
}
