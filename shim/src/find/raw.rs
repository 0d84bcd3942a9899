//! Takes over a descriptor that this process has inherited.
//!
//! Invariant: it happens once in a process, since two owners of one pipe would cut each other's frames.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::AddressFamily;

/// Whether the inherited pipe has its owner. A forked child starts with it set, and must not touch the
/// pipe of its parent.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Owns the inherited descriptor `number` from now on.
///
/// # Errors
/// Why it cannot be the pipe.
pub(crate) fn take_inherited(number: RawFd) -> Result<OwnedFd, &'static str> {
    // SAFETY: the descriptor is only asked what it is, which every number can be, open or not.
    let looked_at = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(looked_at).map_err(|_| "is not open")?;
    match rustix::net::sockopt::socket_domain(looked_at) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) | Err(_) => return Err("is no local socket"),
    }
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Err("is in use by another Lua state or was lost by an earlier one");
    }
    // SAFETY: it is open, whoever set the variable gave it to this module, and TAKEN says it has no other
    // owner here.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
