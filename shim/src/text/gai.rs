//! The codes of `getaddrinfo(3)` on Linux, and their texts where LuaSocket leaves them to the C library.

pub(crate) const AGAIN: i32 = -3;
pub(crate) const BADFLAGS: i32 = -1;
pub(crate) const FAIL: i32 = -4;
pub(crate) const FAMILY: i32 = -6;
pub(crate) const MEMORY: i32 = -10;
pub(crate) const NODATA: i32 = -5;
pub(crate) const NONAME: i32 = -2;
pub(crate) const OVERFLOW: i32 = -12;
pub(crate) const SERVICE: i32 = -8;
pub(crate) const SOCKTYPE: i32 = -7;
pub(crate) const ADDRFAMILY: i32 = -9;
const SYSTEM: i32 = -11;

/// `gai_strerror`, for the codes and the functions that LuaSocket has no words of its own for.
pub(crate) fn strerror(code: i32) -> &'static str {
    match code {
        ADDRFAMILY => "Address family for hostname not supported",
        AGAIN => "Temporary failure in name resolution",
        BADFLAGS => "Bad value for ai_flags",
        FAIL => "Non-recoverable failure in name resolution",
        FAMILY => "ai_family not supported",
        MEMORY => "Memory allocation failure",
        NODATA => "No address associated with hostname",
        NONAME => "Name or service not known",
        SERVICE => "Servname not supported for ai_socktype",
        SOCKTYPE => "ai_socktype not supported",
        SYSTEM => "System error",
        _ => "Unknown error",
    }
}
