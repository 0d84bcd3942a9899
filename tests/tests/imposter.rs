//! A script whose daemon is none, or another: each call gets an error in time, and nothing hangs or crashes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use luasocketd_tests::pipe::{decode, encoded};
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Value};
use rustix::process::Signal;

/// Each call on its own, so that all of them meet the imposter.
const SCRIPT: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    print("v1", v1.connect("127.0.0.1", 80))
    print("v1 bind", v1.bind("127.0.0.1", 0))
    print("socket", socket.connect("127.0.0.1", 80))
    print("bind", socket.bind("127.0.0.1", 0))
"#;

/// Runs the script against somebody who answers every client's hello with these bytes, and then hangs up.
fn meets(answer: impl Fn(&Value) -> Vec<u8> + Send + 'static) -> Vec<Outcome> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("daemon.sock");
    let listener = UnixListener::bind(&socket).expect("a socket can be bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            let _ = greet(stream, &answer);
        }
    });
    let all = [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit];
    let job = |interpreter: Interpreter| {
        interpreter
            .inline_without_daemon(SCRIPT)
            .env("LUASOCKETD_SOCKET", &socket)
            .limit(Duration::from_secs(30))
            .run()
    };
    all.map(job).into()
}

fn greet(mut stream: UnixStream, answer: impl Fn(&Value) -> Vec<u8>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut hello = [0; 4096];
    let count = stream.read(&mut hello)?;
    let hello = decode(&mut &hello[..count]).expect("a client begins with one whole message");
    stream.write_all(&answer(&hello))
}

/// Every call has failed with a message.
fn all_refused(outcome: &Outcome) -> String {
    let text = outcome.success();
    assert_eq!(text.lines().count(), 4, "{outcome}");
    for line in text.lines() {
        let mut words = line.split('\t').skip(1);
        assert_eq!(words.next(), Some("nil"), "{outcome}");
        assert!(words.next().is_some_and(|message| !message.is_empty() && message != "nil"), "{outcome}");
    }
    text
}

#[test]
fn a_daemon_of_another_version_is_named_as_such() {
    let refusal = |hello: &Value| {
        let id = hello.list()[1].clone();
        let failure = Value::List(vec!["version".into(), 0.into(), "this daemon speaks version 7".into()]);
        encoded(vec![1.into(), id, failure, Value::Nil])
    };
    for outcome in meets(refusal) {
        let text = all_refused(&outcome);
        assert!(text.lines().all(|line| line.contains("version")), "{outcome}");
    }
}

#[test]
fn one_who_hangs_up() {
    for outcome in meets(|_| Vec::new()) {
        all_refused(&outcome);
    }
}

#[test]
fn one_who_speaks_something_else() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xc1; 100], &[0x90], &[0x05; 1000]] {
        for outcome in meets(move |_| answer.to_vec()) {
            all_refused(&outcome);
        }
    }
}

#[test]
fn one_who_announces_more_than_a_frame_may_hold() {
    let mut answer = vec![0x93, 0x02, 0xa4, b'd', b'a', b't', b'a', 0x92, 0x01, 0xc6];
    answer.extend([0xff; 4]);
    for outcome in meets(move |_| answer.clone()) {
        all_refused(&outcome);
    }
}

/// A script with a datagram socket, whose every call has to come back.
const DATAGRAMS: &str = r#"
    local socket, unix = require "socket", require "socket.unix"
    local function show(what, value, err) print(what, value == nil and "nil" or type(value), err) end
    for name, make in pairs {udp4 = socket.udp4, dgram = unix.dgram, stream = unix.stream} do
      local object, err = make()
      show(name, object and 1, err)
      if object then
        object:settimeout(1)
        if object.receivefrom then
          for _ = 1, 3 do show("receivefrom", object:receivefrom()) end
          show("sendto", object:sendto("x", "/tmp/1", "1"))
        end
        show("bind", object:setsockname("/tmp/1", "1"))
        show("select", #socket.select({object}, nil, 0.2))
        object:close()
      end
    end
    show("toip", socket.dns.toip("localhost"))
    show("getnameinfo", socket.dns.getnameinfo("localhost"))
    print "end"
"#;

/// Runs that script against somebody who answers its hello and then every request with what `answer` makes of
/// its id and method.
fn meets_datagrams(answer: impl Fn(Value, &str) -> Vec<u8> + Clone + Send + 'static) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("daemon.sock");
    let listener = UnixListener::bind(&socket).expect("a socket can be bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), answer) = (stream, answer.clone()) else { break };
            thread::spawn(move || converse(stream, answer));
        }
    });
    for interpreter in [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit] {
        let outcome = interpreter
            .inline_without_daemon(DATAGRAMS)
            .env("LUASOCKETD_SOCKET", &socket)
            .limit(Duration::from_secs(60))
            .run();
        assert!(outcome.success().ends_with("end\n"), "{outcome}");
    }
}

fn converse(mut stream: UnixStream, answer: impl Fn(Value, &str) -> Vec<u8>) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        match stream.read(&mut more)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(&more[..count]),
        }
        let (mut rest, mut next) = (&bytes[..], &bytes[..]);
        while let Some(message) = decode(&mut next) {
            rest = next;
            let [kind, id, Value::Text(method), _] = message.list() else { continue };
            assert_eq!(kind.number(), 0, "a request has four parts");
            let reply = match &**method {
                "hello" => {
                    let reply = Value::List(vec![1.into(), "imposter".into()]);
                    encoded(vec![1.into(), id.clone(), Value::Nil, reply])
                }
                method => answer(id.clone(), method),
            };
            stream.write_all(&reply)?;
        }
        bytes = rest.to_vec();
    }
}

/// The answer to a request, or to `open` a socket and these notes about it.
fn opened(id: Value, method: &str, notes: &[Vec<Value>]) -> Vec<u8> {
    if method != "open" {
        return encoded(vec![1.into(), id, Value::Nil, Value::Nil]);
    }
    let mut bytes = encoded(vec![1.into(), id, Value::Nil, 7.into()]);
    for note in notes {
        bytes.extend(encoded(note.clone()));
    }
    bytes
}

fn datagram(from: Value, bytes: usize) -> Vec<Value> {
    let params = Value::List(vec![7.into(), from, Value::Bytes(vec![b'x'; bytes])]);
    vec![2.into(), "datagram".into(), params]
}

fn sender() -> Value {
    Value::List(vec!["inet".into(), "127.0.0.1".into(), 9.into()])
}

#[test]
fn one_who_sends_more_datagrams_than_were_granted() {
    for bytes in [0, 1000, 200_000] {
        let notes = vec![datagram(sender(), bytes); 10_000_000 / (bytes + 1000)];
        meets_datagrams(move |id, method| opened(id, method, &notes));
    }
}

#[test]
fn one_who_names_senders_that_are_none() {
    for from in [
        Value::List(vec!["inet".into(), "x".repeat(200_000).as_str().into(), 9.into()]),
        Value::List(vec!["inet".into(), "\0\0".into(), 65_536.into()]),
        Value::List(vec!["nobody".into(), "a".into(), 1.into()]),
        Value::Nil,
        "127.0.0.1".into(),
    ] {
        let notes = vec![datagram(from, 10); 5];
        meets_datagrams(move |id, method| opened(id, method, &notes));
    }
}

#[test]
fn one_whose_answers_have_another_shape() {
    for result in [
        Value::Nil,
        Value::Bool(true),
        7.into(),
        "text".into(),
        Value::List(vec![]),
        Value::List(vec![7.into(), sender()]),
        Value::List(vec![7.into(), sender(), sender()]),
        Value::List(vec!["name".into(), Value::List(vec![]), Value::List(vec![])]),
        Value::List(vec![Value::List(vec!["name".into(); 1000]), Value::Nil]),
    ] {
        meets_datagrams(move |id, _| encoded(vec![1.into(), id, Value::Nil, result.clone()]));
    }
}

#[test]
fn one_who_never_answers_costs_no_more_than_the_timeout() {
    let script = r#"
        local socket = require "socket"
        local client = socket.tcp()
        client:settimeout(1)
        local start = socket.gettime()
        local _, err = client:connect("127.0.0.1", 80)
        local took = socket.gettime() - start
        print(err, took > 0.7 and took < 3 or took)
    "#;
    for interpreter in Interpreter::ALL {
        let daemon = Daemon::start();
        daemon.signal(Signal::STOP);
        let outcome = interpreter.inline(script, &daemon).limit(Duration::from_secs(30)).run();
        assert_eq!(outcome.success(), "timeout\ttrue\n", "{outcome}");
    }
}
