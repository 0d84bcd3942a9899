//! Where Luau's C interface differs from that of the other Luas: one function for each difference.
//!
//! Luau has destructors in the place of `__gc` metamethods, keeps the name of a C function with it, has
//! an interrupt in the place of hooks, and hides addresses from scripts. Its errors are C++ exceptions,
//! which pass Rust frames as a jump does: nothing here may catch one.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::entry::without_panic;

/// What lies in Lua's memory and has something to let go of in the end.
pub(super) trait Finalized {
    /// Lets go of it. May be called twice, and must not use Lua.
    fn finish(&mut self);
}

/// Pushes a value that lies in Lua's memory and is finished with it. May raise.
///
/// # Safety
/// `state` is a live state with three free stack slots.
pub(super) unsafe fn push_finalized<T: Finalized>(state: *mut ffi::lua_State, make: fn() -> T) -> *mut T {
    // SAFETY: as promised by the caller; the memory is large enough and aligned as C's largest types.
    // Nothing can look at it, or raise, before it is initialised.
    unsafe {
        #[cfg(feature = "luau")]
        {
            let place = ffi::lua_newuserdatadtor(state, size_of::<T>(), destroy::<T>).cast::<T>();
            place.write(make());
            place
        }
        #[cfg(not(feature = "luau"))]
        {
            let place = ffi::lua_newuserdata(state, size_of::<T>()).cast::<T>();
            place.write(make());
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushcfunction(state, collect::<T>);
            ffi::lua_setfield(state, -2, c"__gc".as_ptr());
            ffi::lua_setmetatable(state, -2);
            place
        }
    }
}

/// Luau calls it while it sweeps, when other values may be gone already.
#[cfg(feature = "luau")]
unsafe extern "C" fn destroy<T: Finalized>(_: *mut ffi::lua_State, place: *mut c_void) {
    // SAFETY: only values of this type have this destructor, and nobody uses them any more.
    without_panic(|| unsafe { (*place.cast::<T>()).finish() });
}

#[cfg(not(feature = "luau"))]
unsafe extern "C-unwind" fn collect<T: Finalized>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: only values of this type have this finalizer, and no script can reach it.
    unsafe {
        let place: *mut c_void = ffi::lua_touserdata(state, 1);
        if !place.is_null() {
            without_panic(|| (*place.cast::<T>()).finish());
        }
    }
    0
}

/// Pushes the memory of an object. Its class has the finalizer, but for Luau, which takes this one. May raise.
///
/// # Safety
/// `state` is a live state with a free stack slot. What is pushed has to be initialised at once.
pub(super) unsafe fn push_object_memory<T: Finalized>(state: *mut ffi::lua_State) -> *mut T {
    // SAFETY: as promised by the caller.
    unsafe {
        #[cfg(feature = "luau")]
        let place = ffi::lua_newuserdatadtor(state, size_of::<T>(), destroy::<T>);
        #[cfg(not(feature = "luau"))]
        let place = ffi::lua_newuserdata(state, size_of::<T>());
        place.cast()
    }
}

/// Pushes a C function with the values on top of the stack as its upvalues. Luau's error messages take its
/// name from here, the other ones from their caller. May raise.
///
/// # Safety
/// `state` is a live state with so many values on its stack.
pub(super) unsafe fn push_closure(
    state: *mut ffi::lua_State,
    function: ffi::lua_CFunction,
    name: &'static CStr,
    upvalues: c_int,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        #[cfg(feature = "luau")]
        ffi::lua_pushcclosured(state, function, name.as_ptr(), upvalues);
        #[cfg(not(feature = "luau"))]
        {
            let _ = name;
            ffi::lua_pushcclosure(state, function, upvalues);
        }
    }
}

/// How many steps of Lua it takes until something runs that may want to end a waiting call: a hook, or
/// Luau's interrupt. None where there is no such thing.
///
/// # Safety
/// `state` is a live state.
pub(super) unsafe fn steps_to_watcher(state: *mut ffi::lua_State) -> Option<c_int> {
    // SAFETY: as promised by the caller; looking allocates nothing.
    unsafe {
        #[cfg(feature = "luau")]
        let steps = (*ffi::lua_callbacks(state)).interrupt.map(|_| 1);
        #[cfg(not(feature = "luau"))]
        let steps = ffi::lua_gethook(state).map(|_| ffi::lua_gethookcount(state).clamp(1, STEPS_MAX));
        steps
    }
}

/// The most steps at once: a few milliseconds.
#[cfg(not(feature = "luau"))]
const STEPS_MAX: c_int = 1_000_000;

/// Whether that thing watches the script all the time, as an interrupt does, and a hook that counts.
///
/// # Safety
/// As [`steps_to_watcher`].
pub(super) unsafe fn is_watched(state: *mut ffi::lua_State) -> bool {
    // SAFETY: as promised by the caller; looking allocates nothing.
    unsafe {
        #[cfg(feature = "luau")]
        let watched = steps_to_watcher(state).is_some();
        #[cfg(not(feature = "luau"))]
        let watched = ffi::lua_gethookmask(state) & ffi::LUA_MASKCOUNT != 0;
        watched
    }
}

/// The address of the userdata at a position, as scripts may see it.
///
/// # Safety
/// `state` is a live state.
pub(super) unsafe fn shown_address(state: *mut ffi::lua_State, position: c_int) -> *const c_void {
    // SAFETY: as promised by the caller; this allocates nothing.
    unsafe {
        let address = ffi::lua_touserdata(state, position);
        #[cfg(feature = "luau")]
        let address = ffi::lua_encodepointer(state, address as usize) as *const c_void;
        address.cast()
    }
}

/// The key under which a metatable names its type for Lua's own messages: none before Lua 5.3.
pub(super) const TYPE_NAME: Option<&CStr> = if cfg!(feature = "luau") {
    Some(c"__type")
} else if cfg!(any(feature = "lua51", feature = "lua52", feature = "luajit")) {
    None
} else {
    Some(c"__name")
};
