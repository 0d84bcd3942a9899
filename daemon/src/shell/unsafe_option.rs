//! Socket options that are one C int: getsockopt(2) and setsockopt(2).
//!
//! One way for all of them, so that a script's number reaches the system as it is, and the system's answer
//! the script. Options of other shapes go through crates that know them.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, socklen_t};

/// The length of an option that is a C int.
const LENGTH: socklen_t = size_of::<c_int>() as socklen_t;

/// Reads an option.
///
/// # Errors
/// What getsockopt(2) says.
pub(crate) fn int_option(socket: impl AsFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let (mut value, mut length): (c_int, socklen_t) = (0, LENGTH);
    // SAFETY: the descriptor is open as long as it is borrowed; the system writes at most `length` bytes
    // to `value`, which is that long.
    let done = unsafe {
        let place = (&raw mut value).cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, place, &raw mut length)
    };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_int_option(socket: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed; the system reads `LENGTH` bytes of `value`.
    let done = unsafe {
        let place = (&raw const value).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, place, LENGTH)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
