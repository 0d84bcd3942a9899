//! `socket.dns`.

use luasocketd_protocol::Family;

use super::answer::{Action, Say, Value};
use super::function::{Function, Parameter};
use super::raw::Call;
use super::tcp::failed;

pub(crate) const FUNCTIONS: &[Function] = &[
    Function::new(c"getaddrinfo", &[Parameter::Text], addresses),
    Function::new(c"gethostname", &[], host_name),
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
