//! Listening sockets: a connection is taken from the kernel only for a request that asks for it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use luasocketd_protocol::{Accept, Acceptable, DaemonNote, Failure, Family, Listen, SocketId};

use super::action::{Action, Names, Reply};
use super::client::Subject;
use super::connecting::check_window;
use super::holding::Held;
use super::machine::Core;
use super::numbers::errno;
use super::place::Place;
use super::policy::Verb;
use super::recording::{Asked, Findings, end_of};
use super::slots::ClientId;
use super::socket::{AcceptPlan, State};
use super::trail::{End, Matter};

impl Core {
    pub(crate) fn on_listen(
        &mut self,
        client: ClientId,
        request: u32,
        listen: Listen,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let Listen { socket, backlog } = listen;
        let (family, bound) = match &self.own(client, socket)?.state {
            // A new backlog for a socket that listens already: no state waits for the system's word,
            // which never refuses it.
            State::Listening { .. } => {
                self.act(Action::Listen { socket, backlog });
                return Ok(Some(Reply::Nil));
            }
            State::Idle { family, bound } => (*family, bound.clone()),
            State::Datagrams(_) => return Err(Failure::os(errno::EOPNOTSUPP)),
            _ => return Err(Failure::os(errno::EINVAL)),
        };
        let (host, local) = match &bound {
            Some((host, place)) => (host.clone(), place.clone()),
            // The kernel's answer to a local socket without a name.
            None if family == Family::Unix => return Err(Failure::os(errno::EINVAL)),
            None => ("*".to_owned(), Place::Net(unspecified(family))),
        };
        let kind = self.own(client, socket)?.kind;
        let port = local.port().map(|port| port.to_string());
        let asked = self.asked(Matter::Listener, kind, &host, port.as_deref());
        let verdict = self.judge_place(client, Verb::Listen, &host, &local, &asked)?;
        let places = vec![local.clone()];
        let findings = Findings { places, local: Some(local.clone()), verdict, ..Findings::default() };
        let begun = self.begin_call(client, request, Subject::Socket(socket), None, now);
        begun.inspect_err(|refusal| self.record_refusal(client, asked.clone(), findings.clone(), refusal))?;
        let entry = self.own(client, socket)?;
        entry.note_admitted(Verb::Listen, &host, vec![local]);
        entry.state = State::Starting { request, family, bound };
        self.record_socket(socket, asked, findings, Held::Listen(socket, backlog));
        Ok(None)
    }

    /// Whether a socket waits for the system to make it listen.
    pub(crate) fn is_starting(&self, socket: SocketId) -> bool {
        matches!(self.sockets.get(socket).map(|entry| &entry.state), Some(State::Starting { .. }))
    }

    pub(crate) fn on_listening(&mut self, socket: SocketId, result: Result<(), i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Starting { request, .. } = entry.state else { return };
        match result {
            Ok(()) => {
                entry.state = State::Listening { accepts: Default::default(), taking: None, watched: false };
                self.reply(client, request, Reply::Nil);
            }
            Err(errno) => self.fail_socket_call(socket, Failure::os(errno)),
        }
    }

    pub(crate) fn on_accept(
        &mut self,
        client: ClientId,
        request: u32,
        accept: Accept,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_window(accept.window)?;
        let listener = accept.socket;
        if !matches!(self.own(client, listener)?.state, State::Listening { .. }) {
            return Err(Failure::os(errno::EINVAL));
        }
        let at_once = accept.timeout_ms == Some(0);
        // A call that waits for nothing needs no timer: the system answers it now.
        let timeout_ms = accept.timeout_ms.filter(|_| !at_once);
        self.begin_call(client, request, Subject::Socket(listener), timeout_ms, now)?;
        if let State::Listening { accepts, .. } = &mut self.own(client, listener)?.state {
            accepts.push_back(AcceptPlan { request, window: accept.window, at_once });
        }
        self.take_connection(listener);
        Ok(None)
    }

    /// Asks the system for a connection if a request waits for one.
    fn take_connection(&mut self, listener: SocketId) {
        let Some(entry) = self.sockets.get(listener) else { return };
        let client = entry.client;
        let State::Listening { accepts, taking: None, .. } = &entry.state else { return };
        let Some(request) = accepts.front().map(|accept| accept.request) else { return };
        let kind = entry.kind;
        match self.new_socket(client, kind, State::Reserved) {
            Ok(socket) => {
                if let Some(State::Listening { taking, .. }) =
                    self.sockets.get_mut(listener).map(|entry| &mut entry.state)
                {
                    *taking = Some(socket);
                }
                self.act(Action::Accept { listener, socket });
            }
            Err(failure) => {
                self.drop_accept(listener);
                self.fail(client, request, failure);
            }
        }
    }

    pub(crate) fn on_accepted(&mut self, listener: SocketId, result: Result<Option<Names>, i32>) {
        let Some(entry) = self.sockets.get_mut(listener) else { return };
        let client = entry.client;
        let State::Listening { accepts, taking, .. } = &mut entry.state else { return };
        let Some(socket) = taking.take() else { return };
        let Some(accept) = accepts.front().copied() else { return self.forget_socket(socket) };
        match result {
            Ok(Some(names)) => {
                self.drop_accept(listener);
                self.take_in(listener, socket, accept, names);
                self.take_connection(listener);
            }
            Ok(None) => {
                self.forget_socket(socket);
                self.fail_hasty_accepts(listener);
            }
            // The peer had gone before it was taken: wait for the next one.
            Err(errno::ECONNABORTED) => {
                self.forget_socket(socket);
                self.take_connection(listener);
            }
            Err(errno) => {
                self.forget_socket(socket);
                self.drop_accept(listener);
                self.fail(client, accept.request, Failure::os(errno));
                self.take_connection(listener);
            }
        }
    }

    /// Hands a connection over that has come, once that is recorded.
    fn take_in(&mut self, listener: SocketId, socket: SocketId, accept: AcceptPlan, names: Names) {
        let Some(entry) = self.sockets.get(listener) else { return };
        let (client, kind, admitted) = (entry.client, entry.kind, entry.admitted.clone());
        let listening = entry.opens.first().map(|open| Arc::clone(&open.decided));
        if let Some(entry) = self.sockets.get_mut(socket) {
            entry.admitted = admitted;
        }
        let port = names.peer.port().map(|port| port.to_string());
        let asked = self.asked(Matter::Accepted, kind, &names.peer.host(), port.as_deref());
        let asked = Asked { parent: listening.as_ref().map(|decided| decided.id), ..asked };
        let verdict = listening.map(|decided| decided.verdict.clone()).unwrap_or_default();
        let (places, local) = (vec![names.peer.clone()], Some(names.local.clone()));
        let findings = Findings { places, local, verdict, ..Findings::default() };
        let AcceptPlan { request, window, .. } = accept;
        self.await_record(client, request);
        self.record_socket(
            socket,
            asked,
            findings,
            Held::Establish { client, request, socket, window, names },
        );
    }

    /// Ends a connection that has come and is not handed over yet: a new policy forbids it.
    pub(crate) fn refuse_arrival(&mut self, socket: SocketId, failure: Failure) {
        let record = self.sockets.get(socket).and_then(|entry| entry.opens.first());
        let held = record.and_then(|open| self.held.get(&open.decided.id));
        let Some(&Held::Establish { client, request, .. }) = held else { return };
        self.end_records(socket, End::Forbidden, Some(&failure));
        self.forget_socket(socket);
        self.fail(client, request, failure);
    }

    fn drop_accept(&mut self, listener: SocketId) {
        if let Some(State::Listening { accepts, .. }) =
            self.sockets.get_mut(listener).map(|entry| &mut entry.state)
        {
            accepts.pop_front();
        }
    }

    /// Fails the requests that do not wait, as no connection waits for them.
    fn fail_hasty_accepts(&mut self, listener: SocketId) {
        let Some(entry) = self.sockets.get_mut(listener) else { return };
        let client = entry.client;
        let State::Listening { accepts, .. } = &mut entry.state else { return };
        let hasty: Vec<u32> = accepts.iter().filter(|plan| plan.at_once).map(|plan| plan.request).collect();
        accepts.retain(|plan| !plan.at_once);
        for request in hasty {
            let failure = Failure::new(luasocketd_protocol::Code::Timeout, "no connection waits");
            self.fail(client, request, failure);
        }
    }

    /// Ends a listening socket whose client may not listen there any more.
    pub(crate) fn stop_listening(&mut self, listener: SocketId, failure: &Failure) {
        let Some(entry) = self.sockets.get_mut(listener) else { return };
        let client = entry.client;
        let State::Listening { accepts, watched, .. } = &mut entry.state else { return };
        let watched = *watched;
        let requests: Vec<u32> = accepts.drain(..).map(|accept| accept.request).collect();
        for request in requests {
            self.fail(client, request, failure.clone());
        }
        if watched {
            // Whoever waits for a connection there learns what has become of it by asking for one.
            self.notify(client, DaemonNote::Acceptable(Acceptable { socket: listener }));
        }
        self.end_records(listener, end_of(failure), Some(failure));
        self.forget_socket(listener);
    }

    pub(crate) fn on_acceptable(&mut self, socket: SocketId) {
        let Some(State::Listening { watched, .. }) = self.sockets.get(socket).map(|entry| &entry.state)
        else {
            return;
        };
        let watched = *watched;
        self.take_connection(socket);
        if watched {
            self.act(Action::Probe { socket });
        }
    }

    pub(crate) fn on_watch(&mut self, client: ClientId, socket: SocketId) {
        if let Ok(State::Listening { watched, .. }) = self.own(client, socket).map(|entry| &mut entry.state) {
            *watched = true;
            self.act(Action::Probe { socket });
        }
    }

    pub(crate) fn on_probed(&mut self, socket: SocketId, waiting: bool) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        if let State::Listening { watched, .. } = &mut entry.state
            && waiting
            && std::mem::take(watched)
        {
            self.notify(client, DaemonNote::Acceptable(Acceptable { socket }));
        }
    }
}

fn unspecified(family: Family) -> SocketAddr {
    match family {
        Family::Inet6 | Family::Dual => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        Family::Inet | Family::Unspec | Family::Unix => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
    }
}
