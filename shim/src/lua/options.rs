//! `getoption` and `setoption` of LuaSocket 3.1's TCP objects.

use luasocketd_protocol::{Kind as SocketKind, OptionKind, OptionValue, SocketOption};

use super::answer::{Action, Say, Value};
use super::function::Kind;
use super::raw::Call;
use super::tcp::failed;
use crate::session::Trouble;
use crate::text::v3_1;

/// How much of an unknown option's name is shown.
const NAME_SHOWN: usize = 35;

pub(super) fn get(call: &Call<'_>) -> Action {
    let Some(option) = option(call, SocketOption::is_readable) else { return Action::RaiseArgument(2) };
    if option.kind() == OptionKind::Error {
        return match call.session().take_error(call, call.key()) {
            Ok(Some(failure)) => Action::values(&[call.say(format_args!("{}", v3_1::text(&failure)))]),
            Ok(None) => Action::values(&[Value::Nil]),
            Err(trouble) => refused(call, trouble, v3_1::GETOPTION_FAILED),
        };
    }
    match call.session().option(call, call.key(), option) {
        Ok(OptionValue::Flag(flag)) => Action::values(&[Value::Flag(flag)]),
        Ok(OptionValue::Number(number)) => Action::values(&[Value::Number(number.into())]),
        Ok(OptionValue::Text(text)) => Action::values(&[call.say(format_args!("{text}"))]),
        Ok(OptionValue::Group(..) | OptionValue::Group6(..)) => Action::values(&[Value::Nil]),
        Ok(OptionValue::Linger(on, seconds)) => Action::values(&[Value::Linger(on, seconds)]),
        Err(trouble) => refused(call, trouble, v3_1::GETOPTION_FAILED),
    }
}

pub(super) fn set(call: &Call<'_>) -> Action {
    let Some(option) = option(call, SocketOption::is_settable) else { return Action::RaiseArgument(2) };
    let Some(value) = value(call, option.kind()) else { return Action::RaiseArgument(3) };
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
    let option = SocketOption::from_name(name.as_bytes()).filter(|&option| usable(option, SocketKind::Tcp));
    if option.is_none() {
        let shown = name.char_indices().nth(NAME_SHOWN).map_or(&*name, |(end, _)| &name[..end]);
        call.say(format_args!("unsupported option `{shown}'"));
    }
    option
}

/// The value that was given, or a text about it.
fn value(call: &Call<'_>, kind: OptionKind) -> Option<OptionValue> {
    match kind {
        OptionKind::Flag => match call.flag(3) {
            Some(flag) => Some(OptionValue::Flag(flag)),
            None => expected(call, "boolean"),
        },
        // LuaSocket does not look: what is no number is 0.
        OptionKind::Number | OptionKind::Error => {
            Some(OptionValue::Number(call.number(3).unwrap_or(0.0) as i32))
        }
        OptionKind::Linger => linger(call),
        OptionKind::Device | OptionKind::Inet => match call.text(3) {
            Some(_) => Some(OptionValue::Text(call.c_text(3).into_owned())),
            None => expected(call, "string"),
        },
        OptionKind::Group | OptionKind::Group6 => expected(call, "table"),
    }
}

fn linger(call: &Call<'_>) -> Option<OptionValue> {
    if call.kind(3) != Kind::Table {
        return expected(call, "table");
    }
    let Some(on) = call.flag(4) else {
        call.say(format_args!("boolean 'on' field expected"));
        return None;
    };
    let Some(seconds) = call.number(5) else {
        call.say(format_args!("number 'timeout' field expected"));
        return None;
    };
    // Cut to 16 bits, as C does.
    Some(OptionValue::Linger(on, seconds as i64 as u16))
}

fn expected(call: &Call<'_>, what: &str) -> Option<OptionValue> {
    call.say(format_args!("{what} expected, got {}", call.type_name(3)));
    None
}
