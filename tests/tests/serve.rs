//! `luasocketd serve`: how it starts, tells that it is ready, and ends.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, Job, Peer, program, wait_until};
use rustix::process::Signal;

/// A script that connects to itself and says so.
const LOOP: &str = r#"
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local client = assert(socket.connect(host, port))
    local other = assert(server:accept())
    client:send("through\n")
    print((other:receive()))
"#;

fn works(daemon: &Daemon) {
    let outcome = Interpreter::Lua54.inline(LOOP, daemon).run();
    assert_eq!(outcome.success(), "through\n", "{outcome}");
}

#[test]
fn it_is_ready_when_it_says_so() {
    let daemon = Daemon::start(); // compares the ready line
    let file = std::fs::symlink_metadata(daemon.socket()).expect("the socket is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660, "mode of the socket");
    works(&daemon);
}

#[test]
fn systemd_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let notify = directory.path().join("notify.sock");
    let inbox = UnixDatagram::bind(&notify).expect("a datagram socket");
    inbox.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit above zero is taken");
    let socket = directory.path().join("daemon.sock");
    let mut running = Daemon::job(&socket).args(["--allow", "*"]).env("NOTIFY_SOCKET", &notify).start();
    running.line();
    let mut buffer = [0; 4096];
    let count = inbox.recv(&mut buffer).expect("READY=1 is sent");
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    assert!(text.lines().any(|line| line == "READY=1"), "{text}");
}

#[test]
fn a_termination_signal_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::start();
        let socket = daemon.socket().to_owned();
        daemon.signal(signal);
        let outcome = daemon.finish();
        assert_eq!(outcome.status.code(), Some(0), "{signal:?}: {outcome}");
        assert!(outcome.took < Duration::from_secs(30), "{signal:?}: {outcome}");
        assert!(!socket.exists(), "the socket file is taken away");
    }
}

#[test]
fn a_stale_socket_is_displaced() {
    let mut daemon = Daemon::start();
    daemon.kill();
    assert!(daemon.socket().exists(), "a killed daemon leaves its file");
    works(&daemon.restart());
}

#[test]
fn a_socket_of_something_else_that_nobody_serves_is_displaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("daemon.sock");
    drop(UnixListener::bind(&socket).expect("a socket can be bound"));
    let mut running = Daemon::job(&socket).start();
    assert_eq!(running.line(), format!("ready {}", socket.display()));
}

#[test]
fn a_live_daemon_is_not_displaced() {
    let mut daemon = Daemon::start();
    for _ in 0..2 {
        let second = Daemon::job(daemon.socket()).limit(Duration::from_secs(30)).run();
        assert_eq!(second.status.code(), Some(1), "{second}");
        assert!(
            second.errors().contains(&daemon.socket().display().to_string()),
            "it names the path: {second}"
        );
        assert!(second.stdout.is_empty(), "no ready line: {second}");
    }
    assert!(daemon.is_running());
    works(&daemon);
}

#[test]
fn of_many_started_at_once_one_serves() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("daemon.sock");
    let mut all: Vec<_> = (0..6)
        .map(|_| Daemon::job(&socket).args(["--allow", "*"]).limit(Duration::from_secs(60)).start())
        .collect();
    wait_until("all but one have given up", Duration::from_secs(30), || {
        all.iter_mut().filter_map(|one| one.is_running().then_some(())).count() <= 1
    });
    let mut running: Vec<_> = all.iter_mut().filter_map(|one| one.is_running().then_some(one)).collect();
    assert_eq!(running.len(), 1, "one is left");
    assert_eq!(running[0].line(), format!("ready {}", socket.display()));
    let job = Interpreter::Lua54.inline_without_daemon(LOOP).env("LUASOCKETD_SOCKET", &socket);
    assert_eq!(job.run().success(), "through\n");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("daemon.sock");
    std::fs::write(&path, "precious").expect("a file can be written");
    let outcome = Daemon::job(&path).limit(Duration::from_secs(30)).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(!outcome.stderr.is_empty(), "{outcome}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), "precious");
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let outcome = Daemon::job("/no/such/directory/daemon.sock".as_ref()).limit(Duration::from_secs(30)).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("/no/such/directory"), "{outcome}");
}

#[test]
fn wrong_usage_is_code_2() {
    for args in [&["serve", "--nonsense"][..], &["serve", "--allow", "not a rule"], &["no-such-command"], &[]]
    {
        let outcome = Job::new(program()).args(args).limit(Duration::from_secs(30)).run();
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
        assert!(!outcome.stderr.is_empty(), "{outcome}");
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let outcome = Job::new(program()).args(args).limit(Duration::from_secs(30)).run();
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        assert!(!outcome.stdout.is_empty(), "{outcome}");
    }
}

#[test]
fn many_clients_are_served_side_by_side() {
    let daemon = Daemon::start();
    let baseline = daemon.descriptors();
    let jobs: Vec<_> = (0..20).map(|_| Interpreter::Lua54.inline(LOOP, &daemon).start()).collect();
    for job in jobs {
        assert_eq!(job.finish().success(), "through\n");
    }
    daemon.settle_to(baseline, Duration::from_secs(5));
}

#[test]
fn an_inherited_descriptor_is_enough() {
    let daemon = Daemon::start();
    let modules = luasocketd_tests::modules_for("5.4");
    // The descriptor is made here and inherited by a script that knows no path.
    let pipe = daemon.pipe();
    pipe.set_read_timeout(None).expect("a pipe may wait");
    pipe.set_write_timeout(None).expect("a pipe may wait");
    let number = 7;
    let line = format!(r#"exec "$0" -e "$1" {number}<&0 0</dev/null"#);
    let outcome = std::process::Command::new("sh")
        .args(["-c", &line, "lua5.4", LOOP])
        .env("LUA_PATH", modules.lua)
        .env("LUA_CPATH", modules.c)
        .env("LUASOCKETD_FD", number.to_string())
        .env("LUASOCKETD_SOCKET", "/no/such/path")
        .stdin(std::os::fd::OwnedFd::from(pipe))
        .output()
        .expect("a shell runs");
    let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "through\n", "{errors}");
}

#[test]
fn a_client_that_the_daemon_cannot_see_is_served() {
    // In a process namespace of its own the daemon has no number for the processes outside.
    let daemon = Daemon::launched(|program, socket| {
        Job::new("unshare")
            .args(["--map-root-user", "--pid", "--fork", "--kill-child"])
            .arg(program)
            .args(["serve", "--no-audit", "--allow", "*", "-v", "--socket"])
            .arg(socket)
    });
    works(&daemon);
}

#[test]
fn a_daemon_that_is_told_to_end_serves_what_is_open_and_begins_nothing() {
    let peer = Peer::start();
    let script = format!(
        r#"
        local socket = require "socket"
        local client = assert(socket.connect("127.0.0.1", {port}))
        client:send("echo\nhello\n")
        print((assert(client:receive())))
        io.stdout:flush()
        assert(io.read())
        print(socket.connect("127.0.0.1", {port}) == nil)
        client:send("again\n")
        print((assert(client:receive())))
        io.stdout:flush()
        -- The time is over.
        print((select(2, client:receive())))
        "#,
        port = peer.port(),
    );
    let mut daemon = Daemon::with_args(&["--allow", "*", "--drain-timeout", "3"]);
    // Its input comes in time: after the signal.
    let job = Interpreter::Lua54.inline(&script, &daemon);
    let line = format!("(sleep 1.5; echo go) | {}", job.shell_line());
    let mut client = Job::new("sh").arg("-c").arg(line).start();
    assert_eq!(client.line(), "hello");
    daemon.signal(Signal::TERM);
    assert_eq!(client.line(), "true", "nothing new is begun");
    assert_eq!(client.line(), "again", "what is open is served");
    assert!(daemon.is_running());
    assert_eq!(client.line(), "closed");
    drop(job);
    daemon.finish().success();
}
