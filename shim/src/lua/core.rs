//! The functions of `socket.core` that belong to no object, and of the `luasocketd` module.

use std::time::{Duration, Instant, SystemTime};

use luasocketd_protocol::{Family, Kind};

use super::answer::{Action, Say, Value};
use super::function::{Class, Function, Parameter};
use super::raw::Call;
use super::tcp::{bind_family, failed};
use crate::limits::{Limits, Style, Until};
use crate::pipe::wait_for;
use crate::session::{Outcome, Place};

/// The release of LuaSocket whose interface this is.
pub(crate) const VERSION: &str = "LuaSocket 3.1.0";
/// LuaSocket's own limits, which scripts may look at; `select` has none here.
pub(crate) const DATAGRAM_SIZE: i64 = 8192;
pub(crate) const SET_SIZE: i64 = 1024;
pub(crate) const INVALID: i64 = -1;

pub(crate) const FUNCTIONS: &[Function] = &[
    Function::new(c"__unload", &[], unload),
    Function::making(
        Class::TcpClient,
        c"connect",
        &[
            Parameter::Text,
            Parameter::Text,
            Parameter::OptionalText,
            Parameter::OptionalText,
            Parameter::OptionalText,
        ],
        connect,
    ),
    Function::new(c"gettime", &[], time),
    Function::new(c"sleep", &[Parameter::Number], sleep),
    Function::making(Class::TcpMaster, c"tcp", &[], tcp),
    Function::making(Class::TcpMaster, c"tcp4", &[], tcp4),
    Function::making(Class::TcpMaster, c"tcp6", &[], tcp6),
    Function::making(Class::UdpUnconnected, c"udp", &[], udp),
    Function::making(Class::UdpUnconnected, c"udp4", &[], udp4),
    Function::making(Class::UdpUnconnected, c"udp6", &[], udp6),
];

/// The functions of the module `luasocketd`.
pub(crate) const LUASOCKETD_FUNCTIONS: &[Function] = &[Function::new(c"daemon", &[], daemon)];

fn unload(_: &Call<'_>) -> Action {
    Action::nothing()
}

fn tcp(call: &Call<'_>) -> Action {
    without_socket(call, Kind::Tcp)
}

fn tcp4(call: &Call<'_>) -> Action {
    opened(call, Kind::Tcp, Family::Inet)
}

fn tcp6(call: &Call<'_>) -> Action {
    opened(call, Kind::Tcp, Family::Inet6)
}

fn udp(call: &Call<'_>) -> Action {
    without_socket(call, Kind::Udp)
}

fn udp4(call: &Call<'_>) -> Action {
    opened(call, Kind::Udp, Family::Inet)
}

fn udp6(call: &Call<'_>) -> Action {
    opened(call, Kind::Udp, Family::Inet6)
}

/// An object whose first use makes its socket.
fn without_socket(call: &Call<'_>, kind: Kind) -> Action {
    let key = call.session().create(kind, Limits::none(Style::PerCall), Family::Unspec);
    Action::values(&[Value::New(key)])
}

fn opened(call: &Call<'_>, kind: Kind, family: Family) -> Action {
    let key = call.session().create(kind, Limits::none(Style::PerCall), family);
    made(call, key, call.session().open(call, key))
}

fn connect(call: &Call<'_>) -> Action {
    let family = match call.text(5).unwrap_or(b"unspec") {
        b"unspec" => Family::Unspec,
        b"inet" => Family::Inet,
        b"inet6" => Family::Inet6,
        other => {
            call.say(format_args!("invalid option '{}'", String::from_utf8_lossy(other)));
            return Action::RaiseArgument(5);
        }
    };
    let key = call.session().create(Kind::Tcp, Limits::none(Style::PerCall), Family::Unspec);
    let bound = match call.text(3) {
        None => Ok(()),
        Some(_) => {
            let host = call.c_text(3);
            let port = if call.text(4).is_some() { call.c_text(4) } else { "0".into() };
            let family = bind_family(&host, family);
            let place = Place { host: &host, port: &port, family, reuse_address: false };
            call.session().bind(call, key, place).map(drop)
        }
    };
    let connected = bound.and_then(|()| call.session().connect(call, key, &call.c_text(1), &call.c_text(2)));
    made(call, key, connected)
}

/// The new object, or why it came to nothing.
pub(super) fn made(call: &Call<'_>, key: crate::session::Key, outcome: Outcome<()>) -> Action {
    match outcome {
        Ok(()) => Action::values(&[Value::New(key)]),
        Err(trouble) => {
            call.session().remove(key);
            call.trouble(trouble, failed)
        }
    }
}

fn time(_: &Call<'_>) -> Action {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Action::values(&[Value::Number(now.as_secs_f64())])
}

fn sleep(call: &Call<'_>) -> Action {
    let seconds = call.number(1).filter(|seconds| *seconds > 0.0).unwrap_or(0.0);
    let length = Duration::from_secs_f64(seconds.min(i32::MAX.into()));
    let until = Until::At(Instant::now() + length);
    while !until.is_over(Instant::now()) {
        if wait_for(call, &mut [], until).is_err() {
            return Action::RaiseReady;
        }
    }
    Action::nothing()
}

fn daemon(call: &Call<'_>) -> Action {
    match call.session().daemon(call) {
        Ok(reply) => Action::values(&[call.say(format_args!("{}", reply.daemon))]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}
