//! One socket of a client, from its making to the last byte that it delivers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Family, Kind, SocketId, Timeout};

use super::backoff::Backoff;
use super::budget::Charge;
use super::datagram::Datagrams;
use super::dial::Dial;
use super::flow::Flow;
use super::meter::Meter;
use super::place::Place;
use super::policy::Verb;
use super::recording::{Asked, Open};
use super::slots::{ClientId, LookupId};
use super::trail::Traffic;

/// What the core knows of a socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Whose it is, or was.
    pub(crate) client: ClientId,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// How fast its client goes, also after that has gone.
    pub(crate) meter: Rc<RefCell<Meter>>,
    /// When it may go on, if it is held up for its client's speed.
    pub(crate) resumes: Option<Instant>,
    /// Whether it takes IPv4 on an IPv6 address.
    pub(crate) takes_ipv4: bool,
    /// The multicast groups that it is in, once for each interface.
    pub(crate) groups: Vec<IpAddr>,
    /// What the policy has allowed that brought it about, once for each verb.
    pub(crate) admitted: Vec<Admitted>,
    /// When it was made.
    pub(crate) since: Instant,
    /// When its connect began that is under way.
    pub(crate) dialed: Option<Instant>,
    /// What has passed: to the network, and from it.
    pub(crate) traffic: [Traffic; 2],
    /// What the trail follows of it: a stream has at most one.
    pub(crate) opens: Vec<Open>,
    /// The time limits that the script has set, for the operator to see.
    pub(crate) timeout: Option<Timeout>,
    /// Its place among the client's sockets.
    pub(crate) _charge: Charge,
}

/// A question that the policy has said yes to.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) verb: Verb,
    pub(crate) host: String,
    /// While a connect is under way all that it may try, then the one.
    pub(crate) places: Vec<Place>,
}

/// What a socket is doing.
#[derive(Debug)]
pub(crate) enum State {
    /// It is made, maybe bound, and does nothing.
    Idle {
        /// Which addresses it can deal with.
        family: Family,
        /// The address it is bound to, and the name that was asked for.
        bound: Option<(String, Place)>,
    },
    /// The request waits for the system to make it; for datagrams the client's first grant follows.
    Opening { request: u32, family: Family, window: u32 },
    /// The request waits for the resolver.
    Resolving { request: u32, lookup: LookupId, plan: Plan },
    /// The request waits for the system to bind it to the first of these addresses.
    Binding { request: u32, bind: BindPlan, places: VecDeque<Place> },
    /// The request waits for a connection.
    Dialing { request: u32, connect: ConnectPlan, dial: Dial, next_attempt: Option<Instant> },
    /// The request waits for the listener of a path to have room, until the next attempt.
    DialingPath { request: u32, connect: ConnectPlan, backoff: Backoff, next_attempt: Option<Instant> },
    /// The request waits for the system to make it listen.
    Starting { request: u32, family: Family, bound: Option<(String, Place)> },
    /// It gives connections to whoever asks.
    Listening {
        /// Requests that wait for a connection, the first of them first.
        accepts: VecDeque<AcceptPlan>,
        /// The socket that the connection that is being taken shall be.
        taking: Option<SocketId>,
        /// Whether the client wants to hear of a connection that waits.
        watched: bool,
    },
    /// Datagrams come and go.
    Datagrams(Box<Datagrams>),
    /// It was reserved for a connection that is being taken.
    Reserved,
    /// Bytes flow.
    Connected(Flow),
    /// Its client has closed it; what was accepted is delivered until then.
    Closing { flow: Flow, until: Instant },
}

/// What shall become of a name once it is resolved.
#[derive(Debug)]
pub(crate) enum Plan {
    Connect(ConnectPlan),
    Bind(BindPlan),
}

impl Plan {
    /// What the script has asked for.
    pub(crate) fn asked(&self) -> &Asked {
        match self {
            Plan::Connect(connect) => &connect.asked,
            Plan::Bind(bind) => &bind.asked,
        }
    }
}

/// A connect under way.
#[derive(Clone, Debug)]
pub(crate) struct ConnectPlan {
    pub(crate) host: String,
    /// What the script has asked for.
    pub(crate) asked: Asked,
    /// How long its lookup took.
    pub(crate) lookup: Option<Duration>,
    /// The client's first grant.
    pub(crate) window: u32,
    /// The socket to go back to when the connect fails; `None` when it was made for this connect.
    pub(crate) own: Option<(Family, Option<(String, Place)>)>,
}

/// A bind under way.
#[derive(Clone, Debug)]
pub(crate) struct BindPlan {
    pub(crate) host: String,
    /// What the script has asked for.
    pub(crate) asked: Asked,
    pub(crate) dual: bool,
    pub(crate) reuse_address: bool,
    /// What the socket goes back to when the bind fails; `None` when it was made for this bind.
    pub(crate) own: Option<(Family, Option<(String, Place)>)>,
}

/// A request for a connection on a listening socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptPlan {
    pub(crate) request: u32,
    /// The client's first grant.
    pub(crate) window: u32,
    /// Whether it fails at once when no connection waits.
    pub(crate) at_once: bool,
}

impl Socket {
    /// Whether bytes that its client has sent are still to be delivered.
    pub(crate) fn is_delivering(&self) -> bool {
        matches!(&self.state, State::Connected(flow) if flow.held() > 0 && !flow.failed)
    }

    /// Notes what the policy has allowed, in the place of what it allowed before to the same end.
    pub(crate) fn note_admitted(&mut self, verb: Verb, host: &str, places: Vec<Place>) {
        self.admitted.retain(|admitted| admitted.verb != verb);
        self.admitted.push(Admitted { verb, host: host.to_owned(), places });
    }
}
