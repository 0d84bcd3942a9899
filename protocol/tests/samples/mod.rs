//! One of every message.

use luasocketd_protocol::*;

/// A stream of bytes with every message in it.
pub fn one_of_each() -> Vec<u8> {
    let socket = SocketId::new(3, 9);
    let local = Address { family: Family::Inet, host: "127.0.0.1".into(), port: 8080 };
    let mut out = Vec::new();
    for (id, call) in calls(socket).into_iter().enumerate() {
        encode_request(&mut out, id as u32, &call);
    }
    encode_reply(&mut out, 1, &Endpoint { socket, window: 65536, local: local.clone(), peer: local });
    encode_failure(&mut out, 2, &Failure::os(111));
    for note in client_notes(socket) {
        encode_note(&mut out, &note);
    }
    for note in daemon_notes(socket) {
        encode_note(&mut out, &note);
    }
    out
}

/// Every call.
pub fn calls(socket: SocketId) -> Vec<Call<'static>> {
    vec![
        Call::Hello(Hello { version: VERSION, client: "test", lua: "Lua 5.4" }),
        Call::Open(Open { kind: Kind::UnixDgram, family: Family::Unix, window: 1 << 19 }),
        Call::Connect(Connect {
            socket: None,
            host: "localhost",
            port: "80",
            family: Family::Unspec,
            timeout_ms: Some(500),
            window: 1 << 18,
        }),
        Call::Bind(Bind {
            socket: Some(socket),
            kind: Kind::Tcp,
            host: "*",
            port: "0",
            family: Family::Dual,
            reuse_address: true,
            timeout_ms: None,
            window: 0,
        }),
        Call::Listen(Listen { socket, backlog: 32 }),
        Call::Accept(Accept { socket, timeout_ms: None, window: 1 << 18 }),
        Call::SetPeer(SetPeer {
            socket: None,
            host: "localhost",
            port: "domain",
            family: Family::Unspec,
            timeout_ms: None,
            window: 1 << 18,
        }),
        Call::ClearPeer(ClearPeer { socket }),
        Call::SendTo(SendTo { socket, host: Some("::1"), port: "53", timeout_ms: Some(0), bytes: b"\0\xff" }),
        Call::Resolve(Resolve { host: "localhost", family: Family::Inet6, timeout_ms: None }),
        Call::HostEntry(HostEntryOf { host: "localhost", timeout_ms: None }),
        Call::NameInfo(NameInfoOf { host: None, service: Some("25"), timeout_ms: Some(1) }),
        Call::SetOption(SetOption {
            socket,
            option: SocketOption::Linger,
            value: OptionValue::Linger(true, 5),
        }),
        Call::GetOption(GetOption { socket, option: SocketOption::Error }),
        Call::LocalName(LocalName { socket }),
        Call::PeerName(PeerName { socket }),
        Call::Shutdown(Shutdown { socket, direction: Direction::Send }),
        Call::Close(Close { socket }),
        Call::Sync(Sync {}),
        Call::Ring(AskRing {}),
    ]
}

/// Every notification of a client.
pub fn client_notes(socket: SocketId) -> Vec<ClientNote<'static>> {
    vec![
        ClientNote::Data(Data { socket, bytes: b"bytes \0\xff" }),
        ClientNote::Window(Window { socket, bytes: 1000 }),
        ClientNote::Close(Close { socket }),
        ClientNote::Watch(Watch { socket }),
        ClientNote::Timeout(Timeout { socket, block_ms: Some(1), total_ms: None }),
        ClientNote::Cancel(Cancel { request: 7 }),
        ClientNote::RingBegin(RingBegin {}),
        ClientNote::RingEnd(RingEnd {}),
        ClientNote::RingWake(RingWake {}),
    ]
}

/// Every notification of a daemon.
pub fn daemon_notes(socket: SocketId) -> Vec<DaemonNote<'static>> {
    vec![
        DaemonNote::Data(Data { socket, bytes: b"" }),
        DaemonNote::Window(Window { socket, bytes: 1 }),
        DaemonNote::Eof(Eof { socket }),
        DaemonNote::Broken(Broken { socket, failure: Failure::new(Code::Closed, "reset by the peer") }),
        DaemonNote::Acceptable(Acceptable { socket }),
        DaemonNote::Datagram(Datagram { socket, from: Address::path("/run/x"), bytes: b"" }),
        DaemonNote::Error(SocketError { socket, failure: Failure::os(111) }),
        DaemonNote::RingBegin(RingBegin {}),
        DaemonNote::RingEnd(RingEnd {}),
        DaemonNote::RingWake(RingWake {}),
    ]
}
