//! What a function of the faces sees of the call that it answers.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::fmt::{self, Write};

use mlua::ffi;

use super::compat;
use super::object::Home;
use crate::lua::answer::{Say, Value};
use crate::lua::function::Kind;
use crate::pipe::{Host, Interrupted};
use crate::session::{Clock, Key, Session};

/// One call from Lua. Its arguments were checked before, so that reading them cannot raise. It owns
/// nothing that needs dropping.
pub(crate) struct Call<'a> {
    state: *mut ffi::lua_State,
    session: &'a Session,
    said: &'a RefCell<String>,
    key: Key,
    arguments: c_int,
    pub(super) collected: Cell<bool>,
    pub(super) rounds: Cell<c_int>,
    stopped: Cell<Option<&'static str>>,
    clock: Cell<Clock>,
}

impl<'a> Call<'a> {
    /// The call that `state` is in.
    ///
    /// # Safety
    /// `state` is a live Lua state inside a C function, which stays so as long as the value is used, and
    /// has checked the first arguments as its `Function` says.
    pub(super) unsafe fn new(
        state: *mut ffi::lua_State,
        home: &'a Home,
        session: &'a Session,
        key: Key,
        arguments: c_int,
    ) -> Self {
        Call {
            state,
            session,
            said: home.said(),
            key,
            arguments,
            collected: Cell::new(false),
            rounds: Cell::new(0),
            stopped: Cell::new(None),
            clock: Cell::new(Clock::default()),
        }
    }

    /// The sockets of this Lua state.
    pub(crate) fn session(&self) -> &'a Session {
        self.session
    }

    /// The object that the call is about: its first argument, where the function has such a parameter.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// How many arguments there are.
    pub(crate) fn arguments(&self) -> c_int {
        self.arguments
    }

    /// What kind of value an argument is.
    pub(crate) fn kind(&self, position: c_int) -> Kind {
        if position > self.arguments {
            return Kind::None;
        }
        // SAFETY: asking for a type is safe at every position, and allocates nothing.
        match unsafe { ffi::lua_type(self.state, position) } {
            ffi::LUA_TNONE => Kind::None,
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Flag,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TTABLE => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// Lua's name for the type of an argument.
    pub(crate) fn type_name(&self, position: c_int) -> Cow<'_, str> {
        if position > self.arguments {
            return "no value".into();
        }
        // SAFETY: Lua's type names are static strings.
        let name =
            unsafe { CStr::from_ptr(ffi::lua_typename(self.state, ffi::lua_type(self.state, position))) };
        name.to_string_lossy()
    }

    /// A string argument; numbers were converted where the function takes a string.
    pub(crate) fn text(&self, position: c_int) -> Option<&[u8]> {
        if self.kind(position) != Kind::Text {
            return None;
        }
        let mut length = 0;
        // SAFETY: the value is a string, so nothing is converted or allocated; it lies on the stack for as
        // long as the call lasts, so its bytes stay where they are.
        unsafe {
            let bytes = ffi::lua_tolstring(self.state, position, &mut length);
            Some(std::slice::from_raw_parts(bytes.cast(), length))
        }
    }

    /// A string argument as C reads it: up to its first NUL.
    pub(crate) fn c_text(&self, position: c_int) -> Cow<'_, str> {
        let text = self.text(position).unwrap_or_default();
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end])
    }

    /// An argument that is a number, or a string that is one.
    pub(crate) fn number(&self, position: c_int) -> Option<f64> {
        match self.kind(position) {
            Kind::Number => {}
            // Receive patterns are no numbers; trying costs more than looking.
            Kind::Text if self.text(position).is_some_and(|text| !text.starts_with(b"*")) => {}
            _ => return None,
        }
        let mut is_number = 0;
        // SAFETY: converting to a number allocates nothing.
        let number = unsafe { ffi::lua_tonumberx(self.state, position, &mut is_number) };
        (is_number != 0).then_some(number)
    }

    /// An argument that is a boolean.
    pub(crate) fn flag(&self, position: c_int) -> Option<bool> {
        // SAFETY: asking for a boolean is safe at every position.
        (self.kind(position) == Kind::Flag).then(|| unsafe { ffi::lua_toboolean(self.state, position) != 0 })
    }

    /// How often the function was called for this one call of Lua's already.
    pub(crate) fn round(&self) -> c_int {
        self.rounds.get()
    }

    /// What an earlier round has left with `stop`.
    pub(crate) fn stopped(&self) -> Option<&'static str> {
        self.stopped.get()
    }

    /// Tells the later rounds why this one ended.
    pub(crate) fn stop(&self, word: &'static str) {
        self.stopped.set(Some(word));
    }

    /// When the call began to wait.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.get()
    }

    /// Keeps the clock for later rounds.
    pub(crate) fn keep_clock(&self, clock: Clock) {
        self.clock.set(clock);
    }
}

impl Say for Call<'_> {
    fn say(&self, text: fmt::Arguments<'_>) -> Value {
        let mut said = self.said.borrow_mut();
        said.clear();
        // Writing to a string cannot fail.
        let _ = said.write_fmt(text);
        Value::Said
    }

    fn has_collected(&self) -> bool {
        self.collected.get()
    }
}

impl Host for Call<'_> {
    /// A stock interpreter's signal handler sets a hook that raises `interrupted!` in the next Lua
    /// function; a host may watch its scripts with a hook that counts, or with Luau's interrupt. A function
    /// of a few steps is run, so that a blocked call ends with the first Ctrl-C, and when its host wants so.
    fn on_signal(&self) -> Result<(), Interrupted> {
        // SAFETY: the stack has room (LUA_MINSTACK is more than the faces use); fetching the function
        // allocates nothing; the protected call catches whatever the hook raises, and leaves it on the stack.
        // The session is not borrowed while anything waits.
        unsafe {
            let Some(steps) = compat::steps_to_watcher(self.state) else { return Ok(()) };
            if ffi::lua_checkstack(self.state, 2) == 0 {
                return Ok(());
            }
            super::object::push_stepping_function(self.state);
            ffi::lua_pushinteger(self.state, steps.into());
            match ffi::lua_pcall(self.state, 1, 0, 0) {
                ffi::LUA_OK => Ok(()),
                _ => Err(Interrupted),
            }
        }
    }

    fn is_watching(&self) -> bool {
        // SAFETY: the call's state is live.
        unsafe { compat::is_watched(self.state) }
    }
}
