//! LuaSocket 1.0: the module `luasocketd.v1`.

use luasocketd_protocol::{Failure, Family, Kind as SocketKind};

use super::answer::{Action, Say, Value};
use super::function::{Class, Function, Kind, Parameter};
use super::raw::Call;
use crate::limits::{Limits, Mode, Style};
use crate::pattern::Pattern;
use crate::session::{Outcome, Place, Stopped, Trouble};
use crate::text::v1_0::{self, Operation};

const CLIENT: Parameter = Parameter::Object(&[Class::V1Client], c"client socket expected");
const SERVER: Parameter = Parameter::Object(&[Class::V1Server], c"server socket expected");
const SOCKET: Parameter = Parameter::Object(&[Class::V1Client, Class::V1Server], c"socket expected");

const ACCEPT: Function = Function::making(Class::V1Client, c"accept", &[SERVER], accept);
const CLOSE: Function = Function::new(c"close", &[SOCKET], close);
const LISTEN: Function = Function::new(c"listen", &[SERVER, Parameter::Number], listen);
const RECEIVE: Function = Function::new(c"receive", &[CLIENT], receive);
const SEND: Function = Function::new(c"send", &[CLIENT, Parameter::TextsUntilNil], send);
const TIMEOUT: Function =
    Function::new(c"timeout", &[CLIENT, Parameter::Number, Parameter::OptionalText], timeout);

/// What a client socket can do.
pub(crate) const CLIENT_METHODS: &[Function] = &[SEND, RECEIVE, TIMEOUT, CLOSE];
/// What a server socket can do.
pub(crate) const SERVER_METHODS: &[Function] = &[ACCEPT, LISTEN, CLOSE];

/// Every function of the module.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function::making(Class::V1Client, c"connect", &[Parameter::Text, Parameter::Text], connect),
    Function::making(
        Class::V1Server,
        c"bind",
        &[Parameter::Text, Parameter::Text, Parameter::OptionalNumber],
        bind,
    ),
    LISTEN,
    ACCEPT,
    CLOSE,
    SEND,
    RECEIVE,
    TIMEOUT,
];

/// Connections that may wait to be accepted, where `bind` is not told.
const BACKLOG: f64 = 1.0;

/// Several strings up to this many bytes go out as one piece.
const JOIN_MAX: usize = 64 * 1024;

fn connect(call: &Call<'_>) -> Action {
    let key = call.session().create(SocketKind::Tcp, Limits::none(Style::PerWait), Family::Unspec);
    match call.session().connect(call, key, &call.c_text(1), &call.c_text(2)) {
        Ok(()) => Action::values(&[Value::New(key), Value::Nil]),
        Err(trouble) => {
            call.session().remove(key);
            call.trouble(trouble, |call, failure| failed(call, Operation::Connect, &failure))
        }
    }
}

fn bind(call: &Call<'_>) -> Action {
    let key = call.session().create(SocketKind::Tcp, Limits::none(Style::PerWait), Family::Unspec);
    match bind_and_listen(call, key) {
        Ok((host, port)) => Action::values(&[
            Value::New(key),
            call.say(format_args!("{host}")),
            Value::Integer(port.into()),
            Value::Nil,
        ]),
        Err(trouble) => {
            call.session().remove(key);
            call.trouble(trouble, |call, failure| failed(call, Operation::Bind, &failure))
        }
    }
}

fn bind_and_listen(call: &Call<'_>, key: crate::session::Key) -> Outcome<(String, u16)> {
    let (host, port) = (call.c_text(1), call.c_text(2));
    let everywhere = host == "*";
    let family = if everywhere { Family::Dual } else { Family::Unspec };
    let place = Place { host: &host, port: &port, family, reuse_address: true };
    let local = call.session().bind(call, key, place)?;
    call.session().listen(call, key, call.number(3).unwrap_or(BACKLOG) as i32)?;
    // LuaSocket 1.0 knows no IPv6, so every address is its own.
    let host = if everywhere { "0.0.0.0".to_owned() } else { local.host };
    Ok((host, local.port))
}

fn listen(call: &Call<'_>) -> Action {
    if let Some(closed) = refuse_closed(call) {
        return closed;
    }
    let backlog = call.number(2).unwrap_or(BACKLOG) as i32;
    match call.session().listen(call, call.key(), backlog) {
        Ok(()) => Action::values(&[Value::Nil]),
        Err(Trouble::Failed(failure)) => {
            let text = v1_0::text(Operation::Bind, &failure);
            Action::values(&[call.say(format_args!("{text}"))])
        }
        Err(Trouble::NoPipe(why)) => Action::values(&[call.say(format_args!("{why}"))]),
        Err(Trouble::Interrupted) => Action::RaiseReady,
    }
}

fn accept(call: &Call<'_>) -> Action {
    if let Some(closed) = refuse_closed(call) {
        return closed;
    }
    match call.session().accept(call, call.key(), Style::PerWait) {
        Ok(key) => Action::values(&[Value::New(key), Value::Nil]),
        Err(trouble) => call.trouble(trouble, |call, failure| failed(call, Operation::Accept, &failure)),
    }
}

fn close(call: &Call<'_>) -> Action {
    call.session().close(call.key());
    Action::nothing()
}

fn timeout(call: &Call<'_>) -> Action {
    if let Some(closed) = refuse_closed(call) {
        return closed;
    }
    let mode = match call.text(3).map_or(Some(b'b'), |mode| mode.first().copied()) {
        Some(b'b') => Mode::Block,
        Some(b'r') => Mode::Total,
        _ => {
            call.say(format_args!("invalid timeout mode"));
            return Action::RaiseArgument(3);
        }
    };
    call.session().set_limit(call.key(), mode, call.number(2).unwrap_or(-1.0));
    Action::nothing()
}

fn send(call: &Call<'_>) -> Action {
    if let Some(closed) = refuse_closed(call) {
        return closed;
    }
    let texts = || (2..).map_while(|position| call.text(position));
    let length: usize = texts().map(<[u8]>::len).sum();
    let joined;
    let pieces: Vec<&[u8]> = if length <= JOIN_MAX && texts().nth(1).is_some() {
        joined = texts().collect::<Vec<_>>().concat();
        vec![&joined]
    } else {
        texts().collect()
    };
    let mut clock = call.clock();
    let mut total = 0;
    for piece in pieces {
        let Ok((accepted, stopped)) = call.session().send(call, call.key(), piece, &mut clock) else {
            return Action::RaiseReady;
        };
        total += accepted;
        if let Some(stopped) = stopped {
            return Action::values(&[Value::Word(word(&stopped)), Value::Integer(total as i64)]);
        }
    }
    Action::values(&[Value::Nil, Value::Integer(total as i64)])
}

/// One pattern a round; the last round gives the error code.
fn receive(call: &Call<'_>) -> Action {
    if let Some(closed) = refuse_closed(call) {
        return closed;
    }
    let round = call.round();
    let patterns = (call.arguments() - 1).max(1);
    if round == 0 {
        // What is wrong with a late pattern must not cost what an early one has received.
        for position in 2..2 + patterns {
            if pattern(call, position).is_none() {
                call.say(format_args!("invalid receive pattern"));
                return Action::RaiseArgument(position);
            }
        }
    }
    let stopped = call.stopped();
    let Some(pattern) = (round < patterns).then(|| pattern(call, round + 2)).flatten() else {
        return Action::values(&[stopped.map_or(Value::Nil, Value::Word)]);
    };
    if stopped.is_some() {
        return Action::values(&[Value::Nil]).and_more();
    }
    let mut clock = call.clock();
    let Ok(received) = call.session().receive(call, call.key(), pattern, &mut clock) else {
        return Action::RaiseReady;
    };
    match received.stopped {
        None => {}
        // The end of the peer is what this pattern waits for.
        Some(Stopped::Eof) if pattern == Pattern::All => {}
        Some(stopped) => call.stop(word(&stopped)),
    }
    call.keep_clock(clock);
    let piece = received.piece;
    Action::values(&[Value::Received { piece, prefix: 0 }]).taking(piece.take).and_more()
}

/// The pattern at a position; an absent one is a line.
fn pattern(call: &Call<'_>, position: i32) -> Option<Pattern> {
    match (call.kind(position), call.number(position)) {
        (Kind::None | Kind::Nil, _) => Pattern::from_1_0(b"*l"),
        (_, Some(number)) => Pattern::count(number).map(Pattern::Count),
        (Kind::Text, None) => Pattern::from_1_0(call.text(position)?),
        _ => None,
    }
}

fn word(stopped: &Stopped) -> &'static str {
    match stopped {
        Stopped::Timeout => v1_0::TIMEOUT,
        // Whatever ended the connection, LuaSocket 1.0 has one word for it.
        Stopped::Eof | Stopped::Failed(_) => v1_0::CLOSED,
    }
}

fn refuse_closed(call: &Call<'_>) -> Option<Action> {
    call.session().is_closed(call.key()).then(|| {
        call.say(format_args!("operation on closed socket"));
        Action::RaiseArgument(1)
    })
}

fn failed(call: &Call<'_>, operation: Operation, failure: &Failure) -> Action {
    Action::values(&[Value::Nil, call.say(format_args!("{}", v1_0::text(operation, failure)))])
}
