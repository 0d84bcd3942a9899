//! The trail under everything that could take something out of it: a daemon that is killed, a disk that is full,
//! somebody who changes what is written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::network::in_namespace;
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Running, Trail, program, wait_until};
use rustix::process::Signal;
use tempfile::TempDir;

/// How many connections are tried while the daemon is killed again and again, when nobody asks for another number by
/// `LUASOCKETD_CONNECTS`: some seconds.
const CONNECTS: usize = 3_000;
/// How many scripts make them.
const SCRIPTS: usize = 8;

fn verify(trail: &Path) -> Outcome {
    Job::new(program())
        .arg("audit")
        .arg("--audit")
        .arg(trail)
        .arg("--verify")
        .limit(Duration::from_secs(300))
        .run()
}

/// Everybody who connects to any address of this machine: each one by the address it has asked for.
struct Crowd {
    port: u16,
    seen: Arc<Mutex<BTreeSet<IpAddr>>>,
    stopped: Arc<AtomicBool>,
}

impl Crowd {
    fn start() -> Crowd {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket has a name").port();
        let (seen, stopped) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let crowd = Crowd { port, seen: Arc::clone(&seen), stopped: Arc::clone(&stopped) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let asked = stream.local_addr().expect("a connection has a name").ip();
                seen.lock().expect("nobody panics with it").insert(asked);
            }
        });
        crowd
    }

    fn seen(&self) -> BTreeSet<IpAddr> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// The address with this number.
fn address(number: usize) -> IpAddr {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    Ipv4Addr::new(127, a + 1, b, c).into()
}

/// A script that connects to the addresses from `first` to before `end`, once each, whatever comes of it.
fn connecting(first: usize, end: usize, port: u16) -> String {
    format!(
        r#"
        local socket = require "socket"
        local made = 0
        for i = {first}, {end} - 1 do
            local address = ("127.%d.%d.%d"):format((i >> 16) + 1, i >> 8 & 255, i & 255)
            local asked, client = pcall(socket.connect, address, {port})
            if asked and client then made = made + 1 client:close() else pcall(socket.sleep, 0.002) end
        end
        print(made)
        "#
    )
}

/// Every connection that a peer has seen is in the trail, though the daemon was killed at any moment.
#[test]
fn a_killed_daemon_loses_no_connection_that_reached_the_network() {
    let connects =
        std::env::var("LUASOCKETD_CONNECTS").map_or(CONNECTS, |text| text.parse().expect("a number"));
    let (crowd, share) = (Crowd::start(), connects.div_ceil(SCRIPTS));
    let mut daemon = Daemon::strict();
    let job = |number: usize| {
        let script = connecting(number * share, (number + 1) * share, crowd.port);
        Interpreter::Lua54.inline(&script, &daemon).limit(Duration::from_secs(3600)).start()
    };
    let mut scripts: Vec<Running> = (0..SCRIPTS).map(job).collect();
    let (mut kills, mut pause) = (0_u32, 17_u64);
    while scripts.iter_mut().any(Running::is_running) {
        // Anything between a few records and many, the same each time.
        pause = (pause * 1103 + 12345) % 211;
        thread::sleep(Duration::from_millis(20 + pause));
        daemon = daemon.restart_strict();
        kills += 1;
    }
    let made: usize = scripts
        .into_iter()
        .map(|script| script.finish().success().trim().parse::<usize>().expect("a number"))
        .sum();
    daemon.signal(Signal::TERM);
    let trail = daemon.trail();
    wait_until("the trail has ended", Duration::from_secs(20), || {
        trail.lines().last().is_some_and(|line| line.text("/event/action") == "trail-ended")
    });
    let seen = crowd.seen();
    let (mut decided, mut open) = (BTreeSet::new(), BTreeSet::new());
    for line in all_lines(trail.directory()) {
        let id = line["event"]["id"].as_str().unwrap_or_default().to_owned();
        match line["event"]["action"].as_str() {
            Some("connection-decided") => {
                let ip = line["destination"]["ip"].as_str().and_then(|ip| ip.parse().ok());
                decided.insert(ip.expect("a decision has an address"));
                open.insert(id);
            }
            Some("connection-ended") => assert!(open.remove(&id), "{line:#} has ended without having begun"),
            _ => {}
        }
    }
    println!(
        "{connects} tried, {made} made, {} seen by the peer, {} recorded, {kills} kills",
        seen.len(),
        decided.len()
    );
    let missing: Vec<&IpAddr> = seen.difference(&decided).collect();
    assert!(missing.is_empty(), "not on record: {missing:?}");
    assert!(open.is_empty(), "without an end: {open:?}");
    assert!(
        kills >= 3 && seen.len() >= made && made * 2 > connects,
        "{kills} kills, {made} of {connects} made"
    );
    assert!(
        seen.iter().all(|ip| (0..connects + SCRIPTS).any(|number| address(number) == *ip)) || connects > 5000
    );
    verify(trail.directory()).success();
}

/// All lines of a trail, of its rotated files too, by the program that everybody has.
fn all_lines(directory: &Path) -> Vec<serde_json::Value> {
    let mut rotated: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the trail is there")
        .map(|entry| entry.expect("a directory can be listed").path())
        // The last one may not be compressed yet.
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz" || extension == "jsonl"))
        .filter(|path| path.file_name().is_some_and(|name| name != "audit.jsonl"))
        .collect();
    rotated.sort();
    let mut text = Vec::new();
    for path in &rotated {
        // Both are there while one is made of the other.
        let packed = path.with_extension("jsonl.gz");
        if path != &packed && rotated.contains(&packed) {
            continue;
        }
        let output =
            std::process::Command::new("gzip").arg("-dcf").arg(path).output().expect("gzip is there");
        assert!(output.status.success(), "{}", path.display());
        text.extend(output.stdout);
    }
    text.extend(fs::read(directory.join("audit.jsonl")).expect("the live file is there"));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
}

#[test]
fn what_was_open_when_the_daemon_was_killed_is_closed_as_interrupted() {
    let peer = Peer::start();
    let daemon = Daemon::strict();
    let script = format!(
        r#"
        local held = require("socket").connect("127.0.0.1", {}) held:send("hold x\n")
        print((held:receive(1))) io.stdout:flush() held:receive("*a")
        "#,
        peer.port()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    assert_eq!(running.line(), "x");
    let daemon = daemon.restart_strict();
    drop(running.finish());
    let trail = daemon.trail();
    let (decided, ended) = trail.pair("connection");
    ended.says(&[
        ("/luasocketd/end", "interrupted"),
        ("/event/outcome", "unknown"),
        ("/destination/ip", "127.0.0.1"),
        ("/process/executable", decided.text("/process/executable")),
        ("/event/start", decided.text("/@timestamp")),
    ]);
    assert_eq!(trail.with_action("trail-started").len(), 2);
    trail.verify();
}

/// A daemon whose trail is on a small disk of its own, in a network of its own.
fn on_a_small_disk() -> (Daemon, PathBuf) {
    let daemon = Daemon::launched(|program, socket| {
        let line = r#"
            set -e
            ip link set lo up
            mkdir "$2.disk"
            mount -t tmpfs -o size=1m,mode=700 none "$2.disk"
            exec "$1" serve --audit "$2.disk/trail" --socket "$2" --allow '*'
        "#;
        in_namespace(line).arg(program).arg(socket)
    });
    let disk = format!("/proc/{}/root{}.disk", daemon.pid(), daemon.socket().display());
    (daemon, disk.into())
}

#[test]
fn on_a_full_disk_nothing_is_done_that_is_not_recorded() {
    let (daemon, disk) = on_a_small_disk();
    let go = daemon.directory().join("go");
    let script = format!(
        r#"
        local socket = require "socket"
        local v1 = require "luasocketd.v1"
        local server = assert(socket.bind("127.0.0.1", 0))
        local _, port = server:getsockname()
        local held = assert(socket.connect("127.0.0.1", port))
        local other = assert(server:accept())
        server:settimeout(0)
        print("up") io.stdout:flush()
        repeat socket.sleep(0.02) until io.open("{go}1")
        print(select(2, socket.connect("127.0.0.1", port)))
        print(select(2, socket.bind("127.0.0.1", 0)))
        print(select(2, socket.dns.toip("localhost")))
        print(select(2, socket.udp():sendto("x", "127.0.0.1", port)))
        print(select(2, v1.connect("127.0.0.1", port)))
        print("waits", select(2, server:accept()))
        -- What is there goes on.
        held:send("still here\n") print((other:receive()))
        print("tried") io.stdout:flush()
        repeat
            local again = socket.connect("127.0.0.1", port)
            socket.sleep(0.02)
        until again
        print("again")
        "#,
        go = go.display()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    assert_eq!(running.line(), "up");
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler).expect("a file can be made on the disk");
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    drop(file);
    // What is left of the last page of the trail takes a record or two.
    fs::write(go.with_file_name("go1"), "").expect("a file can be made");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "tried") {
        lines.push(running.line());
    }
    println!("{lines:?}");
    let refused = "Input/output error";
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(texts[1..4].iter().all(|text| text.contains(refused)), "{lines:?}");
    assert_eq!(texts[4..], ["input/output error", "waits\ttimeout", "still here", "tried"], "{lines:?}");
    fs::remove_file(&filler).expect("the filler is there");
    assert_eq!(running.line(), "again");
    running.finish().success();
    let trail = Trail::at(disk.join("trail"));
    trail.several("trail-resumed", 1);
    verify(trail.directory()).success();
    // Twice at the most: who listens there, and what came by it, is on record for each connection that was made.
    let decided = trail.with_action("connection-decided");
    assert_eq!(decided.len(), trail.with_action("connection-ended").len(), "{decided:#?}");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert_eq!(
        log.lines().filter(|line| line.contains("ERROR")).count(),
        1,
        "one line when it begins: {log}"
    );
}

#[test]
fn a_trail_that_is_taken_away_is_missed_until_it_is_back() {
    let peer = Peer::start();
    let daemon = Daemon::strict();
    let connect = || {
        let script = format!("print(select(2, require('socket').connect('127.0.0.1', {})))", peer.port());
        Interpreter::Lua54.inline(&script, &daemon).run().success()
    };
    assert_eq!(connect(), "nil\n".replace("nil", ""));
    let live = daemon.trail().directory().join("audit.jsonl");
    let hidden = live.with_extension("hidden");
    fs::rename(&live, &hidden).expect("the live file is there");
    assert_eq!(connect(), "Input/output error\n");
    fs::rename(&hidden, &live).expect("it was put there");
    let since = Instant::now();
    wait_until("it goes on", Duration::from_secs(20), || !connect().contains("error"));
    println!("it went on after {:?}", since.elapsed());
    daemon.trail().verify();
}

/// A trail of a few hundred lines that a daemon has written and ended.
fn written() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let trail = directory.path().join("trail");
    let peer = Peer::start();
    let script =
        format!("for i = 1, 100 do require('socket').connect('127.0.0.1', {}):close() end", peer.port());
    let job = Job::new(program()).args(["run", "--allow", "*", "--audit"]).arg(&trail);
    job.script(&script).run().success();
    (directory, trail)
}

#[test]
fn whatever_is_done_to_the_lines_shows_and_says_where() {
    let (_directory, trail) = written();
    verify(&trail).success();
    let live = trail.join("audit.jsonl");
    let whole = fs::read(&live).expect("the trail is there");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let without = |number: usize| [&lines[..number], &lines[number + 1..]].concat().concat();
    let mut byte_changed = whole.clone();
    let at = lines[..50].concat().len() + 60;
    byte_changed[at] ^= 1;
    let mut swapped = lines.clone();
    swapped.swap(50, 51);
    let cases: [(&str, Vec<u8>, Option<usize>); 6] = [
        ("a byte changed", byte_changed, Some(51)),
        ("a line removed", without(50), Some(51)),
        ("lines swapped", swapped.concat(), Some(51)),
        ("a line twice", [&lines[..51], &lines[50..]].concat().concat(), Some(52)),
        ("cut at a record's end", lines[..lines.len() - 1].concat(), None),
        ("cut at an earlier one", lines[..20].concat(), None),
    ];
    for (what, bytes, line) in cases {
        fs::write(&live, bytes).expect("the file can be written");
        let outcome = verify(&trail);
        let text = outcome.text();
        assert_eq!(outcome.status.code(), Some(1), "{what}: {outcome}");
        let place =
            line.map_or_else(|| live.display().to_string(), |line| format!("{}:{line} ", live.display()));
        assert!(text.contains(&place) && text.contains("whole   no"), "{what}: {outcome}");
        println!("{what}: {}", text.lines().next().unwrap_or_default());
    }
    fs::write(&live, &whole).expect("the file can be written");
    verify(&trail).success();
}

#[test]
fn whoever_writes_the_whole_trail_anew_is_found_by_a_noted_anchor() {
    let ((_one, trail), (_other, forged)) = (written(), written());
    let anchored = |anchor: &str| {
        let job = Job::new(program()).arg("audit").arg("--audit").arg(&trail);
        job.args(["--verify", "--anchor", anchor]).run()
    };
    let text = verify(&trail).success();
    let anchor = text.lines().find_map(|line| line.strip_prefix("anchor  ")).expect("an anchor").to_owned();
    anchored(&anchor).success();
    for name in ["audit.jsonl", "audit.head"] {
        fs::copy(forged.join(name), trail.join(name)).expect("it can be copied");
    }
    verify(&trail).success();
    let outcome = anchored(&anchor);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.text().contains("anchor"), "{outcome}");
}

#[test]
fn files_are_rotated_compressed_and_read_as_one_trail() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let trail = directory.path().join("trail");
    let policy = luasocketd_tests::PolicyFile::new(&format!(
        "[audit]\ndirectory = \"{}\"\ndurability = \"relaxed\"\nrotate_size = 1048576\nkeep = 2\n{}",
        trail.display(),
        luasocketd_tests::policy::own_profile("allow = \"127.0.0.1\"")
    ));
    let daemon = Daemon::launched(|program, socket| {
        Job::new(program).arg("serve").arg("--socket").arg(socket).args(["--config", policy.path()])
    });
    let peer = Peer::start();
    let script =
        format!("for i = 1, 2500 do require('socket').connect('127.0.0.1', {}):close() end", peer.port());
    Interpreter::Lua54.inline(&script, &daemon).run().success();
    let rotated = || {
        let names = fs::read_dir(&trail).expect("the trail is there");
        names
            .filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with(".gz")))
            .count()
    };
    // They are compressed and thrown away beside the writing.
    wait_until("of about four files two are kept", Duration::from_secs(10), || rotated() == 2);
    daemon.signal(Signal::TERM);
    daemon.finish();
    assert_eq!(rotated(), 2, "of about four files two are kept");
    let first = all_lines(&trail).first().and_then(|line| line["event"]["sequence"].as_u64());
    assert!(first > Some(1), "the oldest lines were pruned, as the policy says");
    verify(&trail).success();
    let pruned = all_lines(&trail).iter().filter(|line| line["event"]["action"] == "trail-pruned").count();
    assert!(pruned >= 1);
}

/// Two daemons never write one trail.
#[test]
fn a_second_daemon_on_a_trail_is_refused() {
    let daemon = Daemon::start();
    let outcome = Job::new(program())
        .args(["serve", "--allow", "*", "--audit"])
        .arg(daemon.trail().directory())
        .arg("--socket")
        .arg(daemon.directory().join("other.sock"))
        .run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    let text = outcome.errors();
    assert!(text.contains(&daemon.trail().directory().display().to_string()), "{outcome}");
    let mut rest = String::new();
    drop(daemon.pipe().take(0).read_to_string(&mut rest));
}
