//! Shared memory for busy pipes: the same results as through the pipe, given back when nothing moves, and nothing that a
//! hostile client can do with it hurts anybody but itself.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_protocol::{RING_SIZE, Ring, RingMemory, RingWord, SocketId, data_header};
use luasocketd_tests::pipe::{Pipe, connect_params, decode, encoded, notification, request};
use luasocketd_tests::{Daemon, Interpreter, Value, network, wait_until};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Small exchanges, large ones in both directions, and a line too long for one frame; says whether it has a ring.
const SCRIPT: &str = r#"
    local socket = require "socket"
    local function has_ring()
        for line in io.lines("/proc/self/maps") do
            if line:find("luasocketd-ring", 1, true) then return true end
        end
        return false
    end
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local near = assert(socket.connect("127.0.0.1", port))
    local far = assert(server:accept())
    for round = 1, 1500 do
        local line = (tostring(round)):rep(round % 300 + 1)
        assert(near:send(line .. "\n"))
        assert(assert(far:receive("*l")) == line)
        assert(far:send(line))
        assert(assert(near:receive(#line)) == line)
    end
    local function exchange(from, to, size)
        local data = ("0123456789abcdef"):rep(size / 16)
        local pieces, sent, come = {}, 0, 0
        from:settimeout(0)
        to:settimeout(0)
        while come < size do
            if sent < size then
                local last, _, partial = from:send(data, sent + 1)
                sent = last or partial
            end
            local piece, _, partial = to:receive(size - come)
            piece = piece or partial
            if #piece > 0 then
                pieces[#pieces + 1] = piece
                come = come + #piece
            end
        end
        from:settimeout()
        to:settimeout()
        assert(table.concat(pieces) == data)
    end
    for _, size in ipairs({16, 4096, 65536, 1048576, 16 * 300001}) do
        exchange(near, far, size)
        exchange(far, near, size)
    end
    print(has_ring())
    if os.getenv("PAUSE") then
        socket.sleep(tonumber(os.getenv("PAUSE")))
        assert(near:send("x"))
        assert(far:receive(1) == "x")
        print(has_ring())
        for round = 1, 1500 do
            assert(near:send("y"))
            assert(far:receive(1) == "y")
        end
        exchange(near, far, 1048576)
        print(has_ring())
    end
    assert(near:send(("z"):rep(10000)))
    near:close()
    assert(assert(far:receive("*a")) == ("z"):rep(10000))
"#;

/// What the script says, with so many seconds of silence in its middle.
fn run(interpreter: Interpreter, daemon: &Daemon, pause: Option<u32>) -> String {
    let mut job = interpreter.inline(SCRIPT, daemon);
    if let Some(pause) = pause {
        job = job.env("PAUSE", pause.to_string());
    }
    job.limit(Duration::from_secs(120)).run().success()
}

#[test]
fn every_version_says_the_same_with_a_ring_and_without() {
    for options in [&[][..], &["--no-rings"], &["--spin", "0"]] {
        let daemon = Daemon::with_args(&[&["--allow", "*"][..], options].concat());
        for interpreter in Interpreter::ALL {
            let said = run(interpreter, &daemon, None);
            let expected = !options.contains(&"--no-rings");
            assert_eq!(said.trim(), expected.to_string(), "{} {options:?}", interpreter.name());
        }
    }
}

#[test]
fn a_ring_is_given_back_when_nothing_moves_and_comes_again() {
    let daemon = Daemon::start();
    let said = run(Interpreter::Lua54, &daemon, Some(21));
    assert_eq!(said.lines().collect::<Vec<_>>(), ["true", "false", "true"]);
}

/// A client with a ring, of which it has told the daemon nothing yet.
struct Client {
    pipe: Pipe,
    ring: Ring,
}

impl Client {
    fn new(daemon: &Daemon) -> Client {
        let stream = daemon.pipe();
        let mut own = stream.try_clone().unwrap();
        let mut pipe = Pipe::over(stream);
        assert_eq!(pipe.hello("ring"), None);
        own.write_all(&request(1000, "ring", &[])).unwrap();
        let (answer, file) = receive(&own);
        assert!(answer.len() < 100, "{answer:?}");
        let ring = Ring::open(file.expect("the answer brings a descriptor")).unwrap();
        Client { pipe, ring }
    }

    /// A client that has begun to use its ring, and a connection that it has.
    fn connected(daemon: &Daemon, port: u16) -> (Client, u64) {
        let mut client = Client::new(daemon);
        let (failure, result) = client.pipe.call("connect", &connect_params(port));
        assert_eq!(failure, Value::Nil);
        let socket = result.list()[0].number();
        assert!(client.pipe.write(&notification("ring-begin", &[])));
        let begun = Value::List(vec![2.into(), "ring-begin".into(), Value::List(vec![])]);
        while client.pipe.message().expect("the daemon begins, too") != begun {}
        (client, socket)
    }

    /// Writes through the ring, and wakes the daemon whether it sleeps or not.
    fn write(&mut self, bytes: &[u8]) {
        let mut written = 0;
        let until = Instant::now() + Duration::from_secs(10);
        while written < bytes.len() {
            assert!(Instant::now() < until, "the daemon takes nothing out of the ring");
            written += self.ring.sender.write(&[&bytes[written..]]).unwrap();
            self.pipe.write(&notification("ring-wake", &[]));
        }
    }
}

fn receive(stream: &UnixStream) -> (Vec<u8>, Option<OwnedFd>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.last(),
        _ => None,
    });
    let file = files.last();
    (bytes[..received.bytes].to_vec(), file)
}

fn data(socket: u64, bytes: &[u8]) -> Vec<u8> {
    notification("data", &[socket.into(), Value::Bytes(bytes.to_vec())])
}

#[test]
fn what_was_written_to_a_ring_arrives_although_its_client_has_gone() {
    let daemon = Daemon::start();
    let (listener, port) = network::listener();
    let (mut client, socket) = Client::connected(&daemon, port);
    let mut peer = network::accept(&listener);
    // Small and large, in both spellings of a frame, within the first grant.
    let mut expected = Vec::new();
    for size in [1usize, 100, 5000, 20_000, 7, 30_000] {
        let bytes = vec![size as u8; size];
        let frame = match size % 2 {
            0 => [&data_header(SocketId(socket), size as u32), &bytes[..]].concat(),
            _ => data(socket, &bytes),
        };
        client.write(&frame);
        expected.extend(bytes);
    }
    drop(client);
    let mut come = Vec::new();
    peer.read_to_end(&mut come).expect("the stream ends without a reset");
    assert_eq!(come, expected);
}

/// What a client does, given itself and its connection.
type Offence = fn(&mut Client, u64);

#[test]
fn a_client_that_breaks_the_rules_of_its_ring_is_let_go_and_nobody_else_notices() {
    let daemon = Daemon::start();
    let (listener, port) = network::listener();
    let mut polite = Pipe::greeted(&daemon);
    let offences: [(&str, Offence); 8] = [
        ("begins twice", |client, _| client.write(&notification("ring-begin", &[]))),
        ("ends what nobody wants back", |client, _| client.write(&notification("ring-end", &[]))),
        ("speaks beside its ring", |client, _| {
            client.pipe.write(&request(7, "sync", &[]));
        }),
        ("writes what is no frame", |client, _| client.write(&[0xc1; 64])),
        ("announces too much", |client, _| client.write(&[0x93, 2, 0xc6, 0xff, 0xff, 0xff, 0xff])),
        ("sends more than was granted", |client, socket| {
            // In one frame: between two the daemon may grant more.
            client.write(&data(socket, &[0; 200_000]));
        }),
        ("has written more than fits", |client, _| {
            client.ring.sender.memory().word(RingWord::Written).store(RING_SIZE + 1, Ordering::Release);
            client.pipe.write(&notification("ring-wake", &[]));
        }),
        ("has read what was never written", |client, _| {
            let mark = client.ring.receiver.memory().word(RingWord::Read);
            mark.store(1 << 31, Ordering::Release);
        }),
    ];
    for (what, act) in offences {
        let (mut client, socket) = Client::connected(&daemon, port);
        let mut peer = network::accept(&listener);
        act(&mut client, socket);
        // What comes from the network is written to the ring, too.
        peer.write_all(b"x").unwrap();
        println!("a client that {what}");
        client.pipe.expect_end();
        assert_eq!(polite.failure("sync", &[]), None, "after one that {what}");
    }
    // Without a ring there is nothing to begin or to end.
    for method in ["ring-begin", "ring-end"] {
        let mut client = Pipe::greeted(&daemon);
        client.write(&notification(method, &[]));
        client.limit(Duration::from_secs(5));
        client.expect_end();
    }
    assert_eq!(polite.failure("sync", &[]), None);
}

#[test]
fn a_ring_that_is_never_read_holds_no_more_than_its_size() {
    let daemon = Daemon::start();
    let (listener, port) = network::listener();
    let (mut client, socket) = Client::connected(&daemon, port);
    let mut peer = network::accept(&listener);
    let sender = thread::spawn(move || {
        peer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        while peer.write_all(&[7; 65536]).is_ok() {}
    });
    let before = daemon.memory();
    for _ in 0..4 {
        client.write(&notification("window", &[socket.into(), (8u64 << 20).into()]));
    }
    thread::sleep(Duration::from_secs(1));
    // The ring itself is shared memory and counts, too; what is queued besides it is bounded as for a pipe.
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    drop(client);
    sender.join().unwrap();
}

#[test]
fn memory_of_rings_goes_with_their_clients() {
    let daemon = Daemon::start();
    let clients: Vec<Client> = (0..20).map(|_| Client::new(&daemon)).collect();
    assert_eq!(rings(&daemon), 20);
    drop(clients);
    wait_until("the memory of rings is gone", Duration::from_secs(5), || rings(&daemon) == 0);
}

/// How many rings a daemon has.
fn rings(daemon: &Daemon) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
    maps.lines().filter(|line| line.contains("luasocketd-ring")).count()
}

#[test]
fn a_client_without_its_pipe_goes_although_it_never_stops_writing() {
    let daemon = Daemon::start();
    let (_listener, port) = network::listener();
    let (Client { pipe, mut ring }, _) = Client::connected(&daemon, port);
    assert_eq!(rings(&daemon), 1);
    drop(pipe);
    // What it had written by then is taken; there would always be more.
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let call = request(7, "sync", &[]);
            let mut left = call.as_slice();
            while !done.load(Ordering::Relaxed) {
                let written = ring.sender.write(&[left]).unwrap();
                left = if written == left.len() { &call } else { &left[written..] };
            }
        });
        let until = Instant::now() + Duration::from_secs(5);
        while rings(&daemon) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(rings(&daemon), 0, "the daemon goes on with a client that has no pipe");
}

#[test]
fn frames_keep_their_order_when_a_ring_ends_before_it_could_begin() {
    let daemon = Daemon::start();
    let (listener, port) = network::listener();
    let mut client = Client::new(&daemon);
    let (failure, result) = client.pipe.call("connect", &connect_params(port));
    assert_eq!(failure, Value::Nil);
    let socket: Value = result.list()[0].clone();
    let mut peer = network::accept(&listener);
    thread::spawn(move || {
        // Each number once, so that every byte shows its place.
        let mut numbers = (0u32..).map(u32::to_be_bytes);
        while peer.write_all(&numbers.by_ref().take(1024).flatten().collect::<Vec<u8>>()).is_ok() {}
    });
    // Nobody reads the pipe: what is for it waits, and with it the word that the ring begins.
    assert!(client.pipe.write(&notification("window", &[socket.clone(), (16u64 << 20).into()])));
    thread::sleep(Duration::from_secs(1));
    assert!(client.pipe.write(&notification("ring-begin", &[])));
    // Nothing moves, so that the ring is wanted back.
    thread::sleep(Duration::from_secs(12));
    let mut come = Vec::new();
    let mut keep = |message: &Value| {
        let [_, method, params] = message.list() else { panic!("{message:?}") };
        if let (Value::Text(method), Value::Bytes(bytes)) =
            (method, &params.list().get(1).unwrap_or(&Value::Nil))
            && method == "data"
        {
            come.extend_from_slice(bytes);
        }
        matches!(method, Value::Text(method) if method == "ring-begin" || method == "ring-end")
    };
    while !keep(&client.pipe.message().expect("the daemon goes on")) {}
    let (mut bytes, mut buffer, until) =
        (Vec::new(), vec![0; 65536], Instant::now() + Duration::from_secs(10));
    'ring: loop {
        assert!(Instant::now() < until, "the ring has no end");
        let length = client.ring.receiver.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..length]);
        assert!(client.pipe.write(&notification("ring-wake", &[])));
        let mut rest = bytes.as_slice();
        while let Some(message) = decode(&mut rest) {
            if keep(&message) {
                break 'ring;
            }
        }
        bytes = rest.to_vec();
    }
    client.write(&notification("ring-end", &[]));
    for _ in 0..20 {
        keep(&client.pipe.message().expect("the daemon goes on"));
    }
    let expected: Vec<u8> = (0u32..).flat_map(u32::to_be_bytes).take(come.len()).collect();
    assert!(come == expected, "{} bytes are not those that were sent", come.len());
}

/// A daemon that gives a ring and then never stops writing to it, for a socket that nobody has.
fn flood(listener: UnixListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut ring, file) = Ring::create().unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65536]);
    let address = || Value::List(vec!["inet".into(), "127.0.0.1".into(), 9.into()]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the script ends before it has a ring");
        bytes.extend_from_slice(&buffer[..count]);
        let mut rest = bytes.as_slice();
        while let Some(message) = decode(&mut rest) {
            let answer = |result| encoded(vec![1.into(), message.list()[1].clone(), Value::Nil, result]);
            let [.., Value::Text(method), _] = message.list() else { panic!("{message:?}") };
            match method.as_str() {
                "hello" => stream.write_all(&answer(Value::List(vec![1.into(), "flood".into()]))).unwrap(),
                "connect" => {
                    let endpoint = vec![1.into(), (1u64 << 20).into(), address(), address()];
                    stream.write_all(&answer(Value::List(endpoint))).unwrap();
                }
                "ring" => hand_over(&stream, &answer(Value::List(vec![0.into()])), &file),
                "sync" => stream.write_all(&answer(Value::Nil)).unwrap(),
                "ring-begin" => {
                    stream.write_all(&notification("ring-begin", &[])).unwrap();
                    let frame = [&data_header(SocketId(77), 4096)[..], &[0; 4096]].concat();
                    // Until the script's own time is over, and its pipe with it.
                    let mut left = frame.as_slice();
                    while !is_ended(&stream) {
                        for _ in 0..1000 {
                            let written = ring.sender.write(&[left]).unwrap();
                            left = if written == left.len() { &frame } else { &left[written..] };
                        }
                    }
                    return;
                }
                _ => {}
            }
        }
        bytes = rest.to_vec();
    }
}

fn hand_over(stream: &UnixStream, bytes: &[u8], file: &OwnedFd) {
    let (files, mut space) = ([file.as_fd()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn is_ended(stream: &UnixStream) -> bool {
    let mut byte = [0];
    let looked = rustix::net::recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(looked, Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET))
}

#[test]
fn a_daemon_that_never_stops_writing_holds_no_call_beyond_its_time() {
    let script = r#"
        local socket = require "socket"
        local connection = assert(socket.connect("127.0.0.1", 9))
        for _ = 1, 600 do assert(connection:send("x")) end
        connection:settimeout(0.3)
        -- The first of them ask for the ring and begin it.
        for _ = 1, 5 do
            local began = socket.gettime()
            local _, err = connection:receive(1)
            print(err, socket.gettime() - began < 2)
        end
    "#;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("daemon.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = thread::spawn(move || flood(listener));
    let job = Interpreter::Lua54.inline_without_daemon(script).env("LUASOCKETD_SOCKET", &socket);
    let said = job.limit(Duration::from_secs(30)).run().success();
    daemon.join().unwrap();
    assert_eq!(said, "timeout\ttrue\n".repeat(5));
}
