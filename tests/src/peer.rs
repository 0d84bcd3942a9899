//! A peer on the network that does what its client tells it: the first line of a connection is the order.
//!
//! | order | what the peer does |
//! |---|---|
//! | `echo` | sends everything back until its client's end, then closes |
//! | `say TEXT` | sends the text (`\r \n \0 \\` escaped), then closes |
//! | `hold TEXT` | sends the text and keeps the connection open |
//! | `drip COUNT MS` | waits and sends one `x`, so many times, and keeps the connection open |
//! | `reset TEXT` | sends the text, and resets the connection once its client has answered with a byte |
//! | `tally MS` | reads nothing for so long, then reads until 700 ms pass in silence, and sends the count as a line |
//! | `dial PORT MS` | after so long, connects to the port, says `hello` in a line there and closes |

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::network::{self, PATIENCE};

/// A running peer; its threads end with their connections.
pub struct Peer {
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl Peer {
    /// A script that holds a connection to it, says so, and then what has become of it when it ends.
    pub fn holder(&self) -> String {
        format!(
            r#"
            local socket = require "socket"
            local held = assert(socket.connect("127.0.0.1", {}))
            held:send("hold x\n")
            print((held:receive(1))) io.stdout:flush()
            print((select(2, held:receive())))
            "#,
            self.port
        )
    }

    /// Starts one on a free port.
    pub fn start() -> Peer {
        let (listener, port) = network::listener();
        // Small on purpose: a sender shall be held up soon.
        SockRef::from(&listener).set_recv_buffer_size(65536).expect("a buffer size can be set");
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                if let Some(stream) = network::accept_within(&listener, Duration::from_millis(200)) {
                    thread::spawn(move || serve(stream));
                }
            }
        });
        Peer { port, stopped }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Carries out one order. A client that goes away early is no fault of the peer's.
fn serve(mut stream: TcpStream) {
    let Ok(order) = order(&mut stream) else { return };
    let (verb, rest) = order.split_once(' ').unwrap_or((&order, ""));
    let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
    let done = match (verb, numbers.as_slice()) {
        ("echo", _) => echo(&mut stream),
        ("say", _) => stream.write_all(&unescaped(rest)),
        ("hold", _) => stream.write_all(&unescaped(rest)).and_then(|()| wait_for_end(&mut stream)),
        ("drip", &[count, ms]) => drip(&mut stream, count, ms),
        ("reset", _) => reset(stream, &unescaped(rest)),
        ("tally", &[ms]) => tally(&mut stream, ms),
        ("dial", &[port, ms]) => dial(port, ms),
        _ => stream.write_all(format!("no such order: {order}\n").as_bytes()),
    };
    drop(done);
}

fn order(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        line.push(byte[0]);
    }
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn drip(stream: &mut TcpStream, count: u64, ms: u64) -> std::io::Result<()> {
    for _ in 0..count {
        thread::sleep(Duration::from_millis(ms));
        stream.write_all(b"x")?;
    }
    wait_for_end(stream)
}

fn reset(mut stream: TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text)?;
    stream.read_exact(&mut [0])?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

fn tally(stream: &mut TcpStream, ms: u64) -> std::io::Result<()> {
    thread::sleep(Duration::from_millis(ms));
    stream.set_read_timeout(Some(Duration::from_millis(700)))?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{total}\n").as_bytes())?;
    wait_for_end(stream)
}

fn dial(port: u64, ms: u64) -> std::io::Result<()> {
    thread::sleep(Duration::from_millis(ms));
    network::connect(port as u16).write_all(b"hello\n")
}

fn wait_for_end(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escape = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escape {
            None => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(other) => other,
        });
    }
    bytes
}
