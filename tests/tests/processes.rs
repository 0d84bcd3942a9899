//! Script processes that come and go: what the daemon holds after thousands of them is what it held before.

use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, Peer, wait_until};

/// How many there are; `LUASOCKETD_PROCESSES` says another number.
const PROCESSES: usize = 1000;
/// How many come before anything is measured: what is made once is no leak.
const WARM: usize = 100;
/// Resident memory that may have been added: pages that an allocator has touched since, whatever the number of processes.
/// A leak of 4 KiB in each of a thousand is twice as much.
const SLACK: u64 = 2 << 20;

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

/// What a daemon holds.
#[derive(Debug)]
struct Footprint {
    descriptors: usize,
    memory: u64,
    open_records: usize,
}

impl Footprint {
    fn of(daemon: &Daemon) -> Footprint {
        let open_records = daemon.trail().open_records();
        Footprint { descriptors: daemon.descriptors(), memory: daemon.memory(), open_records }
    }
}

#[test]
fn nothing_is_left_of_a_thousand_processes() {
    let told = std::env::var("LUASOCKETD_PROCESSES").ok();
    let count = told.map_or(PROCESSES, |count| count.parse().expect("LUASOCKETD_PROCESSES is a number"));
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let file = tempfile::Builder::new().suffix(".lua").tempfile().expect("a temporary file can be created");
    std::fs::write(file.path(), SCRIPT).expect("a temporary file can be written");
    let run = |count: usize| {
        for number in 0..count {
            let ending = if number.is_multiple_of(2) { "close" } else { "fall" };
            let job = Interpreter::Lua54.job(file.path(), &daemon).arg(peer.port().to_string()).arg(ending);
            job.run().success();
        }
    };
    let settled = |descriptors: usize| {
        let trail = daemon.trail();
        wait_until("all records have their ends", Duration::from_secs(20), || trail.open_records() == 0);
        daemon.settle_to(descriptors, Duration::from_secs(10));
    };
    let first = daemon.descriptors();
    run(WARM);
    // A lookup thread that waits for work has none of its own.
    settled(first + 4);
    let before = Footprint::of(&daemon);
    run(count);
    settled(before.descriptors);
    let after = Footprint::of(&daemon);
    println!("before {count} processes: {before:?}\nafter:  {after:?}");
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    assert!(after.memory <= before.memory + SLACK, "{before:?} {after:?}");
    assert_eq!((before.open_records, after.open_records), (0, 0));
    daemon.trail().verify();
}
