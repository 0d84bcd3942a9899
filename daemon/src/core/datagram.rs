//! Datagram sockets: what they are, what comes to them, how they end.
//!
//! A datagram socket is ready from its making on. Invariant: a datagram is handed to the client only if the
//! policy lets it listen here or send there.

use std::collections::VecDeque;
use std::time::Instant;

use luasocketd_protocol::{
    Code, DATAGRAM_OVERHEAD, DaemonNote, Failure, Family, Kind, Overrun, SendWindow, SocketError, SocketId,
};

use super::action::Action;
use super::association::Change;
use super::backoff::Backoff;
use super::calls::cancelled;
use super::machine::Core;
use super::place::Place;
use super::policy::Verb;
use super::recording::end_of;
use super::requests::bad_argument;
use super::sending::Sending;
use super::slots::{ClientId, LookupId};
use super::socket::State;

/// What a datagram socket is doing.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// Unspec until the system has been asked for a socket.
    pub(super) family: Family,
    /// Where the policy lets it take datagrams from anybody.
    pub(super) bound: Option<Place>,
    pub(super) peer: Option<Place>,
    /// A new policy, or a limit that is used up, has closed it to everybody.
    isolated: bool,
    /// Where the last datagram was let go.
    pub(super) last: Option<Place>,
    /// Credit for pushing datagrams to the client.
    push: SendWindow,
    /// A bind or a change of the peer that is under way.
    pub(super) change: Option<Change>,
    /// Datagrams that are being sent, the first of them first.
    pub(super) sends: VecDeque<Sending>,
    /// Whether the first of them waits for its peer to be recorded.
    pub(super) recording: bool,
    /// Of the first of them, which has found no room.
    pub(super) backoff: Backoff,
    /// When the first of them is tried again.
    pub(super) resend: Option<Instant>,
}

impl Datagrams {
    pub(crate) fn new(family: Family, window: u32) -> Self {
        Datagrams {
            family,
            bound: None,
            peer: None,
            isolated: false,
            last: None,
            push: SendWindow::new(window),
            change: None,
            sends: VecDeque::new(),
            recording: false,
            backoff: Backoff::default(),
            resend: None,
        }
    }

    /// The credit, if it covers the largest datagram that a socket of this kind can get.
    pub(crate) fn push_credit(&self, kind: Kind) -> usize {
        let credit = self.push.available();
        if credit < kind.datagram_max() + DATAGRAM_OVERHEAD { 0 } else { credit }
    }

    /// All the credit that there is.
    pub(crate) fn credit(&self) -> usize {
        self.push.available()
    }

    /// Where it sends to when nothing is said.
    pub(crate) fn peer(&self) -> Option<&Place> {
        self.peer.as_ref()
    }

    pub(crate) fn on_pushed(&mut self, cost: usize) {
        self.push.take(cost);
    }

    pub(crate) fn on_granted(&mut self, bytes: u32) -> Result<(), Overrun> {
        self.push.grant(bytes)
    }

    /// The port that it is bound to, 0 for none.
    pub(crate) fn port(&self) -> u16 {
        self.bound.as_ref().and_then(Place::port).unwrap_or(0)
    }

    /// Whether its client waits for its number, still.
    pub(crate) fn is_being_made(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.origin.fresh)
    }

    /// The lookup that it waits for.
    pub(crate) fn lookup(&self) -> Option<LookupId> {
        self.change.as_ref()?.lookup()
    }
}

impl Core {
    /// Whether a datagram of so many bytes that came from somewhere is for the client to see: it may listen here,
    /// or it has been let to send there. If so, it is counted.
    pub fn admit_datagram(&mut self, socket: SocketId, from: &Place, length: usize) -> bool {
        let is_admitted = self.is_admitted(socket, from);
        if let Some(entry) = self.sockets.get_mut(socket).filter(|_| is_admitted) {
            entry.count_received(from, length);
        }
        is_admitted
    }

    fn is_admitted(&self, socket: SocketId, from: &Place) -> bool {
        let Some(entry) = self.sockets.get(socket) else { return false };
        let State::Datagrams(datagrams) = &entry.state else { return false };
        if datagrams.isolated {
            return false;
        }
        if datagrams.bound.is_some() {
            return true;
        }
        // What strangers had sent before it got its peer is still in the system's queue.
        if let Some(peer) = &datagrams.peer
            && peer == from
        {
            return true;
        }
        match from {
            Place::Net(_) => self.verdict(entry.client, Verb::Datagram, &from.host(), from).lets_through(),
            // Nobody can name a local socket without a name.
            Place::Path(_) => true,
        }
    }

    /// Takes from a datagram socket what a new policy forbids: it hears nobody and has no peer any more.
    pub(crate) fn isolate_datagrams(&mut self, socket: SocketId, failure: Failure) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        entry.admitted.clear();
        entry.groups.clear();
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        if std::mem::replace(&mut datagrams.isolated, true) {
            return;
        }
        (datagrams.bound, datagrams.peer, datagrams.last) = (None, None, None);
        let waiting: Vec<u32> = datagrams.sends.drain(..).map(|sending| sending.request).collect();
        self.cancel_resend(socket);
        self.end_records(socket, end_of(&failure), Some(&failure));
        for request in waiting {
            self.fail(client, request, failure.clone());
        }
        self.notify(client, DaemonNote::Error(SocketError { socket, failure }));
        // With it go its name, its peer and its groups.
        self.act(Action::Close { socket });
    }

    pub(crate) fn on_socket_error(&mut self, socket: SocketId, errno: i32) {
        if let Some((client, State::Datagrams(_))) =
            self.sockets.get(socket).map(|socket| (socket.client, &socket.state))
        {
            let failure = Failure::os(errno);
            self.notify(client, DaemonNote::Error(SocketError { socket, failure }));
        }
    }

    /// Ends one of the requests that wait for a datagram socket.
    pub(crate) fn abandon_datagram_call(
        &mut self,
        socket: SocketId,
        request: u32,
        failure: Failure,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        if let Some(change) = datagrams.change.take_if(|change| change.origin.request == request) {
            if let Some(lookup) = change.lookup() {
                self.drop_lookup(lookup);
            }
            return self.fail_datagram_call(socket, change.origin, failure);
        }
        let was_first = datagrams.sends.front().is_some_and(|first| first.request == request);
        datagrams.sends.retain(|sending| sending.request != request);
        self.fail(client, request, failure);
        if was_first {
            self.cancel_resend(socket);
            self.send_next(socket, now);
        }
    }

    /// Answers every request that waits for a datagram socket: it is being closed.
    pub(crate) fn cancel_datagram_calls(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        // The change stays: with it a lookup is dropped.
        let change = datagrams.change.as_ref().map(|change| change.origin.request);
        let sends = datagrams.sends.drain(..).map(|sending| sending.request);
        let requests: Vec<u32> = sends.chain(change).collect();
        self.cancel_resend(socket);
        for request in requests {
            self.fail(client, request, cancelled());
        }
    }

    /// A datagram socket of this client.
    pub(super) fn datagrams(
        &mut self,
        client: ClientId,
        socket: SocketId,
    ) -> Result<&mut Datagrams, Failure> {
        match &mut self.own(client, socket)?.state {
            State::Datagrams(datagrams) if datagrams.isolated => {
                Err(Failure::new(Code::Denied, "the socket was closed to everybody; make another one"))
            }
            State::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(bad_argument("a datagram socket is wanted")),
        }
    }
}
