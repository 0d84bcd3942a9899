//! The two ends of a datagram socket: from a bind, or from a peer that is asked for, to its names.
//!
//! One change at a time. What a lookup gives is judged before the system is asked, place by place.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use luasocketd_protocol::{Bind, Bound, Failure, Family, Kind, Peer, SetPeer, SocketId};

use super::action::{Action, Names, Reply};
use super::binding::{check_family, wildcard_host};
use super::calls::Purpose;
use super::client::Subject;
use super::connecting::{check_window, peer_host};
use super::datagram::Datagrams;
use super::holding::Held;
use super::lookups::no_address;
use super::machine::{Core, shutting_down};
use super::numbers::errno;
use super::place::Place;
use super::policy::{Verb, Verdict};
use super::question::Question;
use super::recording::{Asked, Findings, end_of};
use super::requests::check_name;
use super::sending::Sending;
use super::slots::{ClientId, LookupId};
use super::socket::State;
use super::trail::{End, TrailId};

/// Something that happens to the socket itself.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) origin: Origin,
    step: Step,
}

/// What a change is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) request: u32,
    /// Whether the socket was made for it, and goes if it fails.
    pub(super) fresh: bool,
    /// What it is in the trail.
    pub(super) record: Option<TrailId>,
}

#[derive(Debug)]
enum Step {
    Resolving(LookupId, Box<(Plan, Asked)>),
    Binding { host: String, reuse_address: bool, places: VecDeque<Place> },
    Joining { host: String, places: VecDeque<Place> },
}

/// What shall become of a name once it is resolved.
#[derive(Debug)]
pub(super) enum Plan {
    Bind { host: String, reuse_address: bool },
    Peer { host: String },
    Send { host: String, sending: Box<Sending> },
}

/// What a lookup leads to.
enum Next {
    Bind(Step, Findings),
    Join(Step, Findings),
    Send(Box<Sending>),
}

impl Change {
    /// The lookup that it waits for.
    pub(super) fn lookup(&self) -> Option<LookupId> {
        match self.step {
            Step::Resolving(lookup, ..) => Some(lookup),
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
        let asked = self.asked_to_bind(kind, &bind);
        let (places, verdict) = self.places_to_bind(client, &bind, family, &asked)?;
        let takes_ipv4 = bind.socket.is_some_and(|socket| self.takes_ipv4(socket));
        let found = places
            .map(|places| self.allowed_to_bind(client, bind.host, takes_ipv4, places, &asked))
            .transpose()?;
        let timeout_ms = self.bounded(client, bind.timeout_ms);
        let begun =
            self.begin_change(client, request, bind.socket, kind, family, bind.window, timeout_ms, now);
        let (socket, origin) = begun.inspect_err(|refusal| {
            let findings =
                found.clone().unwrap_or_else(|| Findings { verdict: verdict.clone(), ..Findings::default() });
            self.record_refusal(client, asked.clone(), findings, refusal);
        })?;
        let origin = Origin { record: Some(asked.id), ..origin };
        let reuse_address = bind.reuse_address;
        match found {
            Some(found) => {
                let (host, places) = (bind.host.to_owned(), found.places.clone().into());
                self.set_step(socket, origin, Step::Binding { host, reuse_address, places });
                self.record_socket(socket, asked, found, Held::Step(socket));
            }
            None => {
                let host = wildcard_host(bind.host, family).to_owned();
                let plan = Plan::Bind { host: host.clone(), reuse_address };
                let question = question(host, bind.port, family);
                self.resolve_for_datagrams(client, socket, origin, question, plan, asked, verdict);
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
        let asked = self.asked_to_send(kind, set.host, set.port);
        let judged = self.judge_destination(client, host, set.port, family, None, &asked)?;
        let (place, verdict) = match judged {
            Some((place, verdict)) => (Some(place), verdict),
            None => (None, self.judge_lookup(client, Some(Verb::Datagram), host, &asked)?),
        };
        let timeout_ms = self.bounded(client, set.timeout_ms);
        let begun = self.count_connect(client, now).and_then(|()| {
            self.begin_change(client, request, set.socket, kind, family, set.window, timeout_ms, now)
        });
        let (socket, origin) = begun.inspect_err(|refusal| {
            let places = place.clone().into_iter().collect();
            let findings = Findings { places, verdict: verdict.clone(), ..Findings::default() };
            self.record_refusal(client, asked.clone(), findings, refusal);
        })?;
        let origin = Origin { record: Some(asked.id), ..origin };
        match place {
            Some(place) => {
                let (host, places) = (host.to_owned(), [place.clone()].into());
                self.set_step(socket, origin, Step::Joining { host, places });
                let findings = Findings { places: vec![place], verdict, ..Findings::default() };
                self.record_peer(socket, asked, findings);
            }
            None => {
                let plan = Plan::Peer { host: host.to_owned() };
                let question = question(host.to_owned(), set.port, family);
                self.resolve_for_datagrams(client, socket, origin, question, plan, asked, verdict);
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
                let peer = datagrams.peer.take();
                entry.admitted.retain(|admitted| admitted.verb != Verb::Datagram);
                if let Some(peer) = peer {
                    self.end_one(socket, End::Closed, None, |open| open.is_peer(&peer));
                }
                self.reply(client, request, Reply::Nil);
            }
            Err(errno) => self.fail(client, request, Failure::os(errno)),
        }
    }

    /// Has it recorded that a socket gets a peer; it is done then.
    fn record_peer(&mut self, socket: SocketId, asked: Asked, findings: Findings) {
        let is_known =
            |place: &Place| self.sockets.get(socket).is_some_and(|entry| self.knows_peer(entry, place));
        if findings.places.iter().all(is_known) {
            return self.take_step(socket);
        }
        self.displace_peer(socket);
        self.record_socket(socket, asked, findings, Held::Step(socket));
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
        let Some(Change { origin, step: Step::Resolving(_, planned) }) = datagrams.change.take() else {
            return;
        };
        let (plan, asked) = *planned;
        let next = match result {
            Ok(addresses) if addresses.is_empty() => Err(no_address()),
            Ok(addresses) => self.follow_plan(client, socket, plan, &addresses, &asked),
            Err(failure) => Err(failure),
        };
        match next {
            Ok(Next::Bind(step, findings)) => {
                self.set_step(socket, origin, step);
                self.record_socket(socket, asked, findings, Held::Step(socket));
            }
            Ok(Next::Join(step, findings)) => {
                self.set_step(socket, origin, step);
                self.record_peer(socket, asked, findings);
            }
            Ok(Next::Send(sending)) => self.queue_datagram(socket, *sending, now),
            Err(failure) => self.fail_datagram_call(socket, origin, failure),
        }
    }

    /// What comes after a lookup.
    fn follow_plan(
        &mut self,
        client: ClientId,
        socket: SocketId,
        plan: Plan,
        addresses: &[SocketAddr],
        asked: &Asked,
    ) -> Result<Next, Failure> {
        match plan {
            Plan::Bind { host, reuse_address } => {
                let places = addresses.iter().copied().map(Place::Net).collect();
                let takes_ipv4 = self.takes_ipv4(socket);
                let found = self.allowed_to_bind(client, &host, takes_ipv4, places, asked)?;
                let places = found.places.clone().into();
                Ok(Next::Bind(Step::Binding { host, reuse_address, places }, found))
            }
            Plan::Peer { host } => {
                let found = self.judge_addresses(client, Verb::Datagram, &host, addresses, asked)?;
                let places = found.places.clone().into();
                Ok(Next::Join(Step::Joining { host, places }, found))
            }
            Plan::Send { host, mut sending } => {
                let found = self.judge_addresses(client, Verb::Datagram, &host, addresses, asked)?;
                (sending.to, sending.verdict) = (found.places.into_iter().next(), found.verdict);
                Ok(Next::Send(sending))
            }
        }
    }

    pub(crate) fn on_datagrams_bound(&mut self, socket: SocketId, result: Result<Place, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(Change { origin, step: Step::Binding { host, places, .. } }) = &mut datagrams.change else {
            return;
        };
        let origin = *origin;
        match result {
            Ok(local) => {
                let (host, judged) = (std::mem::take(host), places.pop_front().into_iter().collect());
                datagrams.family = local.family();
                datagrams.bound = Some(local.clone());
                datagrams.change = None;
                entry.note_admitted(Verb::Listen, &host, judged);
                entry.note_names(origin.record, Some(&local), None);
                self.reply(client, origin.request, Reply::Bound(Bound { socket, local: local.into() }));
                self.start_datagrams(client, socket, origin);
            }
            Err(errno) => {
                places.pop_front();
                self.try_next_place(socket, origin, errno);
            }
        }
    }

    pub(crate) fn on_peer_set(&mut self, socket: SocketId, result: Result<Names, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(Change { origin, step: Step::Joining { host, places } }) = &mut datagrams.change else {
            return;
        };
        let origin = *origin;
        match result {
            Ok(Names { local, peer }) => {
                let (host, judged) = (std::mem::take(host), places.pop_front().into_iter().collect());
                datagrams.family = peer.family();
                let former = datagrams.peer.replace(peer.clone()).filter(|former| *former != peer);
                datagrams.change = None;
                entry.note_admitted(Verb::Datagram, &host, judged);
                entry.note_names(origin.record, Some(&local), Some(&peer));
                if let Some(former) = former {
                    self.end_one(socket, End::Closed, None, |open| open.is_peer(&former));
                }
                let peer = Peer { socket, local: local.into(), peer: peer.into() };
                self.reply(client, origin.request, Reply::Peer(peer));
                self.start_datagrams(client, socket, origin);
            }
            Err(errno) => {
                places.pop_front();
                self.try_next_place(socket, origin, errno);
            }
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
        let Some(socket) = socket else { return check_family(kind, asked).map(|()| asked) };
        let datagrams = self.datagrams(client, socket)?;
        match datagrams.change {
            Some(_) => Err(Failure::os(errno::EALREADY)),
            None => Ok(datagrams.family),
        }
    }

    /// Keeps the request for a change of a socket, which is made where there is none.
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
    ) -> Result<(SocketId, Origin), Failure> {
        match socket {
            Some(socket) => {
                self.begin_call(client, request, Subject::Socket(socket), timeout_ms, now)?;
                Ok((socket, Origin { request, fresh: false, record: None }))
            }
            None => {
                let state = State::Datagrams(Box::new(Datagrams::new(family, window)));
                let socket = self.new_socket(client, kind, state)?;
                self.begin_socket_call(client, request, socket, timeout_ms, now)?;
                Ok((socket, Origin { request, fresh: true, record: None }))
            }
        }
    }

    /// Asks the resolver for a socket's sake. One change at a time.
    #[expect(clippy::too_many_arguments, reason = "the parts of a question, each named")]
    pub(super) fn resolve_for_datagrams(
        &mut self,
        client: ClientId,
        socket: SocketId,
        origin: Origin,
        question: Question,
        plan: Plan,
        asked: Asked,
        verdict: Verdict,
    ) {
        let is_busy = self.datagrams(client, socket).is_ok_and(|datagrams| datagrams.change.is_some());
        if is_busy {
            return self.fail_datagram_call(socket, origin, Failure::os(errno::EALREADY));
        }
        let host = match &question {
            Question::Addresses { host, .. } | Question::Host(host) => host.clone(),
            Question::NamesOf { .. } | Question::Names { .. } => asked.host.clone(),
        };
        let lookup = self.asked_for(&asked, &host);
        match self.begin_lookup(client, Purpose::Socket(socket), question, lookup, verdict) {
            Ok(lookup) => self.set_step(socket, origin, Step::Resolving(lookup, Box::new((plan, asked)))),
            Err(failure) => self.fail_datagram_call(socket, origin, failure),
        }
    }

    fn set_step(&mut self, socket: SocketId, origin: Origin, step: Step) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        {
            datagrams.change = Some(Change { origin, step });
        }
    }

    /// Has the system try the first of the places that are left.
    pub(crate) fn take_step(&mut self, socket: SocketId) {
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

    /// Goes on to the next place after one that the system has refused.
    fn try_next_place(&mut self, socket: SocketId, origin: Origin, errno: i32) {
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
            return self.fail_datagram_call(socket, origin, Failure::os(errno));
        }
        self.take_step(socket);
    }

    /// Lets datagrams come to a socket that was made for the change that has succeeded.
    fn start_datagrams(&mut self, client: ClientId, socket: SocketId, origin: Origin) {
        if origin.fresh {
            self.act(Action::StartDatagrams { socket, client });
        }
    }

    /// Fails the change that waited for its record.
    pub(crate) fn fail_step(&mut self, socket: SocketId, failure: Failure) {
        let Some(State::Datagrams(datagrams)) = self.sockets.get_mut(socket).map(|entry| &mut entry.state)
        else {
            return;
        };
        if let Some(change) = datagrams.change.take() {
            self.fail_datagram_call(socket, change.origin, failure);
        }
    }

    /// Fails a change; a socket that was made for it goes with it.
    pub(super) fn fail_datagram_call(&mut self, socket: SocketId, origin: Origin, failure: Failure) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        if let Some(id) = origin.record {
            self.end_one(socket, end_of(&failure), Some(&failure), |open| open.decided.id == id);
        }
        if origin.fresh {
            self.forget_socket(socket);
        }
        self.fail(client, origin.request, failure);
    }
}

fn question(host: String, port: &str, family: Family) -> Question {
    Question::Addresses { host, port: Some(port.to_owned()), family, kind: Kind::Udp, numeric: false }
}
