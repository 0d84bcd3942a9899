//! Host entries: gethostbyname_r(3) and gethostbyaddr_r(3), which no crate offers.
//!
//! LuaSocket's `dns.toip` and `dns.tohostname` show what these say and getaddrinfo(3) does not: aliases, and
//! `h_errno`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::net::Ipv4Addr;
use std::ptr;

use libc::{AF_INET, ERANGE, hostent, in_addr, size_t, socklen_t};
use luasocketd_protocol::HostEntry;

use crate::core::eai;

/// What the C library writes a host's names and addresses to: first as much as nearly every host needs, then
/// doubled up to the largest answer there is (64 KiB of DNS, every name of it spelt out).
const BUFFER_MIN: usize = 4 * 1024;
const BUFFER_MAX: usize = 1024 * 1024;

/// `h_errno` of netdb.h, of a failure that no more is said of.
const NO_RECOVERY: c_int = 3;

unsafe extern "C" {
    fn gethostbyname_r(
        name: *const c_char,
        entry: *mut hostent,
        buffer: *mut c_char,
        length: size_t,
        result: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int;

    fn gethostbyaddr_r(
        address: *const std::ffi::c_void,
        address_length: socklen_t,
        family: c_int,
        entry: *mut hostent,
        buffer: *mut c_char,
        length: size_t,
        result: *mut *mut hostent,
        h_errno: *mut c_int,
    ) -> c_int;

    fn inet_aton(text: *const c_char, address: *mut in_addr) -> c_int;
}

/// All that is known of a host; of an IPv4 address in any spelling of inet_aton(3), the host that has it.
///
/// # Errors
/// The `h_errno` of the lookup.
pub(crate) fn host_entry(host: &str) -> Result<HostEntry, c_int> {
    // A text with a NUL names nothing.
    let name = CString::new(host).map_err(|_| eai::HOST_NOT_FOUND)?;
    let mut address = in_addr { s_addr: 0 };
    // SAFETY: both pointers are valid for the call; it writes one `in_addr` at most.
    let is_address = unsafe { inet_aton(name.as_ptr(), &raw mut address) } != 0;
    let mut length = BUFFER_MIN;
    loop {
        let mut buffer: Vec<c_char> = vec![0; length];
        let (mut entry, mut found, mut h_errno) = (empty(), ptr::null_mut(), 0);
        let (place, room) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: every pointer is valid for the call, and `room` is the buffer's length. The functions are
        // the thread-safe ones: they write to nothing else.
        let errno = unsafe {
            if is_address {
                let size = size_of::<in_addr>() as socklen_t;
                let address = (&raw const address).cast();
                gethostbyaddr_r(
                    address,
                    size,
                    AF_INET,
                    &raw mut entry,
                    place,
                    room,
                    &raw mut found,
                    &raw mut h_errno,
                )
            } else {
                gethostbyname_r(name.as_ptr(), &raw mut entry, place, room, &raw mut found, &raw mut h_errno)
            }
        };
        if errno == ERANGE && length < BUFFER_MAX {
            length *= 2;
            continue;
        }
        if found.is_null() {
            // An empty name is refused without an `h_errno`.
            return Err(if h_errno > 0 { h_errno } else { NO_RECOVERY });
        }
        // SAFETY: `found` is `entry` then, filled by the C library; all it points to lies in `buffer`, which
        // lives until the copies are made.
        return Ok(unsafe { copy(&*found) });
    }
}

fn empty() -> hostent {
    hostent {
        h_name: ptr::null_mut(),
        h_aliases: ptr::null_mut(),
        h_addrtype: 0,
        h_length: 0,
        h_addr_list: ptr::null_mut(),
    }
}

/// Copies an entry out of the C library's buffer.
///
/// # Safety
/// `entry` is of the family `AF_INET` and was filled by the C library: a name, and two lists that end with
/// a null pointer, the first of C strings, the second of `in_addr`s.
unsafe fn copy(entry: &hostent) -> HostEntry {
    // SAFETY: as promised by the caller.
    unsafe {
        let text = |text: *const c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        let address =
            |place: *mut c_char| Ipv4Addr::from(place.cast::<[u8; 4]>().read_unaligned()).to_string();
        HostEntry {
            name: if entry.h_name.is_null() { String::new() } else { text(entry.h_name) },
            aliases: pointers(entry.h_aliases).into_iter().map(|place| text(place)).collect(),
            addresses: pointers(entry.h_addr_list).into_iter().map(address).collect(),
        }
    }
}

/// The pointers of a list.
///
/// # Safety
/// The list is null, or ends with a null pointer.
unsafe fn pointers(mut list: *mut *mut c_char) -> Vec<*mut c_char> {
    let mut found = Vec::new();
    // SAFETY: as promised by the caller, every element up to the null pointer can be read.
    unsafe {
        while !list.is_null() && !(*list).is_null() {
            found.push(*list);
            list = list.add(1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_host_is_found_by_name_and_by_address() {
        let entry = host_entry("localhost").unwrap();
        assert_eq!((entry.name.as_str(), entry.addresses[0].as_str()), ("localhost", "127.0.0.1"));
        for address in ["127.0.0.1", "127.1", "0x7f000001", "2130706433"] {
            assert_eq!(host_entry(address).map(|entry| entry.name), Ok("localhost".to_owned()), "{address}");
        }
    }

    #[test]
    fn what_names_no_host_is_an_error_and_no_crash() {
        for name in ["", "a\0b", "::1", "-", " ", &"x".repeat(5000)] {
            assert!(host_entry(name).is_err(), "{name:?}");
        }
    }
}
