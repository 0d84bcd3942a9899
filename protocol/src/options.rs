//! Socket options: LuaSocket's names, the kinds of their values, and which way they go.

use serde::{Deserialize, Serialize};

/// What kind of value an option has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// Whether to linger and for how many seconds.
    Linger,
    /// An errno, 0 for none.
    Error,
}

/// The value of an option on the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// For [`OptionKind::Flag`].
    Flag(bool),
    /// For [`OptionKind::Number`] and [`OptionKind::Error`].
    Number(i32),
    /// For [`OptionKind::Linger`]: on or off, and seconds.
    Linger(bool, u16),
}

impl OptionValue {
    /// Whether the value is of `kind`.
    pub fn is(self, kind: OptionKind) -> bool {
        match self {
            OptionValue::Flag(_) => kind == OptionKind::Flag,
            OptionValue::Number(_) => matches!(kind, OptionKind::Number | OptionKind::Error),
            OptionValue::Linger(..) => kind == OptionKind::Linger,
        }
    }
}

macro_rules! options {
    ($($variant:ident = $name:literal, $kind:ident, $get:literal, $set:literal;)+) => {
        /// An option of a TCP socket, by LuaSocket's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum TcpOption {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant,)+
        }

        impl TcpOption {
            /// Every option.
            pub const ALL: &[TcpOption] = &[$(TcpOption::$variant),+];

            /// The option's name.
            pub const fn name(self) -> &'static str {
                match self { $(TcpOption::$variant => $name),+ }
            }

            /// What kind of value it has.
            pub const fn kind(self) -> OptionKind {
                match self { $(TcpOption::$variant => OptionKind::$kind),+ }
            }

            /// Whether it can be read.
            pub const fn readable(self) -> bool {
                match self { $(TcpOption::$variant => $get),+ }
            }

            /// Whether it can be set.
            pub const fn settable(self) -> bool {
                match self { $(TcpOption::$variant => $set),+ }
            }
        }
    };
}

options! {
    // variant = name, kind, readable, settable
    KeepAlive = "keepalive", Flag, true, true;
    ReuseAddr = "reuseaddr", Flag, true, true;
    ReusePort = "reuseport", Flag, true, true;
    TcpNoDelay = "tcp-nodelay", Flag, true, true;
    TcpKeepIdle = "tcp-keepidle", Number, true, true;
    TcpKeepCnt = "tcp-keepcnt", Number, true, true;
    TcpKeepIntvl = "tcp-keepintvl", Number, true, true;
    RecvBufferSize = "recv-buffer-size", Number, true, true;
    SendBufferSize = "send-buffer-size", Number, true, true;
    Linger = "linger", Linger, true, true;
    Error = "error", Error, true, false;
    Ipv6V6Only = "ipv6-v6only", Flag, false, true;
}

impl TcpOption {
    /// The option called `name`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        TcpOption::ALL.iter().copied().find(|option| option.name().as_bytes() == name)
    }
}
