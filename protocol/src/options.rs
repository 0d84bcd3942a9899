//! Socket options: LuaSocket's names, the kinds of their values, and which way they go on which socket.

use serde::{Deserialize, Serialize};

use crate::types::Kind;

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
    /// The name of a network interface.
    Device,
    /// An IPv4 address.
    Inet,
    /// An IPv4 group and the address of the interface.
    Group,
    /// An IPv6 group and the number of the interface.
    Group6,
}

/// The value of an option on the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// For [`OptionKind::Flag`].
    Flag(bool),
    /// For [`OptionKind::Number`] and [`OptionKind::Error`].
    Number(i32),
    /// For [`OptionKind::Device`], and for [`OptionKind::Inet`] in dotted form.
    Text(String),
    /// For [`OptionKind::Linger`]: on or off, and seconds.
    Linger(bool, u16),
    /// For [`OptionKind::Group`]: group and interface in dotted form.
    Group(String, String),
    /// For [`OptionKind::Group6`]: the group, and the interface's number, 0 for the system's choice.
    Group6(String, u32),
}

impl OptionValue {
    /// Whether the value is of `kind`.
    pub fn is(&self, kind: OptionKind) -> bool {
        match self {
            OptionValue::Flag(_) => kind == OptionKind::Flag,
            OptionValue::Number(_) => matches!(kind, OptionKind::Number | OptionKind::Error),
            OptionValue::Text(_) => matches!(kind, OptionKind::Device | OptionKind::Inet),
            OptionValue::Linger(..) => kind == OptionKind::Linger,
            OptionValue::Group(..) => kind == OptionKind::Group,
            OptionValue::Group6(..) => kind == OptionKind::Group6,
        }
    }
}

/// Which way an option goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// There is no such option.
    No,
    Get,
    Set,
    Both,
}

impl Way {
    const fn reads(self) -> bool {
        matches!(self, Way::Get | Way::Both)
    }

    const fn sets(self) -> bool {
        matches!(self, Way::Set | Way::Both)
    }
}

macro_rules! options {
    ($($variant:ident = $name:literal, $kind:ident, $tcp:ident, $udp:ident, $stream:ident, $dgram:ident;)+) => {
        /// An option of a socket, by LuaSocket's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum SocketOption {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant,)+
        }

        impl SocketOption {
            /// Every option.
            pub const ALL: &[SocketOption] = &[$(SocketOption::$variant),+];

            /// The option's name.
            pub const fn name(self) -> &'static str {
                match self { $(SocketOption::$variant => $name),+ }
            }

            /// What kind of value it has.
            pub const fn kind(self) -> OptionKind {
                match self { $(SocketOption::$variant => OptionKind::$kind),+ }
            }

            const fn way(self, socket: Kind) -> Way {
                let [tcp, udp, stream, dgram] = match self {
                    $(SocketOption::$variant => [Way::$tcp, Way::$udp, Way::$stream, Way::$dgram]),+
                };
                match socket {
                    Kind::Tcp => tcp,
                    Kind::Udp => udp,
                    Kind::UnixStream => stream,
                    Kind::UnixDgram => dgram,
                }
            }
        }
    };
}

options! {
    // variant = name, kind of value, and the way on tcp, udp, unix-stream, unix-dgram
    KeepAlive = "keepalive", Flag, Both, No, Set, No;
    ReuseAddr = "reuseaddr", Flag, Both, Both, Set, Set;
    ReusePort = "reuseport", Flag, Both, Both, No, No;
    DontRoute = "dontroute", Flag, No, Both, No, No;
    Broadcast = "broadcast", Flag, No, Both, No, No;
    TcpNoDelay = "tcp-nodelay", Flag, Both, No, No, No;
    TcpKeepIdle = "tcp-keepidle", Number, Both, No, No, No;
    TcpKeepCnt = "tcp-keepcnt", Number, Both, No, No, No;
    TcpKeepIntvl = "tcp-keepintvl", Number, Both, No, No, No;
    TcpDeferAccept = "tcp-defer-accept", Number, Set, No, No, No;
    TcpFastOpen = "tcp-fastopen", Number, Set, No, No, No;
    TcpFastOpenConnect = "tcp-fastopen-connect", Number, Set, No, No, No;
    RecvBufferSize = "recv-buffer-size", Number, Both, Both, No, No;
    SendBufferSize = "send-buffer-size", Number, Both, Both, No, No;
    Linger = "linger", Linger, Both, No, Set, No;
    Error = "error", Error, Get, Get, No, No;
    BindToDevice = "bindtodevice", Device, Both, No, No, No;
    IpMulticastIf = "ip-multicast-if", Inet, No, Both, No, No;
    IpMulticastTtl = "ip-multicast-ttl", Number, No, Set, No, No;
    IpMulticastLoop = "ip-multicast-loop", Flag, No, Both, No, No;
    IpAddMembership = "ip-add-membership", Group, No, Set, No, No;
    IpDropMembership = "ip-drop-membership", Group, No, Set, No, No;
    Ipv6UnicastHops = "ipv6-unicast-hops", Number, No, Both, No, No;
    Ipv6MulticastHops = "ipv6-multicast-hops", Number, No, Both, No, No;
    Ipv6MulticastLoop = "ipv6-multicast-loop", Flag, No, Both, No, No;
    Ipv6AddMembership = "ipv6-add-membership", Group6, No, Set, No, No;
    Ipv6DropMembership = "ipv6-drop-membership", Group6, No, Set, No, No;
    Ipv6V6Only = "ipv6-v6only", Flag, Set, Both, No, No;
}

impl SocketOption {
    /// The option called `name`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        SocketOption::ALL.iter().copied().find(|option| option.name().as_bytes() == name)
    }

    /// Whether it can be read on a socket of this kind.
    pub const fn is_readable(self, socket: Kind) -> bool {
        self.way(socket).reads()
    }

    /// Whether it can be set on a socket of this kind.
    pub const fn is_settable(self, socket: Kind) -> bool {
        self.way(socket).sets()
    }
}
