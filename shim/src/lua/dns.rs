//! `socket.dns`.

use luasocketd_protocol::{Code, Failure, Family};

use super::answer::{Action, Say, Value};
use super::function::{Function, Parameter};
use super::raw::Call;
use super::tcp::failed;
use crate::session::FoundText;
use crate::text::host::NO_ADDRESS;

pub(crate) const FUNCTIONS: &[Function] = &[
    Function::new(c"getaddrinfo", &[Parameter::Text], addresses),
    Function::new(c"gethostname", &[], host_name),
    Function::new(c"getnameinfo", &[Parameter::OptionalText, Parameter::OptionalText], names),
    Function::new(c"tohostname", &[Parameter::Text], to_host_name),
    Function::new(c"toip", &[Parameter::Text], to_ip),
];

fn addresses(call: &Call<'_>) -> Action {
    match call.session().resolve(call, &call.c_text(1), Family::Unspec) {
        Ok(count) => Action::values(&[Value::Addresses(count)]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

fn host_name(call: &Call<'_>) -> Action {
    let system = rustix::system::uname();
    Action::values(&[call.say(format_args!("{}", system.nodename().to_string_lossy()))])
}

fn names(call: &Call<'_>) -> Action {
    let argument = |position| call.text(position).map(|_| call.c_text(position));
    let (host, service) = (argument(1), argument(2));
    if host.is_none() && service.is_none() {
        call.say(format_args!("host and serv cannot be both nil"));
        return Action::Raise;
    }
    match call.session().name_info(call, host.as_deref(), service.as_deref()) {
        Ok(count) if service.is_some() => {
            Action::values(&[Value::Names(count), Value::Found(FoundText::Service)])
        }
        Ok(count) => Action::values(&[Value::Names(count)]),
        Err(trouble) => call.trouble(trouble, failed),
    }
}

fn to_host_name(call: &Call<'_>) -> Action {
    entry(call, FoundText::HostName)
}

fn to_ip(call: &Call<'_>) -> Action {
    entry(call, FoundText::HostAddress(0))
}

/// One text of what is known of a host, and all of it.
fn entry(call: &Call<'_>, wanted: FoundText) -> Action {
    match call.session().host_entry(call, &call.c_text(1)) {
        Ok((aliases, addresses)) if addresses > 0 => {
            Action::values(&[Value::Found(wanted), Value::HostEntry { aliases, addresses }])
        }
        Ok(_) => {
            let none = Failure { detail: NO_ADDRESS, ..Failure::new(Code::Host, "no address") };
            failed(call, none)
        }
        Err(trouble) => call.trouble(trouble, failed),
    }
}
