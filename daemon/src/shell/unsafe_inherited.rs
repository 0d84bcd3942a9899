//! Descriptors that this process was started with, by their numbers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first number that is not standard input, output or error.
const FIRST: RawFd = 3;

/// Takes a descriptor that somebody has left open for this process, and keeps it from the processes that this one starts.
///
/// To be called for each number once, before anything else is opened: a number that was not inherited would be another
/// owner's by then.
///
/// # Errors
/// When nothing is open by that number, or it is a standard one.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the number is not -1, and the kernel is only asked whether something is open by it.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: it is open, and as the caller promises nobody in this process owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}
