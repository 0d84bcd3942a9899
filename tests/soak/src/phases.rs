//! Faults that need a daemon of their own: no descriptors, no room on the disk, no answer from the name server. Streams go
//! through it before, meanwhile and after, and are judged as all others are.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::{Daemon, Interpreter, Job, Trail};

use crate::load::Load;
use crate::plan::Way;
use crate::stage::Target;

/// Descriptors of the daemon that has hardly any.
const DESCRIPTORS: u32 = 40;
/// Connections that knock there.
const KNOCKS: usize = 100;
/// How long it is watched meanwhile.
const WATCH: Duration = Duration::from_secs(2);
/// How long descriptors may stay open behind their clients.
const RELEASE: Duration = Duration::from_secs(10);
/// How many scripts ask a name server that does not answer, with which time limit, and how long they may take.
const ASKING: usize = 8;
const QUESTION: f64 = 1.0;
const ANSWER: Duration = Duration::from_secs(8);

/// A daemon without descriptors refuses or waits, and spends no processor time on it; the share of a core that it used.
///
/// # Errors
/// What it did instead.
pub fn descriptors(load: &Load) -> Result<f64, String> {
    let daemon = Daemon::with_descriptor_limit(DESCRIPTORS);
    let target = Target::new("the one without descriptors", daemon.socket());
    // What is made for the first client stays; one that may be killed before it comes does not count.
    let first = Interpreter::Lua54.inline("assert(require('socket').bind('127.0.0.1', 0))", &daemon).run();
    first.status.success().then_some(()).ok_or_else(|| first.to_string())?;
    thread::sleep(Duration::from_millis(300));
    let before = daemon.descriptors();
    load.run_one(&target, Way::Block);
    let knocks: Vec<UnixStream> = (0..KNOCKS).map_while(|_| knock(daemon.socket())).collect();
    thread::sleep(Duration::from_millis(300));
    let (since, used) = (Instant::now(), cpu(daemon.pid())?);
    thread::sleep(WATCH);
    let share = (cpu(daemon.pid())? - used) / since.elapsed().as_secs_f64();
    drop(knocks);
    load.run_one(&target, Way::Select);
    let deadline = Instant::now() + RELEASE;
    while daemon.descriptors() > before {
        if Instant::now() > deadline {
            return Err(format!("{} descriptors stay open, {before} were before", daemon.descriptors()));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(share)
}

/// A connection to the pipe that says nothing; none when the daemon's queue is full.
fn knock(socket: &Path) -> Option<UnixStream> {
    let knock = rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        // Not for the scripts that are started meanwhile: they would keep it open.
        rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
        None,
    );
    let knock = knock.ok()?;
    let address = rustix::net::SocketAddrUnix::new(socket).ok()?;
    rustix::net::connect(&knock, &address).ok()?;
    Some(UnixStream::from(knock))
}

/// Seconds of processor time of a process: proc_pid_stat(5).
fn cpu(pid: u32) -> Result<f64, String> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("the daemon: {error}"))?;
    let fields = text.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A daemon whose trail has no room does nothing new, goes on with what there is, and recovers.
///
/// # Errors
/// What it did instead.
pub fn disk(load: &Load) -> Result<(), String> {
    let daemon = Daemon::launched(|program, socket| {
        let line = r#"
            set -e
            mkdir "$2.disk"
            mount -t tmpfs -o size=1m,mode=700 none "$2.disk"
            exec "$1" serve --audit "$2.disk/trail" --socket "$2" --allow '*'
        "#;
        let words = ["--map-root-user", "--mount", "--propagation", "unchanged", "sh", "-c", line, "sh"];
        Job::new("unshare").args(words).arg(program).arg(socket)
    });
    let disk: PathBuf = format!("/proc/{}/root{}.disk", daemon.pid(), daemon.socket().display()).into();
    let target = &Target::new("the one with a small disk", daemon.socket());
    thread::scope(|scope| {
        // Its streams have begun when the disk is full, and they do not notice.
        let process = load.next(Way::Block);
        let stream = process.streams[0].stream;
        let streams = scope.spawn(move || load.run(target, &process));
        let held = held(load, target)?;
        while !load.peers.has_come(stream) && !streams.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        fill(&disk)?;
        let refused = "print(select(2, require('socket').connect('127.0.0.1', tonumber(arg[1]))))";
        let port = load.echo.port().to_string();
        let ask =
            || Interpreter::Lua54.inline_without_daemon(refused).env("LUASOCKETD_SOCKET", target.socket());
        // What is left of the last page takes a record or two.
        let last =
            (0..10).map(|_| ask().arg(&port).run().text()).find(|text| text.contains("nput/output error"));
        let was_refused = last.is_some();
        let held = held.finish();
        fs::remove_file(disk.join("filler")).map_err(|error| format!("the filler: {error}"))?;
        streams.join().map_err(|_| "the streams' thread panicked")?;
        if !was_refused {
            return Err("connections are made that nobody can have recorded".into());
        }
        held.status.success().then_some(()).ok_or_else(|| format!("what was open did not go on: {held}"))
    })?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = "assert(require('socket').bind('127.0.0.1', 0))";
    let recovered = || {
        let job = Interpreter::Lua54.inline(again, &daemon).run();
        job.status.success()
    };
    while !recovered() {
        if Instant::now() > deadline {
            return Err("it does not go on when there is room again".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    load.run_one(target, Way::Select);
    verified(&Trail::at(disk.join("trail")))
}

/// A script that has a connection and uses it for two seconds.
fn held(load: &Load, target: &Target) -> Result<luasocketd_tests::Running, String> {
    let script = r#"
        local socket = require "socket"
        local client = assert(socket.connect("127.0.0.1", tonumber(arg[1])))
        client:settimeout(20)
        assert(client:send("echo\n"))
        print("up") io.stdout:flush()
        for i = 1, 20 do
            assert(client:send(i .. "\n"))
            assert(client:receive() == tostring(i))
            socket.sleep(0.1)
        end
    "#;
    let job = Interpreter::Lua54.inline_without_daemon(script).env("LUASOCKETD_SOCKET", target.socket());
    let mut running = job.arg(load.echo.port().to_string()).start();
    let line = running.line();
    (line == "up").then_some(running).ok_or(line)
}

fn fill(disk: &Path) -> Result<(), String> {
    let file = fs::File::create(disk.join("filler"));
    let mut file = file.map_err(|error| format!("the small disk: {error}"))?;
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    Ok(())
}

/// Whether `luasocketd audit --verify` finds a trail whole.
///
/// # Errors
/// What it says.
pub fn verified(trail: &Trail) -> Result<(), String> {
    let job = Job::new(luasocketd_tests::program()).arg("audit").arg("--audit").arg(trail.directory());
    let outcome = job.arg("--verify").limit(Duration::from_secs(300)).run();
    outcome.status.success().then_some(()).ok_or_else(|| outcome.to_string())
}

/// A name server that never answers costs each call its own time limit, and nobody else anything.
///
/// # Errors
/// What happened instead.
pub fn resolver() -> Result<(), String> {
    let daemon = Daemon::with_silent_name_server();
    let question = format!(
        r#"
        local client = require("socket").tcp()
        client:settimeout({QUESTION})
        local _, why = client:connect("slow.example", 80)
        assert(why == "timeout", why)
        "#
    );
    let polite = r#"
        local socket = require "socket"
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        local client = assert(socket.connect("127.0.0.1", port))
        local other = assert(server:accept())
        for i = 1, 100 do
            client:send(i .. "\n")
            assert(other:receive() == tostring(i))
        end
    "#;
    let since = Instant::now();
    let asking: Vec<_> = (0..ASKING).map(|_| Interpreter::Lua54.inline(&question, &daemon).start()).collect();
    let mut outcomes = vec![Interpreter::Lua54.inline(polite, &daemon).run()];
    outcomes.extend(asking.into_iter().map(luasocketd_tests::Running::finish_or_kill));
    if let Some(outcome) = outcomes.iter().find(|outcome| !outcome.status.success()) {
        return Err(outcome.to_string());
    }
    (since.elapsed() < ANSWER).then_some(()).ok_or_else(|| format!("it took {:?}", since.elapsed()))
}
