//! `luasocketd run`: it is the script, as far as anybody outside can tell.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, network, program, wait_until};
use rustix::process::{Pid, Signal, test_kill_process_group};

fn run(allow: &[&str], script: &str, args: &[&str]) -> Outcome {
    let rules = allow.iter().flat_map(|rule| ["--allow", rule]);
    Job::new(program()).arg("run").args(rules).script(script).args(args).run()
}

#[test]
fn the_exit_code_passes_through() {
    for code in [0, 1, 7, 255] {
        let outcome = run(&[], &format!("os.exit({code})"), &[]);
        assert_eq!(outcome.status.code(), Some(code), "{outcome}");
        assert!(outcome.stdout.is_empty() && outcome.stderr.is_empty(), "prints of its own: {outcome}");
    }
    let outcome = run(&[], "os.exit(false)", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
}

#[test]
fn a_script_that_a_signal_ends_is_reported_so() {
    let outcome = run(
        &[],
        "local f = io.open('/proc/self/stat') \
        os.execute('kill -9 ' .. f:read('n'))",
        &[],
    );
    let killed = outcome.status.signal() == Some(9) || outcome.status.code() == Some(128 + 9);
    assert!(killed, "{outcome}");
}

#[test]
fn it_prints_nothing_of_its_own() {
    let outcome =
        run(&["*"], "require('socket').bind('127.0.0.1', 0) io.write('out') io.stderr:write('err')", &[]);
    assert_eq!((outcome.success().as_str(), outcome.errors().as_str()), ("out", "err"), "{outcome}");
}

#[test]
fn arguments_are_in_arg_and_in_the_dots() {
    let script = "local name = arg[0] print(select('#', ...), ...) print(#arg, arg[1], arg[2], name ~= nil)";
    let outcome = run(&[], script, &["one", "--allow"]);
    assert_eq!(outcome.success(), "2\tone\t--allow\n2\tone\t--allow\ttrue\n", "{outcome}");
}

#[test]
fn standard_input_is_the_scripts() {
    let job = Job::new(program()).arg("run").script("print(io.read('a'):upper())");
    let outcome = job.stdin("hello\nthere").run();
    assert_eq!(outcome.success(), "HELLO\nTHERE\n", "{outcome}");
}

#[test]
fn an_error_looks_as_lua_shows_it() {
    let script = "local function inner() error('on purpose') end\ninner()\n";
    let ours = run(&[], script, &[]);
    let theirs = Interpreter::Lua54.stock_inline(script).run();
    assert_eq!(ours.status.code(), Some(1), "{ours}");
    assert_eq!(theirs.status.code(), Some(1), "{theirs}");
    assert!(ours.stdout.is_empty(), "{ours}");
    let (ours, theirs) = (ours.errors(), theirs.errors());
    // The first line is `lua5.4: FILE.lua:1: on purpose` there, and differs in both names only.
    let place = ".lua:1: on purpose\n";
    assert!(ours.contains(place) && theirs.contains(place), "ours {ours}\ntheirs {theirs}");
    assert!(ours.contains("stack traceback:") && ours.contains("inner"), "{ours}");
}

#[test]
fn a_script_that_does_not_compile_or_is_not_there_fails() {
    let outcome = run(&[], "this is no Lua", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("syntax error"), "{outcome}");
    let outcome = Job::new(program()).arg("run").arg("/no/such/script.lua").run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("/no/such/script.lua"), "{outcome}");
}

#[test]
fn an_error_that_is_no_string_fails_too() {
    let outcome = run(&[], "error({})", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("table"), "{outcome}");
    let outcome = run(&[], "error(setmetatable({}, {__tostring = function() return 'my text' end}))", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("my text"), "{outcome}");
}

#[test]
fn a_first_line_for_the_shell_is_skipped() {
    let outcome = run(&[], "#!/usr/bin/env lua\nprint('ran')\n", &[]);
    assert_eq!(outcome.success(), "ran\n", "{outcome}");
}

#[test]
fn without_allow_everything_is_refused() {
    let peer = Peer::start();
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        print(v1.connect("127.0.0.1", arg[1]))
        print(v1.connect("localhost", arg[1]))
        print(v1.bind("127.0.0.1", 0))
        print(socket.connect("127.0.0.1", arg[1]))
        print(socket.tcp():bind("127.0.0.1", 0))
    "#;
    let outcome = run(&[], script, &[&peer.port().to_string()]);
    let expected = "nil\taccess denied\n".repeat(3) + &"nil\tpermission denied\n".repeat(2);
    assert_eq!(outcome.success(), expected, "{outcome}");
}

#[test]
fn a_rule_to_listen_allows_to_listen_and_no_more() {
    let peer = Peer::start();
    let script = r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        print(socket.bind("127.0.0.1", 0) ~= nil, v1.bind("127.0.0.1", 0) ~= nil)
        print(socket.bind("localhost", 0) ~= nil)
        print(socket.bind("127.0.0.2", 0))
        print(socket.connect("127.0.0.1", arg[1]))
        print(socket.dns.getaddrinfo("other.example"))
    "#;
    let rules = ["listen:127.0.0.1:*", "listen:localhost:*", "listen:[::1]:*"];
    let outcome = run(&rules, script, &[&peer.port().to_string()]);
    let denied = "nil\tpermission denied\n".repeat(3);
    assert_eq!(outcome.success(), format!("true\ttrue\ntrue\n{denied}"), "{outcome}");
}

#[test]
fn one_host_and_port_allows_just_that() {
    let (allowed, other) = (Peer::start(), Peer::start());
    let script = r#"
        local v1 = require "luasocketd.v1"
        local client = assert(v1.connect("127.0.0.1", arg[1]))
        client:send("say hello\n")
        print(client:receive("*a"))
        print(v1.connect("127.0.0.1", arg[2]))
        print(v1.connect("127.0.0.2", arg[1]))
        print(v1.bind("127.0.0.1", arg[1]))
        print(v1.bind("127.0.0.1", 0))
    "#;
    let ports = [allowed.port().to_string(), other.port().to_string()];
    let rule = format!("127.0.0.1:{}", ports[0]);
    let outcome = run(&[&rule], script, &[&ports[0], &ports[1]]);
    assert_eq!(outcome.success(), "hello\tnil\n".to_owned() + &"nil\taccess denied\n".repeat(4), "{outcome}");
}

#[test]
fn verbs_ranges_and_several_rules_are_understood() {
    let peer = Peer::start();
    let port = peer.port();
    let script = r#"
        local v1 = require "luasocketd.v1"
        print((v1.connect("127.0.0.1", arg[1])) ~= nil, (v1.bind("127.0.0.1", 0)) ~= nil)
    "#;
    let range = format!("connect:127.0.0.1:{}-{}", port - 1, port.saturating_add(1));
    let cases: [(&[&str], &str); 5] = [
        (&[&range], "true\tfalse\n"),
        (&["127.0.0.1:*"], "true\tfalse\n"),
        (&["listen:127.0.0.1:*"], "false\ttrue\n"),
        (&[&range, "listen:127.0.0.1:*"], "true\ttrue\n"),
        (&["*"], "true\ttrue\n"),
    ];
    for (rules, expected) in cases {
        let outcome = run(rules, script, &[&port.to_string()]);
        assert_eq!(outcome.success(), expected, "rules {rules:?}: {outcome}");
    }
}

#[test]
fn wrong_usage_is_code_2_and_says_why() {
    for args in [&["run"][..], &["run", "--allow", "not a rule", "x.lua"], &["run", "--nonsense", "x.lua"]] {
        let outcome = Job::new(program()).args(args).run();
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
        assert!(!outcome.stderr.is_empty(), "{outcome}");
    }
}

#[test]
fn it_ends_when_nobody_reads_what_it_prints() {
    let script = "while true do print('a line') end";
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    file.write_all(script.as_bytes()).expect("a temporary file can be written");
    let line = r#""$1" run "$2" | head -n 1"#;
    let job = Job::new("sh").args(["-c", line, "sh"]).arg(program()).arg(file.path());
    assert_eq!(job.limit(Duration::from_secs(20)).run().success(), "a line\n");
}

#[test]
fn verbose_speaks_on_standard_error_only() {
    let script = "require('socket').bind('127.0.0.1', 0) print('script')";
    let outcome = Job::new(program()).args(["run", "--allow", "*", "-v"]).script(script).run();
    assert_eq!(outcome.success(), "script\n", "{outcome}");
    assert!(!outcome.stderr.is_empty(), "{outcome}");
}

#[test]
fn what_send_accepted_arrives_after_the_end() {
    for ending in ["", "os.exit(0)", "os.exit(3, true)", "error('on purpose')"] {
        let (listener, port) = network::listener();
        let reader = network::read_one(listener);
        let script = r#"
            local client = assert(require("socket").connect("127.0.0.1", arg[1]))
            assert(client:send(("0123456789"):rep(100000)))
        "#;
        run(&["*"], &(script.to_owned() + ending), &[&port.to_string()]);
        let bytes = reader.join().expect("the reader ends");
        assert_eq!(bytes.len(), 1_000_000, "after `{ending}`");
    }
}

/// A script that runs until something ends it.
const BUSY: &str = "print('up') io.stdout:flush() while true do end";

#[test]
fn signals_that_are_sent_to_it_are_for_the_script() {
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1), (Signal::QUIT, 3)] {
        let mut running = Job::unignored(program()).arg("run").script(BUSY).start();
        assert_eq!(running.line(), "up");
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.status.signal(), Some(number), "{outcome}");
    }
}

#[test]
fn a_script_does_not_outlive_its_daemon() {
    let mut running = Job::new(program()).arg("run").script(BUSY).start();
    assert_eq!(running.line(), "up");
    let group = Pid::from_raw(running.pid() as i32).expect("a process id is above zero");
    running.signal(Signal::KILL);
    wait_until("it has ended", Duration::from_secs(5), || !running.is_running());
    wait_until("its process group is empty", Duration::from_secs(5), || {
        test_kill_process_group(group).is_err()
    });
}

#[test]
fn nothing_of_it_is_left_behind() {
    let script = "require('socket').bind('127.0.0.1', 0) print('up') io.stdout:flush() os.exit(4)";
    let mut running = Job::new(program()).args(["run", "--allow", "*"]).script(script).start();
    assert_eq!(running.line(), "up");
    let group = Pid::from_raw(running.pid() as i32).expect("a process id is above zero");
    let outcome = running.finish();
    assert_eq!(outcome.status.code(), Some(4), "{outcome}");
    wait_until("its process group is empty", Duration::from_secs(5), || {
        test_kill_process_group(group).is_err()
    });
}

#[test]
fn path_prints_what_a_stock_interpreter_needs() {
    let daemon = Daemon::start();
    let script =
        "print(require('socket').bind('127.0.0.1', 0) ~= nil, type(require('luasocketd.v1').connect))";
    for (version, interpreter) in
        [("5.1", "lua5.1"), ("5.2", "lua5.2"), ("5.3", "lua5.3"), ("5.4", "lua5.4"), ("jit", "luajit")]
    {
        let line = r#"lines=$("$0" path --lua "$1") && eval "$lines" && exec "$2" "$3""#;
        let outcome = Job::new("sh")
            .args(["-c", line])
            .arg(program())
            .args([version, interpreter])
            .script(script)
            .env("LUASOCKETD_SOCKET", daemon.socket())
            .run();
        assert_eq!(outcome.success(), "true\tfunction\n", "{outcome}");
        let lines = Job::new(program()).args(["path", "--lua", version]).run().success();
        let exported = lines.lines().all(|line| line.starts_with("export LUA_"));
        assert!(exported && lines.contains("LUA_CPATH") && lines.contains("LUA_PATH"), "{lines}");
    }
    let outcome = Job::new(program()).args(["path", "--lua", "6.0"]).run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
}
