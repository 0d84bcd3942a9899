//! `socket.unix`: the methods of local sockets, streams and datagrams.

use luasocketd_protocol::{Failure, Family, Kind as SocketKind};
use rustix::io::Errno;

use super::answer::{Action, Say, Value};
use super::core::made;
use super::function::{Class, Function, Parameter};
use super::options;
use super::raw::Call;
use super::tcp::{self, failed};
use super::udp::{self, Mail, mail};
use crate::limits::{Limits, Style};
use crate::path::{BadPath, LocalPath, local_path};
use crate::session::Receiver;
use crate::text::v3_1;

const STREAM: Parameter = Parameter::Object(
    &[Class::UnixStreamMaster, Class::UnixStreamClient, Class::UnixStreamServer],
    c"unixstream{any} expected",
);
const MASTER: Parameter = Parameter::Object(&[Class::UnixStreamMaster], c"unixstream{master} expected");
const CLIENT: Parameter = Parameter::Object(&[Class::UnixStreamClient], c"unixstream{client} expected");
const SERVER: Parameter = Parameter::Object(&[Class::UnixStreamServer], c"unixstream{server} expected");

const DGRAM: Parameter =
    Parameter::Object(&[Class::UnixDgramConnected, Class::UnixDgramUnconnected], c"unixdgram{any} expected");
const CONNECTED: Parameter =
    Parameter::Object(&[Class::UnixDgramConnected], c"unixdgram{connected} expected");
const UNCONNECTED: Parameter =
    Parameter::Object(&[Class::UnixDgramUnconnected], c"unixdgram{unconnected} expected");

/// The makers of the module.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function::making(Class::UnixDgramUnconnected, c"dgram", &[], dgram),
    Function::making(Class::UnixStreamMaster, c"stream", &[], stream),
];

/// LuaSocket gives local streams fewer methods than TCP.
pub(crate) const STREAM_METHODS: &[Function] = &[
    Function::making(Class::UnixStreamClient, c"accept", &[SERVER], tcp::accept),
    Function::new(c"bind", &[MASTER, Parameter::Text], bind),
    Function::new(c"close", &[STREAM], tcp::close),
    Function::new(c"connect", &[MASTER, Parameter::Text], connect_stream),
    Function::new(c"dirty", &[STREAM], tcp::dirty),
    Function::new(c"getfd", &[STREAM], tcp::descriptor),
    Function::new(c"getsockname", &[STREAM], name),
    Function::new(c"getstats", &[CLIENT], tcp::statistics),
    Function::new(c"listen", &[MASTER, Parameter::OptionalNumber], listen),
    Function::new(
        c"receive",
        &[CLIENT, Parameter::OptionalNumberOrText, Parameter::OptionalText],
        tcp::receive,
    ),
    Function::new(
        c"send",
        &[CLIENT, Parameter::Text, Parameter::OptionalNumber, Parameter::OptionalNumber],
        tcp::send,
    ),
    Function::new(c"setfd", &[STREAM, Parameter::Number], tcp::set_descriptor),
    Function::new(c"setoption", &[STREAM, Parameter::Text, Parameter::OptionValue], options::set),
    Function::new(c"setpeername", &[MASTER, Parameter::Text], connect_stream),
    Function::new(c"setsockname", &[MASTER, Parameter::Text], bind),
    Function::new(
        c"setstats",
        &[CLIENT, Parameter::OptionalNumber, Parameter::OptionalNumber, Parameter::Any],
        tcp::set_statistics,
    ),
    Function::new(
        c"settimeout",
        &[STREAM, Parameter::OptionalNumber, Parameter::OptionalText],
        tcp::set_limit,
    ),
    Function::new(c"shutdown", &[CLIENT, Parameter::OptionalText], tcp::shutdown),
];

/// The methods of local datagram sockets.
pub(crate) const DGRAM_METHODS: &[Function] = &[
    Function::new(c"bind", &[UNCONNECTED, Parameter::Text], bind),
    Function::new(c"close", &[DGRAM], tcp::close),
    Function::new(c"connect", &[DGRAM, Parameter::Text], connect_dgram),
    Function::new(c"dirty", &[DGRAM], tcp::dirty),
    Function::new(c"getfd", &[DGRAM], tcp::descriptor),
    Function::new(c"getsockname", &[DGRAM], name),
    Function::new(c"gettimeout", &[DGRAM], tcp::limits),
    Function::new(c"receive", &[DGRAM, Parameter::OptionalNumber], udp::receive),
    Function::new(c"receivefrom", &[UNCONNECTED, Parameter::OptionalNumber], receive_from),
    Function::new(c"send", &[CONNECTED, Parameter::Text], udp::send),
    Function::new(c"sendto", &[UNCONNECTED, Parameter::Text, Parameter::Text], send_to),
    Function::new(c"setfd", &[DGRAM, Parameter::Number], tcp::set_descriptor),
    Function::new(c"setoption", &[DGRAM, Parameter::Text, Parameter::OptionValue], options::set),
    Function::new(c"setpeername", &[DGRAM, Parameter::Text], connect_dgram),
    Function::new(c"setsockname", &[UNCONNECTED, Parameter::Text], bind),
    Function::new(
        c"settimeout",
        &[DGRAM, Parameter::OptionalNumber, Parameter::OptionalText],
        tcp::set_limit,
    ),
];

fn stream(call: &Call<'_>) -> Action {
    opened(call, SocketKind::UnixStream)
}

fn dgram(call: &Call<'_>) -> Action {
    opened(call, SocketKind::UnixDgram)
}

fn opened(call: &Call<'_>, kind: SocketKind) -> Action {
    let key = call.session().create(kind, Limits::none(Style::PerCall), Family::Unix);
    made(call, key, call.session().open(call, key))
}

fn bind(call: &Call<'_>) -> Action {
    let path = match path(call, 2) {
        Ok(path) => path,
        Err(why) => return refuse_and_close(call, why),
    };
    match call.session().bind_path(call, call.key(), path) {
        Ok(()) => Action::one(),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

fn connect_stream(call: &Call<'_>) -> Action {
    connect(call, Class::UnixStreamClient)
}

fn connect_dgram(call: &Call<'_>) -> Action {
    connect(call, Class::UnixDgramConnected)
}

/// Only success makes an object of another class.
fn connect(call: &Call<'_>, class: Class) -> Action {
    let path = match path(call, 2) {
        Ok(path) => path,
        Err(why) => return refuse_and_close(call, why),
    };
    match call.session().connect_path(call, call.key(), &path) {
        Ok(()) => Action::one().becoming(class),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

fn listen(call: &Call<'_>) -> Action {
    tcp::listen_as(call, Class::UnixStreamServer)
}

fn name(call: &Call<'_>) -> Action {
    match call.session().path(call.key()) {
        Ok(path) => Action::values(&[call.say(format_args!("{path}"))]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

fn receive_from(call: &Call<'_>) -> Action {
    match mail(call) {
        Mail::Come(bytes, _) => Action::values(&[bytes, Value::Sender]).taking(1),
        Mail::NoSocket => Action::values(&[Value::Word(""), Value::Word("")]),
        Mail::Not(action) => action,
    }
}

fn send_to(call: &Call<'_>) -> Action {
    let path = match path(call, 3) {
        Ok(path) => path,
        Err(why) => return refuse(call, why),
    };
    let data = call.text(2).unwrap_or_default();
    let receiver = Receiver::Path(&path.absolute);
    udp::sent(call, call.session().send_datagram(call, call.key(), receiver, data), udp::unsent)
}

fn path(call: &Call<'_>, position: i32) -> Result<LocalPath, BadPath> {
    local_path(call.text(position).unwrap_or_default(), || {
        std::env::current_dir().ok()?.into_os_string().into_string().ok()
    })
}

/// A path that the kernel would refuse costs the socket, as everything does that fails there.
fn refuse_and_close(call: &Call<'_>, why: BadPath) -> Action {
    if why != BadPath::TooLong {
        call.session().close(call.key());
    }
    refuse(call, why)
}

fn refuse(call: &Call<'_>, why: BadPath) -> Action {
    let errno = match why {
        BadPath::TooLong => return Action::values(&[Value::Nil, Value::Word(v3_1::PATH_TOO_LONG)]),
        BadPath::NotText => Errno::INVAL,
        BadPath::NoDirectory => Errno::NOENT,
    };
    failed(call, Failure::os(errno.raw_os_error()))
}
