//! The policy of a running daemon: who gets which profile, what that lets through, what a new one changes.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Pipe, Value, build, network, program, wait_until};
use rustix::process::{Signal, getegid, geteuid};
use tempfile::TempDir;

/// A policy file in a directory of its own.
struct File {
    _directory: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> File {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let path = directory.path().join("policy.toml");
        fs::write(&path, text).expect("a file can be written");
        File { _directory: directory, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("a temporary path is text")
    }

    fn daemon(&self) -> Daemon {
        Daemon::with_args(&["--config", self.path()])
    }
}

/// A policy with one profile for whoever runs the tests.
fn own(text: &str) -> File {
    File::new(&format!("[[profile]]\nname = \"own\"\nuid = {}\n{text}\n", geteuid().as_raw()))
}

fn check(file: &File, args: &[&str]) -> Outcome {
    Job::new(program()).args(["check", file.path()]).args(args).run()
}

/// What a script that connects to a port of this machine gets, and then sends and receives.
fn connect(daemon: &Daemon, port: u16) -> String {
    let script = format!(
        r#"
        local client, why = require("socket").connect("127.0.0.1", {port})
        if not client then print(why) return end
        client:send("say hello\n")
        print((client:receive("*a")))
        "#
    );
    Interpreter::Lua54.inline(&script, daemon).run().success()
}

/// The failure's code and message that a hello of this name gets.
fn hello(pipe: &mut Pipe, name: &str) -> Option<(String, String)> {
    match pipe.call("hello", &[1.into(), name.into(), "none".into()]) {
        (Value::List(failure), Value::Nil) => match failure.as_slice() {
            [Value::Text(code), _, Value::Text(message)] => Some((code.clone(), message.clone())),
            other => panic!("no failure: {other:?}"),
        },
        (Value::Nil, _) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_documented_examples_say_what_the_page_says() {
    let page = fs::read_to_string(build::repository("docs/policy.md")).expect("the page is there");
    let mut examples = 0;
    let mut questions = 0;
    for part in page.split("```toml\n").skip(1) {
        let (text, rest) = part.split_once("```").expect("an example ends");
        let file = File::new(text);
        assert!(check(&file, &[]).success().contains("profiles"));
        examples += 1;
        for row in rest.lines().filter(|line| line.starts_with("| `") && !line.contains("FILE")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, question, verdict, _] = cells.as_slice() else { panic!("{row}") };
            let args: Vec<&str> = question.trim_matches('`').split(' ').collect();
            let answer = check(&file, &args).success();
            assert!(answer.starts_with(&format!("verdict   {verdict}\n")), "{row}\n{text}\n{answer}");
            questions += 1;
        }
    }
    assert!(examples >= 4 && questions >= 20, "{examples} examples, {questions} questions");
}

#[test]
fn check_names_the_rule_its_line_and_why() {
    let file =
        File::new("[[profile]]\nname = \"web\"\nallow = [\n  \"*:443\",\n  \"*.example.com:80\",\n]\n");
    let outcome = check(&file, &["--uid", "1000", "--gid", "1000", "connect", "a.example.com:80"]);
    let answer = outcome.success();
    let lines = [
        "verdict   allow",
        "question  connect a.example.com:80",
        "who       uid 1000 gid 1000 client ``",
        "profile   web",
        "rule      allow connect:*.example.com:80",
        "line      5",
        "why       a rule to allow says so",
    ];
    for line in lines {
        assert!(answer.lines().any(|printed| printed == line), "{line}: {outcome}");
    }
    let outcome =
        check(&file, &["--json", "--uid", "0", "--address", "10.0.0.1", "connect", "a.example.com:443"]);
    let json = outcome.success();
    assert_eq!(json.lines().count(), 1, "{outcome}");
    for part in [r#""verdict":"deny""#, r#""profile":"web""#, r#""rule":null"#, "private (10.0.0.0/8)"] {
        assert!(json.contains(part), "{part}: {outcome}");
    }
    let outcome = check(&file, &["--json", "connect", "1.1.1.1:443"]);
    assert!(outcome.success().contains(r#""line":4"#), "{outcome}");
}

#[test]
fn a_wrong_file_is_code_2_with_its_line_for_check_and_for_serve() {
    let cases = [
        ("[[profile]]\nname = \"x\"\nalow = \"*\"\n", ":3: a profile has no key `alow`; its keys are"),
        ("[[profile]]\nname = \"x\"\nallow = 7\n", ":3: `allow` is a text in quotes"),
        (
            "[[profile]]\nname = \"x\"\nallow = \"10.0.0.1/8\"\n",
            ":3: rule `10.0.0.1/8`: there are bits beyond",
        ),
        ("[[profile]]\nname = \"x\"\nallow = \"x:9-1\"\n", ":3: rule `x:9-1`: `9-1` is no port"),
        ("[[profile]]\nname = \"x\"\n[[profile]]\nname = \"y\"\n", ":3: `y` and the profile `x` in line 1"),
        ("not toml\n", ":1: "),
    ];
    for (text, expected) in cases {
        let file = File::new(text);
        let expected = format!("{}{expected}", file.path());
        let socket = file.path.with_file_name("d.sock");
        let served =
            Daemon::job(&socket).args(["--config", file.path()]).limit(Duration::from_secs(30)).run();
        for outcome in [check(&file, &[]), served] {
            assert_eq!(outcome.status.code(), Some(2), "{outcome}");
            assert!(outcome.errors().contains(&expected), "{expected}: {outcome}");
            assert!(outcome.stdout.is_empty(), "{outcome}");
        }
    }
    let file = own("");
    let missing = Job::new(program()).args(["check", "/no/such/policy.toml"]).run();
    assert_eq!(missing.status.code(), Some(2), "{missing}");
    assert!(missing.errors().contains("/no/such/policy.toml"), "{missing}");
    let wrong: [&[&str]; 6] = [
        &["connect"],
        &["reach", "x:1"],
        &["connect", "x"],
        &["connect", "::1:80"],
        &["--uid", "no such user", "connect", "x:1"],
        &["datagram", "unix:/run/x"],
    ];
    for args in wrong {
        let outcome = check(&file, args);
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
        assert!(!outcome.stderr.is_empty(), "{outcome}");
    }
    let both = Job::new(program()).args(["serve", "--config", file.path(), "--allow", "*"]).run();
    assert_eq!(both.status.code(), Some(2), "{both}");
}

#[test]
fn a_profile_lets_through_what_it_says_and_no_more() {
    let (allowed, denied) = (Peer::start(), Peer::start());
    let file = own(&format!("allow = [\"127.0.0.0/8\", \"*:*\"]\ndeny = \"127.0.0.1:{}\"", denied.port()));
    let daemon = file.daemon();
    assert_eq!(connect(&daemon, allowed.port()), "hello\n");
    assert_eq!(connect(&daemon, denied.port()), "permission denied\n");
    let script = format!(
        r#"
        local socket, v1 = require "socket", require "luasocketd.v1"
        print(v1.connect("127.0.0.1", {0}))
        print(socket.connect("::1", {1}))
        print(socket.connect("0x7f.1", {0}))
        print(socket.bind("127.0.0.1", 0))
        print(select(2, socket.connect("0x7f.0.0.2", {1})) ~= "permission denied")
        "#,
        denied.port(),
        allowed.port()
    );
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    let lines = "nil\taccess denied\n".to_owned() + &"nil\tpermission denied\n".repeat(3) + "true\n";
    assert_eq!(outcome.success(), lines, "{outcome}");
}

#[test]
fn a_report_lets_through_and_the_operator_is_told() {
    let peer = Peer::start();
    let file = own(&format!("allow = \"127.0.0.1\"\nreport = \"127.0.0.1:{}\"", peer.port()));
    let daemon = file.daemon();
    assert_eq!(connect(&daemon, peer.port()), "hello\n");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    let rule = format!("`report connect:127.0.0.1:{}` ({}:5)", peer.port(), file.path());
    assert!(log.contains(&rule), "{rule}\n{log}");
}

#[test]
fn a_client_without_a_profile_is_refused_at_hello_and_told_who_it_is() {
    let file = File::new("[[profile]]\nname = \"other\"\nuid = 4242424\nallow = \"*\"\n");
    let daemon = file.daemon();
    let mut pipe = Pipe::silent(&daemon);
    let (code, message) = hello(&mut pipe, "my.lua").expect("it is refused");
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    assert_eq!(code, "denied");
    assert!(
        message.starts_with(&format!("no profile of the policy is for uid {uid} gid {gid}")),
        "{message}"
    );
    assert!(message.contains("client `my.lua`"), "{message}");
    assert!(message.ends_with(&format!("on {}", daemon.socket().display())), "{message}");
    pipe.expect_end();
    let script = "print(require('socket').connect('127.0.0.1', 1))";
    let outcome = Interpreter::Lua54.inline(script, &daemon).run();
    assert!(outcome.success().contains("no profile of the policy is for uid"), "{outcome}");
}

#[test]
fn clients_are_told_apart_by_name_and_path() {
    let peer = Peer::start();
    let text = |name: &str, more: &str| {
        format!("[[profile]]\nname = \"{name}\"\nuid = {}\n{more}\n", geteuid().as_raw())
    };
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let second = directory.path().join("second.sock");
    let second = second.to_str().expect("a temporary path is text");
    let file = File::new(
        &[
            text("trusted", &format!("client = \"good*\"\nsocket = \"{second}\"\nallow = \"*\"")),
            text("named", "client = \"bad*\"\nallow = \"10.0.0.0/8\""),
            "[[profile]]\nname = \"rest\"\nallow = \"listen:127.0.0.1\"\n".to_owned(),
        ]
        .concat(),
    );
    let daemon = Daemon::with_args(&["--config", file.path(), "--socket", second]);
    wait_until("the second path is there", Duration::from_secs(5), || Path::new(second).exists());
    let connect = |pipe: &mut Pipe| {
        let port = peer.port().to_string();
        let params =
            [Value::Nil, "127.0.0.1".into(), port.as_str().into(), "unspec".into(), Value::Nil, 65536.into()];
        match pipe.call("connect", &params) {
            (Value::Nil, _) => "connected".to_owned(),
            (failure, _) => match &failure.list()[0] {
                Value::Text(code) => code.clone(),
                other => panic!("{other:?}"),
            },
        }
    };
    // The name alone is not enough: it has to come by the right path.
    for name in ["good.lua", "bad.lua", "other"] {
        let mut pipe = Pipe::silent(&daemon);
        assert_eq!(hello(&mut pipe, name), None);
        assert_eq!(connect(&mut pipe), "denied", "{name}");
    }
    for (name, expected) in [("good.lua", "connected"), ("bad.lua", "denied"), ("other", "denied")] {
        let stream = std::os::unix::net::UnixStream::connect(second).expect("the daemon listens");
        let mut pipe = Pipe::over(stream);
        assert_eq!(hello(&mut pipe, name), None);
        assert_eq!(connect(&mut pipe), expected, "{name}");
    }
}

#[test]
fn supplementary_groups_count_and_two_profiles_are_one_too_many() {
    // Only root may choose its groups; anybody else's own ones are as good, where there are some.
    let own_groups = rustix::process::getgroups().expect("a process knows its groups");
    let is_root = geteuid().is_root();
    let group = match own_groups.first() {
        _ if is_root => 4321,
        Some(group) => group.as_raw(),
        None => return eprintln!("neither root nor in any group: nothing to be seen here"),
    };
    let peer = Peer::start();
    let file = File::new(&format!(
        "[[profile]]\nname = \"members\"\ngroup = {group}\nallow = \"127.0.0.1\"\n\
         [[profile]]\nname = \"rest\"\n"
    ));
    let script = format!("print(require('socket').connect('127.0.0.1', {}) ~= nil)", peer.port());
    let modules = luasocketd_tests::modules_for("5.4");
    let run = |daemon: &Daemon, group: u32| {
        let job = if is_root {
            Job::new("setpriv").args(["--groups", &group.to_string(), "lua5.4"])
        } else {
            Job::new("lua5.4")
        };
        let job = job.env("LUA_PATH", &modules.lua).env("LUA_CPATH", &modules.c);
        job.env("LUASOCKETD_SOCKET", daemon.socket()).script(&script).run().success()
    };
    let daemon = file.daemon();
    assert_eq!(run(&daemon, group), "true\n");
    if is_root {
        assert_eq!(run(&daemon, group + 1), "false\n");
    }
    let file = File::new(&format!(
        "[[profile]]\nname = \"members\"\ngroup = {group}\n[[profile]]\nname = \"own\"\nuid = {}\n",
        geteuid().as_raw()
    ));
    let daemon = file.daemon();
    let script = "print(select(2, require('socket').connect('127.0.0.1', 1)))";
    let job = if is_root {
        Job::new("setpriv").args(["--groups", &group.to_string(), "lua5.4"])
    } else {
        Job::new("lua5.4")
    };
    let job = job.env("LUA_PATH", &modules.lua).env("LUA_CPATH", &modules.c);
    let outcome = job.env("LUASOCKETD_SOCKET", daemon.socket()).script(script).run();
    assert!(outcome.success().contains("`members` and `own`"), "{outcome}");
}

#[test]
fn datagrams_and_local_sockets_have_rules_of_their_own() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let real = directory.path().canonicalize().expect("it is there");
    let (open, closed) = (real.join("open.sock"), real.join("closed.sock"));
    let _listening =
        [&open, &closed].map(|path| std::os::unix::net::UnixListener::bind(path).expect("it is free"));
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let port = receiver.local_addr().expect("a bound socket has a name").port();
    let daemon = own(&format!(
        "allow = [\"datagram:127.0.0.1:{port}\", \"unix:{0}\", \"listen:unix:{1}/*\"]",
        open.display(),
        real.display()
    ))
    .daemon();
    let script = format!(
        r#"
        local socket, unix = require "socket", require "socket.unix"
        local udp = socket.udp()
        print(udp:sendto("one", "127.0.0.1", {port}))
        print(udp:sendto("two", "127.0.0.1", {port} - 1))
        print(udp:sendto("two", "0x7f.1", {port} + 1))
        print(udp:setpeername("127.0.0.2", {port}))
        print(udp:setsockname("127.0.0.1", 0))
        print(udp:setpeername("localhost", {port}))
        print(socket.connect("127.0.0.1", {port}))
        print(unix.stream():connect("{open}"))
        print(unix.stream():connect("{closed}"))
        print(unix.stream():bind("{directory}/new.sock"))
        print(unix.stream():bind("{directory}/../new.sock"))
        print(unix.stream():bind("/tmp/new.sock"))
        "#,
        open = open.display(),
        closed = closed.display(),
        directory = real.display(),
    );
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    let denied = "nil\tpermission denied\n";
    let text = outcome.success();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{outcome}");
    let denied = denied.trim_end();
    let expected = [
        "3.0",
        denied,
        denied,
        denied,
        denied,
        denied,
        denied,
        "1.0",
        denied,
        "1.0",
        "nil\tInvalid argument",
        denied,
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(*line, expected, "{outcome}");
    }
    let mut buffer = [0; 10];
    let length = receiver.recv(&mut buffer).expect("the datagram comes");
    assert_eq!(&buffer[..length], b"one");
}

#[test]
fn a_datagram_socket_loses_what_a_new_policy_forbids() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = receiver.local_addr().expect("a bound socket has a name").port();
    // The peer is asked for by name: it is judged so again.
    for (kept, rules) in [(true, "datagram:localhost"), (false, "datagram:127.0.0.2")] {
        let file = own("allow = \"datagram:localhost\"\ndeny = \"evil.example\"");
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
        let policy = format!(
            "enforce_now = true\n[[profile]]\nname = \"own\"\nuid = {}\nallow = \"{rules}\"\ndeny = \"evil.example\"\n",
            geteuid().as_raw()
        );
        fs::write(&file.path, policy).expect("a file can be written");
        daemon.signal(Signal::HUP);
        if kept {
            std::thread::sleep(Duration::from_millis(500));
            (0..12).for_each(|_| assert_eq!(running.line(), "sent"));
        } else {
            wait_until("it may not send any more", Duration::from_secs(10), || running.line() == "gone");
        }
    }
}

#[test]
fn datagrams_go_no_faster_than_the_profile_says() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let port = receiver.local_addr().expect("a bound socket has a name").port();
    let daemon = own("allow = \"*\"\n[profile.limits]\nsend_bytes_per_second = 20000").daemon();
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
fn a_new_policy_comes_with_sighup_and_a_wrong_one_changes_nothing() {
    let peer = Peer::start();
    let file = own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {0}))
        held:send("echo\n")
        while true do
            print(socket.connect("127.0.0.1", {0}) and "may" or "may not") io.stdout:flush()
            if not io.read() then break end
        end
        held:send("still here\n")
        print((held:receive()))
        "#,
        peer.port()
    );
    // The script asks again whenever it gets a line.
    let asks = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let (mut ours, theirs) = asks;
    let mut child = spawn(&script, &daemon, theirs);
    let mut answers = Answers::of(&mut child);
    assert_eq!(answers.next(), "may");
    let swap = |text: &str| {
        fs::write(&file.path, text).expect("a file can be written");
        daemon.signal(Signal::HUP);
    };
    let mut ask = |expected: &str| {
        // The signal and the question take different ways.
        wait_until(&format!("the script {expected}"), Duration::from_secs(10), || {
            ours.write_all(b"again\n").expect("the script reads");
            answers.next() == expected
        });
    };
    swap(&format!("[[profile]]\nname = \"own\"\nuid = {}\n", geteuid().as_raw()));
    ask("may not");
    swap("[[profile]]\nname = \"own\"\nallow = \"127.0.0.1\"\n");
    ask("may");
    let before = "not toml";
    swap(before);
    std::thread::sleep(Duration::from_millis(300));
    ask("may");
    fs::remove_file(&file.path).expect("the file is there");
    daemon.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    ask("may");
    // What was connected goes on, whatever came.
    ours.shutdown(std::net::Shutdown::Write).expect("a socket can be shut down");
    assert_eq!(answers.next(), "still here");
    child.wait().expect("the script ends");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert_eq!(log.matches("new policy from").count(), 2, "{log}");
    assert_eq!(log.matches("the policy stays as it was").count(), 2, "{log}");
    assert!(log.contains("policy.toml:1: ") && log.contains("cannot read the policy file"), "{log}");
}

#[test]
fn a_new_policy_ends_what_it_forbids_if_it_says_so() {
    let peer = Peer::start();
    let file = own("allow = [\"127.0.0.1\", \"listen:127.0.0.1\"]");
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
    let policy = format!("enforce_now = true\n[[profile]]\nname = \"own\"\nuid = {}\n", geteuid().as_raw());
    fs::write(&file.path, policy).expect("a file can be written");
    daemon.signal(Signal::HUP);
    let outcome = running.finish();
    assert_eq!(outcome.success(), "permission denied\nclosed\npermission denied\n", "{outcome}");
}

#[test]
fn a_client_that_a_new_policy_knows_no_more_may_nothing_or_is_let_go() {
    let peer = Peer::start();
    for enforce_now in [false, true] {
        let file = own("allow = \"*\"");
        let daemon = file.daemon();
        let mut pipe = Pipe::greeted(&daemon);
        let other = format!("enforce_now = {enforce_now}\n[[profile]]\nname = \"other\"\nuid = 4242424\n");
        fs::write(&file.path, other).expect("a file can be written");
        daemon.signal(Signal::HUP);
        if enforce_now {
            pipe.expect_end();
            continue;
        }
        let port = peer.port().to_string();
        let params =
            [Value::Nil, "127.0.0.1".into(), port.as_str().into(), "unspec".into(), Value::Nil, 65536.into()];
        wait_until("it may not connect any more", Duration::from_secs(10), || {
            let (failure, _) = pipe.call("connect", &params);
            failure != Value::Nil && failure.list()[0] == "denied".into()
        });
    }
}

#[test]
fn limits_of_a_profile_hold_for_each_of_its_clients() {
    let peer = Peer::start();
    let limits = "[profile.limits]\nsockets = 3\nconnections_per_second = 1";
    let daemon = own(&format!("allow = \"*\"\n{limits}")).daemon();
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
    let daemon = own("allow = \"*\"\n[profile.limits]\nclients = 2").daemon();
    let first = Pipe::greeted(&daemon);
    let _second = Pipe::greeted(&daemon);
    let (code, message) = hello(&mut Pipe::silent(&daemon), "third").expect("it is refused");
    assert_eq!((code.as_str(), message.contains("2 clients at once of the profile `own`")), ("limit", true));
    drop(first);
    wait_until("there is room again", Duration::from_secs(5), || {
        hello(&mut Pipe::silent(&daemon), "x").is_none()
    });
}

#[test]
fn bytes_go_no_faster_than_the_profile_says_both_ways() {
    let rate = 200_000;
    let limits =
        format!("[profile.limits]\nsend_bytes_per_second = {rate}\nreceive_bytes_per_second = {rate}");
    let daemon = own(&format!("allow = \"*\"\n{limits}")).daemon();
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
    let daemon = own("allow = \"*\"\n[profile.limits]\nbytes_in_all = 100000").daemon();
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
    let daemon = own("allow = \"*\"\n[profile.timeouts]\nconnect = 0.5").daemon();
    let script = format!("print(select(2, require('socket').connect('127.0.0.1', {})))", silent.number());
    let outcome = Interpreter::Lua54.inline(&script, &daemon).run();
    assert_eq!(outcome.success(), "timeout\n", "{outcome}");
    assert!(outcome.took < Duration::from_secs(20), "{outcome}");
}

/// A script that reads from a socket what it is asked.
fn spawn(script: &str, daemon: &Daemon, input: std::os::unix::net::UnixStream) -> std::process::Child {
    let modules = luasocketd_tests::modules_for("5.4");
    std::process::Command::new("lua5.4")
        .args(["-e", script])
        .env("LUA_PATH", modules.lua)
        .env("LUA_CPATH", modules.c)
        .env("LUASOCKETD_SOCKET", daemon.socket())
        .stdin(std::os::fd::OwnedFd::from(input))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("lua5.4 runs")
}

/// The lines that a child prints, each waited for.
struct Answers(std::sync::mpsc::Receiver<String>);

impl Answers {
    fn of(child: &mut std::process::Child) -> Answers {
        use std::io::BufRead;
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Answers(lines)
    }

    fn next(&mut self) -> String {
        self.0.recv_timeout(Duration::from_secs(30)).expect("a line comes in time")
    }
}
