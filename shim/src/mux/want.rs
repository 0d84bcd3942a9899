//! What a request will be answered with, and what that makes.

use luasocketd_protocol::{
    Address, Bound, Call, Endpoint, FrameError, HelloReply, HostEntry, NameInfo, OptionValue, Peer, Resolved,
    RingGrant, SocketId, decode,
};

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Hello(HelloReply),
    Socket(SocketId),
    Endpoint(Endpoint),
    Bound(Bound),
    Peer(Peer),
    Addresses(Vec<Address>),
    HostEntry(HostEntry),
    NameInfo(NameInfo),
    Address(Address),
    Option(OptionValue),
    /// Memory to share.
    Ring(RingGrant),
    /// How many bytes were sent.
    Sent(u64),
    Nothing,
}

/// What a request will be answered with. Windows are the credit that it grants; 0 for a socket that
/// receives no datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    Hello,
    Socket {
        window: u32,
    },
    Connect {
        window: u32,
    },
    Accept {
        window: u32,
        listener: SocketId,
    },
    /// Whether the socket is a new one.
    Bound {
        new: bool,
        window: u32,
    },
    Peer {
        new: bool,
        window: u32,
    },
    Addresses,
    HostEntry,
    NameInfo,
    Address,
    Option,
    Sent,
    /// Memory to share.
    Ring,
    Nothing,
}

impl Want {
    pub(super) fn of(call: &Call<'_>) -> Want {
        match call {
            Call::Hello(_) => Want::Hello,
            Call::Open(open) => Want::Socket { window: open.window },
            Call::Connect(connect) => Want::Connect { window: connect.window },
            Call::Accept(accept) => Want::Accept { window: accept.window, listener: accept.socket },
            Call::Bind(bind) => Want::Bound { new: bind.socket.is_none(), window: bind.window },
            Call::SetPeer(peer) => Want::Peer { new: peer.socket.is_none(), window: peer.window },
            Call::SendTo(_) => Want::Sent,
            Call::Resolve(_) => Want::Addresses,
            Call::HostEntry(_) => Want::HostEntry,
            Call::NameInfo(_) => Want::NameInfo,
            Call::GetOption(_) => Want::Option,
            Call::LocalName(_) | Call::PeerName(_) => Want::Address,
            Call::Ring(_) => Want::Ring,
            Call::ClearPeer(_)
            | Call::Listen(_)
            | Call::SetOption(_)
            | Call::Shutdown(_)
            | Call::Close(_)
            | Call::Sync(_) => Want::Nothing,
        }
    }

    /// What was granted to the connection or the datagram socket that it makes.
    pub(super) fn window(self) -> Option<u32> {
        match self {
            Want::Connect { window } | Want::Accept { window, .. } => Some(window),
            Want::Socket { window } | Want::Bound { window, .. } | Want::Peer { window, .. } => {
                (window > 0).then_some(window)
            }
            _ => None,
        }
    }

    /// Whether the request may take long, so that it pays to cancel it.
    pub(super) fn may_last(self) -> bool {
        match self {
            Want::Connect { .. }
            | Want::Accept { .. }
            | Want::Bound { .. }
            | Want::Peer { .. }
            | Want::Addresses
            | Want::HostEntry
            | Want::NameInfo
            | Want::Sent => true,
            Want::Hello | Want::Socket { .. } | Want::Address | Want::Option | Want::Ring | Want::Nothing => {
                false
            }
        }
    }

    pub(super) fn decode(self, result: &[u8]) -> Result<Reply, FrameError> {
        Ok(match self {
            Want::Hello => Reply::Hello(decode(result)?),
            Want::Socket { .. } => Reply::Socket(decode(result)?),
            Want::Connect { .. } | Want::Accept { .. } => Reply::Endpoint(decode(result)?),
            Want::Bound { .. } => Reply::Bound(decode(result)?),
            Want::Peer { .. } => Reply::Peer(decode(result)?),
            Want::Addresses => Reply::Addresses(decode::<Resolved>(result)?.addresses),
            Want::HostEntry => Reply::HostEntry(decode(result)?),
            Want::NameInfo => Reply::NameInfo(decode(result)?),
            Want::Address => Reply::Address(decode(result)?),
            Want::Option => Reply::Option(decode(result)?),
            Want::Sent => Reply::Sent(decode(result)?),
            Want::Ring => Reply::Ring(decode(result)?),
            Want::Nothing => Reply::Nothing,
        })
    }
}
