//! The methods of LuaSocket 3.1's UDP objects.

use luasocketd_protocol::{Failure, Family};

use super::answer::{Action, Say, Value};
use super::function::{Class, Function, Parameter};
use super::raw::Call;
use super::tcp::{self, failed};
use super::{core, options};
use crate::pattern::Piece;
use crate::session::{Receiver, Stopped, Trouble};
use crate::text::v3_1;

const ANY: Parameter = Parameter::Object(&[Class::UdpConnected, Class::UdpUnconnected], c"udp{any} expected");
const CONNECTED: Parameter = Parameter::Object(&[Class::UdpConnected], c"udp{connected} expected");
const UNCONNECTED: Parameter = Parameter::Object(&[Class::UdpUnconnected], c"udp{unconnected} expected");

/// Both classes have all methods; which object may be used is checked inside.
pub(crate) const METHODS: &[Function] = &[
    Function::new(c"close", &[ANY], tcp::close),
    Function::new(c"dirty", &[ANY], tcp::dirty),
    Function::new(c"getfamily", &[ANY], tcp::family),
    Function::new(c"getfd", &[ANY], tcp::descriptor),
    Function::new(c"getoption", &[ANY, Parameter::Text], options::get),
    Function::new(c"getpeername", &[CONNECTED], tcp::peer_name),
    Function::new(c"getsockname", &[ANY], tcp::local_name),
    Function::new(c"gettimeout", &[ANY], tcp::limits),
    Function::new(c"receive", &[ANY, Parameter::OptionalNumber], receive),
    Function::new(c"receivefrom", &[UNCONNECTED, Parameter::OptionalNumber], receive_from),
    Function::new(c"send", &[CONNECTED, Parameter::Text], send),
    Function::new(c"sendto", &[UNCONNECTED, Parameter::Text, Parameter::Text, Parameter::Text], send_to),
    Function::new(c"setfd", &[ANY, Parameter::Number], tcp::set_descriptor),
    Function::new(c"setoption", &[ANY, Parameter::Text, Parameter::OptionValue], options::set),
    Function::new(c"setpeername", &[ANY, Parameter::Text, Parameter::TextUnless(2, c"*")], set_peer),
    Function::new(c"setsockname", &[UNCONNECTED, Parameter::Text, Parameter::Text], tcp::bind),
    Function::new(c"settimeout", &[ANY, Parameter::OptionalNumber, Parameter::OptionalText], tcp::set_limit),
];

/// The size in bytes from which on LuaSocket finds no memory for a datagram, on a machine of these days.
const SIZE_MAX: f64 = (1u64 << 36) as f64;

/// A datagram that was asked for.
pub(super) enum Mail {
    /// It is there: how much of it the script gets, and its sender's port.
    Come(Value, u16),
    /// There is no socket that it could come to.
    NoSocket,
    /// The call ends in another way.
    Not(Action),
}

/// Waits for a datagram; the second argument is how much of it is wanted.
pub(super) fn mail(call: &Call<'_>) -> Mail {
    let wanted = call.number(2).unwrap_or(core::DATAGRAM_SIZE as f64);
    // Above -1 it is 0 when it is cut to a whole number.
    if !(wanted > -1.0 && wanted < SIZE_MAX) {
        return Mail::Not(Action::values(&[Value::Nil, Value::Word(v3_1::OUT_OF_MEMORY)]));
    }
    let Ok(received) = call.session().receive_datagram(call, call.key()) else {
        return Mail::Not(Action::RaiseReady);
    };
    match received {
        Ok((length, port)) => {
            let length = length.min(wanted as usize);
            let piece = Piece { start: 0, length, take: 1, drop_returns: false };
            Mail::Come(Value::Received { piece, prefix: 0 }, port)
        }
        Err(Stopped::Eof) => Mail::NoSocket,
        Err(Stopped::Timeout) => Mail::Not(Action::values(&[Value::Nil, Value::Word(v3_1::TIMEOUT)])),
        Err(Stopped::Failed(failure)) => Mail::Not(unsent(call, failure)),
    }
}

pub(super) fn receive(call: &Call<'_>) -> Action {
    match mail(call) {
        Mail::Come(bytes, _) => Action::values(&[bytes]).taking(1),
        // It reads like an empty datagram.
        Mail::NoSocket => Action::values(&[Value::Word("")]),
        Mail::Not(action) => action,
    }
}

fn receive_from(call: &Call<'_>) -> Action {
    match mail(call) {
        Mail::Come(bytes, port) => {
            Action::values(&[bytes, Value::Sender, Value::Integer(port.into())]).taking(1)
        }
        // LuaSocket looks at an address that nobody has set.
        Mail::NoSocket => Action::values(&[Value::Nil, Value::Word("ai_family not supported")]),
        Mail::Not(action) => action,
    }
}

pub(super) fn send(call: &Call<'_>) -> Action {
    let data = call.text(2).unwrap_or_default();
    sent(call, call.session().send_datagram(call, call.key(), Receiver::Peer, data), unsent)
}

fn send_to(call: &Call<'_>) -> Action {
    let data = call.text(2).unwrap_or_default();
    let (host, port) = (call.c_text(3), call.c_text(4));
    // `*` is the loopback address, of IPv6 first. What is no address at all is for the daemon to refuse.
    let family = if host.contains(':') || host == "*" { Family::Inet6 } else { Family::Inet };
    let receiver = Receiver::Address(&host, &port);
    let outcome = call.session().send_to(call, call.key(), family, receiver, data);
    sent(call, outcome, |call, failure| {
        Action::values(&[Value::Nil, call.say(format_args!("{}", v3_1::sent_to(&failure)))])
    })
}

/// The number of bytes that were sent, or why there are none.
pub(super) fn sent(
    call: &Call<'_>,
    outcome: Result<usize, Trouble>,
    words: fn(&Call<'_>, Failure) -> Action,
) -> Action {
    match outcome {
        Ok(length) => Action::values(&[Value::Number(length as f64)]),
        Err(trouble) => call.trouble(trouble, words),
    }
}

/// `nil` and the text for a datagram that failed.
pub(super) fn unsent(call: &Call<'_>, failure: Failure) -> Action {
    Action::values(&[Value::Nil, call.say(format_args!("{}", v3_1::datagram(&failure)))])
}

fn set_peer(call: &Call<'_>) -> Action {
    let host = call.c_text(2);
    if host == "*" {
        return match call.session().clear_peer(call, call.key()) {
            Err(Trouble::Interrupted) => Action::RaiseReady,
            // LuaSocket ignores what the system says.
            Ok(()) | Err(_) => Action::one().becoming(Class::UdpUnconnected),
        };
    }
    match call.session().set_peer(call, call.key(), &host, &call.c_text(3)) {
        Ok(()) => Action::one().becoming(Class::UdpConnected),
        Err(trouble) => call.trouble(trouble, failed),
    }
}
