//! The words on the pipe between a Lua script and luasocketd.
//!
//! Messages, the incremental codec that finds them in a stream of bytes, and the credit windows that
//! say how many bytes may be on their way. Nothing here does I/O, reads a clock or knows a policy;
//! `PROTOCOL.md` beside this crate is the specification for other implementations.
//!
//! The way in is [`FrameReader`], which cuts a byte stream into frames, then [`Frame::parse`], then
//! [`Call::parse`] or [`ClientNote::parse`] in the daemon, [`DaemonNote::parse`] or [`decode`] in a
//! client. The way out is [`encode_request`], [`encode_reply`], [`encode_failure`],
//! [`encode_note`] and, for bytes, [`data_header`].

mod failure;
mod frame;
mod inet;
mod limits;
mod message;
mod options;
mod reader;
mod ring;
mod scan;
mod types;
mod window;

pub use failure::{Code, Failure};
pub use frame::{
    DATA_HEADER, Envelope, Frame, FrameError, RING_WAKE, data_header, decode, encode_failure, encode_note,
    encode_reply, encode_request, plain_data, plain_data_head,
};
pub use inet::aton;
pub use limits::{
    CLIENT_NAME_MAX, DATAGRAM_OVERHEAD, HOST_MAX, MAX_DATA, MAX_FRAME, MAX_WINDOW, PATH_MAX, PORT_MAX,
    SPIN_MAX, UDP_MAX, UNIX_DGRAM_MAX, VERSION,
};
pub use message::{
    Accept, Acceptable, AskRing, Bind, Bound, Broken, Call, Cancel, ClearPeer, ClientNote, Close, Connect,
    DaemonNote, Data, Datagram, Endpoint, Eof, GetOption, Hello, HelloReply, HostEntry, HostEntryOf, Listen,
    LocalName, NameInfo, NameInfoOf, Open, Peer, PeerName, Resolve, Resolved, RingBegin, RingEnd, RingGrant,
    RingWake, SendTo, SetOption, SetPeer, Shutdown, SocketError, Sync, Timeout, Watch, Window,
};
pub use options::{OptionKind, OptionValue, SocketOption};
pub use reader::FrameReader;
#[cfg(not(loom))]
pub use ring::{
    BadMark, Direction as RingDirection, Memory as RingMemory, Part, RING_SIZE, Ring, RingReceiver,
    RingSender, Word as RingWord,
};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use ring::{Receiver, Sender};
pub use types::{Address, Direction, Family, Kind, SocketId};
pub use window::{Overrun, ReceiveWindow, SendWindow};
