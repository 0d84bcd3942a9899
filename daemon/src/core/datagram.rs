//! Datagram sockets: a peer for each datagram or one for all, one answer for each that is sent.
//!
//! A datagram socket is ready from its making on. Invariants: a datagram goes only to a place that the policy
//! allows, and one is handed to the client only if the policy lets it listen here or send there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use luasocketd_protocol::{
    Bind, Bound, Code, DATAGRAM_OVERHEAD, DaemonNote, Failure, Family, Kind, Overrun, Peer, SendTo,
    SendWindow, SetPeer, SocketError, SocketId,
};

use super::action::{Action, Names, Question, Reply};
use super::binding::wildcard_host;
use super::budget::{Charge, Resource};
use super::calls::{Purpose, cancelled, over_limit};
use super::client::Subject;
use super::connecting::{check_window, literal, peer_host};
use super::lookups::no_address;
use super::machine::{Core, shutting_down};
use super::meter::{Allowance, Way, spent_text};
use super::place::{Place, check_path};
use super::policy::Verb;
use super::requests::{bad_argument, check_name, errno};
use super::slots::{ClientId, LookupId};
use super::socket::State;
use super::timers::Timer;

/// How long to wait before a datagram is tried again that had no room. A local datagram waits for room in its
/// receiver, of which the system tells the sender nothing.
const RESEND_PAUSE: Duration = Duration::from_millis(5);

/// How often that pause doubles, up to a sixth of a second: a receiver that never has room must not keep the loop busy
/// for those who wait for it.
const RESEND_DOUBLINGS: u32 = 5;

/// What a datagram socket is doing.
#[derive(Debug)]
pub(crate) struct Datagrams {
    kind: Kind,
    /// Unspec until the system has been asked for a socket.
    family: Family,
    /// Where the policy lets it take datagrams from anybody.
    bound: Option<Place>,
    peer: Option<Place>,
    /// A new policy, or a limit that is used up, has closed it to everybody.
    isolated: bool,
    /// How often the first datagram was tried in vain.
    attempts: u32,
    /// Where the last datagram was let go.
    last: Option<Place>,
    /// Credit for pushing datagrams to the client.
    push: SendWindow,
    /// A bind or a change of the peer that is under way.
    change: Option<Change>,
    /// Datagrams that are being sent, the first of them first.
    sends: VecDeque<Sending>,
    /// When the first of them is tried again.
    pub(crate) resend: Option<Instant>,
}

/// Something that happens to the socket itself.
#[derive(Debug)]
struct Change {
    request: u32,
    step: Step,
    /// Whether the socket was made for it, and goes if it fails.
    fresh: bool,
}

#[derive(Debug)]
enum Step {
    Resolving(LookupId, Plan),
    Binding { host: String, reuse_address: bool, places: VecDeque<Place> },
    Joining { host: String, places: VecDeque<Place> },
}

/// What shall become of a name once it is resolved.
#[derive(Debug)]
enum Plan {
    Bind { host: String, reuse_address: bool },
    Peer { host: String },
    Send { host: String, sending: Sending },
}

/// A datagram that is being sent.
#[derive(Debug)]
struct Sending {
    request: u32,
    to: Option<Place>,
    /// Empty while the system is being asked.
    bytes: Vec<u8>,
    /// Whether it fails at once when there is no room.
    at_once: bool,
    /// Whether it has waited, so that the policy may be another one now.
    waited: bool,
    _charge: Charge,
}

impl Datagrams {
    pub(crate) fn new(kind: Kind, family: Family, window: u32) -> Self {
        Datagrams {
            kind,
            family,
            bound: None,
            peer: None,
            isolated: false,
            attempts: 0,
            last: None,
            push: SendWindow::new(window),
            change: None,
            sends: VecDeque::new(),
            resend: None,
        }
    }

    /// The credit, if it covers the largest datagram there can be.
    pub(crate) fn push_credit(&self) -> usize {
        let credit = self.push.available();
        if credit < self.kind.datagram_max() + DATAGRAM_OVERHEAD { 0 } else { credit }
    }

    pub(crate) fn on_pushed(&mut self, cost: usize) {
        self.push.take(cost);
    }

    pub(crate) fn on_granted(&mut self, bytes: u32) -> Result<(), Overrun> {
        self.push.grant(bytes)
    }

    /// The port that it is bound to, 0 for none.
    pub(crate) fn port(&self) -> u16 {
        match &self.bound {
            Some(Place::Net(address)) => address.port(),
            Some(Place::Path(_)) | None => 0,
        }
    }

    /// The lookup that it waits for.
    pub(crate) fn lookup(&self) -> Option<LookupId> {
        match &self.change.as_ref()?.step {
            Step::Resolving(lookup, _) => Some(*lookup),
            Step::Binding { .. } | Step::Joining { .. } => None,
        }
    }
}

impl Core {
    pub(crate) fn bind_datagrams(
        &mut self,
        client: ClientId,
        request: u32,
        kind: Kind,
        bind: Bind<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_window(bind.window)?;
        let family = self.family_for_change(client, bind.socket, kind, bind.family)?;
        let places = self.places_to_bind(client, bind.host, bind.port, family)?;
        let takes_ipv4 = bind.socket.is_some_and(|socket| self.takes_ipv4(socket));
        let places =
            places.map(|places| self.allowed_to_bind(client, bind.host, takes_ipv4, places)).transpose()?;
        let timeout_ms = self.bounded(client, bind.timeout_ms);
        let (socket, fresh) =
            self.begin_change(client, request, bind.socket, kind, family, bind.window, timeout_ms, now)?;
        let reuse_address = bind.reuse_address;
        match places {
            Some(places) => {
                let host = bind.host.to_owned();
                self.set_step(socket, request, fresh, Step::Binding { host, reuse_address, places });
                self.take_step(socket);
            }
            None => {
                let host = wildcard_host(bind.host, family).to_owned();
                let plan = Plan::Bind { host: host.clone(), reuse_address };
                self.resolve_for_datagrams(
                    client,
                    socket,
                    request,
                    fresh,
                    question(host, bind.port, family),
                    plan,
                );
            }
        }
        Ok(None)
    }

    pub(crate) fn on_set_peer(
        &mut self,
        client: ClientId,
        request: u32,
        set: SetPeer<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(set.host, set.port)?;
        check_window(set.window)?;
        if self.draining.is_some() {
            return Err(shutting_down());
        }
        let kind = set.socket.map_or(Ok(Kind::Udp), |socket| Ok(self.own(client, socket)?.kind))?;
        let family = self.family_for_change(client, set.socket, kind, set.family)?;
        let host = if kind.is_local() { set.host } else { peer_host(set.host, family) };
        let place = self.judge_destination(client, host, set.port, family, None)?;
        if place.is_none() {
            self.judge_lookup(client, Some(Verb::Datagram), host)?;
        }
        self.count_connect(client, now)?;
        let timeout_ms = self.bounded(client, set.timeout_ms);
        let (socket, fresh) =
            self.begin_change(client, request, set.socket, kind, family, set.window, timeout_ms, now)?;
        match place {
            Some(place) => {
                let (host, places) = (host.to_owned(), [place].into());
                self.set_step(socket, request, fresh, Step::Joining { host, places });
                self.take_step(socket);
            }
            None => {
                let plan = Plan::Peer { host: host.to_owned() };
                let question = question(host.to_owned(), set.port, family);
                self.resolve_for_datagrams(client, socket, request, fresh, question, plan);
            }
        }
        Ok(None)
    }

    pub(crate) fn on_clear_peer(
        &mut self,
        client: ClientId,
        request: u32,
        socket: SocketId,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        self.datagrams(client, socket)?;
        self.begin_call(client, request, Subject::Socket(socket), None, now)?;
        self.act(Action::ClearPeer { socket, request });
        Ok(None)
    }

    pub(crate) fn on_peer_cleared(&mut self, socket: SocketId, request: u32, result: Result<(), i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        match result {
            Ok(()) => {
                datagrams.peer = None;
                entry.admitted.retain(|admitted| admitted.verb != Verb::Datagram);
                self.reply(client, request, Reply::Nil);
            }
            Err(errno) => self.fail(client, request, Failure::os(errno)),
        }
    }

    pub(crate) fn on_send_to(
        &mut self,
        client: ClientId,
        request: u32,
        send: SendTo<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let datagrams = self.datagrams(client, send.socket)?;
        let (kind, family, has_peer) = (datagrams.kind, datagrams.family, datagrams.peer.is_some());
        let last = datagrams.last.clone();
        if send.bytes.len() > kind.datagram_max() {
            return Err(Failure::os(errno::EMSGSIZE));
        }
        let to = match send.host {
            None if has_peer => None,
            None => return Err(Failure::os(errno::EDESTADDRREQ)),
            Some(host) => {
                check_name(host, send.port)?;
                self.judge_destination(client, host, send.port, family, last)?
            }
        };
        let charge = self.charge_bytes(client, send.bytes.len())?;
        let at_once = send.timeout_ms == Some(0);
        // A call that waits for nothing needs no timer: the system answers it now.
        let timeout_ms = send.timeout_ms.filter(|_| !at_once);
        self.begin_call(client, request, Subject::Socket(send.socket), timeout_ms, now)?;
        let sending =
            Sending { request, to, bytes: send.bytes.to_vec(), at_once, waited: false, _charge: charge };
        match send.host {
            // Spelt in a way that only the resolver knows, or not an address at all.
            Some(host) if sending.to.is_none() => {
                let question = Question::Addresses {
                    host: host.to_owned(),
                    port: Some(send.port.to_owned()),
                    family,
                    kind,
                    numeric: true,
                };
                let plan = Plan::Send { host: host.to_owned(), sending };
                self.resolve_for_datagrams(client, send.socket, request, false, question, plan);
            }
            _ => self.queue_datagram(send.socket, sending, now),
        }
        Ok(None)
    }

    /// Whether a datagram that came from somewhere is for the client to see: it may listen here, or it has
    /// been let to send there.
    pub fn admit_datagram(&self, socket: SocketId, from: &Place) -> bool {
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
            Place::Net(address) => {
                let host = address.ip().to_string();
                self.verdict(entry.client, Verb::Datagram, &host, from).lets_through()
            }
            // Nobody can name a local socket without a name.
            Place::Path(_) => true,
        }
    }

    pub(crate) fn on_datagrams_resolved(
        &mut self,
        socket: SocketId,
        answered: LookupId,
        result: Result<Vec<SocketAddr>, Failure>,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        if datagrams.lookup() != Some(answered) {
            return;
        }
        let Some(Change { request, step: Step::Resolving(_, plan), fresh }) = datagrams.change.take() else {
            return;
        };
        let next = match result {
            Ok(addresses) if addresses.is_empty() => Err(no_address()),
            Ok(addresses) => self.follow_plan(client, socket, plan, &addresses),
            Err(failure) => Err(failure),
        };
        match next {
            Ok(Next::Step(step)) => {
                self.set_step(socket, request, fresh, step);
                self.take_step(socket);
            }
            Ok(Next::Send(sending)) => self.queue_datagram(socket, sending, now),
            Err(failure) => self.fail_datagram_call(socket, request, fresh, failure),
        }
    }

    /// What comes after a lookup.
    fn follow_plan(
        &mut self,
        client: ClientId,
        socket: SocketId,
        plan: Plan,
        addresses: &[SocketAddr],
    ) -> Result<Next, Failure> {
        match plan {
            Plan::Bind { host, reuse_address } => {
                let places = addresses.iter().copied().map(Place::Net).collect();
                let places = self.allowed_to_bind(client, &host, self.takes_ipv4(socket), places)?;
                Ok(Next::Step(Step::Binding { host, reuse_address, places }))
            }
            Plan::Peer { host } => {
                let allowed = self.judge_addresses(client, Verb::Datagram, &host, addresses)?;
                let places = allowed.into_iter().map(Place::Net).collect();
                Ok(Next::Step(Step::Joining { host, places }))
            }
            Plan::Send { host, mut sending } => {
                let allowed = self.judge_addresses(client, Verb::Datagram, &host, addresses)?;
                sending.to = allowed.first().copied().map(Place::Net);
                Ok(Next::Send(sending))
            }
        }
    }

    pub(crate) fn on_datagrams_bound(&mut self, socket: SocketId, result: Result<Place, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(Change { request, step: Step::Binding { host, places, .. }, fresh }) = &mut datagrams.change
        else {
            return;
        };
        let (request, fresh) = (*request, *fresh);
        match result {
            Ok(local) => {
                let (host, judged) = (std::mem::take(host), places.pop_front().into_iter().collect());
                datagrams.family = local.family();
                datagrams.bound = Some(local.clone());
                datagrams.change = None;
                entry.note_admitted(Verb::Listen, &host, judged);
                self.reply(client, request, Reply::Bound(Bound { socket, local: local.into() }));
                self.start_datagrams(client, socket, fresh);
            }
            Err(errno) => {
                places.pop_front();
                self.try_next_place(socket, request, fresh, errno);
            }
        }
    }

    pub(crate) fn on_peer_set(&mut self, socket: SocketId, result: Result<Names, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(Change { request, step: Step::Joining { host, places }, fresh }) = &mut datagrams.change
        else {
            return;
        };
        let (request, fresh) = (*request, *fresh);
        match result {
            Ok(Names { local, peer }) => {
                let (host, judged) = (std::mem::take(host), places.pop_front().into_iter().collect());
                datagrams.family = peer.family();
                datagrams.peer = Some(peer.clone());
                datagrams.change = None;
                entry.note_admitted(Verb::Datagram, &host, judged);
                let peer = Peer { socket, local: local.into(), peer: peer.into() };
                self.reply(client, request, Reply::Peer(peer));
                self.start_datagrams(client, socket, fresh);
            }
            Err(errno) => {
                places.pop_front();
                self.try_next_place(socket, request, fresh, errno);
            }
        }
    }

    pub(crate) fn on_sent(
        &mut self,
        socket: SocketId,
        request: u32,
        result: Result<usize, i32>,
        bytes: Vec<u8>,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(first) = datagrams.sends.front_mut().filter(|first| first.request == request) else {
            return;
        };
        if result == Err(errno::EAGAIN) && !first.at_once {
            (first.bytes, first.waited) = (bytes, true);
            let at = now + RESEND_PAUSE * (1 << datagrams.attempts.min(RESEND_DOUBLINGS));
            datagrams.attempts += 1;
            datagrams.resend = Some(at);
            return self.timers.set(at, Timer::Resend(socket));
        }
        datagrams.attempts = 0;
        datagrams.sends.pop_front();
        match result {
            Ok(sent) => {
                self.count_bytes(socket, Way::ToNetwork, sent, now);
                self.reply(client, request, Reply::Sent(sent));
            }
            Err(errno::EAGAIN) => self.fail(client, request, no_room()),
            Err(errno) => self.fail(client, request, Failure::os(errno)),
        }
        self.send_next(socket, now);
    }

    pub(crate) fn on_resend(&mut self, socket: SocketId, now: Instant) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        {
            datagrams.resend = None;
        }
        self.send_next(socket, now);
    }

    /// Takes from a datagram socket what a new policy forbids: it hears nobody and has no peer any more.
    pub(crate) fn isolate_datagrams(&mut self, socket: SocketId, failure: Failure) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        entry.admitted.clear();
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        if std::mem::replace(&mut datagrams.isolated, true) {
            return;
        }
        (datagrams.bound, datagrams.peer, datagrams.last) = (None, None, None);
        let waiting: Vec<u32> = datagrams.sends.drain(..).map(|sending| sending.request).collect();
        self.cancel_resend(socket);
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
        if let Some(change) = datagrams.change.take_if(|change| change.request == request) {
            if let Step::Resolving(lookup, _) = change.step {
                self.act(Action::DropLookup { lookup });
            }
            return self.fail_datagram_call(socket, request, change.fresh, failure);
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
        let change = datagrams.change.as_ref().map(|change| change.request);
        let sends = datagrams.sends.drain(..).map(|sending| sending.request);
        let requests: Vec<u32> = sends.chain(change).collect();
        self.cancel_resend(socket);
        for request in requests {
            self.fail(client, request, cancelled());
        }
    }

    /// A datagram socket of this client.
    fn datagrams(&mut self, client: ClientId, socket: SocketId) -> Result<&mut Datagrams, Failure> {
        match &mut self.own(client, socket)?.state {
            State::Datagrams(datagrams) if datagrams.isolated => {
                Err(Failure::new(Code::Denied, "the socket was closed to everybody; make another one"))
            }
            // Its client does not know it yet, and can only have guessed its number.
            State::Datagrams(datagrams) if datagrams.change.as_ref().is_some_and(|change| change.fresh) => {
                Err(Failure::new(Code::UnknownSocket, format!("no socket {socket} of this client")))
            }
            State::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(bad_argument("a datagram socket is wanted")),
        }
    }

    /// The family that a bind or a peer has to be of. One change at a time.
    fn family_for_change(
        &mut self,
        client: ClientId,
        socket: Option<SocketId>,
        kind: Kind,
        asked: Family,
    ) -> Result<Family, Failure> {
        let Some(socket) = socket else {
            if (asked == Family::Unix) != kind.is_local() {
                return Err(bad_argument("a local socket has the family unix, and no other one has"));
            }
            return Ok(asked);
        };
        let datagrams = self.datagrams(client, socket)?;
        match datagrams.change {
            Some(_) => Err(Failure::os(errno::EALREADY)),
            None => Ok(datagrams.family),
        }
    }

    /// Where a datagram may go, if that is known without the resolver; nothing for a name.
    fn judge_destination(
        &mut self,
        client: ClientId,
        host: &str,
        port: &str,
        family: Family,
        last: Option<Place>,
    ) -> Result<Option<Place>, Failure> {
        let place = match family {
            Family::Unix => {
                check_path(host)?;
                Place::Path(host.to_owned())
            }
            _ => match literal(host, port, family) {
                Some(address) => Place::Net(address),
                None => return Ok(None),
            },
        };
        self.judge_datagram(client, host, &place, last.as_ref() == Some(&place))?;
        Ok(Some(place))
    }

    /// Keeps the request for a change of a socket, which is made where there is none; says whether it was.
    #[expect(clippy::too_many_arguments, reason = "the parameters of two requests, each named")]
    fn begin_change(
        &mut self,
        client: ClientId,
        request: u32,
        socket: Option<SocketId>,
        kind: Kind,
        family: Family,
        window: u32,
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<(SocketId, bool), Failure> {
        match socket {
            Some(socket) => {
                self.begin_call(client, request, Subject::Socket(socket), timeout_ms, now)?;
                Ok((socket, false))
            }
            None => {
                let state = State::Datagrams(Box::new(Datagrams::new(kind, family, window)));
                let socket = self.new_socket(client, kind, state)?;
                self.begin_socket_call(client, request, socket, timeout_ms, now)?;
                Ok((socket, true))
            }
        }
    }

    fn resolve_for_datagrams(
        &mut self,
        client: ClientId,
        socket: SocketId,
        request: u32,
        fresh: bool,
        question: Question,
        plan: Plan,
    ) {
        let is_busy = self.datagrams(client, socket).is_ok_and(|datagrams| datagrams.change.is_some());
        if is_busy {
            return self.fail_datagram_call(socket, request, fresh, Failure::os(errno::EALREADY));
        }
        match self.begin_lookup(client, Purpose::Socket(socket), question) {
            Ok(lookup) => self.set_step(socket, request, fresh, Step::Resolving(lookup, plan)),
            Err(failure) => self.fail_datagram_call(socket, request, fresh, failure),
        }
    }

    fn set_step(&mut self, socket: SocketId, request: u32, fresh: bool, step: Step) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        {
            datagrams.change = Some(Change { request, step, fresh });
        }
    }

    /// Has the system try the first of the places that are left.
    fn take_step(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get(socket) else { return };
        let State::Datagrams(datagrams) = &entry.state else { return };
        let (kind, follow) = (entry.kind, self.follows_links(entry.client));
        let action = match datagrams.change.as_ref().map(|change| &change.step) {
            Some(Step::Binding { reuse_address, places, .. }) => places.front().map(|place| Action::Bind {
                socket,
                kind,
                place: place.clone(),
                follow,
                dual: false,
                reuse_address: *reuse_address,
            }),
            Some(Step::Joining { places, .. }) => {
                places.front().map(|place| Action::SetPeer { socket, place: place.clone(), follow })
            }
            Some(Step::Resolving(..)) | None => None,
        };
        if let Some(action) = action {
            self.act(action);
        }
    }

    fn try_next_place(&mut self, socket: SocketId, request: u32, fresh: bool, errno: i32) {
        let Some(State::Datagrams(datagrams)) = self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        else {
            return;
        };
        let is_over = match datagrams.change.as_ref().map(|change| &change.step) {
            Some(Step::Binding { places, .. } | Step::Joining { places, .. }) => places.is_empty(),
            Some(Step::Resolving(..)) | None => true,
        };
        if is_over {
            datagrams.change = None;
            return self.fail_datagram_call(socket, request, fresh, Failure::os(errno));
        }
        self.take_step(socket);
    }

    fn start_datagrams(&mut self, client: ClientId, socket: SocketId, fresh: bool) {
        if fresh {
            self.act(Action::StartDatagrams { socket, client });
        }
    }

    fn fail_datagram_call(&mut self, socket: SocketId, request: u32, fresh: bool, failure: Failure) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        if fresh {
            self.forget_socket(socket);
        }
        self.fail(client, request, failure);
    }

    fn queue_datagram(&mut self, socket: SocketId, sending: Sending, now: Instant) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let is_first = datagrams.sends.is_empty();
        if !is_first && sending.at_once {
            return self.fail(client, sending.request, no_room());
        }
        datagrams.last = sending.to.clone().or(datagrams.last.take());
        datagrams.sends.push_back(Sending { waited: !is_first, ..sending });
        if is_first {
            self.send_next(socket, now);
        }
    }

    /// Has the system send the first datagram that waits, if its client has not gone too fast.
    fn send_next(&mut self, socket: SocketId, now: Instant) {
        // Each round takes one of those that wait.
        loop {
            let Some(entry) = self.sockets.get(socket) else { return };
            let (client, follow) = (entry.client, self.follows_links(entry.client));
            let allowance = entry.meter.borrow().allowance(Way::ToNetwork, now);
            let forbidden = self.is_forbidden_now(socket);
            let Some(State::Datagrams(datagrams)) =
                self.sockets.get_mut(socket).map(|socket| &mut socket.state)
            else {
                return;
            };
            let Some(first) = datagrams.sends.front_mut() else { return };
            let request = first.request;
            let refusal = match allowance {
                _ if forbidden => Failure::new(Code::Denied, "the policy forbids it by now"),
                Allowance::Bytes(_) => {
                    let (to, bytes) = (first.to.clone(), std::mem::take(&mut first.bytes));
                    return self.act(Action::Send { socket, request, to, follow, bytes });
                }
                Allowance::Later(at) if !first.at_once => {
                    first.waited = true;
                    datagrams.resend = Some(at);
                    return self.timers.set(at, Timer::Resend(socket));
                }
                Allowance::Later(_) => no_room(),
                Allowance::Spent(all) => Failure::new(Code::Limit, spent_text(all)),
            };
            datagrams.sends.pop_front();
            self.fail(client, request, refusal);
        }
    }

    /// Whether the first datagram that waits may not be sent any more: it was judged when it came.
    fn is_forbidden_now(&self, socket: SocketId) -> bool {
        let Some(entry) = self.sockets.get(socket) else { return false };
        let State::Datagrams(datagrams) = &entry.state else { return false };
        let Some(Sending { to: Some(place), waited: true, .. }) = datagrams.sends.front() else {
            return false;
        };
        let host = match place {
            Place::Net(address) => address.ip().to_string(),
            Place::Path(path) => path.clone(),
        };
        !self.verdict(entry.client, Verb::Datagram, &host, place).lets_through()
    }

    fn cancel_resend(&mut self, socket: SocketId) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
            && let Some(at) = datagrams.resend.take()
        {
            self.timers.cancel(at, Timer::Resend(socket));
        }
    }

    fn charge_bytes(&mut self, client: ClientId, length: usize) -> Result<Charge, Failure> {
        let gone = || Failure::new(Code::Closed, "the client has gone");
        let budget = &self.clients.get(client).ok_or_else(gone)?.budget;
        budget.charge(Resource::Bytes, length as u64).map_err(over_limit)
    }
}

/// What a lookup leads to.
enum Next {
    Step(Step),
    Send(Sending),
}

fn question(host: String, port: &str, family: Family) -> Question {
    Question::Addresses { host, port: Some(port.to_owned()), family, kind: Kind::Udp, numeric: false }
}

fn no_room() -> Failure {
    Failure::new(Code::Timeout, "there is no room for the datagram now")
}
