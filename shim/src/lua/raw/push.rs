//! Puts results on the stack.
//!
//! Everything here may raise, and may collect garbage and so run finalizers that use our sockets: bytes
//! of the session are copied out of it before Lua gets to work with them.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use luasocketd_protocol::Family;
use memchr::memchr;
use mlua::ffi;

use super::call::Call;
use super::object::{self, Home};
use crate::lua::answer::Value;
use crate::pattern::Piece;
use crate::session::FoundText;

/// Stack slots that pushing one value takes besides the value itself.
pub(super) const SLOTS: c_int = 8;

/// Texts and short pieces go over the C stack.
const SHORT: usize = 1024;

/// Whether Lua copies a string before it may collect garbage. The older ones collect first.
pub(super) const COPIES_FIRST: bool = cfg!(any(feature = "lua53", feature = "lua54", feature = "lua55"));

/// Pushes one result. `made` is the position of the object that the function makes.
///
/// # Safety
/// As in `entry`; the stack has room for [`SLOTS`] more values.
pub(super) unsafe fn value(
    state: *mut ffi::lua_State,
    call: &Call<'_>,
    home: &Home,
    made: c_int,
    value: &Value,
) {
    // SAFETY: as promised by the caller. Nothing alive here needs dropping.
    unsafe {
        match *value {
            Value::Nil => ffi::lua_pushnil(state),
            Value::Flag(flag) => ffi::lua_pushboolean(state, flag.into()),
            Value::Number(number) => ffi::lua_pushnumber(state, number),
            Value::Integer(number) => ffi::lua_pushinteger(state, number as ffi::lua_Integer),
            Value::Word(word) => {
                ffi::lua_pushlstring(state, word.as_ptr().cast(), word.len());
            }
            Value::Said => said(state, home),
            Value::Argument(position) => ffi::lua_pushvalue(state, position),
            Value::Received { piece, prefix } => received(state, call, piece, prefix),
            Value::New(key) => {
                object::set_key_at(state, made, key);
                ffi::lua_pushvalue(state, made);
            }
            Value::Linger(on, seconds) => {
                ffi::lua_createtable(state, 0, 2);
                ffi::lua_pushboolean(state, on.into());
                ffi::lua_setfield(state, -2, c"on".as_ptr());
                ffi::lua_pushinteger(state, seconds.into());
                ffi::lua_setfield(state, -2, c"timeout".as_ptr());
            }
            Value::Addresses(count) => addresses(state, call, count),
            Value::HostEntry { aliases, addresses } => host_entry(state, call, aliases, addresses),
            Value::Names(count) => texts(state, call, count, FoundText::Name),
            Value::Found(which) => found(state, call, which),
            Value::Sender => {
                let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
                let sender = call
                    .session()
                    .with_letter(call.key(), |letter| copy_short(&mut short, c_part(&letter.from.host)));
                ffi::lua_pushlstring(state, short.as_ptr().cast(), sender.unwrap_or(0));
            }
        }
    }
}

/// Pushes the text that `Call::say` has left, cut to a sensible length.
///
/// # Safety
/// As in `entry`.
pub(super) unsafe fn said(state: *mut ffi::lua_State, home: &Home) {
    let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
    let length = copy_short(&mut short, home.said().borrow().as_bytes());
    // SAFETY: that many bytes were initialised; Lua copies them.
    unsafe { ffi::lua_pushlstring(state, short.as_ptr().cast(), length) };
}

/// Pushes received bytes, with an argument before them.
unsafe fn received(state: *mut ffi::lua_State, call: &Call<'_>, piece: Piece, prefix: c_int) {
    // SAFETY: as in `value`.
    unsafe {
        if prefix != 0 {
            ffi::lua_pushvalue(state, prefix);
        }
        if piece.length <= SHORT {
            let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
            let length = copy_piece(call, piece, short.as_mut_ptr().cast());
            ffi::lua_pushlstring(state, short.as_ptr().cast(), length);
        } else if COPIES_FIRST && !piece.drop_returns {
            let (bytes, length) = call
                .session()
                .with_unread(call.key(), |unread| part(unread, piece).map(|part| (part.as_ptr(), part.len())))
                .flatten()
                .unwrap_or((c"".as_ptr().cast(), 0));
            ffi::lua_pushlstring(state, bytes.cast(), length);
        } else {
            // Lua owns the room that the bytes are copied to, so it is freed whatever happens.
            let room = ffi::lua_newuserdata(state, piece.length).cast::<u8>();
            let length = copy_piece(call, piece, room);
            ffi::lua_pushlstring(state, room.cast(), length);
            ffi::lua_remove(state, -2);
        }
        if prefix != 0 {
            ffi::lua_concat(state, 2);
        }
    }
}

/// Copies a piece to `room`, without the carriage returns that are dropped; gives its length.
///
/// # Safety
/// `room` has space for the piece.
unsafe fn copy_piece(call: &Call<'_>, piece: Piece, room: *mut u8) -> usize {
    let copied = call.session().with_unread(call.key(), |unread| {
        let mut rest = part(unread, piece).unwrap_or_default();
        let mut length = 0;
        while !rest.is_empty() {
            let kept =
                if piece.drop_returns { memchr(b'\r', rest).unwrap_or(rest.len()) } else { rest.len() };
            // SAFETY: what is copied in all is no longer than the piece; the room is not part of it.
            unsafe { room.add(length).copy_from_nonoverlapping(rest.as_ptr(), kept) };
            length += kept;
            rest = rest.get(kept + 1..).unwrap_or_default();
        }
        length
    });
    copied.unwrap_or(0)
}

/// The bytes of a piece; a finalizer may have consumed them meanwhile.
fn part(unread: &[u8], piece: Piece) -> Option<&[u8]> {
    unread.get(piece.start..piece.start + piece.length)
}

/// Pushes the answer to a lookup.
unsafe fn addresses(state: *mut ffi::lua_State, call: &Call<'_>, count: usize) {
    // SAFETY: as in `value`; each text is copied to the C stack first.
    unsafe {
        ffi::lua_createtable(state, c_int::try_from(count).unwrap_or(0), 0);
        for index in 0..count {
            let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
            let copied = call.session().with_address(index, |address| {
                (copy_short(&mut short, address.host.as_bytes()), address.family)
            });
            let (length, family) = copied.unwrap_or((0, Family::Unspec));
            let family = super::super::tcp::family_word(family);
            ffi::lua_createtable(state, 0, 2);
            ffi::lua_pushlstring(state, family.as_ptr().cast(), family.len());
            ffi::lua_setfield(state, -2, c"family".as_ptr());
            ffi::lua_pushlstring(state, short.as_ptr().cast(), length);
            ffi::lua_setfield(state, -2, c"addr".as_ptr());
            ffi::lua_rawseti(state, -2, index as ffi::lua_Integer + 1);
        }
    }
}

/// Pushes what a lookup has found of a host.
unsafe fn host_entry(state: *mut ffi::lua_State, call: &Call<'_>, aliases: usize, addresses: usize) {
    // SAFETY: as in `value`.
    unsafe {
        ffi::lua_createtable(state, 0, 3);
        found(state, call, FoundText::HostName);
        ffi::lua_setfield(state, -2, c"name".as_ptr());
        texts(state, call, aliases, FoundText::Alias);
        ffi::lua_setfield(state, -2, c"alias".as_ptr());
        texts(state, call, addresses, FoundText::HostAddress);
        ffi::lua_setfield(state, -2, c"ip".as_ptr());
    }
}

/// Pushes a list of texts that a lookup has found.
unsafe fn texts(state: *mut ffi::lua_State, call: &Call<'_>, count: usize, which: fn(usize) -> FoundText) {
    // SAFETY: as in `value`.
    unsafe {
        ffi::lua_createtable(state, c_int::try_from(count).unwrap_or(0), 0);
        for index in 0..count {
            found(state, call, which(index));
            ffi::lua_rawseti(state, -2, index as ffi::lua_Integer + 1);
        }
    }
}

/// Pushes a text that a lookup has found.
unsafe fn found(state: *mut ffi::lua_State, call: &Call<'_>, which: FoundText) {
    let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
    let length = call.session().with_found(which, |text| copy_short(&mut short, text.as_bytes()));
    // SAFETY: as in `said`.
    unsafe { ffi::lua_pushlstring(state, short.as_ptr().cast(), length.unwrap_or(0)) };
}

/// A text as C reads it: up to its first NUL.
fn c_part(text: &str) -> &[u8] {
    let end = memchr(0, text.as_bytes()).unwrap_or(text.len());
    &text.as_bytes()[..end]
}

fn copy_short(short: &mut [MaybeUninit<u8>; SHORT], bytes: &[u8]) -> usize {
    let length = bytes.len().min(SHORT);
    for (place, byte) in short.iter_mut().zip(bytes) {
        place.write(*byte);
    }
    length
}
