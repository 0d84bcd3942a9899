//! Datagrams and local sockets on the bare pipe, as anybody could speak it.

use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use luasocketd_tests::pipe::{bind_params, notification, request};
use luasocketd_tests::{Daemon, Pipe, PolicyFile, Value, wait_until};

/// Credit enough for a few of the largest datagrams.
const WINDOW: u64 = 512 * 1024;

/// What a datagram costs of the credit besides its bytes.
const OVERHEAD: u64 = 64;

fn opened(pipe: &mut Pipe, kind: &str, family: &str, window: u64) -> u64 {
    result(pipe, "open", &[kind.into(), family.into(), window.into()]).number()
}

fn result(pipe: &mut Pipe, method: &str, params: &[Value]) -> Value {
    let (failure, result) = pipe.call(method, params);
    assert_eq!(failure, Value::Nil, "{method}");
    result
}

fn send(socket: u64, to: Option<(&str, u16)>, bytes: &[u8], timeout_ms: u64) -> [Value; 5] {
    let port = to.map_or(String::new(), |(_, port)| port.to_string());
    let host = to.map_or(Value::Nil, |(host, _)| host.into());
    [socket.into(), host, port.as_str().into(), timeout_ms.into(), Value::Bytes(bytes.to_vec())]
}

/// The next datagram: its sender's address and its bytes.
fn datagram(pipe: &mut Pipe, socket: u64) -> (Value, Vec<u8>) {
    loop {
        let message = pipe.message().expect("the daemon keeps the pipe open");
        if let [Value::Number(2), Value::Text(method), params] = message.list() {
            assert_eq!(method, "datagram", "{params:?}");
            let [id, from, Value::Bytes(bytes)] = params.list() else { panic!("{params:?}") };
            assert_eq!(id.number(), socket);
            return (from.clone(), bytes.clone());
        }
    }
}

/// A policy with these rules that ends what it forbids.
fn enforced(rules: &str) -> String {
    format!("enforce_now = true\n[[profile]]\nname = \"any\"\nallow = [{rules}]\n")
}

fn udp_peer() -> (UdpSocket, u16) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit above zero");
    let port = peer.local_addr().expect("a bound socket has a name").port();
    (peer, port)
}

#[test]
fn a_datagram_goes_there_and_another_comes_back() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let (peer, port) = udp_peer();
    let socket = opened(&mut pipe, "udp", "inet", WINDOW);
    for bytes in [&b"hello"[..], b"", &[7; 65507]] {
        let sent = result(&mut pipe, "send-to", &send(socket, Some(("127.0.0.1", port)), bytes, 1000));
        assert_eq!(sent.number(), bytes.len() as u64);
        let mut buffer = vec![0; 70_000];
        let (length, from) = peer.recv_from(&mut buffer).expect("the datagram arrives");
        assert_eq!(&buffer[..length], bytes);
        peer.send_to(&buffer[..length], from).expect("an answer can be sent");
        let (from, answer) = datagram(&mut pipe, socket);
        assert_eq!((from.list()[1].clone(), from.list()[2].number()), ("127.0.0.1".into(), u64::from(port)));
        assert_eq!(answer, bytes);
    }
    assert_eq!(
        pipe.refusal("send-to", &send(socket, Some(("127.0.0.1", port)), &[0; 65536], 1000)),
        "os",
        "too long for the system"
    );
}

#[test]
fn legacy_spellings_of_an_address_are_understood_and_names_are_not() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let (peer, port) = udp_peer();
    let socket = opened(&mut pipe, "udp", "inet", WINDOW);
    for host in ["127.1", "0x7f000001", "2130706433"] {
        result(&mut pipe, "send-to", &send(socket, Some((host, port)), host.as_bytes(), 1000));
        let mut buffer = [0; 100];
        let length = peer.recv(&mut buffer).expect("the datagram arrives");
        assert_eq!(&buffer[..length], host.as_bytes());
    }
    for host in ["localhost", "::1", ""] {
        assert_eq!(
            pipe.refusal("send-to", &send(socket, Some((host, port)), b"x", 1000)),
            "resolve",
            "{host}"
        );
    }
}

#[test]
fn no_more_comes_than_the_credit_covers() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    // Room for the largest datagram and one small one.
    let window = 65536 + 2 * OVERHEAD + 10;
    let socket = opened(&mut pipe, "udp", "inet", window);
    let bound = [
        socket.into(),
        "udp".into(),
        "127.0.0.1".into(),
        "0".into(),
        "inet".into(),
        false.into(),
        Value::Nil,
        0.into(),
    ];
    let local = result(&mut pipe, "bind", &bound).list()[1].list()[2].number();
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for number in 0..6u8 {
        peer.send_to(&[number; 10], ("127.0.0.1", local as u16)).expect("a datagram can be sent");
    }
    // The first two leave less credit than the largest could cost.
    assert_eq!(datagram(&mut pipe, socket).1, [0; 10]);
    assert_eq!(datagram(&mut pipe, socket).1, [1; 10]);
    // Whatever had come is pushed before `sync` is answered; nothing more was.
    result(&mut pipe, "sync", &[]);
    pipe.write(&notification("window", &[socket.into(), (2 * (OVERHEAD + 10)).into()]));
    assert_eq!(datagram(&mut pipe, socket).1, [2; 10]);
    assert_eq!(datagram(&mut pipe, socket).1, [3; 10]);
}

#[test]
fn an_unreachable_port_is_reported_once() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let (peer, port) = udp_peer();
    drop(peer);
    let set = [
        Value::Nil,
        "127.0.0.1".into(),
        port.to_string().as_str().into(),
        "unspec".into(),
        Value::Nil,
        WINDOW.into(),
    ];
    let socket = result(&mut pipe, "set-peer", &set).list()[0].number();
    result(&mut pipe, "send-to", &send(socket, None, b"x", 1000));
    let message = pipe.message().expect("the daemon keeps the pipe open");
    assert_eq!(message.list()[1], "error".into(), "{message:?}");
    assert_eq!(message.list()[2].list()[1].list()[..2], ["os".into(), 111.into()]);
    result(&mut pipe, "clear-peer", &[socket.into()]);
    assert_eq!(pipe.refusal("send-to", &send(socket, None, b"x", 1000)), "os", "nobody to send to");
}

#[test]
fn who_may_not_listen_hears_only_those_it_may_send_to() {
    let (friend, friends_port) = udp_peer();
    let (stranger, _) = udp_peer();
    let rule = format!("datagram:127.0.0.1:{friends_port}");
    let daemon = Daemon::with_args(&["--allow", &rule]);
    let mut pipe = Pipe::greeted(&daemon);
    let socket = opened(&mut pipe, "udp", "inet", WINDOW);
    result(&mut pipe, "send-to", &send(socket, Some(("127.0.0.1", friends_port)), b"hello", 1000));
    let (_, ours) = friend.recv_from(&mut [0; 100]).expect("the datagram arrives");
    stranger.send_to(b"let me in", ours).expect("a datagram can be sent");
    friend.send_to(b"welcome", ours).expect("a datagram can be sent");
    assert_eq!(datagram(&mut pipe, socket).1, b"welcome");
    let strangers_port = stranger.local_addr().expect("a bound socket has a name").port();
    let refused = send(socket, Some(("127.0.0.1", strangers_port)), b"x", 1000);
    assert_eq!(pipe.refusal("send-to", &refused), "denied");
    assert_eq!(pipe.refusal("bind", &bind_params("udp", "127.0.0.1", 0)), "denied");
    let set = [Value::Nil, "127.0.0.1".into(), "9".into(), "unspec".into(), Value::Nil, WINDOW.into()];
    assert_eq!(pipe.refusal("set-peer", &set), "denied");
}

#[test]
fn a_local_datagram_waits_for_room_in_its_receiver() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let path = daemon.directory().join("receiver.sock");
    let receiver = UnixDatagram::bind(&path).expect("a path can be bound");
    let to = Some((path.to_str().expect("a plain path"), 0));
    let socket = opened(&mut pipe, "unix-dgram", "unix", WINDOW);
    // Linux holds some ten datagrams for a receiver that does not read.
    let mut queued = 0;
    while pipe.call("send-to", &send(socket, to, b"x", 0)).0 == Value::Nil {
        queued += 1;
        assert!(queued < 10_000, "the receiver's queue has no end");
    }
    assert_eq!(pipe.refusal("send-to", &send(socket, to, b"x", 50)), "timeout");
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let mut buffer = [0; 8];
        (0..=queued).map(|_| receiver.recv(&mut buffer).expect("a datagram comes")).sum::<usize>()
    });
    assert_eq!(result(&mut pipe, "send-to", &send(socket, to, b"late", 20_000)).number(), 4);
    assert_eq!(reader.join().expect("the reader ends"), queued + 4);
}

#[test]
fn a_local_connection_carries_bytes_and_a_full_backlog_is_waited_for() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let path = daemon.directory().join("listener.sock");
    let listener = UnixListener::bind(&path).expect("a path can be bound");
    rustix::net::listen(&listener, 0).expect("a backlog can be changed");
    let connect = |timeout_ms: u64| {
        let path = path.to_str().expect("a plain path");
        [Value::Nil, path.into(), "".into(), "unix".into(), timeout_ms.into(), WINDOW.into()]
    };
    result(&mut pipe, "connect", &connect(1000));
    // With a backlog of 0, Linux lets one connection wait.
    assert_eq!(pipe.refusal("connect", &connect(100)), "timeout");
    let server = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        [listener.accept().expect("one"), listener.accept().expect("two")]
    });
    let connection = result(&mut pipe, "connect", &connect(10_000));
    assert_eq!(connection.list()[3].list()[0], "unix".into());
    server.join().expect("the server ends");
}

#[test]
fn paths_that_cannot_be_judged_are_refused() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    for path in ["relative.sock", "/run/../etc/x", "/a//b", "/./x", "/"] {
        assert_eq!(pipe.refusal("bind", &bind_params("unix-stream", path, 0)), "os", "{path}");
    }
    let denying = Daemon::deny_all();
    let mut pipe = Pipe::greeted(&denying);
    assert_eq!(pipe.refusal("bind", &bind_params("unix-dgram", "/tmp/x.sock", 0)), "denied");
}

#[test]
fn what_is_no_datagram_socket_takes_no_datagrams_and_the_reverse() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    let stream = opened(&mut pipe, "tcp", "inet", 0);
    let socket = opened(&mut pipe, "udp", "inet", WINDOW);
    assert_eq!(pipe.refusal("send-to", &send(stream, None, b"x", 0)), "bad-argument");
    assert_eq!(pipe.refusal("clear-peer", &[stream.into()]), "bad-argument");
    assert_eq!(pipe.refusal("listen", &[socket.into(), 5.into()]), "os");
    assert_eq!(pipe.refusal("accept", &[socket.into(), 0.into(), 0.into()]), "os");
    assert_eq!(pipe.refusal("shutdown", &[socket.into(), "send".into()]), "os");
    assert_eq!(pipe.refusal("get-option", &[socket.into(), "tcp-nodelay".into()]), "bad-argument");
    for (kind, family) in [("udp", "unspec"), ("udp", "unix"), ("unix-dgram", "inet"), ("tcp", "dual")] {
        assert_eq!(pipe.refusal("open", &[kind.into(), family.into(), 0.into()]), "bad-argument", "{kind}");
    }
}

/// Datagrams that wait for a receiver without room are tried again and again: a client with thousands of them must
/// not keep the loop from answering others.
#[test]
fn thousands_of_datagrams_that_wait_hold_up_nobody_else() {
    const WAITING: usize = 3_000;
    let daemon = Daemon::start();
    let (mut hostile, mut polite) = (Pipe::greeted(&daemon), Pipe::greeted(&daemon));
    let path = daemon.directory().join("full.sock");
    let _receiver = UnixDatagram::bind(&path).expect("a path can be bound");
    let to = Some((path.to_str().expect("a plain path"), 0));
    for id in 0..WAITING as u64 {
        let socket = opened(&mut hostile, "unix-dgram", "unix", 0);
        let mut params = send(socket, to, b"x", 0).to_vec();
        params[3] = Value::Nil;
        hostile.write(&request(1_000_000 + id, "send-to", &params));
    }
    for _ in 0..20 {
        let asked = std::time::Instant::now();
        result(&mut polite, "sync", &[]);
        assert!(asked.elapsed() < Duration::from_secs(2), "another client waited {:?}", asked.elapsed());
    }
}

#[test]
fn what_strangers_sent_before_there_was_a_peer_stays_out() {
    let (friend, friends_port) = udp_peer();
    let (stranger, _) = udp_peer();
    let rule = format!("datagram:127.0.0.1:{friends_port}");
    let daemon = Daemon::with_args(&["--allow", &rule]);
    let mut pipe = Pipe::greeted(&daemon);
    // Without credit everything waits in the system's queue.
    let socket = opened(&mut pipe, "udp", "inet", 0);
    result(&mut pipe, "send-to", &send(socket, Some(("127.0.0.1", friends_port)), b"hello", 1000));
    let (_, ours) = friend.recv_from(&mut [0; 100]).expect("the datagram arrives");
    stranger.send_to(b"let me in", ours).expect("a datagram can be sent");
    let port = friends_port.to_string();
    let set: [Value; 6] =
        [socket.into(), "127.0.0.1".into(), port.as_str().into(), "unspec".into(), Value::Nil, 0.into()];
    result(&mut pipe, "set-peer", &set);
    pipe.write(&notification("window", &[socket.into(), WINDOW.into()]));
    friend.send_to(b"welcome", ours).expect("a datagram can be sent");
    assert_eq!(datagram(&mut pipe, socket).1, b"welcome");
}

#[test]
fn ipv4_behind_ipv6_needs_a_rule_of_its_own() {
    let daemon = Daemon::with_args(&["--allow", "listen:[::]:*"]);
    let mut pipe = Pipe::greeted(&daemon);
    let mut both = bind_params("tcp", "*", 0);
    both[4] = "dual".into();
    let bound = result(&mut pipe, "bind", &both);
    let (socket, port) = (bound.list()[0].number(), bound.list()[1].list()[2].number() as u16);
    result(&mut pipe, "listen", &[socket.into(), 5.into()]);
    std::net::TcpStream::connect(("::1", port)).expect("IPv6 is allowed");
    std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("IPv4 is not");
    for kind in ["tcp", "udp"] {
        let socket = opened(&mut pipe, kind, "inet6", if kind == "udp" { WINDOW } else { 0 });
        result(&mut pipe, "set-option", &[socket.into(), "ipv6-v6only".into(), false.into()]);
        let mut bind = bind_params(kind, "::", 0);
        bind[0] = socket.into();
        assert_eq!(pipe.refusal("bind", &bind), "denied", "{kind}");
    }
}

#[test]
fn an_address_with_something_behind_it_is_no_host() {
    let daemon = Daemon::start();
    let mut pipe = Pipe::greeted(&daemon);
    assert_eq!(pipe.refusal("host-entry", &["127.0.0.1 x".into(), Value::Nil]), "host");
}

#[test]
fn a_new_policy_silences_a_socket_and_what_waits_on_it() {
    let file = PolicyFile::new(&enforced("\"*\""));
    let (path, own) = (file.directory().join("full.sock"), file.directory().join("own.sock"));
    let daemon = file.daemon();
    let mut pipe = Pipe::greeted(&daemon);
    let receiver = UnixDatagram::bind(&path).expect("a path can be bound");
    let bound = result(&mut pipe, "bind", &bind_params("unix-dgram", own.to_str().expect("a plain path"), 0));
    let socket = bound.list()[0].number();
    let to = Some((path.to_str().expect("a plain path"), 0));
    let mut sent = 0;
    while pipe.call("send-to", &send(socket, to, b"before", 0)).0 == Value::Nil {
        sent += 1;
    }
    // One waits for room.
    pipe.write(&request(7_000, "send-to", &send(socket, to, b"after", 30_000)));
    result(&mut pipe, "sync", &[]);
    file.swap(&daemon, &enforced("\"127.0.0.1\""));
    let answer = loop {
        let message = pipe.message().expect("the daemon keeps the pipe open");
        if message.list()[..2] == [1.into(), 7_000.into()] {
            break message;
        }
    };
    assert_eq!(answer.list()[2].list()[0], "denied".into(), "{answer:?}");
    receiver.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit above zero");
    let mut buffer = [0; 16];
    for _ in 0..sent {
        let length = receiver.recv(&mut buffer).expect("what was sent before is there");
        assert_eq!(&buffer[..length], b"before");
    }
    receiver.recv(&mut buffer).expect_err("nothing was sent after it");
    // Nobody reaches it any more.
    receiver.send_to(b"psst", &own).expect_err("its name is gone");
    assert_eq!(pipe.refusal("send-to", &send(socket, to, b"x", 0)), "denied");
}

#[test]
fn an_allowed_name_does_not_tell_the_names_of_its_addresses() {
    for (rule, named) in [("*", true), ("resolve:localhost", false)] {
        let daemon = Daemon::with_args(&["--allow", rule]);
        let mut pipe = Pipe::greeted(&daemon);
        let info = result(&mut pipe, "name-info", &["localhost".into(), "25".into(), Value::Nil]);
        let [names, service] = info.list() else { panic!("{info:?}") };
        assert!(!names.list().is_empty());
        for name in names.list() {
            let Value::Text(text) = name else { panic!("{name:?}") };
            assert_eq!(text.parse::<std::net::IpAddr>().is_err(), named, "{text} with the rule {rule}");
        }
        assert_eq!(*service, "smtp".into());
    }
}

#[test]
fn whether_ipv6_takes_ipv4_is_judged_as_the_system_has_it() {
    let daemon = Daemon::with_args(&["--allow", "listen:[::]:*", "--allow", "datagram:[::1]:*"]);
    let mut pipe = Pipe::greeted(&daemon);
    let only = |socket: u64, only: bool| [socket.into(), "ipv6-v6only".into(), only.into()];
    let bind = |socket: u64| {
        let mut params = bind_params("udp", "::", 0);
        params[0] = socket.into();
        params
    };
    let taken_back = opened(&mut pipe, "udp", "inet6", WINDOW);
    result(&mut pipe, "set-option", &only(taken_back, false));
    assert_eq!(pipe.refusal("bind", &bind(taken_back)), "denied");
    result(&mut pipe, "set-option", &only(taken_back, true));
    result(&mut pipe, "bind", &bind(taken_back));
    // With a peer it has a port, and the system does not take the option back; without one it has none any more.
    let kept = opened(&mut pipe, "udp", "inet6", WINDOW);
    result(&mut pipe, "set-option", &only(kept, false));
    let peer: [Value; 6] = [kept.into(), "::1".into(), "9".into(), "inet6".into(), Value::Nil, 0.into()];
    result(&mut pipe, "set-peer", &peer);
    assert_eq!(pipe.refusal("set-option", &only(kept, true)), "os");
    result(&mut pipe, "clear-peer", &[kept.into()]);
    assert_eq!(pipe.refusal("bind", &bind(kept)), "denied");
}

#[test]
fn a_new_policy_ends_a_membership_that_it_forbids() {
    let group = || Value::List(vec!["239.255.1.2".into(), "127.0.0.1".into()]);
    for (rules, leaves, kept) in [
        ("\"listen:127.0.0.1\"", false, false),
        ("\"listen:127.0.0.1\"", true, true),
        ("\"listen:127.0.0.1\", \"listen:239.255.1.2\"", false, true),
    ] {
        let file = PolicyFile::new(&enforced("\"*\""));
        let daemon = file.daemon();
        let mut pipe = Pipe::greeted(&daemon);
        let bound = result(&mut pipe, "bind", &bind_params("udp", "127.0.0.1", 0));
        let socket = bound.list()[0].number();
        result(&mut pipe, "set-option", &[socket.into(), "ip-add-membership".into(), group()]);
        if leaves {
            result(&mut pipe, "set-option", &[socket.into(), "ip-drop-membership".into(), group()]);
        }
        file.swap(&daemon, &enforced(rules));
        wait_until("the new policy is there", Duration::from_secs(10), || {
            pipe.call("bind", &bind_params("udp", "127.0.0.2", 0)).0 != Value::Nil
        });
        let is_there = pipe.call("local-name", &[socket.into()]).0 == Value::Nil;
        assert_eq!(is_there, kept, "{rules}, left: {leaves}");
    }
}

#[test]
fn a_name_can_be_answered_to_where_rules_name_single_paths() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let directory = directory.path().canonicalize().expect("it is there");
    let [receiver, own, listener] = ["receiver", "own", "listener"].map(|name| directory.join(name));
    let text = |path: &std::path::Path| path.to_str().expect("a plain path").to_owned();
    let connect = format!("unix:{}", receiver.display());
    let listen = format!("listen:unix:{}/*", directory.display());
    let daemon = Daemon::with_args(&["--allow", &connect, "--allow", &listen]);
    let mut pipe = Pipe::greeted(&daemon);
    let friend = UnixDatagram::bind(&receiver).expect("a path can be bound");
    let socket = result(&mut pipe, "bind", &bind_params("unix-dgram", &text(&own), 0)).list()[0].number();
    result(&mut pipe, "send-to", &send(socket, Some((&text(&receiver), 0)), b"hello", 1000));
    let (_, from) = friend.recv_from(&mut [0; 16]).expect("the datagram arrives");
    assert_eq!(from.as_pathname(), Some(own.as_path()));
    friend.send_to(b"welcome", &own).expect("an answer can be sent");
    assert_eq!(datagram(&mut pipe, socket).1, b"welcome");
    let bound = result(&mut pipe, "bind", &bind_params("unix-stream", &text(&listener), 0));
    assert_eq!(bound.list()[1].list()[1], text(&listener).as_str().into());
    result(&mut pipe, "listen", &[bound.list()[0].number().into(), 5.into()]);
    let peer = std::os::unix::net::UnixStream::connect(&listener).expect("it listens");
    let name = peer.peer_addr().expect("a connected socket has a peer");
    assert_eq!(name.as_pathname(), Some(listener.as_path()));
}
