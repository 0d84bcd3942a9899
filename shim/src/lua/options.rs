//! `getoption` and `setoption` of LuaSocket 3.1's objects.

use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};

use luasocketd_protocol::{Kind as SocketKind, OptionKind, OptionValue, SocketOption, aton};

use super::answer::{Action, Say, Value};
use super::function::Kind;
use super::raw::Call;
use super::tcp::failed;
use crate::session::Trouble;
use crate::text::v3_1;

/// How much of an unknown option's name is shown.
const NAME_SHOWN: usize = 35;

/// Where the value's fields lie: behind the value.
const FIRST_FIELD: i32 = 4;
const SECOND_FIELD: i32 = 5;

/// LuaSocket raises what is wrong with the interface of an IPv6 group about an argument that there is not.
const ODD_POSITION: i32 = -1;

/// What has to be done with the value of an option before it can be looked at.
pub(crate) enum Shape {
    /// Nothing.
    Plain,
    /// Of a number a string is made.
    Text,
    /// These fields of a table are fetched.
    Fields(&'static CStr, &'static CStr),
}

/// The shape of an option's value, by the option's name.
pub(crate) fn shape(name: &[u8]) -> Shape {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match SocketOption::from_name(name).map(SocketOption::kind) {
        None | Some(OptionKind::Flag | OptionKind::Number | OptionKind::Error) => Shape::Plain,
        Some(OptionKind::Device | OptionKind::Inet) => Shape::Text,
        Some(OptionKind::Linger) => Shape::Fields(c"on", c"timeout"),
        Some(OptionKind::Group | OptionKind::Group6) => Shape::Fields(c"multiaddr", c"interface"),
    }
}

pub(super) fn get(call: &Call<'_>) -> Action {
    let Some(option) = option(call, SocketOption::is_readable) else { return Action::RaiseArgument(2) };
    if option.kind() == OptionKind::Error {
        return match call.session().take_error(call, call.key()) {
            Ok(Some(failure)) => Action::values(&[call.say(format_args!("{}", v3_1::text(&failure)))]),
            Ok(None) => Action::values(&[Value::Nil]),
            Err(trouble) => refused(call, trouble, v3_1::GETOPTION_FAILED),
        };
    }
    let value = match call.session().option(call, call.key(), option) {
        Ok(value) => value,
        Err(trouble) => return refused(call, trouble, v3_1::GETOPTION_FAILED),
    };
    let value = match value {
        OptionValue::Flag(flag) => Value::Flag(flag),
        OptionValue::Number(number) => Value::Number(number.into()),
        OptionValue::Linger(on, seconds) => Value::Linger(on, seconds),
        OptionValue::Text(text) => call.say(format_args!("{text}")),
        // Groups are only joined and left.
        OptionValue::Group(..) | OptionValue::Group6(..) => Value::Nil,
    };
    Action::values(&[value])
}

pub(super) fn set(call: &Call<'_>) -> Action {
    let Some(option) = option(call, SocketOption::is_settable) else { return Action::RaiseArgument(2) };
    let value = match value(call, option.kind()) {
        Ok(value) => value,
        Err(position) => return Action::RaiseArgument(position),
    };
    match call.session().set_option(call, call.key(), option, value) {
        Ok(()) => Action::one(),
        Err(trouble) => refused(call, trouble, v3_1::SETOPTION_FAILED),
    }
}

/// LuaSocket says only that it failed.
fn refused(call: &Call<'_>, trouble: Trouble, text: &'static str) -> Action {
    match trouble {
        Trouble::Failed(_) => Action::values(&[Value::Nil, Value::Word(text)]),
        other => call.trouble(other, failed),
    }
}

/// The option that is named, or a text about it.
fn option(call: &Call<'_>, usable: fn(SocketOption, SocketKind) -> bool) -> Option<SocketOption> {
    let name = call.c_text(2);
    let kind = call.session().kind(call.key());
    let option = SocketOption::from_name(name.as_bytes()).filter(|&option| usable(option, kind));
    if option.is_none() {
        let shown = name.char_indices().nth(NAME_SHOWN).map_or(&*name, |(end, _)| &name[..end]);
        call.say(format_args!("unsupported option `{shown}'"));
    }
    option
}

/// What was given, or the position of the argument that is wrong and a text about it.
type Parsed<T> = Result<T, i32>;

/// The value that was given.
fn value(call: &Call<'_>, kind: OptionKind) -> Parsed<OptionValue> {
    match kind {
        OptionKind::Flag => call.flag(3).map(OptionValue::Flag).ok_or_else(|| expected(call, "boolean")),
        // LuaSocket does not look: what is no number is 0.
        OptionKind::Number | OptionKind::Error => {
            Ok(OptionValue::Number(call.number(3).unwrap_or(0.0) as i32))
        }
        OptionKind::Linger => linger(call),
        OptionKind::Device => text(call).map(OptionValue::Text),
        OptionKind::Inet => match address(&text(call)?) {
            Some(address) => Ok(OptionValue::Text(address)),
            None => wrong(call, "ip expected"),
        },
        OptionKind::Group => group(call),
        OptionKind::Group6 => group6(call),
    }
}

fn linger(call: &Call<'_>) -> Parsed<OptionValue> {
    table(call)?;
    let Some(on) = call.flag(FIRST_FIELD) else { return wrong(call, "boolean 'on' field expected") };
    let Some(seconds) = call.number(SECOND_FIELD) else {
        return wrong(call, "number 'timeout' field expected");
    };
    // Cut to 16 bits, as C does.
    Ok(OptionValue::Linger(on, seconds as i64 as u16))
}

fn group(call: &Call<'_>) -> Parsed<OptionValue> {
    table(call)?;
    if call.text(FIRST_FIELD).is_none() {
        return wrong(call, "string 'multiaddr' field expected");
    }
    let Some(group) = leading_address(&call.c_text(FIRST_FIELD)) else {
        return wrong(call, "invalid 'multiaddr' ip address");
    };
    if call.text(SECOND_FIELD).is_none() {
        return wrong(call, "string 'interface' field expected");
    }
    match address(&call.c_text(SECOND_FIELD)) {
        Some(interface) => Ok(OptionValue::Group(group.to_string(), interface)),
        None => wrong(call, "invalid 'interface' ip address"),
    }
}

fn group6(call: &Call<'_>) -> Parsed<OptionValue> {
    table(call)?;
    if call.text(FIRST_FIELD).is_none() {
        return wrong(call, "string 'multiaddr' field expected");
    }
    let Ok(group) = call.c_text(FIRST_FIELD).parse::<Ipv6Addr>() else {
        return wrong(call, "invalid 'multiaddr' ip address");
    };
    let interface = match (call.kind(SECOND_FIELD), call.number(SECOND_FIELD)) {
        (Kind::Nil, _) => 0,
        // A number below zero wraps, as it does in C.
        (_, Some(number)) => number as i64 as u32,
        (_, None) => {
            call.say(format_args!("number 'interface' field expected"));
            return Err(ODD_POSITION);
        }
    };
    Ok(OptionValue::Group6(group.to_string(), interface))
}

/// An IPv4 address of this machine; `*` for any.
fn address(text: &str) -> Option<String> {
    let address = if text == "*" { Some(Ipv4Addr::UNSPECIFIED) } else { leading_address(text) };
    address.map(|address| address.to_string())
}

/// As inet_aton(3) has it, which LuaSocket asks: what follows a space is ignored.
fn leading_address(text: &str) -> Option<Ipv4Addr> {
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '\x0b').unwrap_or(text.len());
    aton(&text[..end])
}

fn text(call: &Call<'_>) -> Parsed<String> {
    if call.text(3).is_none() {
        return Err(expected(call, "string"));
    }
    Ok(call.c_text(3).into_owned())
}

fn table(call: &Call<'_>) -> Parsed<()> {
    if call.kind(3) == Kind::Table { Ok(()) } else { Err(expected(call, "table")) }
}

fn expected(call: &Call<'_>, what: &str) -> i32 {
    call.say(format_args!("{what} expected, got {}", call.type_name(3)));
    3
}

fn wrong<T>(call: &Call<'_>, text: &str) -> Parsed<T> {
    call.say(format_args!("{text}"));
    Err(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_space_is_ignored() {
        for text in ["1.2.3.4 and more", "1.2.3.4\n", "1.2.3.4\x0b", "1.2.3.4"] {
            assert_eq!(leading_address(text), Some(Ipv4Addr::new(1, 2, 3, 4)), "{text:?}");
        }
        assert_eq!((leading_address(" 1.2.3.4"), leading_address("1.2.3.4x")), (None, None));
    }
}
