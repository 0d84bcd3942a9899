//! The error texts of LuaSocket 3.1.

use std::borrow::Cow;

use luasocketd_protocol::{Code, Failure};
use rustix::io::Errno;

use super::{gai, host, strerror};

pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const CLOSED: &str = "closed";
pub(crate) const ALREADY_CONNECTED: &str = "already connected";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const OUT_OF_MEMORY: &str = "out of memory";
pub(crate) const PATH_TOO_LONG: &str = "path too long";
pub(crate) const GETOPTION_FAILED: &str = "getsockopt failed";
pub(crate) const SETOPTION_FAILED: &str = "setsockopt failed";

/// The text for a failed call.
pub(crate) fn text(failure: &Failure) -> Cow<'static, str> {
    match failure.code {
        Code::Os => os(failure.detail),
        Code::Resolve => resolve(failure.detail).into(),
        Code::Host => host::text(failure.detail).into(),
        Code::Timeout => TIMEOUT.into(),
        // The daemon forgets a socket only when the script closed it.
        Code::Closed | Code::Cancelled | Code::UnknownSocket => CLOSED.into(),
        Code::Denied => "permission denied".into(),
        Code::Limit => "Too many open files".into(),
        // Only the length of a name can be out of range where the script hears of it.
        Code::BadArgument => resolve(gai::NONAME).into(),
        // An ending daemon takes no connection, as a port where nobody listens.
        Code::ShuttingDown => "connection refused".into(),
        Code::Unrecorded => strerror(Errno::IO.raw_os_error()).into(),
        Code::UnknownMethod | Code::Version => format!("luasocketd: {}", failure.message).into(),
    }
}

/// The text for a datagram that failed: what ends a connection is another's refusal here.
pub(crate) fn datagram(failure: &Failure) -> Cow<'static, str> {
    match failure.code {
        Code::Closed | Code::Cancelled | Code::UnknownSocket => REFUSED.into(),
        Code::Os if failure.detail == Errno::PIPE.raw_os_error() => REFUSED.into(),
        _ => text(failure),
    }
}

/// The text for a datagram that failed whose receiver was given as an address: the C library's for an
/// address that is none.
pub(crate) fn sent_to(failure: &Failure) -> Cow<'static, str> {
    match failure.code {
        Code::Resolve => gai::strerror(failure.detail).into(),
        _ => datagram(failure),
    }
}

/// LuaSocket's own texts; the rest is the C library's.
pub(crate) fn os(errno: i32) -> Cow<'static, str> {
    match Errno::from_raw_os_error(errno) {
        Errno::ADDRINUSE => "address already in use".into(),
        Errno::ISCONN => ALREADY_CONNECTED.into(),
        Errno::ACCESS => "permission denied".into(),
        Errno::CONNREFUSED => "connection refused".into(),
        Errno::CONNABORTED | Errno::CONNRESET | Errno::PIPE => CLOSED.into(),
        Errno::TIMEDOUT => TIMEOUT.into(),
        _ => strerror(errno).into(),
    }
}

/// The text for a lookup that failed.
fn resolve(code: i32) -> &'static str {
    match code {
        gai::AGAIN => "temporary failure in name resolution",
        gai::BADFLAGS => "invalid value for ai_flags",
        gai::FAIL => "non-recoverable failure in name resolution",
        gai::FAMILY => "ai_family not supported",
        gai::MEMORY => "memory allocation failure",
        gai::NONAME => "host or service not provided, or not known",
        gai::OVERFLOW => "argument buffer overflow",
        gai::SERVICE => "service not supported for socket type",
        gai::SOCKTYPE => "ai_socktype not supported",
        other => gai::strerror(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_texts_are_luasockets_or_cs() {
        assert_eq!(text(&Failure::os(111)), "connection refused");
        assert_eq!(text(&Failure::os(104)), "closed");
        assert_eq!(text(&Failure::os(101)), "Network is unreachable");
        assert_eq!(text(&Failure::os(1)), "Operation not permitted");
    }

    #[test]
    fn lookup_texts_are_luasockets_or_cs() {
        let lookup = |detail| text(&Failure { detail, ..Failure::new(Code::Resolve, "") });
        assert_eq!(lookup(gai::NONAME), "host or service not provided, or not known");
        assert_eq!(lookup(gai::ADDRFAMILY), "Address family for hostname not supported");
        assert_eq!(lookup(gai::NODATA), "No address associated with hostname");
    }

    #[test]
    fn datagrams_have_words_of_their_own() {
        let gone = Failure::new(Code::Closed, "");
        assert_eq!((text(&gone), datagram(&gone)), ("closed".into(), "refused".into()));
        assert_eq!(datagram(&Failure::os(111)), "connection refused");
        let name = Failure { detail: gai::NONAME, ..Failure::new(Code::Resolve, "") };
        assert_eq!(sent_to(&name), "Name or service not known");
        assert_eq!(datagram(&name), "host or service not provided, or not known");
    }

    #[test]
    fn what_the_daemon_adds_reads_like_luasocket() {
        let code = |code| text(&Failure::new(code, "the daemon's own words"));
        assert_eq!(code(Code::Denied), "permission denied");
        assert_eq!(code(Code::Limit), "Too many open files");
        assert_eq!(code(Code::UnknownSocket), "closed");
        assert_eq!(code(Code::Version), "luasocketd: the daemon's own words");
    }
}
