//! The shim in an embedded Lua, face to face with a daemon that is played by the test.

#![allow(clippy::unwrap_used)] // what helps a test may fail as a test does

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use luasocketd_protocol::{
    Address, Bound, Call, ClientNote, Code, Endpoint, Failure, Family, Frame, FrameReader, HelloReply,
    SocketId, VERSION, encode_failure, encode_reply,
};
use luasocketd_shim::{Options, preload_with};
use mlua::Lua;

/// The daemon's end of a pipe.
struct Played {
    stream: UnixStream,
    reader: FrameReader,
    /// What the client said besides requests, by method.
    notes: Vec<&'static str>,
}

impl Played {
    /// The next request and its id; `None` when the client has gone.
    fn request<T>(&mut self, look: impl FnOnce(u32, Call<'_>) -> T) -> Option<T> {
        loop {
            if let Some(frame) = self.reader.next_frame().unwrap() {
                match Frame::parse(frame).unwrap() {
                    Frame::Request { id, method, params } => {
                        return Some(look(id, Call::parse(method, params).unwrap()));
                    }
                    Frame::Notification { method, params } => {
                        ClientNote::parse(method, params).unwrap();
                        self.notes.extend(ClientNote::METHODS.iter().filter(|known| **known == method));
                        continue;
                    }
                    Frame::Response { .. } => panic!("a client sends no responses"),
                }
            }
            match self.stream.read(self.reader.space(4096)) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.reader.filled(length),
            }
        }
    }

    fn answer(&mut self, id: u32, result: &impl serde::Serialize) {
        let mut frame = Vec::new();
        encode_reply(&mut frame, id, result);
        self.stream.write_all(&frame).unwrap();
    }

    fn fail(&mut self, id: u32, code: Code) {
        let mut frame = Vec::new();
        encode_failure(&mut frame, id, &Failure::new(code, "played"));
        self.stream.write_all(&frame).unwrap();
    }

    /// Connects, counting sockets up; refuses when `refuse` says so.
    fn connect(&mut self, slot: u32, refuse: Option<Code>) {
        let id = self.request(|id, call| matches!(call, Call::Connect(_)).then_some(id)).flatten();
        let id = id.expect("a connect");
        match refuse {
            Some(code) => self.fail(id, code),
            None => self.answer(id, &endpoint(slot)),
        }
    }
}

fn endpoint(slot: u32) -> Endpoint {
    Endpoint { socket: SocketId::new(slot, 1), window: 1000, local: address(), peer: address() }
}

fn address() -> Address {
    Address { family: Family::Inet, host: "127.0.0.1".to_owned(), port: 7 }
}

/// A Lua state whose daemon is played by `play` after the greeting.
fn state(play: impl FnOnce(&mut Played) + Send + 'static) -> (Lua, JoinHandle<Vec<&'static str>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let daemon = std::thread::spawn(move || {
        let mut played = Played { stream: theirs, reader: FrameReader::new(), notes: Vec::new() };
        let hello = played.request(|id, call| match call {
            Call::Hello(hello) => (id, hello.client.to_owned()),
            other => panic!("{other:?} is no greeting"),
        });
        let (id, client) = hello.expect("a greeting");
        assert_eq!(client, "the test");
        played.answer(id, &HelloReply { version: VERSION, daemon: "played 1".to_owned() });
        play(&mut played);
        while played.request(|_, _| ()).is_some() {}
        played.notes
    });
    let lua = Lua::new();
    preload_with(&lua, Options::new().pipe(ours).client("the test")).unwrap();
    (lua, daemon)
}

/// What a script returns, as one string.
fn run(lua: &Lua, script: &str) -> String {
    lua.load(script).eval().unwrap()
}

#[test]
fn a_daemon_says_who_it_is() {
    let (lua, daemon) = state(|_| {});
    assert_eq!(run(&lua, r#"return (require("luasocketd").daemon())"#), "played 1");
    assert_eq!(run(&lua, r#"return tostring(require("socket") == require("socket.core"))"#), "true");
    assert_eq!(run(&lua, r#"return tostring(require("socket.unix") == require("luasocketd.unix"))"#), "true");
    drop(lua);
    daemon.join().unwrap();
}

#[test]
fn a_state_is_prepared_once() {
    let (lua, daemon) = state(|_| {});
    assert!(preload_with(&lua, Options::new()).unwrap_err().to_string().contains("before"));
    run(&lua, r#"return (require("luasocketd").daemon())"#);
    drop(lua);
    daemon.join().unwrap();
}

#[test]
fn a_handed_pipe_that_has_ended_is_not_replaced() {
    let (lua, daemon) = state(|played| {
        played.connect(1, None);
        played.stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let script = r#"
        local v1 = require "luasocketd.v1"
        local socket = assert(v1.connect("host", 1))
        local text, err = socket:receive()
        local _, second = v1.connect("host", 1)
        return text .. "|" .. err .. "|" .. second
    "#;
    let result = run(&lua, script);
    assert!(result.starts_with("|closed|luasocketd: the pipe that was handed"), "{result}");
    daemon.join().unwrap();
}

#[test]
fn garbage_is_collected_when_a_limit_is_reached() {
    let (lua, daemon) = state(|played| {
        for slot in 1..=3 {
            played.connect(slot, None);
        }
        played.connect(0, Some(Code::Limit));
        played.connect(4, None);
        assert_eq!(played.notes.iter().filter(|note| **note == "close").count(), 3);
        // With nothing left to collect, the second refusal is the answer.
        played.connect(0, Some(Code::Limit));
        played.connect(0, Some(Code::Limit));
    });
    let script = r#"
        local v1 = require "luasocketd.v1"
        collectgarbage("stop")
        for _ = 1, 3 do assert(v1.connect("host", 1)) end
        local kept = assert(v1.connect("host", 1))
        return select(2, v1.connect("host", 1))
    "#;
    assert_eq!(run(&lua, script), "too many open files");
    drop(lua);
    daemon.join().unwrap();
}

#[test]
fn a_connection_that_was_accepted_too_late_is_for_the_next_accept() {
    let (lua, daemon) = state(|played| {
        let id = played.request(|id, _| id).expect("a bind");
        played.answer(id, &Bound { socket: SocketId::new(1, 1), local: address() });
        let id = played.request(|id, _| id).expect("a listen");
        played.answer(id, &());
        let late = played.request(|id, _| id).expect("an accept");
        // The next request comes only when the accept was given up.
        let name = played.request(|id, _| id).expect("getsockname");
        assert_eq!(played.notes, ["timeout", "cancel"]);
        played.answer(late, &endpoint(2));
        played.answer(name, &address());
    });
    let script = r#"
        local socket = require "socket"
        local server = socket.tcp()
        assert(server:bind("127.0.0.1", 0))
        assert(server:listen())
        server:settimeout(0.05)
        local _, err = server:accept()
        assert(err == "timeout", err)
        assert(server:getsockname())
        local client = assert(server:accept())
        return client.class
    "#;
    assert_eq!(run(&lua, script), "tcp{client}");
    drop(lua);
    daemon.join().unwrap();
}

#[test]
fn states_have_a_pipe_each() {
    let (first, first_daemon) = state(|played| played.connect(1, None));
    let (second, second_daemon) = state(|played| played.connect(1, Some(Code::Denied)));
    let script = r#"
        local client, err = require("socket").connect("host", 1)
        return client and client.class or err
    "#;
    assert_eq!(run(&second, script), "permission denied");
    assert_eq!(run(&first, script), "tcp{client}");
    drop((first, second));
    first_daemon.join().unwrap();
    second_daemon.join().unwrap();
}
