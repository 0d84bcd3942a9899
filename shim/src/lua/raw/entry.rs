//! The way into a function of the faces and out of it: check, run, push, commit.

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;

use super::call::Call;
use super::compat;
use super::object::{self, Home};
use super::push;
use super::quick;
use crate::lua::answer::{Action, Answer, VALUES_MAX};
use crate::lua::function::{Function, Parameter, Quick};
use crate::lua::options::{self, Shape};
use crate::session::{Key, Session};

/// The C function that a function of the faces is for Lua. Its upvalues are the home and the `Function`.
pub(super) fn way_into(function: &Function) -> ffi::lua_CFunction {
    match function.quick {
        Some(Quick::Receive) => receive,
        Some(Quick::Send) => send,
        None => entry,
    }
}

unsafe extern "C-unwind" fn receive(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `entry`.
    unsafe { quick::receive(state, object::home(state)).unwrap_or_else(|| entry(state)) }
}

unsafe extern "C-unwind" fn send(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `entry`.
    unsafe { quick::send(state, object::home(state)).unwrap_or_else(|| entry(state)) }
}

unsafe extern "C-unwind" fn entry(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `push_function` made this closure with a home and a static function. What is alive here owns
    // nothing, so that Lua may jump over this frame.
    unsafe {
        let home = object::home(state);
        let function = &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(2)).cast::<Function>();
        let key = check(state, home, function);
        let arguments = ffi::lua_gettop(state);
        // Results must not take the places of arguments that are absent.
        if arguments < PARAMETERS_MAX {
            ffi::lua_settop(state, PARAMETERS_MAX);
        }
        // What the function makes would be lost if there was no room left to hand it over.
        room_for(state, VALUES_MAX);
        let made = ffi::lua_gettop(state) + 1;
        if let Some(class) = function.makes {
            object::push_object(state, class);
        }
        let Some(session) = home.session() else {
            return raise(state, "this Lua state is being closed");
        };
        let call = Call::new(state, home, session, key, arguments);
        let base = ffi::lua_gettop(state);
        loop {
            match run(function, &call) {
                Action::Return(answer) => {
                    finish(state, &call, home, made, &answer);
                    if !answer.more {
                        return ffi::lua_gettop(state) - base;
                    }
                    call.rounds.set(call.rounds.get() + 1);
                }
                Action::RaiseArgument(position) => return raise_argument(state, home, position),
                Action::Raise => {
                    ffi::luaL_where(state, 1);
                    push::said(state, home);
                    ffi::lua_concat(state, 2);
                    ffi::lua_error(state);
                }
                Action::RaiseReady => ffi::lua_error(state),
                Action::Collect => {
                    // Runs finalizers, which may raise on some versions and use sockets on all.
                    ffi::lua_gc(state, ffi::LUA_GCCOLLECT, 0);
                    call.collected.set(true);
                }
            }
        }
    }
}

/// The finalizer of objects, which scripts may also call.
pub(super) unsafe extern "C-unwind" fn collect(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `entry`.
    unsafe {
        let home = object::home(state);
        if home.class_of(state, 1).is_some() {
            let key = object::key_at(state, 1);
            object::set_key_at(state, 1, object::NOBODY);
            if let Some(session) = home.session() {
                without_panic(|| session.remove(key));
            }
        }
        ffi::lua_pushnumber(state, 1.0);
    }
    1
}

/// `tostring` of an object.
pub(super) unsafe extern "C-unwind" fn to_string(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `entry`; the format takes a C string and a pointer.
    unsafe {
        match object::home(state).class_of(state, 1) {
            Some(class) => {
                let address = compat::shown_address(state, 1);
                ffi::lua_pushfstring(state, c"%s: %p".as_ptr(), class.name().as_ptr(), address);
                1
            }
            None => {
                ffi::lua_pushstring(state, c"invalid object passed to 'auxiliar.c:__tostring'".as_ptr());
                ffi::lua_error(state)
            }
        }
    }
}

/// Runs what may panic; a panic must not reach Lua.
pub(super) fn without_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => Some(done),
        Err(payload) => {
            // Dropping it could panic again.
            std::mem::forget(payload);
            None
        }
    }
}

/// The most parameters a function has.
const PARAMETERS_MAX: c_int = 6;

/// Raises a text behind the place of the call in its script, as C functions do. Never returns.
pub(super) unsafe fn raise(state: *mut ffi::lua_State, text: &str) -> c_int {
    // SAFETY: Lua copies the text.
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// The object, the option's name and its value: the one method that raises about a position from the top.
const ARGUMENTS_OF_SETOPTION: c_int = 3;

unsafe fn raise_argument(state: *mut ffi::lua_State, home: &Home, position: c_int) -> c_int {
    // SAFETY: `luaL_argerror` copies the text before it raises.
    unsafe {
        if position < 0 {
            // LuaJIT counts a position from the top, PUC Lua shows it as it is. LuaSocket raises with one value
            // more than its arguments on the stack, as the text is here.
            ffi::lua_settop(state, ARGUMENTS_OF_SETOPTION + 1);
        }
        push::said(state, home);
        let text: *const c_char = ffi::lua_tostring(state, -1);
        ffi::luaL_argerror(state, position, text)
    }
}

/// Runs a function. A panic becomes an error of the script's.
fn run(function: &Function, call: &Call<'_>) -> Action {
    use crate::lua::answer::Say;
    without_panic(|| (function.run)(call)).unwrap_or_else(|| {
        call.say(format_args!("luasocketd: internal error in '{}'", function.name.to_string_lossy()));
        Action::Raise
    })
}

/// Pushes the results, then lets what was received go.
unsafe fn finish(state: *mut ffi::lua_State, call: &Call<'_>, home: &Home, made: c_int, answer: &Answer) {
    // SAFETY: as in `entry`, which calls this.
    unsafe {
        if let Some(class) = answer.class {
            object::set_class(state, 1, class);
        }
        room_for(state, answer.values().len());
        for value in answer.values() {
            push::value(state, call, home, made, value);
        }
    }
    if answer.take > 0 {
        commit(call.session(), call.key(), answer.take);
    }
}

/// Makes room on the stack for so many results, and what it takes to push them. May raise.
unsafe fn room_for(state: *mut ffi::lua_State, results: usize) {
    // SAFETY: as in `entry`.
    unsafe { ffi::luaL_checkstack(state, results as c_int + push::SLOTS, c"too many results".as_ptr()) };
}

fn commit(session: &Session, key: Key, take: usize) {
    without_panic(|| session.commit(key, take));
}

/// Checks the arguments as the function says; raises what does not hold.
unsafe fn check(state: *mut ffi::lua_State, home: &Home, function: &Function) -> Key {
    let mut key = object::NOBODY;
    for (position, parameter) in (1..).zip(function.parameters) {
        // SAFETY: as in `entry`; these functions of Lua's raise its usual errors.
        unsafe {
            match parameter {
                Parameter::Object(classes, expected) => match home.class_of(state, position) {
                    Some(class) if classes.contains(&class) => key = object::key_at(state, position),
                    Some(_) | None => {
                        ffi::luaL_argerror(state, position, expected.as_ptr());
                    }
                },
                Parameter::Text => {
                    ffi::luaL_checklstring(state, position, ptr::null_mut());
                }
                Parameter::TextUnless(other, text) => {
                    if CStr::from_ptr(ffi::lua_tostring(state, *other)) != *text {
                        ffi::luaL_checklstring(state, position, ptr::null_mut());
                    }
                }
                Parameter::OptionalText => optional_text(state, position),
                Parameter::TextsUntilNil => {
                    let mut next = position;
                    while ffi::lua_type(state, next) > ffi::LUA_TNIL {
                        ffi::luaL_checklstring(state, next, ptr::null_mut());
                        next += 1;
                    }
                }
                Parameter::Number => {
                    ffi::luaL_checknumber(state, position);
                }
                Parameter::OptionalNumber => {
                    ffi::luaL_optnumber(state, position, 0.0);
                }
                Parameter::OptionalNumberOrText => {
                    if ffi::lua_type(state, position) != ffi::LUA_TNUMBER {
                        optional_text(state, position);
                    }
                }
                Parameter::OptionValue => fetch_fields(state, position),
                Parameter::Any => {}
            }
        }
    }
    key
}

unsafe fn optional_text(state: *mut ffi::lua_State, position: c_int) {
    // SAFETY: as in `entry`. The default is only handed back, never read.
    unsafe { ffi::luaL_optlstring(state, position, c"".as_ptr(), ptr::null_mut()) };
}

/// Puts the fields of an option's table behind it, and makes a string of a number where the option takes a
/// string: fetching may run metamethods, and both may raise, so it happens here.
unsafe fn fetch_fields(state: *mut ffi::lua_State, position: c_int) {
    // SAFETY: as in `entry`. The name before the value was checked to be a string, and lies on the stack.
    unsafe {
        let mut length = 0;
        let name = ffi::lua_tolstring(state, position - 1, &mut length);
        match options::shape(std::slice::from_raw_parts(name.cast(), length)) {
            Shape::Plain => {}
            Shape::Text => {
                to_text(state, position);
            }
            Shape::Fields(first, second) => {
                if ffi::lua_type(state, position) != ffi::LUA_TTABLE {
                    return;
                }
                ffi::lua_settop(state, position);
                for field in [first, second] {
                    ffi::lua_getfield(state, position, field.as_ptr());
                    to_text(state, -1);
                }
            }
        }
    }
}

/// Makes a string of the number at a position.
unsafe fn to_text(state: *mut ffi::lua_State, position: c_int) {
    // SAFETY: as in `entry`.
    unsafe {
        if ffi::lua_type(state, position) == ffi::LUA_TNUMBER {
            ffi::lua_tolstring(state, position, ptr::null_mut());
        }
    }
}
