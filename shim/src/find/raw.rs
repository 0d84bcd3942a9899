//! Takes over a descriptor that this process has inherited.
//!
//! Invariant: it happens once to a pipe, since two owners of one pipe would cut each other's frames and read
//! each other's answers. The second one may be a state in this process, also one whose module is another file,
//! or in another process that has inherited the same descriptor.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FlockOperation;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, sockopt};

/// Why a second state gets nothing.
const IN_USE: &str = "is in use by another Lua state or was lost by an earlier one; a pipe serves one state";

/// Why a child of the state that has the pipe gets nothing.
const NOT_OPEN: &str = "is not open (a pipe serves one Lua state, whose children do not inherit it)";

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
    let flags = rustix::io::fcntl_getfd(looked_at).map_err(|_| NOT_OPEN)?;
    match sockopt::socket_domain(looked_at) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) | Err(_) => return Err("is no local socket"),
    }
    // What was inherited over `exec` does not have the flag; whoever takes the pipe sets it.
    if flags.contains(FdFlags::CLOEXEC) || TAKEN.swap(true, Ordering::AcqRel) {
        return Err(IN_USE);
    }
    claim(looked_at)?;
    // SAFETY: it is open, whoever set the variable gave it to this module, and TAKEN says it has no other
    // owner here.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks the pipe as taken, for every process that has it.
///
/// The mark is an option of the socket itself that means nothing to a local one. A lock of the process makes
/// the look and the mark one step.
fn claim(pipe: BorrowedFd<'_>) -> Result<(), &'static str> {
    rustix::fs::fcntl_lock(pipe, FlockOperation::NonBlockingLockExclusive).map_err(|_| IN_USE)?;
    let taken = sockopt::socket_keepalive(pipe).unwrap_or(true);
    let marked = !taken && sockopt::set_socket_keepalive(pipe, true).is_ok();
    // It also goes with the process, or when the pipe is closed.
    let _ = rustix::fs::fcntl_lock(pipe, FlockOperation::NonBlockingUnlock);
    if marked { Ok(()) } else { Err(IN_USE) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pipe_is_claimed_once() {
        let (pipe, _peer) = UnixStream::pair().unwrap();
        assert_eq!(claim(pipe.as_fd()), Ok(()));
        assert_eq!(claim(pipe.as_fd()), Err(IN_USE));
        // Another descriptor of it, as another process has.
        assert_eq!(claim(pipe.try_clone().unwrap().as_fd()), Err(IN_USE));
    }

    #[test]
    fn a_pipe_that_somebody_here_has_made_his_own_is_not_taken() {
        let (pipe, _peer) = UnixStream::pair().unwrap();
        // The standard library sets the flag, as does every state that takes a pipe.
        assert_eq!(take_inherited(pipe.as_raw_fd()).unwrap_err(), IN_USE);
    }
}
