//! Clients that break the protocol, on a live daemon: each is answered as `PROTOCOL.md` says or disconnected, the
//! daemon holds nothing for it, and another client notices nothing.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::pipe::{bind_params, encoded, notification, request};
use luasocketd_tests::{Daemon, Interpreter, Peer, Pipe, Value, network};

/// What a daemon may grow by while it is under attack: a few frames and buffers, no more.
const MEMORY: u64 = 48 << 20;

/// A daemon under attack, with a well-behaved client that was there before.
struct Attacked {
    daemon: Daemon,
    witness: Pipe,
    baseline: usize,
    memory: u64,
}

impl Attacked {
    fn new() -> Attacked {
        let daemon = Daemon::start();
        let mut witness = Pipe::greeted(&daemon);
        assert_eq!(witness.call("sync", &[]), (Value::Nil, Value::Nil));
        let (baseline, memory) = (daemon.descriptors(), daemon.memory());
        Attacked { daemon, witness, baseline, memory }
    }

    /// The old client is still served, a new one is, and nothing is left of the attackers.
    fn survived(mut self, what: &str) {
        assert!(self.daemon.is_running(), "{what} ended the daemon");
        assert_eq!(self.witness.call("sync", &[]), (Value::Nil, Value::Nil), "after {what}");
        let grown = self.daemon.memory().saturating_sub(self.memory);
        assert!(grown < MEMORY, "{what} made the daemon grow by {grown} bytes");
        let script = r#"
            local socket = require "socket"
            local server = assert(socket.bind("127.0.0.1", 0))
            local host, port = server:getsockname()
            local client = assert(socket.connect(host, port))
            local other = assert(server:accept())
            client:send("through\n")
            print((other:receive()))
        "#;
        let outcome = Interpreter::Lua54.inline(script, &self.daemon).run();
        assert_eq!(outcome.success(), "through\n", "after {what}: {outcome}");
        self.daemon.settle_to(self.baseline, Duration::from_secs(5));
    }
}

/// Sends the bytes after a proper hello and expects to be disconnected.
fn disconnects(what: &str, bytes: &[u8]) {
    let attacked = Attacked::new();
    for greeted in [false, true] {
        let mut pipe = if greeted { Pipe::greeted(&attacked.daemon) } else { Pipe::silent(&attacked.daemon) };
        pipe.write(bytes);
        pipe.expect_end();
    }
    attacked.survived(what);
}

#[test]
fn bytes_that_are_no_messagepack() {
    disconnects("a line of HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    disconnects("the byte that MessagePack never uses", &[0xc1]);
    disconnects("that byte within a message", &[0x94, 0x00, 0x01, 0xc1]);
    disconnects("a text that is not UTF-8 as a method", &[0x94, 0x00, 0x01, 0xa2, 0xff, 0xfe, 0x90]);
}

#[test]
fn noise() {
    let attacked = Attacked::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .take(1 + round * 7)
        .collect();
        let mut pipe = Pipe::greeted(&attacked.daemon);
        pipe.write(&noise);
    }
    attacked.survived("noise");
}

#[test]
fn values_that_are_no_message() {
    disconnects("a number", &[0x05]);
    disconnects("a map", &[0x81, 0xa1, b'a', 0x01]);
    disconnects("an empty array", &[0x90]);
    disconnects("an array of five", &[0x95, 0x00, 0x01, 0xa4, b's', b'y', b'n', b'c', 0x90, 0xc0]);
    disconnects("a message of kind 3", &encoded(vec![3.into(), "sync".into(), Value::List(vec![])]));
    disconnects("a response from a client", &encoded(vec![1.into(), 1.into(), Value::Nil, Value::Nil]));
    disconnects(
        "a method that is a number",
        &encoded(vec![0.into(), 1.into(), 7.into(), Value::List(vec![])]),
    );
    disconnects(
        "an id below zero",
        &encoded(vec![0.into(), Value::Negative(-1), "sync".into(), Value::List(vec![])]),
    );
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_announced_length() {
    let data = |kind: u8, length: [u8; 4]| {
        let mut bytes = vec![0x93, 0x02, 0xa4, b'd', b'a', b't', b'a', 0x92, 0x01, kind];
        bytes.extend(length);
        bytes
    };
    disconnects("4 GiB of bytes", &data(0xc6, [0xff; 4]));
    disconnects("4 GiB of text", &data(0xdb, [0xff; 4]));
    disconnects("bytes just over the limit", &data(0xc6, 262_144_u32.to_be_bytes()));
    disconnects("an array of four thousand million", &[0xdd, 0xff, 0xff, 0xff, 0xff]);
    disconnects(
        "parameters without end",
        &[0x94, 0x00, 0x01, 0xa4, b's', b'y', b'n', b'c', 0xdd, 0xff, 0xff, 0xff, 0xff],
    );
    disconnects(
        "a map of four thousand million",
        &[0x93, 0x02, 0xa4, b'd', b'a', b't', b'a', 0xdf, 0xff, 0xff, 0xff, 0xff],
    );
    disconnects("an extension of 4 GiB", &data(0xc9, [0xff; 4]));
}

#[test]
fn a_frame_that_grows_over_the_limit_bit_by_bit() {
    let mut bytes = vec![0x94, 0x00, 0x01, 0xa4, b's', b'y', b'n', b'c', 0xdd, 0x00, 0x03, 0xff, 0xf0];
    bytes.extend([0xc0].repeat(300_000));
    disconnects("many small values", &bytes);
    disconnects("arrays in arrays", &[0x91].repeat(300_000));
    disconnects("maps in arrays", &[0x91, 0x81].repeat(150_000));
}

#[test]
fn another_version_is_refused_by_name() {
    let attacked = Attacked::new();
    let hellos: [&[Value]; 4] = [
        &[2.into(), "future".into(), "Lua 9".into()],
        &[0.into(), "past".into(), "Lua 3".into()],
        &[u64::MAX.into(), "far".into(), "Lua".into()],
        &[2.into(), "with".into(), "other".into(), "parameters".into(), true.into()],
    ];
    for params in hellos {
        let mut pipe = Pipe::silent(&attacked.daemon);
        let (failure, result) = pipe.call("hello", params);
        let [Value::Text(code), Value::Number(0), Value::Text(message)] = failure.list() else {
            panic!("no failure: {failure:?}, {result:?}");
        };
        assert_eq!(code, "version", "{message}");
        assert!(message.contains('1'), "it names the version it speaks: {message}");
        pipe.expect_end();
    }
    attacked.survived("other versions");
}

#[test]
fn a_message_before_hello() {
    let attacked = Attacked::new();
    let connect: Vec<Value> =
        vec![Value::Nil, "127.0.0.1".into(), "80".into(), "unspec".into(), 500.into(), 65536.into()];
    let messages = [
        request(1, "connect", &connect),
        request(1, "sync", &[]),
        request(1, "no-such-request", &[]),
        notification("data", &[1.into(), Value::Bytes(vec![0; 100])]),
        notification("close", &[1.into()]),
    ];
    for message in messages {
        let mut pipe = Pipe::silent(&attacked.daemon);
        assert!(pipe.write(&message));
        assert_eq!(pipe.message(), None, "closed at once, without an answer");
    }
    attacked.survived("messages before hello");
}

/// A listening socket of this client: its id.
fn listening(pipe: &mut Pipe) -> u64 {
    let (failure, result) = pipe.call("bind", &bind_params("tcp", "127.0.0.1", 0));
    assert_eq!(failure, Value::Nil);
    let socket = result.list()[0].number();
    assert_eq!(pipe.call("listen", &[socket.into(), 5.into()]).0, Value::Nil);
    socket
}

#[test]
fn a_socket_of_somebody_else() {
    let mut attacked = Attacked::new();
    let socket = listening(&mut attacked.witness);
    let mut thief = Pipe::greeted(&attacked.daemon);
    // The same slot in its own name first, then everything that names the other's socket.
    let own = listening(&mut thief);
    for stolen in [socket + (1 << 32), own + (1 << 32), own ^ (1 << 40), u64::MAX] {
        let id = || Value::from(stolen);
        let requests: [(&str, Vec<Value>); 8] = [
            ("listen", vec![id(), 1.into()]),
            ("accept", vec![id(), 100.into(), 65536.into()]),
            ("local-name", vec![id()]),
            ("peer-name", vec![id()]),
            ("shutdown", vec![id(), "both".into()]),
            ("get-option", vec![id(), "keepalive".into()]),
            ("set-option", vec![id(), "keepalive".into(), true.into()]),
            ("close", vec![id()]),
        ];
        for (method, params) in requests {
            assert_eq!(thief.refusal(method, &params), "unknown-socket", "{method} on {stolen:#x}");
        }
        for message in [
            notification("data", &[id(), Value::Bytes(b"stolen".to_vec())]),
            notification("window", &[id(), 100.into()]),
            notification("watch", &[id()]),
            notification("timeout", &[id(), 1.into(), Value::Nil]),
            notification("close", &[id()]),
        ] {
            assert!(thief.write(&message));
        }
        assert_eq!(thief.call("sync", &[]).0, Value::Nil, "notifications for {stolen:#x} are ignored");
    }
    // The very id of the other: it names the thief's own socket or none, never the other's.
    thief.write(&request(900, "close", &[socket.into()]));
    let (failure, name) = attacked.witness.call("local-name", &[socket.into()]);
    assert_eq!(failure, Value::Nil, "the owner still has it");
    let port = name.list()[2].number() as u16;
    drop(network::connect(port));
    assert_eq!(attacked.witness.call("close", &[socket.into()]).0, Value::Nil);
    drop(thief);
    attacked.survived("somebody else's socket");
}

#[test]
fn a_closed_socket_is_nobodys() {
    let attacked = Attacked::new();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    let socket = listening(&mut pipe);
    assert_eq!(pipe.call("close", &[socket.into()]).0, Value::Nil);
    let next = listening(&mut pipe);
    assert_ne!(socket, next, "an id is never used twice");
    assert_eq!(pipe.refusal("local-name", &[socket.into()]), "unknown-socket");
    assert_eq!(pipe.refusal("close", &[socket.into()]), "unknown-socket");
    assert_eq!(pipe.call("local-name", &[next.into()]).0, Value::Nil);
    drop(pipe);
    attacked.survived("a closed socket");
}

#[test]
fn unknown_requests_are_answered_and_unknown_notifications_are_not() {
    let attacked = Attacked::new();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    assert_eq!(pipe.refusal("no-such-request", &[1.into(), "x".into()]), "unknown-method");
    assert_eq!(pipe.refusal("", &[]), "unknown-method");
    assert_eq!(pipe.call("sync", &[]).0, Value::Nil, "and the client goes on");
    assert!(pipe.write(&notification("no-such-notification", &[])));
    pipe.expect_end();
    attacked.survived("unknown methods");
}

#[test]
fn parameters_of_another_shape() {
    let cases = [
        request(9, "connect", &[]),
        request(9, "connect", &[Value::Nil, 1.into(), "80".into(), "unspec".into(), 5.into(), 5.into()]),
        request(9, "listen", &["socket".into(), 5.into()]),
        notification("data", &[1.into()]),
        notification("data", &["socket".into(), Value::Bytes(vec![1])]),
        notification("window", &[1.into(), Value::Negative(-5)]),
        notification("window", &[1.into(), 1.into(), 1.into()]),
    ];
    for bytes in cases {
        let attacked = Attacked::new();
        let mut pipe = Pipe::greeted(&attacked.daemon);
        pipe.write(&bytes);
        pipe.expect_end();
        attacked.survived("parameters of another shape");
    }
}

#[test]
fn names_over_their_limits_are_unknown_names() {
    let attacked = Attacked::new();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    let (long, longer) = ("x".repeat(256), "8".repeat(65));
    for (host, port) in [(long.as_str(), "80"), ("127.0.0.1", longer.as_str()), (&"y".repeat(200_000), "80")]
    {
        let params = [Value::Nil, host.into(), port.into(), "unspec".into(), 500.into(), 65536.into()];
        assert_eq!(pipe.refusal("connect", &params), "resolve");
    }
    drop(pipe);
    attacked.survived("long names");
}

/// A connection of this client to a peer: socket and window.
fn connected(pipe: &mut Pipe, port: u16, window: u64) -> (u64, u64) {
    let params = [
        Value::Nil,
        "127.0.0.1".into(),
        port.to_string().as_str().into(),
        "unspec".into(),
        5000.into(),
        window.into(),
    ];
    let (failure, result) = pipe.call("connect", &params);
    assert_eq!(failure, Value::Nil);
    (result.list()[0].number(), result.list()[1].number())
}

#[test]
fn more_data_than_was_granted() {
    let attacked = Attacked::new();
    // A peer that reads nothing, so that no credit comes back.
    let (listener, port) = network::listener();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    let (socket, window) = connected(&mut pipe, port, 65536);
    let _silent = network::accept(&listener);
    let frame = notification("data", &[socket.into(), Value::Bytes(vec![0; 200_000])]);
    // The kernel takes some megabytes, for which the daemon grants anew; far beyond these it must have ended.
    let limit = window + (256 << 20);
    let mut sent = 0;
    while sent < limit && pipe.write(&frame) {
        sent += 200_000;
    }
    assert!(sent < limit, "the daemon took {sent} bytes, granted were {window}");
    pipe.expect_end();
    drop(pipe);
    attacked.survived("more data than granted");
}

#[test]
fn windows_beyond_all_bounds() {
    let attacked = Attacked::new();
    let peer = Peer::start();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    let (socket, _) = connected(&mut pipe, peer.port(), 67_108_864);
    for bytes in [u64::MAX, u64::MAX, 1 << 40, 67_108_864] {
        pipe.write(&notification("window", &[socket.into(), bytes.into()]));
    }
    drop(pipe);
    attacked.survived("huge windows");
}

#[test]
fn floods_without_reading() {
    let bind = bind_params("tcp", "127.0.0.1", 0);
    let lookup = ["localhost".into(), "unspec".into(), 1000.into()];
    let floods: [(&str, &[Value]); 4] =
        [("sync", &[]), ("no-such-request", &[]), ("bind", &bind), ("resolve", &lookup)];
    for (method, params) in floods {
        let attacked = Attacked::new();
        let mut pipe = Pipe::greeted(&attacked.daemon);
        pipe.limit(Duration::from_secs(2));
        let stop = Instant::now() + Duration::from_secs(20);
        let mut id = 10;
        // Until the daemon does not take any more, for a time or for good; half a million is flood enough.
        while id < 500_000 && Instant::now() < stop {
            let burst: Vec<u8> = (id..id + 100).flat_map(|id| request(id, method, params)).collect();
            if !pipe.write(&burst) {
                break;
            }
            id += 100;
        }
        let grown = attacked.daemon.memory().saturating_sub(attacked.memory);
        assert!(grown < MEMORY, "a flood of `{method}` made the daemon grow by {grown} bytes");
        // Others are served while the flood stands.
        let started = Instant::now();
        let mut other = Pipe::greeted(&attacked.daemon);
        assert_eq!(other.call("sync", &[]).0, Value::Nil);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "another client waited {:?} during a flood of `{method}`",
            started.elapsed()
        );
        drop((pipe, other));
        attacked.survived("a flood");
    }
}

#[test]
fn half_frames() {
    let attacked = Attacked::new();
    let hello = request(1, "hello", &[1.into(), "slow".into(), "none".into()]);
    let halves: Vec<Pipe> = (1..hello.len())
        .map(|cut| {
            let mut pipe = Pipe::silent(&attacked.daemon);
            assert!(pipe.write(&hello[..cut]));
            pipe
        })
        .collect();
    // Byte by byte it is a frame like any other, while all those wait.
    let mut slow = Pipe::silent(&attacked.daemon);
    for byte in &hello {
        assert!(slow.write(&[*byte]));
        thread::sleep(Duration::from_millis(2));
    }
    let answer = slow.message().expect("an answer");
    assert_eq!(answer.list()[..3], [1.into(), 1.into(), Value::Nil]);
    drop((halves, slow));
    attacked.survived("half frames");
}

#[test]
fn many_clients_that_come_and_go() {
    let attacked = Attacked::new();
    for _ in 0..20 {
        let pipes: Vec<Pipe> = (0..50).map(|_| Pipe::silent(&attacked.daemon)).collect();
        drop(pipes);
    }
    attacked.survived("clients that say nothing");
}

#[test]
fn a_peer_that_floods_a_script_which_does_not_read() {
    let attacked = Attacked::new();
    let (listener, port) = network::listener();
    let mut pipe = Pipe::greeted(&attacked.daemon);
    connected(&mut pipe, port, 65536);
    let mut stream = network::accept(&listener);
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a limit above zero is taken");
    let (block, limit) = (vec![7; 1 << 20], 256 << 20);
    let mut sent = 0;
    while sent < limit {
        match stream.write(&block) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < limit, "nobody read, and {sent} bytes were taken");
    drop(pipe);
    // The client is gone: so is its connection.
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit above zero is taken");
    let ended = stream
        .read(&mut [0])
        .map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |count| count == 0);
    assert!(ended, "the connection of a client that is gone goes on");
    attacked.survived("a flooding peer");
}
