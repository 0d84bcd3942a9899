//! `luasocketd exec`: any command, in a jail, as if it were run by itself.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use luasocketd_tests::build::{module_dir, repository};
use luasocketd_tests::jail::{Stage, User};
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Interpreter, Job, Peer, Running, program, wait_until};
use rustix::process::{Pid, Signal, test_kill_process_group};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

/// Says hello to the peer at its first argument by both faces of the module.
const HELLO: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    for _, connect in ipairs { socket.connect, v1.connect } do
        local client = assert(connect("127.0.0.1", arg[1]))
        client:send("say hello\n")
        print((client:receive("*a")))
    end
    print(socket.connect("127.0.0.2", arg[1]))
"#;

fn exec(words: &[&str]) -> Job {
    Job::new(program()).arg("exec").args(words)
}

fn sh(line: &str) -> Job {
    exec(&["--", "sh", "-c", line])
}

fn python(options: &[&str], script: &str) -> Outcome {
    exec(&[options, &["--", "/usr/bin/python3", "-c", script]].concat()).run()
}

/// The command of an interpreter.
fn command(interpreter: Interpreter) -> String {
    match interpreter {
        Interpreter::Lua55 => module_dir("bin").join("lua5.5").display().to_string(),
        other => other.name().to_owned(),
    }
}

#[test]
fn every_interpreter_finds_the_module() {
    let peer = Peer::start();
    let port = peer.port().to_string();
    let rule = format!("127.0.0.1:{port}");
    for interpreter in Interpreter::ALL {
        let job = exec(&["--allow", &rule, "--", &command(interpreter)]).script(HELLO).arg(&port);
        let outcome = job.run();
        assert_eq!(outcome.success(), "hello\nhello\nnil\tpermission denied\n", "{outcome}");
        assert!(outcome.stderr.is_empty(), "{outcome}");
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let script = "print(require('socket')._VERSION, os.getenv('HOME'))";
    let job = Job::new("env").arg("-i").arg(program()).args(["exec", "--", "/usr/bin/lua5.4"]).script(script);
    assert_eq!(job.run().success(), "LuaSocket 3.1.0\tnil\n");
}

#[test]
fn what_the_paths_held_before_is_kept() {
    let directory = TempDir::new().expect("a temporary directory");
    std::fs::write(directory.path().join("mine.lua"), "return 'mine'").expect("a file can be written");
    let path = format!("{}/?.lua;;", directory.path().display());
    for (interpreter, variable) in
        [("lua5.1", "LUA_PATH"), ("lua5.4", "LUA_PATH"), ("lua5.4", "LUA_PATH_5_4")]
    {
        let job = exec(&["--", interpreter, "-e", "print(require 'mine', type(require 'socket'.connect))"]);
        assert_eq!(job.env(variable, &path).run().success(), "mine\tfunction\n", "{interpreter} {variable}");
    }
}

#[test]
fn a_missing_module_breaks_no_other_version() {
    let only = TempDir::new().expect("a temporary directory");
    std::os::unix::fs::symlink(module_dir("5.1"), only.path().join("5.1")).expect("a link can be made");
    let with = |interpreter: &str, modules: &std::path::Path| {
        let job = exec(&["--", interpreter, "-e", "print(pcall(require, 'luasocketd'))"]);
        job.env("LUASOCKETD_MODULES", modules).run()
    };
    assert!(with("lua5.1", only.path()).success().starts_with("true"));
    let outcome = with("lua5.3", only.path());
    assert!(outcome.success().contains("module 'luasocketd' not found"), "{outcome}");
    let none = TempDir::new().expect("a temporary directory");
    let outcome = with("lua5.1", none.path());
    assert!(outcome.success().starts_with("false"), "{outcome}");
    assert!(outcome.errors().contains("no Lua modules at"), "{outcome}");
}

#[test]
fn exit_codes_are_the_commands() {
    for code in [0, 1, 7, 125, 255] {
        let outcome = sh(&format!("exit {code}")).run();
        assert_eq!(outcome.status.code(), Some(code), "{outcome}");
        assert!(outcome.stdout.is_empty() && outcome.stderr.is_empty(), "prints of its own: {outcome}");
    }
    for signal in [Signal::KILL, Signal::TERM, Signal::SEGV] {
        let outcome = sh(&format!("kill -{} $$", signal.as_raw())).run();
        assert_eq!(outcome.status.signal(), Some(signal.as_raw()), "{outcome}");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_by_a_shell() {
    let outcome = exec(&["--", "no-such-command"]).run();
    assert_eq!(outcome.status.code(), Some(127), "{outcome}");
    assert!(outcome.errors().contains("no-such-command") && outcome.errors().contains("no such command"));
    let outcome = exec(&["--", "/no/such/command"]).run();
    assert_eq!(outcome.status.code(), Some(127), "{outcome}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let outcome = exec(&["--", &file.path().display().to_string()]).run();
    assert_eq!(outcome.status.code(), Some(126), "{outcome}");
    assert!(outcome.errors().contains(&file.path().display().to_string()), "{outcome}");
    for wrong in [&["--"][..], &[], &["--memory", "5", "--", "true"], &["--time", "0", "--", "true"]] {
        assert_eq!(exec(wrong).run().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn arguments_and_input_are_the_commands() {
    let outcome = exec(&["--", "sh", "-c", r#"printf '%s|' "$@"; cat"#, "sh", "-v", "", "--allow", "a b"]);
    let outcome = outcome.stdin("input").run();
    assert_eq!(outcome.success(), "-v||--allow|a b|input", "{outcome}");
}

/// Prints each signal that comes.
const TRAPS: &str = "for s in TERM HUP INT QUIT USR1 USR2 ALRM WINCH; do trap \"echo $s\" $s; done; \
    echo up; while read line; do echo \"$line\"; done; while :; do sleep 0.05; done";

#[test]
fn signals_that_are_sent_to_it_are_for_the_command() {
    let mut running = Job::unignored(program()).args(["exec", "--", "sh", "-c", TRAPS]).start();
    assert_eq!(running.line(), "up");
    let all = [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::WINCH, "WINCH"),
    ];
    for (signal, name) in all {
        running.signal(signal);
        assert_eq!(running.line(), name);
    }
    running.signal(Signal::KILL);
    wait_until("it has ended", SOON, || !running.is_running());
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let line = r#"trap '' HUP INT; exec "$0" exec -- sh -c 'echo up; read line; echo $line'"#;
    let job = Job::new("sh").args(["-c", line]).arg(program());
    let outcome = {
        let mut running = job.stdin("").start();
        assert_eq!(running.line(), "up");
        running.signal(Signal::HUP);
        running.signal(Signal::INT);
        running.finish()
    };
    assert_eq!(outcome.success(), "\n", "{outcome}");
}

fn state(pid: u32) -> char {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

fn stops(running: &mut Running) {
    let pid = running.pid();
    wait_until("it has stopped", SOON, || state(pid) == 'T');
    running.signal(Signal::CONT);
    assert_eq!(running.line(), "on");
}

#[test]
fn it_stops_and_goes_on_as_its_command() {
    let mut running = sh("echo up; kill -STOP $$; echo on; exit 3").start();
    assert_eq!(running.line(), "up");
    stops(&mut running);
    assert_eq!(running.finish().status.code(), Some(3));
    let mut running = sh("echo up; read line; sleep 0.5; echo on; exit 4").stdin("").start();
    assert_eq!(running.line(), "up");
    running.signal(Signal::TSTP);
    stops(&mut running);
    assert_eq!(running.finish().status.code(), Some(4));
}

fn scene(name: &str, words: &[&str]) -> String {
    let job =
        Job::unignored("/usr/bin/python3").arg(repository("tests/jail/terminal.py")).arg(name).arg(program());
    let outcome = job.arg("exec").arg("--").args(words).limit(Duration::from_secs(50)).run();
    outcome.success()
}

#[test]
fn what_is_typed_reaches_the_command() {
    let text = scene(
        "interrupt",
        &["sh", "-c", "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.05; done"],
    );
    assert!(text.contains("caught") && text.contains("job ended by code 5"), "{text}");
    let text = scene("interrupt", &["sh", "-c", "echo up; exec sleep 60"]);
    assert!(text.contains("job ended by signal 2"), "{text}");
    let text = scene("quit", &["sh", "-c", "ulimit -c 0; echo up; exec sleep 60"]);
    assert!(text.contains("job ended by signal 3"), "{text}");
    let text = scene("line", &["sh", "-c", "echo up; read line; echo got $line"]);
    assert!(text.contains("got typed") && text.contains("job ended by code 0"), "{text}");
}

#[test]
fn a_stopped_job_gives_the_terminal_back_and_goes_on() {
    let script = "import time, sys\nprint('up', flush=True)\n\
        start = time.monotonic()\ntime.sleep(1)\nprint('awake', flush=True)";
    let text = scene("stop", &["/usr/bin/python3", "-c", script]);
    assert!(text.contains("job stopped") && text.contains("job ended by code 0"), "{text}");
    // As a shell within: a group of its own, which has the terminal when it stops.
    let script = "import os, signal\n\
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)\nos.setpgid(0, 0)\nos.tcsetpgrp(0, os.getpgrp())\n\
        print('up', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\n\
        print('owner' if os.tcgetpgrp(0) == os.getpgrp() else 'no owner', flush=True)\n";
    let text = scene("none", &["/usr/bin/python3", "-c", script]);
    assert!(text.contains("job stopped") && text.contains("\nowner") && text.contains("code 0"), "{text}");
}

#[test]
fn the_windows_size_reaches_the_command() {
    let script = "import os, signal, time\n\
        def show(*_): print('size', os.get_terminal_size(), flush=True); os._exit(0)\n\
        signal.signal(signal.SIGWINCH, show)\nprint('up', flush=True)\ntime.sleep(20)";
    let text = scene("resize", &["/usr/bin/python3", "-c", script]);
    assert!(text.contains("columns=77, lines=33") && text.contains("code 0"), "{text}");
}

#[test]
fn when_its_time_is_over_all_is_ended() {
    let line = "trap '' TERM; sleep 600 & echo up; while :; do sleep 0.05; done";
    let mut running = exec(&["--time", "1", "--", "sh", "-c", line]).start();
    assert_eq!(running.line(), "up");
    let group = Pid::from_raw(running.pid() as i32).expect("a process id is above zero");
    let outcome = running.finish();
    assert_eq!(outcome.status.code(), Some(124), "{outcome}");
    assert!(outcome.errors().contains("time is over"), "{outcome}");
    wait_until("its process group is empty", SOON, || test_kill_process_group(group).is_err());
    // One that stops itself stops the daemon, but not the time.
    let line = "sleep 600 & echo up; kill -STOP $$";
    let mut running = exec(&["--time", "1", "--", "sh", "-c", line]).start();
    assert_eq!(running.line(), "up");
    let group = Pid::from_raw(running.pid() as i32).expect("a process id is above zero");
    wait_until("it has ended", SOON * 2, || !running.is_running());
    wait_until("its process group is empty", SOON, || test_kill_process_group(group).is_err());
    let outcome = exec(&["--time", "60", "--", "sh", "-c", "exit 9"]).run();
    assert_eq!(outcome.status.code(), Some(9), "{outcome}");
}

#[test]
fn one_pipe_serves_one_state() {
    let peer = Peer::start();
    let port = peer.port().to_string();
    let ask = format!("print(require('socket').connect('127.0.0.1', {port}))");
    // One after the other, with the shell holding the pipe.
    let line = format!(r#"lua5.4 -e "{ask}"; lua5.4 -e "{ask}"; lua5.3 -e "{ask}""#);
    let outcome = exec(&["--allow", "*", "--", "sh", "-c", &line]).run();
    let text = outcome.success();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("tcp{client}"), "{outcome}");
    assert!(lines[1..].iter().all(|line| line.contains("in use by another Lua state")), "{outcome}");
    assert_eq!(lines.len(), 3, "{outcome}");
    // At once: one of them has it.
    let line = format!(r#"for i in 1 2 3 4 5 6 7 8; do lua5.4 -e "{ask}" & done; wait"#);
    let text = exec(&["--allow", "*", "--", "sh", "-c", &line]).run().success();
    assert_eq!(text.lines().filter(|line| line.starts_with("tcp{client}")).count(), 1, "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("in use by another Lua state")).count(), 7, "{text}");
    // A child of the state that has it.
    let script = format!(
        "{ask} io.stdout:flush() os.execute([[lua5.4 -e \"{ask}\"]]) \
        print((require('socket').connect('127.0.0.1', {port})))"
    );
    let outcome = exec(&["--allow", "*", "--", "lua5.4", "-e", &script]).run();
    let text = outcome.success();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("is not open"), "{outcome}");
    assert!(lines[0].starts_with("tcp{client}") && lines[2].starts_with("tcp{client}"), "{outcome}");
}

#[test]
fn ordinary_things_work() {
    let script = r#"
        local name = os.tmpname()
        local file = assert(io.open(name, "w"))
        file:write("text") file:close()
        assert(io.open(name):read("*a") == "text" and os.remove(name))
        assert(io.popen("echo popen"):read("*l") == "popen")
        local done = os.execute("exit 0")
        assert(done == 0 or done == true)
        local pipe = io.popen("cat > /dev/null", "w")
        pipe:write("x") pipe:close()
        print(os.getenv("HOME") ~= nil, require("luasocketd.v1") ~= nil, os.time() > 0)
    "#;
    for interpreter in Interpreter::ALL {
        let outcome = exec(&["--", &command(interpreter)]).script(script).run();
        assert_eq!(outcome.success(), "true\ttrue\ttrue\n", "{outcome}");
    }
    let outcome = Job::new(program()).arg("run").script(script).run();
    assert_eq!(outcome.success(), "true\ttrue\ttrue\n", "{outcome}");
}

#[test]
fn pythons_ordinary_things_work() {
    let script = r#"
import asyncio, ctypes, multiprocessing, os, socket, subprocess, tempfile, threading
results = []
threads = [threading.Thread(target=results.append, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(results) == 8
pid = os.fork()
if pid == 0: os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
assert asyncio.run(asyncio.sleep(0, 5)) == 5
with tempfile.NamedTemporaryFile() as file:
    os.chmod(file.name, 0o640); os.utime(file.name); os.truncate(file.name, 10)
here, there = socket.socketpair()
here.send(b"x"); assert there.recv(1) == b"x"
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
os.kill(os.getpid(), 0); os.nice(1); os.sched_setaffinity(0, {next(iter(os.sched_getaffinity(0)))})
os.setsid()
print("all")
"#;
    let outcome = python(&[], script);
    assert_eq!(outcome.success(), "all\n", "{outcome}");
}

#[test]
fn files_are_limited_on_request() {
    let (open, closed) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    for directory in [&open, &closed] {
        std::fs::write(directory.path().join("file"), "text").expect("a file can be written");
    }
    let script = r#"
        local function try(what, ...) print(what, (pcall(assert, io.open(...)))) end
        try("read", arg[1] .. "/file")
        try("write", arg[1] .. "/new", "w")
        try("elsewhere", arg[2] .. "/file")
        try("elsewhere, write", arg[2] .. "/new", "w")
        try("passwords", "/etc/passwd")
        try("null", "/dev/null", "r+")
        print(io.popen("echo popen"):read("*l"), require("socket") ~= nil)
    "#;
    let [open_path, closed_path] = [&open, &closed].map(|directory| directory.path().display().to_string());
    let common = "elsewhere\tfalse\nelsewhere, write\tfalse\npasswords\tfalse\nnull\ttrue\npopen\ttrue\n";
    for (option, write) in [("--read", false), ("--write", true)] {
        // Its own script can be read, wherever it is.
        let job = Job::new(program()).args(["run", option, &open_path]).script(script);
        let outcome = job.arg(&open_path).arg(&closed_path).run();
        let expected = format!("read\ttrue\nwrite\t{write}\n{common}");
        assert_eq!(outcome.success(), expected, "{outcome}");
        let inside = open.path().join("script.lua");
        std::fs::write(&inside, script).expect("a file can be written");
        for interpreter in Interpreter::ALL {
            let words = [option, &open_path, "--", &command(interpreter)];
            let outcome = exec(&words).arg(&inside).arg(&open_path).arg(&closed_path).run();
            assert_eq!(outcome.success(), expected, "{outcome}");
        }
    }
    let outcome = exec(&["--read", "/no/such/path", "--", "true"]).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("/no/such/path"), "{outcome}");
}

#[test]
fn local_sockets_are_given_back_on_request_and_no_others() {
    let script = "import socket\n\
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s = socket.socket(socket.AF_UNIX); s.bind('\\0jail-' + str(id(s))); s.listen()\n\
        c = socket.socket(socket.AF_UNIX); c.connect(s.getsockname())\n\
        for f in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):\n \
         try: socket.socket(f); print('made')\n \
         except OSError as e: print(e.errno)\n";
    let outcome = python(&["--unix"], script);
    assert_eq!(outcome.success(), "97\n97\n97\n", "{outcome}");
    let outcome = python(&[], "import socket\nsocket.socket(socket.AF_UNIX)");
    assert!(outcome.errors().contains("Address family not supported"), "{outcome}");
}

#[test]
fn a_datagram_socket_as_input_is_refused() {
    let (ours, theirs) = UnixDatagram::pair().expect("a pair can be made");
    let done = std::process::Command::new(program())
        .args(["exec", "--", "true"])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .output()
        .expect("it runs");
    drop(ours);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.code() == Some(1) && errors.contains("descriptor 0 is a datagram socket"),
        "{errors}"
    );
}

/// `landlock_create_ruleset` and `seccomp`.
const LANDLOCK: &str = "444";
const SECCOMP: &str = if cfg!(target_arch = "x86_64") { "317" } else { "277" };

#[test]
fn a_kernel_without_a_part_of_it_is_refused_or_told() {
    let stage = Stage::new(User::Current);
    let without = stage.compile("without");
    let on = |number: &str, words: &[&str]| {
        Job::new(&without).arg(number).arg(program()).args(words).arg("--").args(["echo", "ran"]).run()
    };
    for (number, name) in [(LANDLOCK, "Landlock"), (SECCOMP, "seccomp")] {
        let outcome = on(number, &["exec"]);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        let errors = outcome.errors();
        assert!(errors.contains(name) && errors.contains("--jail=best-effort"), "{outcome}");
        assert!(errors.lines().count() == 1 && outcome.stdout.is_empty(), "{outcome}");
        let outcome = on(number, &["exec", "--jail=best-effort"]);
        assert_eq!(outcome.success(), "ran\n", "{outcome}");
        assert!(outcome.errors().contains(name) && outcome.errors().lines().count() == 1, "{outcome}");
    }
    let outcome = on("9999", &["exec", "--jail=best-effort"]);
    assert!(outcome.success() == "ran\n" && outcome.stderr.is_empty(), "{outcome}");
    let script = stage.path("script.lua");
    std::fs::write(&script, "print('ran')").expect("a file can be written");
    let job = Job::new(&without).arg(LANDLOCK).arg(program()).arg("run").arg(&script);
    assert_eq!(job.run().status.code(), Some(1));
}
