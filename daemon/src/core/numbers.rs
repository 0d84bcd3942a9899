//! The numbers of failures, as the system has them (errno(3), getaddrinfo(3), gethostbyname(3)).

/// The system's numbers that the core gives itself, where the kernel would give them.
pub(crate) mod errno {
    pub(crate) use libc::{
        EAGAIN, EALREADY, ECONNABORTED, EDESTADDRREQ, EINVAL, EISCONN, EMSGSIZE, ENAMETOOLONG, ENOBUFS,
        ENOMEM, ENOTCONN, EOPNOTSUPP,
    };
}

/// The resolver's numbers that the core gives itself.
pub(crate) mod eai {
    pub(crate) use libc::{EAI_NODATA as NODATA, EAI_NONAME as NONAME, EAI_SERVICE as SERVICE};

    /// The `h_errno` for a name that no host has, which libc leaves out (netdb.h of glibc and musl).
    pub(crate) const HOST_NOT_FOUND: i32 = 1;
}
