//! `socket.select`: reads two lists of anything that has a `getfd`, and gives back what is ready.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use mlua::ffi;

use super::call::Call;
use super::compat::{Finalized, push_finalized};
use super::entry::without_panic;
use super::object::{self, Home};
use crate::limits::Until;
use crate::lua::function::Class;
use crate::pipe::Interrupted;
use crate::session::{Interest, Key, NotOpen, Watched};

/// One element of the lists.
struct Element {
    interest: Interest,
    /// Its position in its list.
    index: ffi::lua_Integer,
    target: Target,
}

/// What an element is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Object(Key),
    Descriptor(i32),
}

/// What one call works with. It lies in Lua's memory, where it is freed whatever is raised.
#[derive(Default)]
struct Selection {
    elements: Vec<Element>,
    /// Elements that have bytes in a buffer of their own, in the order of the list.
    dirty: Vec<(ffi::lua_Integer, Target)>,
    /// The positions in `elements` of what is ready.
    ready: Vec<usize>,
    /// Whether reading the lists may have run Lua, which may change them.
    ran_lua: bool,
}

impl Finalized for Selection {
    fn finish(&mut self) {
        drop(std::mem::take(self));
    }
}

/// `select(recvt, sendt [, timeout])`
pub(super) unsafe extern "C-unwind" fn select(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `push_c_function` made this closure with a home. What is alive here owns nothing: the
    // selection is Lua's.
    unsafe {
        let home = object::home(state);
        let until = deadline(ffi::luaL_optnumber(state, 3, -1.0));
        ffi::lua_settop(state, 3);
        for list in [RECEIVERS, SENDERS] {
            if ffi::lua_type(state, list) > ffi::LUA_TNIL {
                ffi::luaL_checktype(state, list, ffi::LUA_TTABLE);
            }
        }
        let selection = push_finalized(state, Selection::default);
        ffi::luaL_checkstack(state, 10, c"too many values".as_ptr());
        collect(state, home, selection, RECEIVERS, Interest::Receive);
        collect(state, home, selection, SENDERS, Interest::Send);
        collect_dirty(state, home, selection);
        let Some(session) = home.session() else { return super::entry::raise(state, "select failed") };
        let call = Call::new(state, home, session, object::NOBODY, 3);
        // What is dirty is ready now; the others are only looked at.
        let until = if (*selection).dirty.is_empty() { until } else { Until::At(Instant::now()) };
        match without_panic(|| wait(&call, &mut *selection, until)) {
            Some(Waited::Done) => {}
            Some(Waited::Interrupted) => ffi::lua_error(state),
            Some(Waited::Failed) | None => return super::entry::raise(state, "select failed"),
        }
        push_ready(state, selection)
    }
}

const RECEIVERS: c_int = 1;
const SENDERS: c_int = 2;

/// Where the selection lies; it keeps it from being collected.
const SELECTION: c_int = 4;

fn deadline(seconds: f64) -> Until {
    if seconds < 0.0 {
        return Until::Forever;
    }
    let length = Duration::try_from_secs_f64(if seconds.is_nan() { 0.0 } else { seconds });
    length.ok().and_then(|length| Instant::now().checked_add(length)).map_or(Until::Forever, Until::At)
}

/// Reads one list into the selection: from its first element to the first nil.
unsafe fn collect(
    state: *mut ffi::lua_State,
    home: &Home,
    selection: *mut Selection,
    list: c_int,
    interest: Interest,
) {
    // SAFETY: as in `select`. The selection is not borrowed while Lua runs.
    unsafe {
        if ffi::lua_getmetatable(state, list) != 0 {
            (*selection).ran_lua = true;
        }
        for index in 1.. {
            if !push_element(state, list, index) {
                return;
            }
            if let Some(target) = target(state, home, &mut (*selection).ran_lua) {
                (*selection).elements.push(Element { interest, index, target });
            }
        }
    }
}

/// Takes what has bytes in a buffer out of the receivers. LuaSocket asks everything in the lists for its
/// descriptor before it asks for that, and then once more; where that runs no Lua, nobody sees whether it is done.
unsafe fn collect_dirty(state: *mut ffi::lua_State, home: &Home, selection: *mut Selection) {
    // SAFETY: as in `collect`.
    unsafe {
        if (*selection).ran_lua {
            ask_for_dirty(state, home, selection);
        } else {
            let Selection { elements, dirty, .. } = &mut *selection;
            let receivers = elements.iter().filter(|element| element.interest == Interest::Receive);
            let is_dirty = |target| matches!(target, Target::Object(key) if is_pulled(home, key));
            let found = receivers.filter(|element| is_dirty(element.target));
            dirty.extend(found.map(|element| (element.index, element.target)));
        }
        let Selection { elements, dirty, .. } = &mut *selection;
        if !dirty.is_empty() {
            let targets: BTreeSet<_> = dirty.iter().map(|(_, target)| *target).collect();
            elements
                .retain(|element| element.interest == Interest::Send || !targets.contains(&element.target));
        }
    }
}

/// The same by what the list has now.
unsafe fn ask_for_dirty(state: *mut ffi::lua_State, home: &Home, selection: *mut Selection) {
    // SAFETY: as in `collect`.
    unsafe {
        let mut index = 1;
        while push_element(state, RECEIVERS, index) {
            if let Some(target) = target(state, home, &mut (*selection).ran_lua)
                && is_dirty(state, home, target)
            {
                (*selection).dirty.push((index, target));
            }
            index += 1;
        }
    }
}

/// Pushes an element of a list, unless the list has ended.
unsafe fn push_element(state: *mut ffi::lua_State, list: c_int, index: ffi::lua_Integer) -> bool {
    // SAFETY: as in `select`.
    unsafe {
        if ffi::lua_type(state, list) != ffi::LUA_TTABLE {
            return false;
        }
        ffi::lua_settop(state, SELECTION);
        ffi::lua_pushinteger(state, index);
        ffi::lua_gettable(state, list);
        ffi::lua_type(state, -1) != ffi::LUA_TNIL
    }
}

/// What the element on top of the stack is about; notes whether it has to be asked.
unsafe fn target(state: *mut ffi::lua_State, home: &Home, ran_lua: &mut bool) -> Option<Target> {
    // SAFETY: as in `select`.
    unsafe {
        if is_ours(state, home) {
            let key = object::key_at(state, -1);
            return home.session().filter(|session| !session.is_closed(key)).map(|_| Target::Object(key));
        }
        if ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
            return None;
        }
        *ran_lua = true;
        // Indexing what cannot be indexed raises, as it does in LuaSocket.
        ffi::lua_getfield(state, -1, c"getfd".as_ptr());
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            ffi::lua_pop(state, 1);
            return None;
        }
        ffi::lua_pushvalue(state, -2);
        ffi::lua_call(state, 1, 1);
        let mut is_number = 0;
        let number = ffi::lua_tonumberx(state, -1, &mut is_number);
        ffi::lua_pop(state, 1);
        if is_number == 0 || number.is_nan() || number < 0.0 || number > i32::MAX.into() {
            return None;
        }
        let number = number as i32;
        let ours = home.session().and_then(|session| session.by_descriptor(number));
        Some(ours.map_or(Target::Descriptor(number), Target::Object))
    }
}

/// Whether the element on top of the stack has bytes in a buffer.
unsafe fn is_dirty(state: *mut ffi::lua_State, home: &Home, target: Target) -> bool {
    // SAFETY: as in `select`.
    unsafe {
        if let (Target::Object(key), true) = (target, is_ours(state, home)) {
            return is_pulled(home, key);
        }
        ffi::lua_getfield(state, -1, c"dirty".as_ptr());
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            ffi::lua_pop(state, 1);
            return false;
        }
        ffi::lua_pushvalue(state, -2);
        ffi::lua_call(state, 1, 1);
        let dirty = ffi::lua_toboolean(state, -1) != 0;
        ffi::lua_pop(state, 1);
        dirty
    }
}

fn is_pulled(home: &Home, key: Key) -> bool {
    home.session().is_some_and(|session| session.is_pulled(key))
}

/// Whether the element on top of the stack is an object that `select` knows without asking it.
unsafe fn is_ours(state: *mut ffi::lua_State, home: &Home) -> bool {
    // SAFETY: as in `select`.
    unsafe { home.class_of(state, -1) }.is_some_and(Class::is_3_1)
}

/// How the wait ended.
enum Waited {
    Done,
    Interrupted,
    Failed,
}

fn wait(call: &Call<'_>, selection: &mut Selection, until: Until) -> Waited {
    let list: Vec<_> =
        selection.elements.iter().map(|element| (element.interest, watched(element.target))).collect();
    let mut ready = match call.session().select(call, &list, until) {
        Ok(Ok(ready)) => ready,
        Ok(Err(NotOpen)) => return Waited::Failed,
        Err(Interrupted) => return Waited::Interrupted,
    };
    // LuaSocket reports in the order of descriptors and nothing twice: of two elements with one descriptor
    // the last.
    let order = |position: &usize| {
        let element = &selection.elements[*position];
        (element.interest == Interest::Send, element.target)
    };
    ready.sort_by_key(|position| (order(position), Reverse(*position)));
    ready.dedup_by_key(|position| order(position));
    selection.ready = ready;
    Waited::Done
}

fn watched<'fd>(target: Target) -> Watched<'fd> {
    match target {
        Target::Object(key) => Watched::Object(key),
        // SAFETY: the script names a descriptor that it has from somewhere; it is only polled, which is
        // safe for every number, open or not.
        Target::Descriptor(number) => Watched::Descriptor(unsafe { BorrowedFd::borrow_raw(number) }),
    }
}

/// Pushes the two tables, and the error where both are empty.
unsafe fn push_ready(state: *mut ffi::lua_State, selection: *mut Selection) -> c_int {
    // SAFETY: as in `select`; the selection does not change any more.
    unsafe {
        let Selection { elements, dirty, ready, .. } = &*selection;
        ffi::lua_settop(state, SELECTION);
        ffi::lua_newtable(state);
        ffi::lua_newtable(state);
        let (receivers, senders) = (SELECTION + 1, SELECTION + 2);
        let mut counts = [0, 0];
        for &(index, _) in dirty {
            counts[0] += 1;
            put(state, RECEIVERS, index, receivers, counts[0]);
        }
        for element in ready.iter().map(|&position| &elements[position]) {
            let (list, result, count) = match element.interest {
                Interest::Receive => (RECEIVERS, receivers, &mut counts[0]),
                Interest::Send => (SENDERS, senders, &mut counts[1]),
            };
            *count += 1;
            put(state, list, element.index, result, *count);
        }
        if counts == [0, 0] {
            ffi::lua_pushstring(state, c"timeout".as_ptr());
            return 3;
        }
        2
    }
}

/// Adds an element of a list to a result: at the next place, and as a key to it.
unsafe fn put(
    state: *mut ffi::lua_State,
    list: c_int,
    index: ffi::lua_Integer,
    result: c_int,
    place: ffi::lua_Integer,
) {
    // SAFETY: as in `select`.
    unsafe {
        ffi::lua_pushinteger(state, index);
        ffi::lua_gettable(state, list);
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            // The list was changed by a `getfd` or a metamethod.
            ffi::lua_pop(state, 1);
            return;
        }
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawseti(state, result, place);
        ffi::lua_pushnumber(state, place as ffi::lua_Number);
        ffi::lua_rawset(state, result);
    }
}
