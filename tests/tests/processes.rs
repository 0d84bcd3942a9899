//! Script processes that come and go: what the daemon holds after thousands of them is what it held before.

use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, Job, Peer, wait_until};

/// How many there are; `LUASOCKETD_PROCESSES` says another number.
const PROCESSES: usize = 1000;
/// How many come before anything is measured: what is made once is no leak.
const WARM: usize = 100;
/// Resident memory that may have been added without a trail, whatever the number of processes: pages that an allocator
/// has touched since. A leak of 1 KiB in each of a thousand is twice as much.
const SLACK: u64 = 512 << 10;
/// The same with a trail: its index keeps pages and words in memory up to bounds of its own, and has not reached them.
const INDEX_SLACK: u64 = 16 << 20;

/// A connection with an answer, a server, a datagram, a name; half of the scripts close nothing.
const SCRIPT: &str = r#"
    local socket = require "socket"
    local client = assert(socket.connect("127.0.0.1", tonumber(arg[1])))
    client:send("echo\nhello\n")
    assert(client:receive() == "hello")
    local server = assert(socket.bind("127.0.0.1", 0))
    local udp = assert(socket.udp())
    assert(udp:setpeername("127.0.0.1", 9))
    assert(socket.dns.toip("localhost"))
    if arg[2] == "close" then client:close() server:close() udp:close() end
"#;

/// Descriptors that the first lookups may leave open.
const LOOKUPS: usize = 4;

/// What a daemon holds.
#[derive(Debug)]
struct Footprint {
    descriptors: usize,
    memory: u64,
}

#[test]
fn nothing_is_left_of_a_thousand_processes() {
    let daemon = Daemon::start();
    let memory = nothing_is_left(&daemon, |daemon| daemon.trail().open_records());
    assert!(memory <= INDEX_SLACK, "{memory} bytes more");
    daemon.trail().verify();
}

#[test]
fn without_a_trail_not_even_memory_is_left_of_a_thousand_processes() {
    let daemon = Daemon::launched(|program, socket| {
        Job::new(program).args(["serve", "--no-audit", "--allow", "*", "--socket"]).arg(socket)
    });
    let memory = nothing_is_left(&daemon, |_| 0);
    assert!(memory <= SLACK, "{memory} bytes more");
}

/// Starts and ends the processes; how much more memory the daemon has than before. Descriptors and records are as before.
fn nothing_is_left(daemon: &Daemon, open_records: impl Fn(&Daemon) -> usize) -> u64 {
    let told = std::env::var("LUASOCKETD_PROCESSES").ok();
    let count = told.map_or(PROCESSES, |count| count.parse().expect("LUASOCKETD_PROCESSES is a number"));
    let peer = Peer::start();
    let file = tempfile::Builder::new().suffix(".lua").tempfile().expect("a temporary file can be created");
    std::fs::write(file.path(), SCRIPT).expect("a temporary file can be written");
    let run = |count: usize| {
        for number in 0..count {
            let ending = if number.is_multiple_of(2) { "close" } else { "fall" };
            let job = Interpreter::Lua54.job(file.path(), daemon).arg(peer.port().to_string()).arg(ending);
            job.run().success();
        }
    };
    let settled = |descriptors: usize| {
        wait_until("all records have their ends", Duration::from_secs(20), || open_records(daemon) == 0);
        daemon.settle_to(descriptors, Duration::from_secs(10));
        Footprint { descriptors: daemon.descriptors(), memory: daemon.memory() }
    };
    let first = daemon.descriptors();
    run(WARM);
    // What lookups leave open for the next one is made once.
    let before = settled(first + LOOKUPS);
    run(count);
    let after = settled(before.descriptors);
    println!("before {count} processes: {before:?}; after: {after:?}; open records: 0, 0");
    after.memory.saturating_sub(before.memory)
}
