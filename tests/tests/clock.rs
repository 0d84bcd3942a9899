//! The wall clock jumps: time limits and the order of the trail do not depend on it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use luasocketd_tests::build::repository;
use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::network::SilentPort;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Trail, program, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Jumps in seconds: a little, so far that a live file of the trail is too old, and back behind the beginning.
const HOUR: i64 = 3600;
const YEARS: i64 = 2 * 365 * 86400;
const JUMPS: [i64; 6] = [HOUR, -HOUR, YEARS, 0, -YEARS, 0];

/// A wall clock for daemons and scripts.
struct Clock {
    directory: TempDir,
}

impl Clock {
    /// One that goes right.
    fn new() -> Clock {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let compiler = find_command("cc").expect("a C compiler is missing; run: apt-get install gcc");
        let clock = Clock { directory };
        let job = Job::new(compiler).args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
        job.arg(clock.library()).arg(repository("tests/clock/jump.c")).run().success();
        clock.set(0);
        clock
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("jump.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("jump")
    }

    /// Puts it so many seconds before the right time.
    fn set(&self, seconds: i64) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.file());
        // In one write, as it is read at any time.
        let written = file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0));
        written.expect("a file can be written");
    }

    /// A program that goes by it.
    fn on(&self, job: Job) -> Job {
        job.env("LD_PRELOAD", self.library()).env("JUMP_FILE", self.file())
    }

    fn daemon(&self) -> Daemon {
        Daemon::launched(|_, socket| self.on(Daemon::job(socket).args(["--allow", "*"])))
    }
}

#[test]
fn the_clock_of_a_program_jumps() {
    let clock = Clock::new();
    let time = || {
        let daemon = clock.daemon();
        let script = "print(('%d'):format(math.floor(require('socket').gettime())))";
        let text = clock.on(Interpreter::Lua54.inline(script, &daemon)).run().success();
        let lines = daemon.trail().lines();
        let year = lines[0].text("/@timestamp")[..4].parse::<i64>().expect("a year");
        (text.trim().parse::<i64>().expect("a number"), year)
    };
    let (right, year) = time();
    clock.set(YEARS);
    let (wrong, other_year) = time();
    assert!((YEARS..YEARS + 60).contains(&(wrong - right)), "{right} {wrong}");
    assert_eq!(other_year, year + 2);
}

/// Calls that wait for a second for what never comes; each says when it begins and ends.
const WAITING: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    local port, silent = tonumber(arg[1]), tonumber(arg[2])
    local held = assert(socket.connect("127.0.0.1", port))
    held:send("hold x\n")
    assert(held:receive(1))
    held:settimeout(1)
    local old = assert(v1.connect("127.0.0.1", port))
    old:send("hold x\n")
    assert(old:receive(1))
    old:timeout(1)
    local server = assert(socket.bind("127.0.0.1", 0))
    server:settimeout(1)
    local fresh = socket.tcp()
    fresh:settimeout(1)
    local total = assert(socket.connect("127.0.0.1", port))
    total:send("hold x\n")
    assert(total:receive(1))
    local function try(name, call)
        print(name) io.stdout:flush()
        print(tostring(call())) io.stdout:flush()
    end
    try("receive", function() return select(2, held:receive(1)) end)
    try("v1 receive", function() return select(2, old:receive(1)) end)
    try("accept", function() return select(2, server:accept()) end)
    try("connect", function() return select(2, fresh:connect("127.0.0.1", silent)) end)
    try("select", function() return select(3, socket.select({held}, nil, 1)) end)
    total:settimeout(1, "t")
    try("total", function() return select(2, total:receive(1)) end)
    try("sleep", function() socket.sleep(1) return "timeout" end)
"#;

/// The clock jumps by so much in the middle of each call, in the daemon and in the script.
fn calls_take_their_time(jump: i64) {
    let (clock, peer, silent) = (Clock::new(), Peer::start(), SilentPort::take());
    let daemon = clock.daemon();
    for interpreter in [Interpreter::Lua54, Interpreter::LuaJit] {
        clock.set(0);
        let job = clock.on(interpreter.inline(WAITING, &daemon));
        let mut running = job.arg(peer.port().to_string()).arg(silent.number().to_string()).start();
        for call in ["receive", "v1 receive", "accept", "connect", "select", "total", "sleep"] {
            assert_eq!(running.line(), call);
            let since = Instant::now();
            std::thread::sleep(Duration::from_millis(400));
            clock.set(jump);
            assert_eq!(running.line(), "timeout", "{call}, {jump} s");
            let took = since.elapsed();
            let expected = Duration::from_millis(700)..Duration::from_secs(4);
            assert!(expected.contains(&took), "{call}, {jump} s: {took:?}");
            clock.set(0);
        }
        running.finish().success();
    }
}

#[test]
fn time_limits_do_not_notice_that_the_clock_goes_forward() {
    calls_take_their_time(YEARS);
}

#[test]
fn time_limits_do_not_notice_that_the_clock_goes_back() {
    calls_take_their_time(-YEARS);
}

/// Connects, says so, and closes when it is told to by a line.
const VISIT: &str = r#"
    local client = assert(require("socket").connect("127.0.0.1", tonumber(arg[1])))
    client:send("hold x\n")
    assert(client:receive(1))
    print("held") io.stdout:flush()
    local file
    repeat file = io.open(arg[2]) require("socket").sleep(0.02) until file
    client:close()
"#;

#[test]
fn the_trail_stays_in_order_and_whole_whatever_the_clock_says() {
    let (clock, peer) = (Clock::new(), Peer::start());
    let daemon = clock.daemon();
    let port = peer.port().to_string();
    for (number, jump) in JUMPS.into_iter().enumerate() {
        let go = daemon.directory().join(format!("go{number}"));
        let job = Interpreter::Lua54.inline(VISIT, &daemon).arg(&port).arg(&go);
        let mut held = job.start();
        assert_eq!(held.line(), "held");
        // Decided at one time, ended at another, before it perhaps.
        clock.set(jump);
        std::fs::write(&go, "").expect("a file can be written");
        held.finish().success();
        // Whether a file is too old is looked at once in a while.
        std::thread::sleep(Duration::from_millis(1200));
    }
    let trail = daemon.trail();
    let count =
        |action: &str| every_line(&trail).iter().filter(|line| line["event"]["action"] == action).count();
    wait_until("all ends are on record", Duration::from_secs(10), || {
        count("connection-ended") >= JUMPS.len()
    });
    check(&trail, JUMPS.len());
    // A new daemon on the same trail, a year before its last line.
    clock.set(-YEARS / 2);
    let daemon = killed_and_started(daemon, &clock);
    let script = format!("require('socket').connect('127.0.0.1', {port}):close()");
    Interpreter::Lua54.inline(&script, &daemon).run().success();
    let trail = daemon.trail();
    wait_until("it is on record", Duration::from_secs(10), || {
        every_line(&trail).iter().filter(|line| line["event"]["action"] == "connection-ended").count()
            > JUMPS.len()
    });
    check(&trail, JUMPS.len() + 1);
    let stats = daemon.json("stats", &["--interval", "0.01"]);
    assert_eq!(stats["clients"], 0, "an operator is answered: {stats}");
}

/// A new daemon on the path and the trail of one that is killed.
fn killed_and_started(mut daemon: Daemon, clock: &Clock) -> Daemon {
    let trail = daemon.trail().directory().to_owned();
    daemon.kill();
    let new = Daemon::launched(|_, socket| {
        let own = socket.with_extension("audit");
        std::fs::rename(&trail, &own).expect("a directory can be renamed");
        clock.on(Daemon::job(socket).args(["--allow", "*"]))
    });
    drop(daemon);
    new
}

/// So many connections are on record with their ends, in the order of their numbers, none with a negative duration; and
/// the trail is whole and is found by a question.
fn check(trail: &Trail, connections: usize) {
    trail.verify();
    let lines = every_line(trail);
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line["event"]["sequence"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    for action in ["connection-decided", "connection-ended"] {
        let found: Vec<&Value> = lines.iter().filter(|line| line["event"]["action"] == action).collect();
        assert_eq!(found.len(), connections, "{action}: {found:#?}");
        for line in found.iter().filter(|line| !line["event"]["duration"].is_null()) {
            assert!(
                line["event"]["duration"].as_u64().is_some(),
                "a duration is a number from 0 on: {line:#}"
            );
        }
    }
    let job = Job::new(program()).arg("audit").arg("--audit").arg(trail.directory()).arg("--json");
    let text = job.run().success();
    let answered = text.lines().filter(|line| line.contains("\"connection-ended\"")).count();
    assert_eq!(answered, connections, "a question finds each: {text}");
    // A file is as old as the clock says, once; it does not go on like that.
    let rotated = files(trail).iter().filter(|path| path.extension().is_some_and(|end| end == "gz")).count();
    assert!((1..=JUMPS.len()).contains(&rotated), "{rotated} files are too old");
}

fn files(trail: &Trail) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(trail.directory()).expect("the trail is there");
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The lines of all files, in order of their numbers, each once.
fn every_line(trail: &Trail) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    for path in files(trail) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = match name {
            name if name.ends_with(".jsonl.gz") => Job::new("zcat").arg(&path).run().success(),
            name if name.ends_with(".jsonl") => std::fs::read_to_string(&path).unwrap_or_default(),
            _ => continue,
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        lines.extend(whole.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")));
    }
    lines.sort_by_key(|line| line["event"]["sequence"].as_u64());
    lines.dedup_by_key(|line| line["event"]["sequence"].as_u64());
    lines
}
