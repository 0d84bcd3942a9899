//! The pipe as anybody could speak it: written from `PROTOCOL.md`, without the product's own codec, so that a
//! mistake in that one shows.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::daemon::Daemon;

/// A MessagePack value, as far as the protocol uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// nil
    Nil,
    /// true and false
    Bool(bool),
    /// An unsigned number.
    Number(u64),
    /// A number below zero.
    Negative(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An array.
    List(Vec<Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}

impl Value {
    /// The elements of an array.
    pub fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            other => panic!("no array: {other:?}"),
        }
    }

    /// A number.
    pub fn number(&self) -> u64 {
        match self {
            Value::Number(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    /// Its bytes on the pipe; numbers in their longest form, which every reader has to take.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Nil => out.push(0xc0),
            Value::Bool(flag) => out.push(0xc2 + u8::from(*flag)),
            Value::Number(number) => {
                out.push(0xcf);
                out.extend(number.to_be_bytes());
            }
            Value::Negative(number) => {
                out.push(0xd3);
                out.extend(number.to_be_bytes());
            }
            Value::Text(text) => with_length(out, 0xdb, text.as_bytes()),
            Value::Bytes(bytes) => with_length(out, 0xc6, bytes),
            Value::List(list) => {
                out.push(0xdd);
                out.extend((list.len() as u32).to_be_bytes());
                list.iter().for_each(|value| value.encode(out));
            }
        }
    }
}

fn with_length(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// The bytes of a request.
pub fn request(id: u64, method: &str, params: &[Value]) -> Vec<u8> {
    encoded(vec![0.into(), id.into(), method.into(), Value::List(params.to_vec())])
}

/// The bytes of a notification.
pub fn notification(method: &str, params: &[Value]) -> Vec<u8> {
    encoded(vec![2.into(), method.into(), Value::List(params.to_vec())])
}

/// The parameters of a `bind` that makes a new socket. Datagrams get a grant of 512 KiB.
pub fn bind_params(kind: &str, host: &str, port: u16) -> [Value; 8] {
    let family = if kind.starts_with("unix") { "unix" } else { "unspec" };
    let window = if matches!(kind, "udp" | "unix-dgram") { 512 * 1024 } else { 0 };
    [
        Value::Nil,
        kind.into(),
        host.into(),
        port.to_string().as_str().into(),
        family.into(),
        true.into(),
        Value::Nil,
        window.into(),
    ]
}

/// The parameters of a `connect` of a new TCP socket to a port of this machine.
pub fn connect_params(port: u16) -> [Value; 6] {
    let port = port.to_string();
    [Value::Nil, "127.0.0.1".into(), port.as_str().into(), "unspec".into(), Value::Nil, 65536.into()]
}

/// The bytes of an array.
pub fn encoded(message: Vec<Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Value::List(message).encode(&mut bytes);
    bytes
}

/// A client that keeps to the protocol only as far as its test wants.
pub struct Pipe {
    stream: UnixStream,
    received: Vec<u8>,
    next_id: u64,
}

impl Pipe {
    /// Connects and says nothing.
    pub fn silent(daemon: &Daemon) -> Pipe {
        Pipe { stream: daemon.pipe(), received: Vec::new(), next_id: 1 }
    }

    /// Says nothing on a connection that is there already.
    pub fn over(stream: UnixStream) -> Pipe {
        let mut pipe = Pipe { stream, received: Vec::new(), next_id: 1 };
        pipe.limit(Duration::from_secs(10));
        pipe
    }

    /// Connects and says a proper hello.
    pub fn greeted(daemon: &Daemon) -> Pipe {
        let mut pipe = Pipe::silent(daemon);
        assert_eq!(pipe.hello("test"), None);
        pipe
    }

    /// Writes bytes; whether the daemon took them all before the write's time limit.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Bounds later reads and writes.
    pub fn limit(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a limit above zero is taken");
        self.stream.set_write_timeout(Some(limit)).expect("a limit above zero is taken");
    }

    /// Sends a request and waits for its answer: failure and result.
    pub fn call(&mut self, method: &str, params: &[Value]) -> (Value, Value) {
        let id = self.next_id;
        self.next_id += 1;
        assert!(self.write(&request(id, method, params)), "the daemon takes `{method}`");
        loop {
            let message =
                self.message().unwrap_or_else(|| panic!("the daemon closed instead of answering {method}"));
            if let [Value::Number(1), Value::Number(answered), failure, result] = message.list()
                && *answered == id
            {
                return (failure.clone(), result.clone());
            }
        }
    }

    /// The code of the failure that a request gets.
    pub fn refusal(&mut self, method: &str, params: &[Value]) -> String {
        self.failure(method, params).unwrap_or_else(|| panic!("{method} was not refused")).0
    }

    /// The code and the message of the failure that a request gets, if it fails.
    pub fn failure(&mut self, method: &str, params: &[Value]) -> Option<(String, String)> {
        match self.call(method, params) {
            (Value::Nil, _) => None,
            (Value::List(failure), Value::Nil) => match failure.as_slice() {
                [Value::Text(code), Value::Number(_) | Value::Negative(_), Value::Text(message)] => {
                    Some((code.clone(), message.clone()))
                }
                other => panic!("no [code, detail, message] for {method}: {other:?}"),
            },
            other => panic!("no answer to {method}: {other:?}"),
        }
    }

    /// Says hello by this name; gives the code and the message of the failure, if it is refused.
    pub fn hello(&mut self, name: &str) -> Option<(String, String)> {
        self.failure("hello", &[1.into(), name.into(), "none".into()])
    }

    /// The next message, or nothing if the daemon has closed the pipe; panics when neither comes in time.
    pub fn message(&mut self) -> Option<Value> {
        loop {
            let mut rest = self.received.as_slice();
            if let Some(value) = decode(&mut rest) {
                let used = self.received.len() - rest.len();
                self.received.drain(..used);
                return Some(value);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.received.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the daemon neither answers nor closes: {error}"),
            }
        }
    }

    /// Panics unless the daemon closes the pipe, whatever it says before.
    pub fn expect_end(&mut self) {
        while self.message().is_some() {}
    }
}

/// One value from the front of the bytes, or nothing if it is not there in full.
pub fn decode(bytes: &mut &[u8]) -> Option<Value> {
    let kind = take(bytes, 1)?[0];
    Some(match kind {
        0x00..=0x7f => Value::Number(kind.into()),
        0x90..=0x9f => list(bytes, (kind & 0x0f).into())?,
        0xa0..=0xbf => text(bytes, (kind & 0x1f).into())?,
        0xc0 => Value::Nil,
        0xc2 | 0xc3 => Value::Bool(kind == 0xc3),
        0xc4..=0xc6 => {
            let length = number(bytes, 1 << (kind - 0xc4))?;
            Value::Bytes(take(bytes, length as usize)?.to_vec())
        }
        0xcc..=0xcf => Value::Number(number(bytes, 1 << (kind - 0xcc))?),
        0xd0..=0xd3 => {
            let width = 1 << (kind - 0xd0);
            let shift = 64 - 8 * width;
            Value::Negative(((number(bytes, width)? << shift) as i64) >> shift)
        }
        0xe0..=0xff => Value::Negative(i64::from(kind as i8)),
        0xd9..=0xdb => {
            let length = number(bytes, 1 << (kind - 0xd9))?;
            text(bytes, length)?
        }
        0xdc | 0xdd => {
            let length = number(bytes, 2 << (kind - 0xdc))?;
            list(bytes, length)?
        }
        _ => panic!("the daemon sent a value of kind {kind:#x}, which the protocol does not use"),
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn number(bytes: &mut &[u8], width: usize) -> Option<u64> {
    Some(take(bytes, width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn text(bytes: &mut &[u8], length: u64) -> Option<Value> {
    let text = take(bytes, length as usize)?;
    Some(Value::Text(String::from_utf8(text.to_vec()).expect("the daemon's texts are UTF-8")))
}

fn list(bytes: &mut &[u8], length: u64) -> Option<Value> {
    (0..length).map(|_| decode(bytes)).collect::<Option<Vec<Value>>>().map(Value::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_protocol_reads_as_it_says() {
        let hello = b"\x94\x00\x01\xa5hello\x93\x01\xa5a.lua\xa7Lua 5.4";
        let params: Vec<Value> = vec![1.into(), "a.lua".into(), "Lua 5.4".into()];
        let expected = Value::List(vec![0.into(), 1.into(), "hello".into(), Value::List(params.clone())]);
        assert_eq!(decode(&mut hello.as_slice()), Some(expected.clone()));
        assert_eq!(decode(&mut request(1, "hello", &params).as_slice()), Some(expected));

        let data = b"\x93\x02\xa4data\x92\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xc4\x03hi\n";
        let params = [Value::Number(1 << 32), Value::Bytes(b"hi\n".to_vec())];
        assert_eq!(decode(&mut data.as_slice()), decode(&mut notification("data", &params).as_slice()));
        for cut in 0..data.len() {
            assert_eq!(decode(&mut &data[..cut]), None, "cut at {cut}");
        }
    }
}
