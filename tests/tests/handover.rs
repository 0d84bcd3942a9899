//! One daemon takes another's place: by `luasocketd reload --exec`, and from a service manager that has the sockets.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use luasocketd_tests::build::copy_program;
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Running, program, wait_until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// How long a handover, or the end of the daemon before it, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that connect again and again over one pipe.
const LASTING: usize = 4;

/// Connects until a file is there, and says how often that went well; what did not is told and counted.
const LOAD: &str = r#"
    local socket = require "socket"
    local port, stop = ...
    local good, bad = 0, 0
    repeat
        local client, why = socket.connect("127.0.0.1", port)
        local sent, got
        if client then
            sent, why = client:send("echo\nhello\n")
            if sent then got, why = client:receive() end
            client:close()
        end
        if got == "hello" then good = good + 1 else bad = bad + 1 io.stderr:write(tostring(why), "\n") end
        local file = io.open(stop)
        if file then file:close() end
    until file
    print(good > 0, bad)
"#;

/// Connects, keeps the connection for so long as a file is missing, and uses it.
const LONG: &str = r#"
    local socket = require "socket"
    local port, stop = ...
    local client = assert(socket.connect("127.0.0.1", port))
    client:send("echo\nhello\n")
    print((assert(client:receive())))
    io.stdout:flush()
    while not io.open(stop) do socket.sleep(0.05) end
    client:send("again\n")
    print((assert(client:receive())))
    local more = assert(socket.connect("127.0.0.1", port))
    more:close()
"#;

/// A process that nobody waits for; killed when dropped.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.0), Signal::KILL);
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number as i32).expect("a process has a number")
}

fn runs(number: u32) -> bool {
    // One that nobody has waited for yet does not run.
    let state = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    test_kill_process(pid(number)).is_ok() && !state.contains(") Z ")
}

/// A daemon whose program is a file of its own, which can be replaced.
fn replaceable(args: &[&str]) -> (Daemon, PathBuf) {
    let mut file = PathBuf::new();
    let daemon = Daemon::launched(|program, socket| {
        file = socket.with_file_name("luasocketd");
        copy_program(program, &file);
        let trail = socket.with_extension("audit");
        let job = Job::new(&file).arg("serve").arg("--socket").arg(socket).arg("--audit").arg(trail);
        job.args(["--allow", "*"]).args(args)
    });
    (daemon, file)
}

/// Puts a new file in the program's place, as a package does.
fn install(file: &Path, write: impl FnOnce(&Path)) {
    let new = file.with_extension("new");
    write(&new);
    fs::rename(&new, file).expect("a file can be renamed");
}

fn replace(daemon: &Daemon) -> Outcome {
    daemon.operator("reload").args(["--exec", "--json"]).limit(PATIENCE * 2).run()
}

/// The process that has taken the daemon's place.
fn successor(outcome: &Outcome) -> Successor {
    let answer: Value = serde_json::from_str(&outcome.success()).expect("an object");
    Successor(u32::try_from(answer["pid"].as_u64().expect("a process has a number")).expect("a small one"))
}

fn lua(text: &str, daemon: &Daemon, words: [&str; 2]) -> Running {
    Interpreter::Lua54.inline(text, daemon).args(words).limit(PATIENCE * 2).start()
}

#[test]
fn no_call_fails_while_one_binary_after_another_takes_over() {
    take_over_under_load(&["--drain-timeout", "1"], 3, |_| {});
}

#[test]
fn no_call_and_no_record_of_any_loop_is_lost_when_another_binary_takes_over() {
    take_over_under_load(&["--drain-timeout", "1", "--workers", "2"], 2, |daemon| {
        wait_until("both loops have clients", PATIENCE, || {
            let seen = daemon.json("ps", &[]);
            let clients = seen["clients"].as_array().expect("rows");
            clients.iter().map(loop_of_two).collect::<BTreeSet<_>>().len() == 2
        });
        assert_eq!(daemon.json("stats", &[])["workers"], 2);
    });
}

/// Which of two loops a client is on.
fn loop_of_two(client: &Value) -> u32 {
    let mark = client["id"].as_str().expect("a client has a mark");
    let slot = mark[1..].split('.').next().expect("a mark has a slot");
    slot.parse::<u32>().expect("a slot is a number") % 2
}

/// Has scripts work without a pause while one new binary after another takes over; `look` sees the daemon that has clients
/// and is about to be replaced. No call fails, and the trail is whole.
fn take_over_under_load(args: &[&str], times: usize, look: impl Fn(&Daemon)) {
    let (daemon, file) = replaceable(args);
    let peer = Peer::start();
    let stop = daemon.directory().join("stop");
    let words = [&peer.port().to_string(), stop.to_str().expect("a plain path")];
    let words: [&str; 2] = [words[0], words[1]];
    let lasting: Vec<Running> = (0..LASTING).map(|_| lua(LOAD, &daemon, words)).collect();
    let mut serving = Successor(daemon.pid());
    for _ in 0..times {
        look(&daemon);
        install(&file, |new| copy_program(&program(), new));
        // As long as the daemon before has clients there is no further one.
        let until = Instant::now() + PATIENCE;
        let outcome = loop {
            let outcome = replace(&daemon);
            if outcome.status.success() {
                break outcome;
            }
            assert!(outcome.errors().contains("still has clients") && Instant::now() < until, "{outcome}");
            // Those that come meanwhile are served, too.
            let once = lua("print(require('socket').connect('127.0.0.1', (...)) ~= nil)", &daemon, words);
            assert_eq!(once.finish().success(), "true\n");
        };
        let new = successor(&outcome);
        let runs_from = fs::metadata(format!("/proc/{}/exe", new.0)).expect("the new daemon runs").ino();
        assert_eq!(runs_from, fs::metadata(&file).expect("the program is there").ino());
        let old = std::mem::replace(&mut serving, new);
        wait_until("the old daemon has ended", PATIENCE, || !runs(old.0));
    }
    fs::write(&stop, "").expect("a file can be written");
    for script in lasting {
        let outcome = script.finish();
        assert_eq!(outcome.success(), "true\t0\n", "{outcome}");
    }
    kill_process(pid(serving.0), Signal::TERM).expect("it runs");
    wait_until("the last daemon has ended", PATIENCE, || !runs(serving.0));
    assert!(!daemon.socket().exists(), "its files are the last daemon's to remove");
    let trail = daemon.trail();
    trail.verify();
    let (begun, ended) = (trail.with_action("connection-decided"), trail.with_action("connection-ended"));
    assert_eq!(begun.len(), ended.len(), "every connection has its end on record");
    let lost = ended.iter().filter(|line| line.text("/luasocketd/end") == "interrupted").count();
    assert_eq!(lost, 0, "no end is guessed");
}

#[test]
fn a_connection_goes_on_in_the_old_daemon_and_its_end_is_on_record() {
    let (mut daemon, _) = replaceable(&["--drain-timeout", "30"]);
    let peer = Peer::start();
    let stop = daemon.directory().join("stop");
    let port = peer.port().to_string();
    let mut script = lua(LONG, &daemon, [&port, stop.to_str().expect("a plain path")]);
    assert_eq!(script.line(), "hello");
    let new = successor(&replace(&daemon));
    let again = replace(&daemon);
    assert!(again.errors().contains("still has clients"), "{again}");
    assert!(daemon.is_running(), "it has a client");
    fs::write(&stop, "").expect("a file can be written");
    assert_eq!(script.line(), "again");
    script.finish().success();
    wait_until("the old daemon has ended", PATIENCE, || !daemon.is_running());
    let trail = daemon.trail();
    let ended = trail.several("connection-ended", 2);
    assert!(ended.iter().all(|line| line.text("/luasocketd/end") != "interrupted"), "{ended:#?}");
    assert!(runs(new.0));
    trail.verify();
    // Both have said so, one in the other's file.
    assert_eq!((trail.with_action("trail-started").len(), trail.with_action("trail-ended").len()), (2, 1));
}

#[test]
fn a_new_daemon_that_does_not_start_leaves_the_old_one() {
    let (mut daemon, file) = replaceable(&[]);
    let script = |text: &'static str| {
        move |new: &Path| {
            let source = new.with_extension("source");
            fs::write(&source, text).expect("a file can be written");
            fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
            copy_program(&source, new);
        }
    };
    let work = "print(require('socket').bind('127.0.0.1', 0) ~= nil)";
    for (text, why) in [
        ("#!/bin/sh\nexit 3\n", "exit status: 3"),
        ("no program at all", "cannot start"),
        ("#!/bin/sh\nkill -SEGV $$\n", "signal: 11"),
        ("#!/no/such/interpreter\n", "cannot start"),
    ] {
        install(&file, script(text));
        let outcome = replace(&daemon);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().contains(why), "{why}: {outcome}");
        assert!(daemon.is_running() && daemon.socket().exists());
        let once = Interpreter::Lua54.inline(work, &daemon).run();
        assert_eq!(once.success(), "true\n", "{once}");
    }
    daemon.trail().verify();
    assert_eq!(daemon.trail().with_action("trail-started").len(), 1);
}

#[test]
fn a_new_daemon_says_itself_why_it_does_not_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let policy = directory.path().join("policy.toml");
    fs::write(&policy, "[[profile]]\nname = \"a\"\nallow = [\"*\"]\n").expect("a file can be written");
    let mut daemon = Daemon::launched(|_, socket| Daemon::job(socket).arg("--config").arg(&policy));
    fs::write(&policy, "nonsense = 1\n").expect("a file can be written");
    let outcome = replace(&daemon);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("nonsense"), "{outcome}");
    assert!(daemon.is_running() && daemon.socket().exists() && daemon.admin().exists());
}

#[test]
fn without_a_trail_it_goes_as_well() {
    let mut daemon = Daemon::launched(|program, socket| {
        Job::new(program).args(["serve", "--no-audit", "--allow", "*", "--socket"]).arg(socket)
    });
    let _new = successor(&replace(&daemon));
    wait_until("the old daemon has ended", PATIENCE, || !daemon.is_running());
    let once = Interpreter::Lua54.inline("print(require('socket').bind('*', 0) ~= nil)", &daemon).run();
    assert_eq!(once.success(), "true\n", "{once}");
}

#[test]
fn the_service_manager_is_told_which_process_it_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let notify = directory.path().join("notify.sock");
    let inbox = UnixDatagram::bind(&notify).expect("a datagram socket");
    inbox.set_read_timeout(Some(PATIENCE)).expect("a limit above zero is taken");
    let daemon = Daemon::launched(|_, socket| Daemon::job(socket).env("NOTIFY_SOCKET", &notify));
    let new = successor(&replace(&daemon));
    let mut told = Vec::new();
    while told.len() < 3 {
        let mut buffer = [0; 4096];
        let count = inbox.recv(&mut buffer).expect("the manager is told");
        told.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    // Before the new one speaks: nobody listens to a process that is not known.
    assert!(told[0].starts_with("READY=1"), "{told:?}");
    assert_eq!(told[1].trim(), format!("MAINPID={}", new.0), "{told:?}");
    assert!(told[2].starts_with("READY=1"), "{told:?}");
}

/// A daemon that is started with listening sockets as descriptors from 3 on, as a service manager starts it.
fn activated(socket: OwnedFd, words: &[&str]) -> std::process::Child {
    let line = r#"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=luasocketd.socket exec "$@" 3<&0 0</dev/null"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(program()).args(["serve", "--allow", "*"]).args(words);
    shell.stdin(Stdio::from(socket)).stdout(Stdio::piped()).spawn().expect("a shell runs")
}

#[test]
fn sockets_come_from_a_service_manager() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a plain path").to_owned();
    let (socket, admin, trail) = (path("d.sock"), path("admin.sock"), path("trail"));
    let listener = UnixListener::bind(&socket).expect("a socket can be bound");
    // It waits before there is a daemon.
    let work = "print(require('socket').bind('127.0.0.1', 0) ~= nil)";
    let waiting = Interpreter::Lua54.inline_without_daemon(work).env("LUASOCKETD_SOCKET", &socket).start();
    let mut child = activated(
        listener.try_clone().expect("a descriptor can be copied").into(),
        &["--admin", &admin, "--audit", &trail],
    );
    assert_eq!(waiting.finish().success(), "true\n");
    kill_process(pid(child.id()), Signal::TERM).expect("it runs");
    let mut ready = String::new();
    child.stdout.take().expect("stdout is piped").read_to_string(&mut ready).expect("it ends");
    assert_eq!(ready, format!("ready {socket}\n"));
    assert!(child.wait().expect("a child can be waited for").success());
    assert!(Path::new(&socket).exists(), "the file is the service manager's");
    assert!(!Path::new(&admin).exists(), "this one is the daemon's");
    drop(listener);
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_wrong_usage() {
    let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut child = activated(one.into(), &["--no-audit"]);
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(2));
}
