//! Corners that a review found a daemon can trip in, each driven over the bare pipe: sockets that end at an
//! awkward moment, calls that cross each other, and messages that only look well-formed.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_tests::network::{self, RefusedPort, SilentPort};
use luasocketd_tests::pipe::{bind_params, notification, request};
use luasocketd_tests::{Daemon, Pipe, Value};
use rustix::process::Signal;
use socket2::{Domain, SockRef, Socket, Type};

/// The longest that a live daemon may keep anybody waiting here.
const PROMPT: Duration = Duration::from_secs(2);

/// A pause in which bytes on loopback, or a message on the pipe, have surely arrived.
const SETTLE: Duration = Duration::from_millis(200);

/// A client that keeps what the daemon tells it between the answers.
struct Client {
    pipe: Pipe,
    next_id: u64,
    news: VecDeque<(String, Vec<Value>)>,
}

impl Client {
    fn new(daemon: &Daemon) -> Client {
        let mut pipe = Pipe::greeted(daemon);
        pipe.limit(Duration::from_secs(10));
        Client { pipe, next_id: 1000, news: VecDeque::new() }
    }

    /// A number that no request had.
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn notify(&mut self, method: &str, params: &[Value]) {
        assert!(self.pipe.write(&notification(method, params)), "the daemon takes `{method}`");
    }

    fn data(&mut self, socket: u64, bytes: &[u8]) {
        self.notify("data", &[socket.into(), Value::Bytes(bytes.to_vec())]);
    }

    /// Sends a request and waits for its failure and result; what else comes is kept.
    fn call(&mut self, method: &str, params: &[Value]) -> (Value, Value) {
        let id = self.id();
        assert!(self.pipe.write(&request(id, method, params)), "the daemon takes `{method}`");
        loop {
            let (answered, failure, result) = self.answer();
            if answered == id {
                return (failure, result);
            }
        }
    }

    /// The result of a request that succeeds.
    fn result(&mut self, method: &str, params: &[Value]) -> Value {
        let (failure, result) = self.call(method, params);
        assert_eq!(failure, Value::Nil, "{method}");
        result
    }

    /// The next answer: id, failure and result.
    fn answer(&mut self) -> (u64, Value, Value) {
        loop {
            let message = self.pipe.message().expect("the daemon keeps the pipe open");
            match message.list() {
                [Value::Number(1), id, failure, result] => {
                    return (id.number(), failure.clone(), result.clone());
                }
                _ => self.keep(&message),
            }
        }
    }

    /// The next notification; panics if none comes before the pipe's limit.
    fn news(&mut self) -> (String, Vec<Value>) {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            let message = self.pipe.message().expect("the daemon keeps the pipe open");
            self.keep(&message);
        }
    }

    fn keep(&mut self, message: &Value) {
        match message.list() {
            [Value::Number(2), Value::Text(method), params] => {
                self.news.push_back((method.clone(), params.list().to_vec()));
            }
            other => panic!("no notification: {other:?}"),
        }
    }

    /// A new connection to a port of this machine: socket and credit for sending.
    fn connected(&mut self, port: u16, window: u64) -> (u64, u64) {
        let connection = self.result("connect", &connect_params(Value::Nil, port, 5000.into(), window));
        (connection.list()[0].number(), connection.list()[1].number())
    }

    /// A TCP socket that is neither bound nor connected.
    fn opened(&mut self) -> u64 {
        self.result("open", &["tcp".into(), "inet".into(), 0.into()]).number()
    }

    /// Sends as many bytes as credit comes for, until all are sent: how many are left of the credit.
    fn send_under_credit(&mut self, socket: u64, mut credit: u64, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(credit as usize).min(200_000));
            if !now.is_empty() {
                self.data(socket, now);
                credit -= now.len() as u64;
                rest = later;
                continue;
            }
            match self.news() {
                (method, params) if method == "window" && params[0].number() == socket => {
                    credit += params[1].number();
                }
                (method, params) => panic!("{method} while sending: {params:?}"),
            }
        }
    }

    /// Sends to a peer that does not read until no more credit comes, so that the daemon holds some: how much.
    fn send_all_credit(&mut self, socket: u64, mut credit: u64) -> u64 {
        let mut sent = 0;
        while credit > 0 {
            let now = credit.min(200_000);
            self.data(socket, &vec![b'x'; now as usize]);
            (credit, sent) = (credit - now, sent + now);
            if credit == 0 {
                thread::sleep(SETTLE);
                self.result("sync", &[]);
                for (method, params) in self.news.drain(..) {
                    assert_eq!((method.as_str(), params[0].number()), ("window", socket), "{params:?}");
                    credit += params[1].number();
                }
            }
        }
        sent
    }

    /// Waits for `broken` about this socket, whatever comes before.
    fn expect_broken(&mut self, socket: u64, limit: Duration) -> Value {
        let started = Instant::now();
        self.pipe.limit(limit);
        loop {
            let (method, params) = self.news();
            assert!(started.elapsed() < limit, "no `broken` within {limit:?}");
            if method == "broken" && params[0].number() == socket {
                return params[1].clone();
            }
        }
    }
}

/// The parameters of a `connect` to a port of this machine.
fn connect_params(socket: Value, port: u16, timeout: Value, window: u64) -> [Value; 6] {
    let port = Value::Text(port.to_string());
    [socket, "127.0.0.1".into(), port, "inet".into(), timeout, window.into()]
}

/// A listener whose connections have a receive buffer of about this size.
fn listener_with_buffer(bytes: usize) -> (TcpListener, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    socket.set_recv_buffer_size(bytes).expect("the size of a buffer can be set");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port can be bound");
    socket.listen(16).expect("a bound socket can listen");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("a bound socket has a name").port();
    (listener, port)
}

/// `sync` of a client, which must not take long.
fn prompt_sync(client: &mut Client, when: &str) {
    let started = Instant::now();
    assert_eq!(client.call("sync", &[]), (Value::Nil, Value::Nil), "{when}");
    let took = started.elapsed();
    assert!(took < PROMPT, "another client waited {took:?} {when}");
}

/// Closes the connection so that its peer gets a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger can be set");
}

/// A script's `linger` never holds up the daemon: after `close` of a connection that holds bytes for a peer which
/// does not read, others are served at once, also at the moment at which the last byte goes to the kernel; and
/// everything arrives.
#[test]
fn a_lingering_close_with_bytes_held_stops_nobody() {
    let daemon = Daemon::start();
    let (mut client, mut other) = (Client::new(&daemon), Client::new(&daemon));
    let (listener, port) = listener_with_buffer(16384);
    let (socket, credit) = client.connected(port, 65536);
    let mut peer = network::accept(&listener);
    let id = || Value::from(socket);
    // The kernel keeps more than the peer's buffer can take: when the daemon has nothing left, the kernel has.
    client.result("set-option", &[id(), "send-buffer-size".into(), 100_000.into()]);
    client.result("set-option", &[id(), "linger".into(), Value::List(vec![true.into(), 8.into()])]);
    let sent = client.send_all_credit(socket, credit);
    let descriptors = daemon.descriptors();
    client.notify("close", &[id()]);
    thread::sleep(SETTLE);
    prompt_sync(&mut other, "after the close");
    assert_eq!(daemon.descriptors(), descriptors, "the daemon still has something to deliver");

    peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let (mut buffer, mut received) = (vec![0; 16384], 0);
    loop {
        let count = peer.read(&mut buffer).expect("the peer sees no reset");
        if count == 0 {
            break;
        }
        received += count as u64;
        prompt_sync(&mut other, "while the rest was delivered");
    }
    assert_eq!(received, sent, "all that was accepted arrives");
}

/// The same where the daemon has given everything to the kernel already and only the peer's reading is awaited.
#[test]
fn a_lingering_close_with_nothing_held_stops_nobody() {
    let daemon = Daemon::start();
    let (mut client, mut other) = (Client::new(&daemon), Client::new(&daemon));
    let (listener, port) = listener_with_buffer(4096);
    let (socket, _) = client.connected(port, 65536);
    let mut peer = network::accept(&listener);
    let id = || Value::from(socket);
    // The kernel takes everything, the peer's buffer but a part of it.
    client.result("set-option", &[id(), "send-buffer-size".into(), 200_000.into()]);
    client.result("set-option", &[id(), "linger".into(), Value::List(vec![true.into(), 8.into()])]);
    client.data(socket, &[b'x'; 30_000]);
    client.result("sync", &[]);
    thread::sleep(SETTLE);
    client.notify("close", &[id()]);
    thread::sleep(SETTLE);
    prompt_sync(&mut other, "after the close");

    peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("the peer sees no reset");
    assert_eq!(received.len(), 30_000, "all that was accepted arrives");
}

/// The number of an unanswered request may not be used again, not even by a request that nobody knows: an answer
/// to it would pass for the other's. Whoever does it is disconnected, alone.
#[test]
fn an_unknown_method_with_the_number_of_an_unanswered_request_disconnects() {
    let daemon = Daemon::start();
    let (mut client, mut other) = (Client::new(&daemon), Client::new(&daemon));
    let socket = client.result("bind", &bind_params("tcp", "127.0.0.1", 0)).list()[0].clone();
    client.result("listen", &[socket.clone(), 5.into()]);
    let mut twice = request(77, "accept", &[socket, Value::Nil, 1.into()]);
    twice.extend(request(77, "no-such-request", &[]));
    assert!(client.pipe.write(&twice));
    client.pipe.limit(Duration::from_secs(3));
    client.pipe.expect_end();
    prompt_sync(&mut other, "after a number was used twice");
}

/// A connection whose client has no receive credit left and which its peer has filled: where it is not read any
/// more, a reset has to show otherwise. First with bytes of the client's still held by the daemon.
#[test]
fn a_reset_without_receive_credit_is_reported_to_who_waits_for_credit() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon);
    let (listener, port) = listener_with_buffer(4096);
    let (socket, credit) = client.connected(port, 10);
    let mut peer = network::accept(&listener);
    client.result("set-option", &[socket.into(), "send-buffer-size".into(), 4096.into()]);
    peer.write_all(&[b'y'; 50_000]).expect("the kernel takes so little");
    client.data(socket, &vec![b'z'; credit as usize]);
    client.result("sync", &[]);
    thread::sleep(SETTLE);
    reset(peer);
    let failure = client.expect_broken(socket, Duration::from_secs(3));
    assert_eq!(failure.list()[0], "closed".into(), "{failure:?}");
}

/// The same with nothing held at the reset: the client sends on, and the first bytes that fail say so.
#[test]
fn a_reset_without_receive_credit_is_reported_to_who_sends_on() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon);
    let (listener, port) = network::listener();
    let (socket, _) = client.connected(port, 10);
    let mut peer = network::accept(&listener);
    peer.write_all(&[b'y'; 50_000]).expect("the kernel takes so little");
    thread::sleep(SETTLE);
    reset(peer);
    for _ in 0..10 {
        client.data(socket, b"z");
        thread::sleep(Duration::from_millis(50));
    }
    let failure = client.expect_broken(socket, Duration::from_millis(2500));
    assert_eq!(failure.list()[0], "closed".into(), "{failure:?}");
}

/// Three bytes, an urgent one, three bytes.
fn send_with_urgent_byte(peer: &mut TcpStream) {
    peer.set_nodelay(true).expect("nodelay can be set");
    peer.write_all(b"aaa").expect("the kernel takes so little");
    assert_eq!(SockRef::from(&*peer).send_out_of_band(b"!").expect("an urgent byte can be sent"), 1);
    peer.write_all(b"bbb").expect("the kernel takes so little");
    thread::sleep(SETTLE);
}

/// Waits until six bytes have come, without anything more from the peer.
fn expect_both_sides_of_the_mark(client: &mut Client) {
    client.pipe.limit(Duration::from_secs(3));
    let mut received = Vec::new();
    while received.len() < 6 {
        match client.news() {
            (method, params) if method == "data" => match &params[1] {
                Value::Bytes(bytes) => received.extend(bytes),
                other => panic!("no bytes: {other:?}"),
            },
            (method, params) => panic!("{method} instead of the bytes: {params:?}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&received), "aaabbb");
}

/// A read stops at an urgent byte. What is behind it arrives nevertheless, without a further byte, also where all of
/// it was there at the one moment at which the daemon woke, so that no second event tells of it.
#[test]
fn bytes_behind_urgent_data_arrive() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon);
    let (listener, port) = network::listener();
    client.connected(port, 65536);
    let mut peer = network::accept(&listener);
    thread::sleep(SETTLE);
    daemon.signal(Signal::STOP);
    thread::sleep(SETTLE);
    send_with_urgent_byte(&mut peer);
    daemon.signal(Signal::CONT);
    expect_both_sides_of_the_mark(&mut client);
}

/// Reading a socket's pending error clears it; doing so while it connects must not take the end of the `connect`
/// away: each one is answered with the refusal.
#[test]
fn reading_the_error_does_not_swallow_a_refusal() {
    let (daemon, refused) = (Daemon::start(), RefusedPort::take());
    let mut client = Client::new(&daemon);
    client.pipe.limit(Duration::from_secs(3));
    for round in 0..50 {
        let socket = client.opened();
        let connect = client.id();
        let params = connect_params(socket.into(), refused.number(), Value::Nil, 0);
        let mut bytes = request(connect, "connect", &params);
        for _ in 0..20 {
            let id = client.id();
            bytes.extend(request(id, "get-option", &[socket.into(), "error".into()]));
        }
        assert!(client.pipe.write(&bytes));
        for _ in 0..21 {
            let (id, failure, result) = client.answer();
            if id == connect {
                let failure = failure.list();
                assert_eq!(failure[..2], ["os".into(), 111.into()], "round {round}: {failure:?}");
            } else {
                assert_eq!(failure, Value::Nil, "round {round}: the error is readable");
                result.number();
            }
        }
        client.notify("close", &[socket.into()]);
    }
}

/// Connects a socket of the client's own to a live port at once, and checks that it is the one.
fn connects_at_once(client: &mut Client, socket: u64, what: &str) {
    let (listener, port) = network::listener();
    let started = Instant::now();
    let params = connect_params(socket.into(), port, 5000.into(), 65536);
    let (failure, connection) = client.call("connect", &params);
    let took = started.elapsed();
    assert_eq!(failure, Value::Nil, "after {what}");
    assert!(took < PROMPT, "after {what} it took {took:?}");
    let connection = connection.list();
    assert_eq!(connection[0].number(), socket, "after {what}: the same socket");
    assert_eq!(connection[3].list()[2].number(), u64::from(port), "after {what}: the peer asked for");
    assert_eq!(client.result("peer-name", &[socket.into()]), connection[3], "after {what}");

    let mut peer = network::accept_within(&listener, PROMPT).expect("the connection is at the live port");
    client.data(socket, b"through");
    let mut bytes = [0; 7];
    peer.set_read_timeout(Some(PROMPT)).expect("a limit above zero is taken");
    peer.read_exact(&mut bytes).expect("the bytes arrive");
    assert_eq!(&bytes, b"through", "after {what}");
}

/// A failed `connect` leaves the socket usable, as PROTOCOL.md says: the next one works at the first try.
#[test]
fn a_socket_that_was_refused_connects_elsewhere_at_once() {
    let (daemon, refused) = (Daemon::start(), RefusedPort::take());
    let mut client = Client::new(&daemon);
    let socket = client.opened();
    let params = connect_params(socket.into(), refused.number(), 2000.into(), 65536);
    let (failure, _) = client.call("connect", &params);
    assert_eq!(failure.list()[..2], ["os".into(), 111.into()]);
    connects_at_once(&mut client, socket, "a refusal");
}

/// So does one that ran out of time: its attempt is given up and stands neither in the way of the next `connect`
/// nor in its place.
#[test]
fn a_socket_that_ran_out_of_time_connects_elsewhere_at_once() {
    let (daemon, silent) = (Daemon::start(), SilentPort::take());
    let mut client = Client::new(&daemon);
    let socket = client.opened();
    let params = connect_params(socket.into(), silent.number(), 200.into(), 65536);
    let (failure, _) = client.call("connect", &params);
    assert_eq!(failure.list()[0], "timeout".into(), "{failure:?}");
    connects_at_once(&mut client, socket, "a timeout");
}

/// Bytes that a peer sent and nobody read must not turn a `close` into a reset, which would take back what the
/// peer was promised: everything accepted before arrives, and then an orderly end.
#[test]
fn a_close_with_unread_bytes_delivers_what_was_accepted() {
    const ACCEPTED: usize = 200_000;
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon);
    let (listener, port) = network::listener();
    let (socket, credit) = client.connected(port, 0);
    let mut peer = network::accept(&listener);
    peer.set_nonblocking(true).expect("a stream can be non-blocking");
    let (block, mut unread) = ([b'u'; 65536], 0);
    while unread < 2_000_000 {
        match peer.write(&block) {
            Ok(count) => unread += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("cannot send: {error}"),
        }
    }
    client.send_under_credit(socket, credit, &[b'z'; ACCEPTED]);
    client.notify("close", &[socket.into()]);
    thread::sleep(Duration::from_millis(500));

    peer.set_nonblocking(false).expect("a stream can be blocking");
    peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero is taken");
    let mut received = Vec::new();
    let end = peer.read_to_end(&mut received);
    assert_eq!(received.len(), ACCEPTED, "with {unread} bytes unread it ended with {end:?}");
    end.expect("an orderly end");
}

/// `params` is an array; a map with the right names in it is a message of another shape and disconnects.
#[test]
fn parameters_as_a_map_disconnect() {
    let daemon = Daemon::start();
    let mut other = Client::new(&daemon);
    let cases: [(&str, &[u8]); 3] = [
        ("a request", b"\x94\x00\x05\xaalocal-name\x81\xa6socket\x01"),
        ("a notification", b"\x93\x02\xa5close\x81\xa6socket\x01"),
        ("a request without parameters", b"\x94\x00\x05\xa4sync\x80"),
    ];
    for (what, bytes) in cases {
        let mut client = Client::new(&daemon);
        client.pipe.limit(Duration::from_secs(3));
        assert!(client.pipe.write(bytes), "{what}");
        assert_eq!(client.pipe.message(), None, "{what} with a map is not answered");
        prompt_sync(&mut other, "after parameters as a map");
    }
}
