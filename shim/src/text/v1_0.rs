//! The error texts of LuaSocket 1.0, which has a table for each kind of call.

use std::borrow::Cow;

use luasocketd_protocol::{Code, Failure};
use rustix::io::Errno;

use super::gai;

pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const CLOSED: &str = "closed";
const ACCESS_DENIED: &str = "access denied";
const ADDRESS_IN_USE: &str = "address already in use";
const UNKNOWN: &str = "unknown error";

/// Which call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Connect,
    /// `bind` and `listen`.
    Bind,
    Accept,
}

/// The text for a failed call.
pub(crate) fn text(operation: Operation, failure: &Failure) -> Cow<'static, str> {
    match failure.code {
        Code::Os => os(operation, failure.detail).into(),
        Code::Resolve => resolve(failure.detail).into(),
        Code::Host => "host not found".into(),
        Code::Timeout => "connection timed out".into(),
        Code::Closed | Code::Cancelled | Code::UnknownSocket => CLOSED.into(),
        Code::Denied => ACCESS_DENIED.into(),
        Code::Limit => "too many open files".into(),
        // Only the length of a name can be out of range.
        Code::BadArgument => resolve(gai::OVERFLOW).into(),
        // An ending daemon takes no connection, as a port where nobody listens.
        Code::ShuttingDown => "connection refused".into(),
        Code::Unrecorded => "input/output error".into(),
        Code::UnknownMethod | Code::Version => format!("luasocketd: {}", failure.message).into(),
    }
}

fn os(operation: Operation, errno: i32) -> &'static str {
    let errno = Errno::from_raw_os_error(errno);
    match operation {
        Operation::Connect => connect(errno),
        Operation::Bind => bind(errno),
        Operation::Accept => None,
    }
    .or_else(|| new_socket(errno))
    .unwrap_or(UNKNOWN)
}

fn connect(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::CONNREFUSED => Some("connection refused"),
        Errno::TIMEDOUT => Some("connection timed out"),
        // An unreachable host is news to LuaSocket 1.0; for a script it is the same trouble.
        Errno::NETUNREACH | Errno::HOSTUNREACH => Some("network is unreachable"),
        Errno::ADDRINUSE => Some(ADDRESS_IN_USE),
        Errno::ADDRNOTAVAIL => Some("address not available"),
        _ => None,
    }
}

fn bind(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::ADDRINUSE => Some(ADDRESS_IN_USE),
        Errno::ADDRNOTAVAIL => Some("address unavailable"),
        Errno::INVAL => Some("socket already bound"),
        Errno::NOMEM => Some("out of memory"),
        _ => None,
    }
}

/// What may go wrong in every call that makes a socket.
fn new_socket(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::ACCESS | Errno::PERM => Some(ACCESS_DENIED),
        Errno::MFILE => Some("descriptor table is full"),
        Errno::NFILE => Some("too many open files"),
        Errno::NOBUFS => Some("insufficient buffer space"),
        _ => None,
    }
}

/// The text for a lookup that failed.
fn resolve(code: i32) -> &'static str {
    match code {
        gai::NONAME | gai::NODATA | gai::ADDRFAMILY => "host not found",
        gai::AGAIN => "name server unavailable, try again later",
        gai::FAIL => "name server error",
        _ => "unable to resolve host name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_own_words() {
        let not_available = Failure::os(99);
        assert_eq!(text(Operation::Connect, &not_available), "address not available");
        assert_eq!(text(Operation::Bind, &not_available), "address unavailable");
        assert_eq!(text(Operation::Bind, &Failure::os(22)), "socket already bound");
        assert_eq!(text(Operation::Connect, &Failure::os(22)), "unknown error");
        assert_eq!(text(Operation::Accept, &Failure::os(24)), "descriptor table is full");
        assert_eq!(text(Operation::Connect, &Failure::os(13)), "access denied");
    }

    #[test]
    fn lookups_have_four_texts() {
        let lookup =
            |detail| text(Operation::Connect, &Failure { detail, ..Failure::new(Code::Resolve, "") });
        assert_eq!(lookup(gai::NONAME), "host not found");
        assert_eq!(lookup(gai::FAIL), "name server error");
        assert_eq!(lookup(gai::AGAIN), "name server unavailable, try again later");
        assert_eq!(lookup(gai::SERVICE), "unable to resolve host name");
    }

    #[test]
    fn a_policy_denies_access() {
        assert_eq!(text(Operation::Bind, &Failure::new(Code::Denied, "")), "access denied");
    }
}
