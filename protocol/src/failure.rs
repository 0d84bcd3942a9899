//! Why a call failed, as it travels on the pipe.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// The kind of a failure; the texts that a script sees are the shim's business.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the specification.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The code's name on the pipe.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }
        }
    };
}

codes! {
    /// The operating system refused; `detail` is Linux' errno.
    Os = "os",
    /// The lookup of a name failed; `detail` is the `EAI_*` value of `getaddrinfo(3)`.
    Resolve = "resolve",
    /// The lookup of a host entry failed; `detail` is the `h_errno` of `gethostbyname(3)`.
    Host = "host",
    /// The call's own time limit passed.
    Timeout = "timeout",
    /// The connection has ended.
    Closed = "closed",
    /// The policy forbids it.
    Denied = "denied",
    /// A limit of this client is reached; the message names it.
    Limit = "limit",
    /// The socket id names no socket of this client.
    UnknownSocket = "unknown-socket",
    /// A parameter is out of its range; the message says which.
    BadArgument = "bad-argument",
    /// The daemon knows no such method.
    UnknownMethod = "unknown-method",
    /// The client speaks a protocol version that the daemon does not.
    Version = "version",
    /// The client cancelled the request, or closed its socket.
    Cancelled = "cancelled",
    /// The daemon is ending and starts nothing new.
    ShuttingDown = "shutting-down",
    /// The audit trail cannot be written, and nothing is done that is not recorded.
    Unrecorded = "unrecorded",
}

/// A failed request, or the reason why a socket broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is.
    pub code: Code,
    /// An errno for [`Code::Os`], an `EAI_*` value for [`Code::Resolve`], an `h_errno` for [`Code::Host`],
    /// else 0.
    pub detail: i32,
    /// What failed, on what, and what to do: for people, not for programs.
    pub message: String,
}

impl Failure {
    /// A failure of `code` with a text for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, detail: 0, message: message.into() }
    }

    /// What the operating system answered.
    pub fn os(errno: i32) -> Self {
        let text = std::io::Error::from_raw_os_error(errno).to_string();
        // The standard library appends the number, which `detail` holds.
        let message = text.split(" (os error").next().unwrap_or_default().to_owned();
        Failure { code: Code::Os, detail: errno, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_text_comes_without_its_number() {
        assert_eq!(Failure::os(111).to_string(), "os: Connection refused");
    }
}
