//! The policy of a running daemon: who gets which profile, and what that lets through.

use std::path::Path;
use std::time::Duration;

use luasocketd_tests::pipe::connect_params;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Pipe, PolicyFile, wait_until};
use rustix::process::{Signal, getegid, geteuid};

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

#[test]
fn a_profile_lets_through_what_it_says_and_no_more() {
    let (allowed, denied) = (Peer::start(), Peer::start());
    let file = PolicyFile::own(&format!(
        "allow = [\"127.0.0.0/8\", \"*:*\"]\ndeny = \"127.0.0.1:{}\"",
        denied.port()
    ));
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
    let file = PolicyFile::own(&format!("allow = \"127.0.0.1\"\nreport = \"127.0.0.1:{}\"", peer.port()));
    let daemon = file.daemon();
    assert_eq!(connect(&daemon, peer.port()), "hello\n");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    let rule = format!("`report connect:127.0.0.1:{}` ({}:5)", peer.port(), file.path());
    assert!(log.contains(&rule), "{rule}\n{log}");
}

#[test]
fn a_client_without_a_profile_is_refused_at_hello_and_told_who_it_is() {
    let file = PolicyFile::new("[[profile]]\nname = \"other\"\nuid = 4242424\nallow = \"*\"\n");
    let daemon = file.daemon();
    let mut pipe = Pipe::silent(&daemon);
    let (code, message) = pipe.hello("my.lua").expect("it is refused");
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
    let file = PolicyFile::new(
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
        let failure = pipe.failure("connect", &connect_params(peer.port()));
        failure.map_or("connected".to_owned(), |(code, _)| code)
    };
    // The name alone is not enough: it has to come by the right path.
    for name in ["good.lua", "bad.lua", "other"] {
        let mut pipe = Pipe::silent(&daemon);
        assert_eq!(pipe.hello(name), None);
        assert_eq!(connect(&mut pipe), "denied", "{name}");
    }
    for (name, expected) in [("good.lua", "connected"), ("bad.lua", "denied"), ("other", "denied")] {
        let stream = std::os::unix::net::UnixStream::connect(second).expect("the daemon listens");
        let mut pipe = Pipe::over(stream);
        assert_eq!(pipe.hello(name), None);
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
    let file = PolicyFile::new(&format!(
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
    let file = PolicyFile::new(&format!(
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
    let daemon = PolicyFile::own(&format!(
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
