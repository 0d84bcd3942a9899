//! What goes into the core and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use luasocketd_protocol::{
    Address, Bound, Call, ClientNote, DaemonNote, Direction, Endpoint, Failure, Family, HelloReply,
    HostEntry, Kind, NameInfo, OptionValue, Peer, Resolved, RingGrant, SetOption, SocketId, SocketOption,
};
use serde::{Serialize, Serializer};

use super::mark::Mark;
use super::place::Place;
use super::policy::{Judgement, Policy};
use super::question::{Answer, Lookup};
use super::slots::{ClientId, LookupId};
use super::trail::{Record, TrailId};

/// The two addresses of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Its own address.
    pub local: Place,
    /// The peer's address.
    pub peer: Place,
}

/// Something that happened. Results carry Linux' errno.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client asks.
    Request {
        /// Who.
        client: ClientId,
        /// The number to answer under.
        request: u32,
        /// What.
        call: Call<'a>,
    },
    /// A client tells. Data goes to [`super::Core::admit_data`] instead.
    Note {
        /// Who.
        client: ClientId,
        /// What.
        note: ClientNote<'a>,
    },
    /// A client's end of its pipe is gone.
    ClientGone {
        /// Who.
        client: ClientId,
    },
    /// The resolver has answered [`Action::Lookup`].
    Resolved {
        /// Which lookup.
        lookup: LookupId,
        /// What it has found.
        result: Result<Answer, Failure>,
    },
    /// [`Action::Open`] is done.
    Opened {
        /// Which socket.
        socket: SocketId,
        /// Whether it is open.
        result: Result<(), i32>,
    },
    /// [`Action::Bind`] is done.
    Bound {
        /// Which socket.
        socket: SocketId,
        /// The address it has got.
        result: Result<Place, i32>,
    },
    /// [`Action::SetOption`] is done.
    OptionSet {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
        /// What was asked for.
        set: SetOption,
        /// Whether the option is set.
        result: Result<(), i32>,
    },
    /// [`Action::SetPeer`] is done.
    PeerSet {
        /// Which socket.
        socket: SocketId,
        /// Its addresses now.
        result: Result<Names, i32>,
    },
    /// [`Action::ClearPeer`] is done.
    PeerCleared {
        /// Which socket.
        socket: SocketId,
        /// Whose request.
        request: u32,
        /// Whether the peer is gone.
        result: Result<(), i32>,
    },
    /// [`Action::Send`] is done.
    Sent {
        /// Which socket.
        socket: SocketId,
        /// For which request.
        request: u32,
        /// How many bytes were sent, or why none were.
        result: Result<usize, i32>,
        /// The datagram, to be sent later when there was no room.
        bytes: Vec<u8>,
    },
    /// The system has news of an earlier datagram.
    SocketError {
        /// Which socket.
        socket: SocketId,
        /// What.
        errno: i32,
    },
    /// [`Action::Listen`] is done.
    Listening {
        /// Which socket.
        socket: SocketId,
        /// Whether it listens.
        result: Result<(), i32>,
    },
    /// An attempt started by [`Action::Dial`] has ended.
    Dialed {
        /// Which socket.
        socket: SocketId,
        /// Which attempt.
        attempt: usize,
        /// The connection's addresses.
        result: Result<Names, i32>,
    },
    /// A connection may wait on a listening socket.
    Acceptable {
        /// Which socket.
        socket: SocketId,
    },
    /// [`Action::Accept`] is done.
    Accepted {
        /// The listening socket.
        listener: SocketId,
        /// The connection's addresses, `None` when no connection waits.
        result: Result<Option<Names>, i32>,
    },
    /// [`Action::Probe`] is done.
    Probed {
        /// The listening socket.
        socket: SocketId,
        /// Whether a connection waits.
        waiting: bool,
    },
    /// The peer has ended its direction.
    PeerEnded {
        /// Which socket.
        socket: SocketId,
    },
    /// The connection has failed.
    Failed {
        /// Which socket.
        socket: SocketId,
        /// Why.
        failure: Failure,
    },
    /// [`Action::MakeRing`] is done.
    RingMade {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
        /// What the system said.
        result: Result<(), i32>,
    },
    /// Everything that [`Action::Sync`] asked for has been pushed.
    Synced {
        /// Whose request.
        client: ClientId,
        /// Which request.
        request: u32,
    },
    /// A decision is in the audit trail, or cannot be: why not, for people.
    Recorded {
        /// Which decision.
        id: TrailId,
        /// Whether it is.
        result: Result<(), String>,
    },
    /// The operator has a new policy.
    NewPolicy {
        /// What judges from here on.
        policy: Policy,
    },
    /// The operator ends a client or a socket.
    Kill {
        /// Which.
        mark: Mark,
    },
    /// Time has passed: do what is due.
    Tick,
    /// Another daemon takes the new clients. Those that are here are served as before until they end, or for so long; then
    /// the daemon drains for as long again.
    Retire {
        /// That time.
        timeout: Duration,
    },
    /// The daemon shall end when its clients have, or after `timeout`.
    Drain {
        /// How long clients with sockets may go on.
        timeout: Duration,
    },
}

/// Something that the shell has to do, in the order given.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Answer a request.
    Reply {
        /// Whose.
        client: ClientId,
        /// Which.
        request: u32,
        /// With what.
        reply: Reply,
    },
    /// Answer a request with a failure.
    Fail {
        /// Whose.
        client: ClientId,
        /// Which.
        request: u32,
        /// Why it failed.
        failure: Failure,
    },
    /// Tell a client.
    Notify {
        /// Whom.
        client: ClientId,
        /// What.
        note: DaemonNote<'static>,
    },
    /// Push everything that is readable now, then say so with [`Input::Synced`].
    Sync {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
    },
    /// Make memory to share with a client, and send its descriptor with what goes to the client next.
    MakeRing {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
    },
    /// Take a client's frames from its ring from here on, and say that its own come there, too.
    BeginRing {
        /// Whose.
        client: ClientId,
    },
    /// Send a client's frames through its pipe again, once it is told so.
    EndRing {
        /// Whose.
        client: ClientId,
    },
    /// Forget a client's ring: its frames come through the pipe from here on.
    DropRing {
        /// Whose.
        client: ClientId,
    },
    /// Set an option.
    SetOption {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
        /// On which socket, and to what.
        set: SetOption,
    },
    /// Answer a question about a socket with what the system says.
    Ask {
        /// Whose.
        client: ClientId,
        /// Which request.
        request: u32,
        /// About which socket.
        socket: SocketId,
        /// What.
        ask: Ask,
    },
    /// Close a client's pipe once what is queued for it is written, as far as that needs no wait.
    Disconnect {
        /// Whose.
        client: ClientId,
        /// For the operator's log; empty for an ordinary end.
        reason: String,
    },
    /// Add a record to the audit trail.
    Record {
        /// What.
        record: Record,
        /// Of which socket, if it has one.
        socket: Option<SocketId>,
        /// Whether [`Input::Recorded`] is waited for.
        wanted: bool,
    },
    /// The policy was asked: tell the operator.
    Judged {
        /// Whose sake it was for.
        client: ClientId,
        /// What was asked, and the answer.
        judgement: Box<Judgement>,
    },
    /// Look a name up.
    Lookup(Lookup),
    /// Nobody waits for a lookup any more.
    DropLookup {
        /// Which lookup.
        lookup: LookupId,
    },
    /// Make the system's socket.
    Open {
        /// For which socket.
        socket: SocketId,
        /// Of which kind.
        kind: Kind,
        /// Of which family.
        family: Family,
    },
    /// Bind, after making the system's socket where there is none.
    Bind {
        /// Which socket.
        socket: SocketId,
        /// Of which kind a new one is.
        kind: Kind,
        /// To which address.
        place: Place,
        /// Whether a path may lead through symbolic links: only where every path is allowed.
        follow: bool,
        /// Whether an IPv6 wildcard takes IPv4 too.
        dual: bool,
        /// Whether `reuseaddr` is set before.
        reuse_address: bool,
    },
    /// Listen.
    Listen {
        /// Which socket.
        socket: SocketId,
        /// How many connections may wait.
        backlog: i32,
    },
    /// Start to connect.
    Dial {
        /// Which socket.
        socket: SocketId,
        /// Which attempt; each one has a system's socket of its own unless `own` is set.
        attempt: usize,
        /// Where to.
        address: SocketAddr,
        /// Whether to use the socket that was opened before.
        own: bool,
    },
    /// Connect to a local socket, which needs no wait; [`Input::Dialed`] tells of attempt 0.
    DialPath {
        /// Which socket; the system's one is made where there is none.
        socket: SocketId,
        /// Where to.
        path: String,
        /// Whether the path may lead through symbolic links.
        follow: bool,
    },
    /// Give a datagram socket its peer, after making the system's socket where there is none.
    SetPeer {
        /// Which socket.
        socket: SocketId,
        /// Which peer.
        place: Place,
        /// Whether a path may lead through symbolic links.
        follow: bool,
    },
    /// Take a datagram socket's peer away.
    ClearPeer {
        /// Which socket.
        socket: SocketId,
        /// For which request.
        request: u32,
    },
    /// Send a datagram, if there is room for it.
    Send {
        /// From which socket.
        socket: SocketId,
        /// For which request.
        request: u32,
        /// Where to; `None` for the socket's peer.
        to: Option<Place>,
        /// Whether a path may lead through symbolic links.
        follow: bool,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Give up an attempt.
    HangUp {
        /// Which socket.
        socket: SocketId,
        /// Which attempt.
        attempt: usize,
        /// Whether it used the socket that was opened before, which then has to forget the attempt.
        own: bool,
    },
    /// Take one connection, if one waits.
    Accept {
        /// From this listening socket.
        listener: SocketId,
        /// To be this socket.
        socket: SocketId,
    },
    /// Look whether a connection waits.
    Probe {
        /// On which listening socket.
        socket: SocketId,
    },
    /// Let bytes flow on a connected socket, both ways.
    Start {
        /// Which socket.
        socket: SocketId,
        /// Who gets the bytes.
        client: ClientId,
    },
    /// Read datagrams from a socket from here on.
    StartDatagrams {
        /// Which socket.
        socket: SocketId,
        /// Who gets them.
        client: ClientId,
    },
    /// More credit came: read on.
    Resume {
        /// Which socket.
        socket: SocketId,
    },
    /// End directions of the connection.
    Shutdown {
        /// Which socket.
        socket: SocketId,
        /// Which directions.
        direction: Direction,
    },
    /// Receive nothing more, and end the connection behind what is queued.
    Finish {
        /// Which socket.
        socket: SocketId,
    },
    /// Close the system's socket and forget what is queued on it.
    Close {
        /// Which socket.
        socket: SocketId,
    },
}

/// A question about a socket that the system answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Its own address.
    LocalName,
    /// The peer's address.
    PeerName,
    /// An option.
    GetOption(SocketOption),
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing but success.
    Nil,
    /// For `hello`.
    Hello(HelloReply),
    /// For `open`.
    Socket(SocketId),
    /// For `connect` and `accept`.
    Endpoint(Endpoint),
    /// For `bind`.
    Bound(Bound),
    /// For `set-peer`.
    Peer(Peer),
    /// For `send-to`.
    Sent(usize),
    /// For `resolve`.
    Resolved(Resolved),
    /// For `host-entry`.
    HostEntry(HostEntry),
    /// For `name-info`.
    NameInfo(NameInfo),
    /// For `local-name` and `peer-name`.
    Address(Address),
    /// For `get-option`.
    Value(OptionValue),
    /// For `ring`.
    Ring(RingGrant),
}

impl Reply {
    /// The addresses in it, for the shell to name their scopes.
    pub fn addresses(&mut self) -> Vec<&mut Address> {
        match self {
            Reply::Endpoint(reply) => vec![&mut reply.local, &mut reply.peer],
            Reply::Bound(reply) => vec![&mut reply.local],
            Reply::Peer(reply) => vec![&mut reply.local, &mut reply.peer],
            Reply::Resolved(reply) => reply.addresses.iter_mut().collect(),
            Reply::Address(reply) => vec![reply],
            Reply::Nil
            | Reply::Hello(_)
            | Reply::Socket(_)
            | Reply::Sent(_)
            | Reply::HostEntry(_)
            | Reply::NameInfo(_)
            | Reply::Value(_)
            | Reply::Ring(_) => vec![],
        }
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reply::Nil => serializer.serialize_unit(),
            Reply::Hello(reply) => reply.serialize(serializer),
            Reply::Socket(reply) => reply.serialize(serializer),
            Reply::Endpoint(reply) => reply.serialize(serializer),
            Reply::Bound(reply) => reply.serialize(serializer),
            Reply::Peer(reply) => reply.serialize(serializer),
            Reply::Sent(reply) => reply.serialize(serializer),
            Reply::Resolved(reply) => reply.serialize(serializer),
            Reply::HostEntry(reply) => reply.serialize(serializer),
            Reply::NameInfo(reply) => reply.serialize(serializer),
            Reply::Address(reply) => reply.serialize(serializer),
            Reply::Value(reply) => reply.serialize(serializer),
            Reply::Ring(reply) => reply.serialize(serializer),
        }
    }
}
