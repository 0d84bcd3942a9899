//! What lies in Lua's memory for us: the home of a state's session, the objects, and their metatables.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::rc::Rc;
#[cfg(feature = "luau")]
use std::rc::Weak;

use mlua::ffi;

use super::compat::{self, Finalized};
use super::entry;
use crate::lua::function::{Class, Function};
use crate::session::{Key, Session};

/// One for each Lua state: the first upvalue of every function.
pub(super) struct Home {
    session: Option<Rc<Session>>,
    said: RefCell<String>,
    /// Where each class' metatable lies, by which its objects are known.
    metatables: [*const c_void; Class::ALL.len()],
}

impl Home {
    /// The sockets of the state; none any more while it is being closed.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// Where functions leave texts for their answers.
    pub(super) fn said(&self) -> &RefCell<String> {
        &self.said
    }

    /// The class of the value at a position, if it is one of our objects.
    ///
    /// # Safety
    /// `state` is a live state with a free stack slot.
    pub(super) unsafe fn class_of(&self, state: *mut ffi::lua_State, position: c_int) -> Option<Class> {
        // SAFETY: as promised by the caller; what was pushed is popped.
        unsafe {
            let metatable = push_metatable(state, position)?;
            ffi::lua_pop(state, 1);
            self.class_by(metatable)
        }
    }

    /// The same for an absolute position; the metatable is left on the stack if the value is an object, of whomever.
    ///
    /// # Safety
    /// As [`Home::class_of`].
    pub(super) unsafe fn class_leaving_metatable(
        &self,
        state: *mut ffi::lua_State,
        position: c_int,
    ) -> Option<Class> {
        // SAFETY: as promised by the caller.
        self.class_by(unsafe { push_metatable(state, position) }?)
    }

    fn class_by(&self, metatable: *const c_void) -> Option<Class> {
        let number = self.metatables.iter().position(|known| *known == metatable)?;
        Class::ALL.get(number).copied()
    }
}

/// Pushes the metatable of a full userdata, and gives where it lies; nothing is pushed for any other value. Neither
/// allocates nor raises.
///
/// # Safety
/// As [`Home::class_of`].
unsafe fn push_metatable(state: *mut ffi::lua_State, position: c_int) -> Option<*const c_void> {
    // SAFETY: as promised by the caller.
    unsafe {
        let has_one = ffi::lua_type(state, position) == ffi::LUA_TUSERDATA
            && ffi::lua_getmetatable(state, position) != 0;
        has_one.then(|| ffi::lua_topointer(state, -1))
    }
}

/// What the memory of an object holds: which one of the session it is.
struct Handle {
    key: Key,
    /// A destructor of Luau's cannot reach the home, which may be gone before the object.
    #[cfg(feature = "luau")]
    session: Weak<Session>,
}

impl Finalized for Handle {
    fn finish(&mut self) {
        #[cfg(feature = "luau")]
        if let Some(session) = std::mem::take(&mut self.session).upgrade() {
            session.remove(self.key);
        }
        self.key = NOBODY;
    }
}

impl Finalized for Home {
    fn finish(&mut self) {
        // The end of the session writes to its pipe, and does not call Lua.
        drop((self.session.take(), self.said.take()));
    }
}

/// An object that belongs to nothing: not made yet, or collected.
pub(super) const NOBODY: Key = Key(usize::MAX);

/// Whether one C function that was pushed twice is equal to itself, so that the two names of a method are.
const SAME_IS_EQUAL: bool = !cfg!(any(feature = "lua51", feature = "luajit"));

/// Keys of the registry: the addresses of these.
static HOME: u8 = 0;
static STEPPING: u8 = 1;
static METATABLES: [u8; Class::ALL.len()] = [2; Class::ALL.len()];

/// The home at the first upvalue of the running function.
///
/// # Safety
/// The running function was made by [`push_function`] or [`push_c_function`]. The home outlives every
/// function that has it as an upvalue.
pub(super) unsafe fn home<'a>(state: *mut ffi::lua_State) -> &'a Home {
    // SAFETY: as promised by the caller, the upvalue is a home, initialised when it was made.
    unsafe { &*ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Home>() }
}

/// The key of the object at a position.
///
/// # Safety
/// The value there is one of our objects, by [`Home::class_of`].
pub(super) unsafe fn key_at(state: *mut ffi::lua_State, position: c_int) -> Key {
    // SAFETY: the memory of our objects is a handle from the beginning.
    unsafe { (*ffi::lua_touserdata(state, position).cast::<Handle>()).key }
}

/// Makes the object at a position stand for another one of the session.
///
/// # Safety
/// As [`key_at`].
pub(super) unsafe fn set_key_at(state: *mut ffi::lua_State, position: c_int, key: Key) {
    // SAFETY: as in `key_at`; the running function is the only user of the handle.
    unsafe { (*ffi::lua_touserdata(state, position).cast::<Handle>()).key = key };
}

/// Pushes a new object of a class that stands for nothing yet. May raise.
///
/// # Safety
/// `state` is a live state with two free stack slots, whose running function has the home.
pub(super) unsafe fn push_object(state: *mut ffi::lua_State, class: Class) {
    // SAFETY: the memory is large enough and aligned as C's largest types; it is initialised before
    // anything else happens.
    unsafe {
        let handle = compat::push_object_memory::<Handle>(state);
        handle.write(Handle {
            key: NOBODY,
            #[cfg(feature = "luau")]
            session: home(state).session.as_ref().map(Rc::downgrade).unwrap_or_default(),
        });
        set_class(state, -1, class);
    }
}

/// Gives the object at a position a class. Does not raise.
///
/// # Safety
/// As [`push_object`], and the value is one of our objects, or becomes one.
pub(super) unsafe fn set_class(state: *mut ffi::lua_State, position: c_int, class: Class) {
    // SAFETY: the registry holds the metatable of every class; fetching and setting it allocates nothing.
    unsafe {
        let position = ffi::lua_absindex(state, position);
        ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, metatable_key(class));
        ffi::lua_setmetatable(state, position);
    }
}

/// Pushes a Lua function that does nothing, in so many steps as its argument says. Does not raise.
///
/// # Safety
/// `state` is a live state with two free stack slots, where [`make_home`] has succeeded.
pub(super) unsafe fn push_stepping_function(state: *mut ffi::lua_State) {
    // SAFETY: fetching from the registry by a light userdata allocates nothing.
    unsafe { ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key_of(&STEPPING)) };
}

/// Pushes the home of a state, if it has one.
///
/// # Safety
/// `state` is a live state with two free stack slots.
pub(super) unsafe fn push_home(state: *mut ffi::lua_State) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key_of(&HOME)) == ffi::LUA_TUSERDATA {
            return true;
        }
        ffi::lua_pop(state, 1);
        false
    }
}

/// Makes the home of a state that has none, with its metatables, and pushes it. May raise. It still needs
/// a session, from [`give_session`], before anything else happens.
///
/// # Safety
/// `state` is a live state with ten free stack slots and no home.
pub(super) unsafe fn make_home(state: *mut ffi::lua_State) {
    // SAFETY: the home is initialised before anything can raise or look at it, and known to the state only
    // when it is complete.
    unsafe {
        let home = compat::push_finalized(state, || Home {
            session: None,
            said: RefCell::default(),
            metatables: [ptr::null(); Class::ALL.len()],
        });
        for class in Class::ALL {
            make_metatable(state, class);
            (&mut (*home).metatables)[class as usize] = ffi::lua_topointer(state, -1);
            ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, metatable_key(class));
        }
        const STEPS: &CStr = c"for _ = 1, (...) do end";
        let name = c"=luasocketd".as_ptr();
        if ffi::luaL_loadbuffer(state, STEPS.as_ptr(), STEPS.count_bytes(), name) != ffi::LUA_OK {
            ffi::lua_error(state);
        }
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key_of(&STEPPING));
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key_of(&HOME));
    }
}

/// Gives the home on top of the stack its session. Does not raise.
///
/// # Safety
/// [`make_home`] has just pushed it.
pub(super) unsafe fn give_session(state: *mut ffi::lua_State, session: Session) {
    // SAFETY: as promised by the caller; nobody else looks at the home yet.
    unsafe { (*ffi::lua_touserdata(state, -1).cast::<Home>()).session = Some(Rc::new(session)) };
}

/// Pushes a function of the faces. The home lies at `home`. May raise.
///
/// # Safety
/// `state` is a live state with three free stack slots, and the value at `home` is its home.
pub(super) unsafe fn push_function(state: *mut ffi::lua_State, home: c_int, function: &'static Function) {
    // SAFETY: as promised by the caller; each way in takes exactly these upvalues.
    unsafe {
        ffi::lua_pushvalue(state, home);
        ffi::lua_pushlightuserdata(state, ptr::from_ref(function).cast_mut().cast());
        compat::push_closure(state, entry::way_into(function), function.name, 2);
    }
}

/// Pushes a function of our own that finds the home as its first upvalue. May raise.
///
/// # Safety
/// As [`push_function`].
pub(super) unsafe fn push_c_function(
    state: *mut ffi::lua_State,
    home: c_int,
    function: ffi::lua_CFunction,
    name: &'static CStr,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        ffi::lua_pushvalue(state, home);
        compat::push_closure(state, function, name, 1);
    }
}

/// Pushes the metatable of a class, whose home lies on top of the stack. May raise.
///
/// # Safety
/// As [`make_home`].
unsafe fn make_metatable(state: *mut ffi::lua_State, class: Class) {
    // SAFETY: the home is on top, so its position is the number of values.
    unsafe {
        let home = ffi::lua_gettop(state);
        ffi::lua_newtable(state);
        ffi::lua_newtable(state);
        let methods = class.methods();
        for (place, method) in methods.iter().enumerate() {
            let is_same = |earlier: &&Function| ptr::fn_addr_eq(earlier.run, method.run);
            match methods[..place].iter().find(is_same).filter(|_| SAME_IS_EQUAL) {
                Some(earlier) => {
                    ffi::lua_getfield(state, -1, earlier.name.as_ptr());
                }
                None => push_function(state, home, method),
            }
            ffi::lua_setfield(state, -2, method.name.as_ptr());
        }
        if class.is_3_1() {
            ffi::lua_pushstring(state, class.name().as_ptr());
            ffi::lua_setfield(state, -2, c"class".as_ptr());
        }
        for group in class.groups() {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_setfield(state, -3, group.as_ptr());
        }
        ffi::lua_setfield(state, -2, c"__index".as_ptr());
        push_c_function(state, home, entry::collect, c"__gc");
        ffi::lua_setfield(state, -2, c"__gc".as_ptr());
        push_c_function(state, home, entry::to_string, c"__tostring");
        ffi::lua_setfield(state, -2, c"__tostring".as_ptr());
        if let Some(key) = compat::TYPE_NAME {
            ffi::lua_pushstring(state, class.name().as_ptr());
            ffi::lua_setfield(state, -2, key.as_ptr());
        }
    }
}

fn metatable_key(class: Class) -> *const c_void {
    key_of(&METATABLES[class as usize])
}

fn key_of(place: &'static u8) -> *const c_void {
    ptr::from_ref(place).cast()
}
