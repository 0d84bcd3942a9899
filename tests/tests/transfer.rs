//! A gibibyte each way, through short timeouts of both modes, while the receiver pauses at random: the SHA-256
//! of what arrives is that of what was sent.
//!
//! `LUASOCKETD_TEST_BYTES` sets another size, `LUASOCKETD_TEST_SEED` repeats a run.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use luasocketd_tests::{Daemon, Interpreter, Job, network};
use rustix::fs::{CWD, Mode, mkfifoat};
use sha2::{Digest, Sha256};

/// The data is this block again and again, each time with its number written over its first bytes.
const BLOCK: usize = 1 << 20;
/// Far above what a transfer takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(900);

/// Sends all blocks. A send that times out is continued where it stopped.
const SENDER: &str = r#"
    local total, face = tonumber(os.getenv("BYTES")), os.getenv("FACE")
    local file = assert(io.open(os.getenv("BLOCK"), "rb"))
    local block = file:read("*a")
    file:close()
    local client, timeouts = nil, 0
    if face == "v1" then
        client = assert(require("luasocketd.v1").connect("127.0.0.1", os.getenv("PORT")))
        client:timeout(0.05, "b")
        client:timeout(0.1, "r")
    else
        client = assert(require("socket").connect("127.0.0.1", os.getenv("PORT")))
        client:settimeout(0.05, "b")
        client:settimeout(0.1, "t")
    end
    local number = 0
    while total > 0 do
        local data = (("%016d"):format(number) .. block:sub(17)):sub(1, total)
        local sent = 0
        while sent < #data do
            local err
            if face == "v1" then
                local count
                err, count = client:send(data:sub(sent + 1))
                sent = sent + count
            else
                local last, partial
                last, err, partial = client:send(data, sent + 1)
                sent = last or partial
            end
            if err == "timeout" then timeouts = timeouts + 1 elseif err then error(err) end
        end
        total = total - #data
        number = number + 1
    end
    client:close()
    print(timeouts)
"#;

/// Receives everything, in pieces and with pauses at random, and writes it to a pipe.
const RECEIVER: &str = r#"
    local socket, face = require "socket", os.getenv("FACE")
    local out = assert(io.open(os.getenv("OUT"), "wb"))
    math.randomseed(tonumber(os.getenv("SEED")))
    local client, timeouts, pause = nil, 0, 0
    if face == "v1" then
        client = assert(require("luasocketd.v1").connect("127.0.0.1", os.getenv("PORT")))
        client:timeout(0.05, "b")
        client:timeout(0.1, "r")
    else
        client = assert(socket.connect("127.0.0.1", os.getenv("PORT")))
        client:settimeout(0.05, "b")
        client:settimeout(0.1, "t")
    end
    repeat
        local data, err, partial = client:receive(math.random(1, 1048576))
        out:write(data or partial)
        if err == "timeout" then timeouts = timeouts + 1 elseif err and err ~= "closed" then error(err) end
        pause = pause + #(data or partial)
        if pause > 32000000 then
            pause = 0
            socket.sleep(math.random() * 0.3)
        end
    until err == "closed"
    out:close()
    print(timeouts)
"#;

/// A small generator that needs no crate: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// What is to be sent.
struct Load {
    total: usize,
    seed: u64,
    block: Vec<u8>,
}

impl Load {
    fn new() -> Load {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
        let total = number("LUASOCKETD_TEST_BYTES").unwrap_or(1 << 30) as usize;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let seed = number("LUASOCKETD_TEST_SEED").unwrap_or(clock.as_nanos() as u64 % 1_000_000_000) | 1;
        println!("repeat with LUASOCKETD_TEST_SEED={seed} LUASOCKETD_TEST_BYTES={total}");
        let mut random = Random(seed);
        let block = (0..BLOCK / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        Load { total, seed, block }
    }

    /// Calls `take` with every block in turn.
    fn for_each(&self, mut take: impl FnMut(&[u8])) {
        let mut block = self.block.clone();
        for (number, start) in (0..self.total).step_by(BLOCK).enumerate() {
            block[..16].copy_from_slice(format!("{number:016}").as_bytes());
            take(&block[..BLOCK.min(self.total - start)]);
        }
    }

    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.for_each(|block| hash.update(block));
        hex(hash)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads to the end; pauses as `random` says. Gives the count and the digest.
fn swallow(mut source: impl Read, mut random: Option<Random>) -> (usize, String) {
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        let count = source.read(&mut buffer).expect("the stream ends without an error");
        if count == 0 {
            return (total, hex(hash));
        }
        hash.update(&buffer[..count]);
        total += count;
        if let Some(random) = &mut random {
            // About twenty pauses, at most 0.4 s each, in a gibibyte of reads of 64 KiB.
            if random.next() % (16 << 20) < count as u64 / 4 {
                thread::sleep(Duration::from_millis(random.next() % 400));
            }
        }
    }
}

fn job(script: &str, face: &str, port: u16, load: &Load, daemon: &Daemon) -> Job {
    Interpreter::Lua54
        .inline(script, daemon)
        .limit(LIMIT)
        .env("FACE", face)
        .env("PORT", port.to_string())
        .env("BYTES", load.total.to_string())
        .env("SEED", load.seed.to_string())
}

fn sends(face: &str) {
    let (daemon, load) = (Daemon::start(), Load::new());
    let (listener, port) = network::listener();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let block = directory.path().join("block");
    std::fs::write(&block, &load.block).expect("a file can be written");
    let seed = load.seed;
    let receiver = thread::spawn(move || swallow(network::accept(&listener), Some(Random(seed))));
    let running = job(SENDER, face, port, &load, &daemon).env("BLOCK", &block).start();
    let wanted = load.digest();
    let outcome = running.finish();
    let timeouts = outcome.success();
    println!("{timeouts} sends timed out and were continued");
    let got = receiver.join().expect("the receiver ends");
    assert_eq!(got, (load.total, wanted), "seed {}: {outcome}", load.seed);
}

fn receives(face: &str) {
    let (daemon, load) = (Daemon::start(), Load::new());
    let (listener, port) = network::listener();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fifo = directory.path().join("out");
    make_fifo(&fifo);
    let path = fifo.clone();
    let swallowed = thread::spawn(move || swallow(File::open(path).expect("a pipe can be opened"), None));
    let running = job(RECEIVER, face, port, &load, &daemon).env("OUT", &fifo).start();
    let mut stream = network::accept(&listener);
    let (mut hash, mut random) = (Sha256::new(), Random(load.seed));
    load.for_each(|block| {
        hash.update(block);
        // Sometimes nothing comes for longer than the receiver waits.
        if random.next().is_multiple_of(64) {
            thread::sleep(Duration::from_millis(random.next() % 300));
        }
        stream.write_all(block).expect("the receiver goes on reading");
    });
    drop(stream);
    let outcome = running.finish();
    let timeouts = outcome.success();
    println!("{timeouts} receives timed out and were continued");
    let got = swallowed.join().expect("the reader ends");
    assert_eq!(got, (load.total, hex(hash)), "seed {}: {outcome}", load.seed);
}

fn make_fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
}

#[test]
fn v1_sends() {
    sends("v1");
}

#[test]
fn v1_receives() {
    receives("v1");
}

#[test]
fn luasocket_3_sends() {
    sends("3.1");
}

#[test]
fn luasocket_3_receives() {
    receives("3.1");
}
