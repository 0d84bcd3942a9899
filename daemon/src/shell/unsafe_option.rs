//! Socket options that are one C int, `SO_LINGER` and what `TCP_INFO` counts: getsockopt(2) and setsockopt(2).
//!
//! One way for all of them, so that a script's number reaches the system as it is, and the system's answer
//! the script; the crates that know `SO_LINGER` forget its time when it is off. Options of other shapes go
//! through crates.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use libc::{c_int, socklen_t};

/// Reads an option.
///
/// # Errors
/// What getsockopt(2) says.
pub(crate) fn int_option(socket: impl AsFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: every bit pattern is a C int.
    unsafe { get(socket, level, name, &mut value) }?;
    Ok(value)
}

/// Sets an option.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_int_option(socket: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: a C int has no padding.
    unsafe { set(socket, level, name, &value) }
}

/// Whether a close lingers, and for how many seconds it does or would.
///
/// # Errors
/// What getsockopt(2) says.
pub(crate) fn linger(socket: impl AsFd) -> io::Result<(bool, c_int)> {
    let mut value = libc::linger { l_onoff: 0, l_linger: 0 };
    // SAFETY: every bit pattern is a `linger`, which is two C ints.
    unsafe { get(socket, libc::SOL_SOCKET, libc::SO_LINGER, &mut value) }?;
    Ok((value.l_onoff != 0, value.l_linger))
}

/// Sets whether a close lingers, and for how many seconds it does or would.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_linger(socket: impl AsFd, on: bool, seconds: c_int) -> io::Result<()> {
    let value = libc::linger { l_onoff: on.into(), l_linger: seconds };
    // SAFETY: two C ints have no padding.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_LINGER, &value) }
}

/// How many TCP segments went out, and how many came in: `tcpi_segs_out` and `tcpi_segs_in` of Linux' `struct
/// tcp_info` (linux/tcp.h, since 4.2), which the C library's own has not.
///
/// # Errors
/// What getsockopt(2) says: of a socket that is none of TCP.
pub(crate) fn segments(socket: impl AsFd) -> io::Result<[u32; 2]> {
    const SEGS_OUT: usize = 136 / size_of::<u32>();
    const SEGS_IN: usize = SEGS_OUT + 1;
    let mut info = [0_u32; SEGS_IN + 1];
    // SAFETY: every bit pattern is an array of numbers.
    unsafe { get(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info) }?;
    Ok([info[SEGS_OUT], info[SEGS_IN]])
}

/// # Safety
/// Every bit pattern is a `T`.
unsafe fn get<T>(socket: impl AsFd, level: c_int, name: c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the system writes at most `length` bytes
    // to `value`, which is that long.
    let done = unsafe {
        let place = ptr::from_mut(value).cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, place, &raw mut length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// # Safety
/// Every byte of `T` is initialised.
unsafe fn set<T>(socket: impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the system reads `length` bytes of `value`.
    let done = unsafe {
        let place = ptr::from_ref(value).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, place, length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
