//! Every message of the protocol, once: its name, its parameters and its result.

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::frame::{Envelope, FrameError, append, decode};
use crate::limits::VERSION;
use crate::options::{OptionValue, SocketOption};
use crate::scan::{array_length, first_element};
use crate::types::{Address, Direction, Family, Kind, SocketId};

/// Declares a set of messages: the enum, the table of method names, decoding and encoding.
macro_rules! messages {
    ($(#[$doc:meta])* $set:ident { $($(#[$variant_doc:meta])* $variant:ident($params:ty) = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $set<'a> {
            $($(#[$variant_doc])* $variant($params),)+
        }

        impl<'a> $set<'a> {
            /// Every method of this set, in the order of the specification.
            pub const METHODS: &'static [&'static str] = &[$($name),+];

            /// Decodes the parameters of `method`.
            ///
            /// # Errors
            /// [`FrameError::UnknownMethod`] for a method that is not of this set,
            /// [`FrameError::Malformed`] for parameters of another shape.
            pub fn parse(method: &str, params: &'a [u8]) -> Result<Self, FrameError> {
                // Some libraries would take a map for the same parameters; the protocol has none.
                array_length(params)?;
                match method {
                    $($name => Ok($set::$variant(decode(params)?)),)+
                    _ => Err(FrameError::UnknownMethod),
                }
            }
        }

        impl Envelope for $set<'_> {
            fn method(&self) -> &'static str {
                match self { $($set::$variant(_) => $name),+ }
            }

            fn write_params(&self, out: &mut Vec<u8>) {
                match self { $($set::$variant(params) => append(out, params)),+ }
            }
        }
    };
}

messages! {
    /// What a client asks and the daemon answers.
    Call {
        /// The first message on every pipe. Result: [`HelloReply`].
        Hello(Hello<'a>) = "hello",
        /// Makes a socket. Result: its [`SocketId`].
        Open(Open) = "open",
        /// Connects. Result: [`Endpoint`].
        Connect(Connect<'a>) = "connect",
        /// Binds to a local address. Result: [`Bound`].
        Bind(Bind<'a>) = "bind",
        /// Makes a bound socket take connections, or changes its backlog. Result: nil.
        Listen(Listen) = "listen",
        /// Takes one connection. Result: [`Endpoint`].
        Accept(Accept) = "accept",
        /// Gives a datagram socket its one peer. Result: [`Peer`].
        SetPeer(SetPeer<'a>) = "set-peer",
        /// Takes a datagram socket's peer away. Result: nil.
        ClearPeer(ClearPeer) = "clear-peer",
        /// Sends one datagram. Result: the number of bytes that were sent.
        SendTo(SendTo<'a>) = "send-to",
        /// Looks a name up. Result: [`Resolved`].
        Resolve(Resolve<'a>) = "resolve",
        /// Looks up all that is known of a host. Result: [`HostEntry`].
        HostEntry(HostEntryOf<'a>) = "host-entry",
        /// Looks up the names of an address and of a port. Result: [`NameInfo`].
        NameInfo(NameInfoOf<'a>) = "name-info",
        /// Sets an option. Result: nil.
        SetOption(SetOption) = "set-option",
        /// Reads an option. Result: [`OptionValue`].
        GetOption(GetOption) = "get-option",
        /// The socket's own address. Result: [`Address`].
        LocalName(LocalName) = "local-name",
        /// The peer's address. Result: [`Address`].
        PeerName(PeerName) = "peer-name",
        /// Ends one or both directions. Result: nil.
        Shutdown(Shutdown) = "shutdown",
        /// Closes a socket; may also be sent as a notification. Result: nil.
        Close(Close) = "close",
        /// Asks for whatever has arrived from the network by now. Result: nil.
        Sync(Sync) = "sync",
        /// Asks for memory to share, [`crate::ring`]. Result: [`RingGrant`], and the memory's descriptor.
        Ring(AskRing) = "ring",
    }
}

impl<'a> Call<'a> {
    /// Checks the version of a `hello` before the rest of its parameters, so that a client of a later
    /// version, whose `hello` may look different, still learns which version is spoken here.
    ///
    /// # Errors
    /// [`FrameError::Version`] when another version is asked for, else as [`Call::parse`].
    pub fn parse_hello(method: &str, params: &'a [u8]) -> Result<Hello<'a>, FrameError> {
        if method != "hello" {
            return Err(FrameError::UnknownMethod);
        }
        let version: u64 = decode(first_element(params)?)?;
        if version == u64::from(VERSION) { decode(params) } else { Err(FrameError::Version(version)) }
    }
}

messages! {
    /// What a client tells the daemon without waiting for an answer.
    ClientNote {
        /// Bytes for the peer.
        Data(Data<'a>) = "data",
        /// The client has consumed bytes: the daemon may push as many more.
        Window(Window) = "window",
        /// Closes a socket. Accepted bytes are still delivered.
        Close(Close) = "close",
        /// Asks for one `acceptable` when a connection waits on a listening socket.
        Watch(Watch) = "watch",
        /// The socket's time limits, for the operator to see and for whoever takes the socket over.
        Timeout(Timeout) = "timeout",
        /// Ends a request early; it is answered with `cancelled` if it had not succeeded before.
        Cancel(Cancel) = "cancel",
        /// From here on this side's frames go through the ring.
        RingBegin(RingBegin) = "ring-begin",
        /// From here on this side's frames go through the pipe again.
        RingEnd(RingEnd) = "ring-end",
        /// Something in the ring has changed for which the other side sleeps.
        RingWake(RingWake) = "ring-wake",
    }
}

messages! {
    /// What the daemon tells a client.
    DaemonNote {
        /// Bytes from the peer.
        Data(Data<'a>) = "data",
        /// Bytes have left for the network: the client may send as many more.
        Window(Window) = "window",
        /// The peer has ended its direction; no `data` follows.
        Eof(Eof) = "eof",
        /// The connection has failed; no `data` or `window` follows.
        Broken(Broken) = "broken",
        /// A connection waits on a watched listening socket.
        Acceptable(Acceptable) = "acceptable",
        /// A datagram for a datagram socket.
        Datagram(Datagram<'a>) = "datagram",
        /// Something went wrong on a datagram socket, which goes on working.
        Error(SocketError) = "error",
        /// From here on this side's frames go through the ring.
        RingBegin(RingBegin) = "ring-begin",
        /// From here on this side's frames go through the pipe again.
        RingEnd(RingEnd) = "ring-end",
        /// Something in the ring has changed for which the other side sleeps.
        RingWake(RingWake) = "ring-wake",
    }
}

/// Parameters of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The protocol version that the client speaks.
    pub version: u32,
    /// A name for the operator's eyes; the daemon trusts nothing in it.
    pub client: &'a str,
    /// The client's Lua version, `Lua 5.4` say.
    pub lua: &'a str,
}

/// Result of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The version that both sides speak from here on.
    pub version: u32,
    /// The daemon's name and release.
    pub daemon: String,
}

/// Parameters of `open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What kind of socket.
    pub kind: Kind,
    /// `inet` or `inet6`, for a local socket `unix`.
    pub family: Family,
    /// Credit for datagrams; 0 for a stream.
    pub window: u32,
}

/// Parameters of `connect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect<'a> {
    /// A socket made before, or nil for a new one.
    pub socket: Option<SocketId>,
    /// The peer's host name or address, or its path.
    pub host: &'a str,
    /// The peer's port number or service name.
    pub port: &'a str,
    /// Which addresses of the host may be tried; `unix` for a path.
    pub family: Family,
    /// How long lookup and connection may take together, in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
    /// Credit for bytes from the peer.
    pub window: u32,
}

/// Result of `connect` and `accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The connected socket.
    pub socket: SocketId,
    /// Credit for bytes to the peer.
    pub window: u32,
    /// Its own address.
    pub local: Address,
    /// The peer's address.
    pub peer: Address,
}

/// Parameters of `bind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind<'a> {
    /// A socket made before, or nil for a new one.
    pub socket: Option<SocketId>,
    /// What kind of socket a new one is.
    pub kind: Kind,
    /// A local host name or address, or `*` for every local address of the family; or a path.
    pub host: &'a str,
    /// The port number or service name; `0` for a free port.
    pub port: &'a str,
    /// The family of the address.
    pub family: Family,
    /// Whether a new socket gets `reuseaddr` before it is bound.
    pub reuse_address: bool,
    /// How long the lookup may take in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
    /// Credit for datagrams to a new datagram socket, else 0.
    pub window: u32,
}

/// Result of `bind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The bound socket.
    pub socket: SocketId,
    /// The address it has got.
    pub local: Address,
}

/// Parameters of `listen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The bound socket.
    pub socket: SocketId,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
}

/// Parameters of `accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The listening socket.
    pub socket: SocketId,
    /// How long to wait for a connection in milliseconds; nil for no limit, 0 for none.
    pub timeout_ms: Option<u64>,
    /// Credit for bytes from the peer.
    pub window: u32,
}

/// Parameters of `set-peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPeer<'a> {
    /// A datagram socket made before, or nil for a new UDP socket.
    pub socket: Option<SocketId>,
    /// The peer's host name or address, or its path.
    pub host: &'a str,
    /// The peer's port number or service name; empty for a path.
    pub port: &'a str,
    /// Which addresses of the host may be tried.
    pub family: Family,
    /// How long the lookup may take in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
    /// Credit for datagrams to a new socket, else 0.
    pub window: u32,
}

/// Result of `set-peer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The socket.
    pub socket: SocketId,
    /// Its own address.
    pub local: Address,
    /// The peer's address.
    pub peer: Address,
}

/// Parameters of `send-to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendTo<'a> {
    /// The datagram socket.
    pub socket: SocketId,
    /// The receiver's numeric address or its path, or nil for the socket's peer.
    pub host: Option<&'a str>,
    /// The receiver's port number; empty for a path or the socket's peer.
    pub port: &'a str,
    /// How long the system may lack room for it, in milliseconds; nil for no limit, 0 for none.
    pub timeout_ms: Option<u64>,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: &'a [u8],
}

/// Parameters of `datagram`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram<'a> {
    /// The datagram socket.
    pub socket: SocketId,
    /// Who sent it.
    pub from: Address,
    /// The bytes; with [`crate::DATAGRAM_OVERHEAD`] never more than the credit that was granted.
    #[serde(with = "serde_bytes")]
    pub bytes: &'a [u8],
}

/// Parameters of `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketError {
    /// The datagram socket.
    pub socket: SocketId,
    /// What the system said, for an earlier datagram say that nobody took.
    pub failure: Failure,
}

/// Parameters of `host-entry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntryOf<'a> {
    /// A host name, or an IPv4 address, whose name is looked up then.
    pub host: &'a str,
    /// How long the lookup may take in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
}

/// Result of `host-entry`, as `gethostbyname(3)` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The host's official name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its IPv4 addresses.
    pub addresses: Vec<String>,
}

/// Parameters of `name-info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameInfoOf<'a> {
    /// A host name or address, or nil.
    pub host: Option<&'a str>,
    /// A port number or service name, or nil.
    pub service: Option<&'a str>,
    /// How long the lookup may take in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
}

/// Result of `name-info`, as `getnameinfo(3)` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameInfo {
    /// The name of each address of the host, or the address where it has none.
    pub names: Vec<String>,
    /// The service's name, or its number; nil when none was asked for.
    pub service: Option<String>,
}

/// Parameters of `resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve<'a> {
    /// The host name or address.
    pub host: &'a str,
    /// Which addresses are wanted.
    pub family: Family,
    /// How long the lookup may take in milliseconds; nil for no limit.
    pub timeout_ms: Option<u64>,
}

/// Result of `resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The addresses in the resolver's order, their ports 0.
    pub addresses: Vec<Address>,
}

/// Parameters of `set-option`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetOption {
    /// The socket.
    pub socket: SocketId,
    /// Which option.
    pub option: SocketOption,
    /// Its new value, of the option's kind.
    pub value: OptionValue,
}

/// Parameters of `get-option`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOption {
    /// The socket.
    pub socket: SocketId,
    /// Which option.
    pub option: SocketOption,
}

/// Parameters of `shutdown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// The connected socket.
    pub socket: SocketId,
    /// Which directions end.
    pub direction: Direction,
}

/// Parameters of `sync`: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {}

/// Parameters of `ring`: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRing {}

/// Result of `ring`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingGrant {
    /// For how many microseconds whoever waits may look at the ring again and again before it sleeps.
    pub spin_us: u32,
}

/// Parameters of `ring-begin`: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingBegin {}

/// Parameters of `ring-end`: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEnd {}

/// Parameters of `ring-wake`: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingWake {}

/// Parameters of `data`, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data<'a> {
    /// The connected socket.
    pub socket: SocketId,
    /// The bytes; never more than the credit that the receiver has granted.
    #[serde(with = "serde_bytes")]
    pub bytes: &'a [u8],
}

/// Parameters of `window`, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The connected socket.
    pub socket: SocketId,
    /// How many bytes more the other side may send.
    pub bytes: u32,
}

/// Parameters of `timeout`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The socket.
    pub socket: SocketId,
    /// The limit per wait in milliseconds; nil for none.
    pub block_ms: Option<u64>,
    /// The limit per call in milliseconds; nil for none.
    pub total_ms: Option<u64>,
}

/// Parameters of `cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The id of the request.
    pub request: u32,
}

/// Parameters of `broken`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The connected socket.
    pub socket: SocketId,
    /// Why.
    pub failure: Failure,
}

macro_rules! socket_only {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// The socket.
            pub socket: SocketId,
        }
    )+};
}

socket_only! {
    /// Parameters of `local-name`.
    LocalName,
    /// Parameters of `peer-name`.
    PeerName,
    /// Parameters of `clear-peer`.
    ClearPeer,
    /// Parameters of `close`.
    Close,
    /// Parameters of `watch`.
    Watch,
    /// Parameters of `eof`.
    Eof,
    /// Parameters of `acceptable`.
    Acceptable,
}
