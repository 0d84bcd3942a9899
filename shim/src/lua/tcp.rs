//! The methods of LuaSocket 3.1's TCP objects.

use luasocketd_protocol::{Code, Direction, Failure, Family};

use super::answer::{Action, Say, Value};
use super::function::{Class, Function, Parameter, Quick};
use super::options;
use super::raw::Call;
use crate::limits::{Mode, Style};
use crate::pattern::{Pattern, Returns};
use crate::range::{SendRange, send_range};
use crate::session::{Clock, Place, Stopped};
use crate::text::v3_1;

const ANY: Parameter =
    Parameter::Object(&[Class::TcpMaster, Class::TcpClient, Class::TcpServer], c"tcp{any} expected");
const MASTER: Parameter = Parameter::Object(&[Class::TcpMaster], c"tcp{master} expected");
const CLIENT: Parameter = Parameter::Object(&[Class::TcpClient], c"tcp{client} expected");
const SERVER: Parameter = Parameter::Object(&[Class::TcpServer], c"tcp{server} expected");

/// LuaSocket's default backlog.
const BACKLOG: f64 = 32.0;

/// All methods exist on all three classes; which object may be used is checked inside.
pub(crate) const METHODS: &[Function] = &[
    Function::making(Class::TcpClient, c"accept", &[SERVER], accept),
    Function::new(c"bind", &[MASTER, Parameter::Text, Parameter::Text], bind),
    Function::new(c"close", &[ANY], close),
    Function::new(c"connect", &[ANY, Parameter::Text, Parameter::Text], connect),
    Function::new(c"dirty", &[ANY], dirty),
    Function::new(c"getfamily", &[ANY], family),
    Function::new(c"getfd", &[ANY], descriptor),
    Function::new(c"getoption", &[ANY, Parameter::Text], options::get),
    Function::new(c"getpeername", &[ANY], peer_name),
    Function::new(c"getsockname", &[ANY], local_name),
    Function::new(c"getstats", &[CLIENT], statistics),
    Function::new(c"gettimeout", &[ANY], limits),
    Function::new(c"listen", &[MASTER, Parameter::OptionalNumber], listen),
    Function::new(c"receive", &[CLIENT, Parameter::OptionalNumberOrText, Parameter::OptionalText], receive)
        .quick(Quick::Receive),
    Function::new(
        c"send",
        &[CLIENT, Parameter::Text, Parameter::OptionalNumber, Parameter::OptionalNumber],
        send,
    )
    .quick(Quick::Send),
    Function::new(c"setfd", &[ANY, Parameter::Number], set_descriptor),
    Function::new(c"setoption", &[ANY, Parameter::Text, Parameter::OptionValue], options::set),
    Function::new(c"setpeername", &[ANY, Parameter::Text, Parameter::Text], connect),
    Function::new(c"setsockname", &[MASTER, Parameter::Text, Parameter::Text], bind),
    Function::new(
        c"setstats",
        &[CLIENT, Parameter::OptionalNumber, Parameter::OptionalNumber, Parameter::Any],
        set_statistics,
    ),
    Function::new(c"settimeout", &[ANY, Parameter::OptionalNumber, Parameter::OptionalText], set_limit),
    Function::new(c"shutdown", &[CLIENT, Parameter::OptionalText], shutdown),
];

/// `nil` and the text for a failed call.
pub(super) fn failed(call: &Call<'_>, failure: Failure) -> Action {
    Action::values(&[Value::Nil, call.say(format_args!("{}", v3_1::text(&failure)))])
}

pub(super) fn accept(call: &Call<'_>) -> Action {
    match call.session().accept(call, call.key(), Style::PerCall) {
        Ok(key) => Action::values(&[Value::New(key)]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

pub(super) fn bind(call: &Call<'_>) -> Action {
    let (host, port) = (call.c_text(2), call.c_text(3));
    let place = Place {
        host: &host,
        port: &port,
        family: bind_family(&host, call.session().family(call.key())),
        reuse_address: false,
    };
    match call.session().bind(call, call.key(), place) {
        Ok(_) => Action::one(),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

/// Every address means every IPv4 address, unless the object has a family.
pub(super) fn bind_family(host: &str, family: Family) -> Family {
    if host == "*" && family == Family::Unspec { Family::Inet } else { family }
}

pub(super) fn close(call: &Call<'_>) -> Action {
    call.session().close(call.key());
    Action::one()
}

fn connect(call: &Call<'_>) -> Action {
    let (host, port) = (call.c_text(2), call.c_text(3));
    let action = match call.session().connect(call, call.key(), &host, &port) {
        Ok(()) => Action::one(),
        Err(trouble) => call.trouble(trouble, failed),
    };
    action.becoming(Class::TcpClient)
}

pub(super) fn dirty(call: &Call<'_>) -> Action {
    Action::values(&[Value::Flag(call.session().is_dirty(call.key()))])
}

pub(super) fn family(call: &Call<'_>) -> Action {
    let family = match call.session().family(call.key()) {
        Family::Inet6 => "inet6",
        Family::Inet | Family::Unspec | Family::Dual | Family::Unix => "inet4",
    };
    Action::values(&[Value::Word(family)])
}

pub(super) fn descriptor(call: &Call<'_>) -> Action {
    Action::values(&[Value::Number(call.session().descriptor(call.key()).into())])
}

/// Only taking the socket away from the object makes sense out of process, as a library does that goes
/// on with the descriptor itself.
pub(super) fn set_descriptor(call: &Call<'_>) -> Action {
    if call.number(2) == Some(-1.0) {
        call.session().close(call.key());
        return Action::nothing();
    }
    call.say(format_args!("a descriptor of this process cannot be given to the daemon"));
    Action::RaiseArgument(2)
}

pub(super) fn local_name(call: &Call<'_>) -> Action {
    name(call, call.session().local_name(call, call.key()))
}

pub(super) fn peer_name(call: &Call<'_>) -> Action {
    name(call, call.session().peer_name(call, call.key()))
}

fn name(call: &Call<'_>, name: crate::session::Outcome<luasocketd_protocol::Address>) -> Action {
    match name {
        Ok(address) => Action::values(&[
            call.say(format_args!("{}", address.host)),
            Value::Integer(address.port.into()),
            Value::Word(family_word(call.session().family(call.key()))),
        ]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

/// A family as the name functions call it.
pub(super) fn family_word(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
        Family::Unspec => "unspec",
        Family::Dual | Family::Unix => "unknown",
    }
}

pub(super) fn statistics(call: &Call<'_>) -> Action {
    let numbers = call.session().statistics(call.key(), |statistics| {
        [statistics.received as f64, statistics.sent as f64, statistics.age()]
    });
    Action::values(&numbers.unwrap_or_default().map(Value::Number))
}

pub(super) fn set_statistics(call: &Call<'_>) -> Action {
    // A count below zero wraps, as it does in C.
    let count = |number: f64| if number < 0.0 { (number as i64) as u64 } else { number as u64 };
    call.session().statistics(call.key(), |statistics| {
        if let Some(received) = call.number(2) {
            statistics.received = count(received);
        }
        if let Some(sent) = call.number(3) {
            statistics.sent = count(sent);
        }
        if let Some(age) = call.number(4) {
            statistics.set_age(age);
        }
    });
    Action::one()
}

pub(super) fn limits(call: &Call<'_>) -> Action {
    let (block, total) = call.session().limits(call.key()).map_or((-1.0, -1.0), |limits| limits.seconds());
    Action::values(&[Value::Number(block), Value::Number(total)])
}

pub(super) fn set_limit(call: &Call<'_>) -> Action {
    let mode = match call.text(3).map_or(Some(b'b'), |mode| mode.first().copied()) {
        Some(b'b') => Mode::Block,
        Some(b'r' | b't') => Mode::Total,
        _ => {
            call.say(format_args!("invalid timeout mode"));
            return Action::RaiseArgument(3);
        }
    };
    call.session().set_limit(call.key(), mode, call.number(2).unwrap_or(-1.0));
    Action::one()
}

fn listen(call: &Call<'_>) -> Action {
    listen_as(call, Class::TcpServer)
}

/// Makes a server of the object.
pub(super) fn listen_as(call: &Call<'_>, class: Class) -> Action {
    let backlog = call.number(2).unwrap_or(BACKLOG) as i32;
    match call.session().listen(call, call.key(), backlog) {
        Ok(()) => Action::one().becoming(class),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

pub(super) fn receive(call: &Call<'_>) -> Action {
    let prefix = call.text(3).unwrap_or_default();
    let pattern = match (call.text(2), call.number(2)) {
        (None, None) => Some(Pattern::Line(Returns::DropAll)),
        (Some(text), None) => Pattern::from_3_1(text),
        (_, Some(number)) => match Pattern::count(number) {
            Some(count) if !prefix.is_empty() && prefix.len() as u64 >= count => {
                return Action::values(&[Value::Argument(3), Value::Nil, Value::Nil]);
            }
            Some(0) => Some(Pattern::Peek),
            Some(count) => Some(Pattern::Count(count - prefix.len() as u64)),
            None => None,
        },
    };
    let Some(pattern) = pattern else {
        call.say(format_args!("invalid receive pattern"));
        return Action::RaiseArgument(2);
    };
    let Ok(received) = call.session().receive(call, call.key(), pattern, &mut Clock::default()) else {
        return Action::RaiseReady;
    };
    let piece = received.piece;
    let data = Value::Received { piece, prefix: if prefix.is_empty() { 0 } else { 3 } };
    let values = match received.stopped {
        None => [data, Value::Nil, Value::Nil],
        // The end of the peer is what this pattern waits for, unless nothing came before it.
        Some(Stopped::Eof) if pattern == Pattern::All && piece.length > 0 => [data, Value::Nil, Value::Nil],
        Some(stopped) => [Value::Nil, stop_word(call, &stopped), data],
    };
    Action::values(&values).taking(piece.take)
}

pub(super) fn send(call: &Call<'_>) -> Action {
    let data = call.text(2).unwrap_or_default();
    let SendRange { bytes, offset } =
        send_range(data.len(), call.number(3).unwrap_or(1.0), call.number(4).unwrap_or(-1.0));
    let Ok((accepted, stopped)) = call.session().send(call, call.key(), &data[bytes], &mut Clock::default())
    else {
        return Action::RaiseReady;
    };
    let last = Value::Number(offset + accepted as f64);
    match stopped {
        None => Action::values(&[last, Value::Nil, Value::Nil]),
        Some(stopped) => Action::values(&[Value::Nil, stop_word(call, &stopped), last]),
    }
}

fn stop_word(call: &Call<'_>, stopped: &Stopped) -> Value {
    match stopped {
        Stopped::Timeout => Value::Word(v3_1::TIMEOUT),
        Stopped::Eof => Value::Word(v3_1::CLOSED),
        Stopped::Failed(failure) if failure.code == Code::Closed => Value::Word(v3_1::CLOSED),
        Stopped::Failed(failure) => call.say(format_args!("{}", v3_1::text(failure))),
    }
}

pub(super) fn shutdown(call: &Call<'_>) -> Action {
    let direction = match call.text(2).unwrap_or(b"both") {
        b"receive" => Direction::Receive,
        b"send" => Direction::Send,
        b"both" => Direction::Both,
        other => {
            call.say(format_args!("invalid option '{}'", String::from_utf8_lossy(other)));
            return Action::RaiseArgument(2);
        }
    };
    match call.session().shutdown(call, call.key(), direction) {
        Err(crate::session::Trouble::Interrupted) => Action::RaiseReady,
        Ok(()) | Err(_) => Action::one(),
    }
}
