//! Ends: of a direction, of a connection, of a socket, of a client, of the daemon.

use std::time::{Duration, Instant};

use luasocketd_protocol::{Broken, DaemonNote, Eof, Failure, Shutdown, SocketId};

use super::action::{Action, Reply};
use super::calls::cancelled;
use super::client::{Client, Phase};
use super::machine::Core;
use super::numbers::errno;
use super::recording::end_of;
use super::slots::ClientId;
use super::socket::{Plan, Socket, State};
use super::timers::Timer;
use super::trail::End;

impl Core {
    pub(crate) fn on_shutdown(
        &mut self,
        client: ClientId,
        shutdown: Shutdown,
    ) -> Result<Option<Reply>, Failure> {
        let Shutdown { socket, direction } = shutdown;
        match &mut self.own(client, socket)?.state {
            State::Connected(flow) if flow.failed => return Ok(Some(Reply::Nil)),
            State::Connected(flow) => flow.send_ended |= direction.ends_send(),
            _ => return Err(Failure::os(errno::ENOTCONN)),
        }
        // The shell ends the direction behind what is queued on it.
        self.act(Action::Shutdown { socket, direction });
        Ok(Some(Reply::Nil))
    }

    pub(crate) fn on_peer_ended(&mut self, socket: SocketId) {
        if let Some((client, State::Connected(_), opens)) =
            self.sockets.get_mut(socket).map(|socket| (socket.client, &socket.state, &mut socket.opens))
        {
            opens.iter_mut().for_each(|open| open.peer_ended = true);
            self.notify(client, DaemonNote::Eof(Eof { socket }));
        }
    }

    pub(crate) fn on_failed(&mut self, socket: SocketId, failure: Failure) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        match &mut entry.state {
            State::Connected(flow) => {
                flow.failed = true;
                flow.discard();
                self.end_records(socket, End::Broken, Some(&failure));
                self.notify(client, DaemonNote::Broken(Broken { socket, failure }));
            }
            State::Closing { .. } => {
                self.end_records(socket, End::Broken, Some(&failure));
                self.forget_socket(socket);
            }
            _ => {}
        }
    }

    /// Takes a socket from its client; it goes on delivering what was accepted.
    pub(crate) fn on_close(&mut self, client: ClientId, id: SocketId, now: Instant) {
        if self.own(client, id).is_err() {
            return;
        }
        self.cancel_socket_calls(id);
        let profile = self.clients.get(client).and_then(|client| client.profile.as_ref());
        let linger = profile.and_then(|profile| profile.linger).unwrap_or(self.config.timeouts.linger);
        let until = now + linger;
        let Some(entry) = self.sockets.get_mut(id) else { return };
        if !entry.is_delivering() {
            return self.forget_socket(id);
        }
        if let State::Connected(flow) = std::mem::replace(&mut entry.state, State::Reserved) {
            entry.state = State::Closing { flow, until };
            self.timers.set(until, Timer::Linger(id));
            self.act(Action::Finish { socket: id });
        }
        if let Some(client) = self.clients.get_mut(client) {
            client.sockets.remove(&id);
        }
    }

    pub(crate) fn on_linger_over(&mut self, socket: SocketId) {
        if let Some(State::Closing { .. }) = self.sockets.get(socket).map(|socket| &socket.state) {
            self.end_records(socket, End::LingerOver, None);
            self.forget_socket(socket);
        }
    }

    /// Answers every request that waits for the socket: it is being closed.
    pub(crate) fn cancel_socket_calls(&mut self, socket: SocketId) {
        self.cancel_datagram_calls(socket);
        let Some(Socket { client, state, .. }) = self.sockets.get_mut(socket) else { return };
        let client = *client;
        let requests: Vec<u32> = match state {
            State::Listening { accepts, .. } => accepts.drain(..).map(|accept| accept.request).collect(),
            State::Opening { request, .. }
            | State::Resolving { request, .. }
            | State::Binding { request, .. }
            | State::Dialing { request, .. }
            | State::DialingPath { request, .. }
            | State::Starting { request, .. } => vec![*request],
            State::Idle { .. }
            | State::Datagrams(_)
            | State::Reserved
            | State::Connected(_)
            | State::Closing { .. } => vec![],
        };
        for request in requests {
            self.fail(client, request, cancelled());
        }
    }

    /// Fails the one request that a socket is busy with; the socket goes back to what it was before,
    /// or is forgotten if it was made for that request.
    pub(crate) fn fail_socket_call(&mut self, id: SocketId, failure: Failure) {
        self.hang_up(id);
        self.drop_lookup_of(id);
        let Some(entry) = self.sockets.get_mut(id) else { return };
        let client = entry.client;
        let (request, before) = match &mut entry.state {
            State::Opening { request, .. } => (*request, None),
            State::Resolving { request, plan: Plan::Connect(connect), .. }
            | State::Dialing { request, connect, .. }
            | State::DialingPath { request, connect, .. } => (*request, connect.own.take()),
            State::Resolving { request, plan: Plan::Bind(bind), .. }
            | State::Binding { request, bind, .. } => (*request, bind.own.take()),
            State::Starting { request, family, bound } => (*request, Some((*family, bound.take()))),
            State::Idle { .. }
            | State::Listening { .. }
            | State::Datagrams(_)
            | State::Reserved
            | State::Connected(_)
            | State::Closing { .. } => return,
        };
        let is_new = before.is_none();
        if let Some((family, bound)) = before {
            entry.state = State::Idle { family, bound };
        }
        self.end_records(id, end_of(&failure), Some(&failure));
        if let Some(entry) = self.sockets.get_mut(id) {
            entry.dialed = None;
        }
        if is_new {
            self.forget_socket(id);
        }
        self.fail(client, request, failure);
    }

    /// Gives up the attempts of a connect.
    fn hang_up(&mut self, socket: SocketId) {
        self.cancel_dial_timer(socket);
        let Some(State::Dialing { dial, connect, .. }) = self.sockets.get(socket).map(|socket| &socket.state)
        else {
            return;
        };
        let own = connect.own.is_some();
        for attempt in dial.running().to_vec() {
            self.act(Action::HangUp { socket, attempt, own });
        }
    }

    /// Tells the resolver that the socket waits for no name any more.
    fn drop_lookup_of(&mut self, socket: SocketId) {
        let lookup = match self.sockets.get(socket).map(|socket| &socket.state) {
            Some(State::Resolving { lookup, .. }) => Some(*lookup),
            Some(State::Datagrams(datagrams)) => datagrams.lookup(),
            _ => None,
        };
        if let Some(lookup) = lookup {
            self.drop_lookup(lookup);
        }
    }

    /// Removes a socket and all that is charged for it.
    pub(crate) fn forget_socket(&mut self, id: SocketId) {
        self.hang_up(id);
        self.drop_lookup_of(id);
        let end = self.sockets.get(id).map_or(End::Closed, Socket::plain_end);
        self.end_records(id, end, None);
        let Some(socket) = self.sockets.remove(id) else { return };
        if let Some(at) = socket.resumes {
            self.timers.cancel(at, Timer::Pace(id));
        }
        if let State::Closing { until, .. } = socket.state {
            self.timers.cancel(until, Timer::Linger(id));
        }
        if let State::Datagrams(datagrams) = &socket.state
            && let Some(at) = datagrams.resend
        {
            self.timers.cancel(at, Timer::Resend(id));
        }
        if let State::Listening { taking: Some(reserved), .. } = socket.state {
            self.forget_socket(reserved);
        }
        if let Some(client) = self.clients.get_mut(socket.client) {
            client.sockets.remove(&id);
        }
        self.act(Action::Close { socket: id });
    }

    pub(crate) fn on_client_gone(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.get(id) else { return };
        if let Phase::Greeting(deadline) = client.phase {
            self.timers.cancel(deadline, Timer::Hello(id));
        }
        let end = client.ending;
        for socket in client.sockets.clone() {
            self.end_unless_delivering(socket, end);
            match self.own(id, socket) {
                Ok(_) => self.on_close(id, socket, now),
                // It was still being made.
                Err(_) => self.forget_socket(socket),
            }
        }
        if let Some(client) = self.clients.remove(id) {
            for (request, call) in client.calls {
                if let Some(deadline) = call.deadline {
                    self.timers.cancel(deadline, Timer::Call(id, request));
                }
            }
        }
    }

    /// Ends what the trail follows of a socket whose client goes, unless bytes that were accepted are still to be
    /// delivered.
    fn end_unless_delivering(&mut self, id: SocketId, end: End) {
        if !self.sockets.get(id).is_some_and(Socket::is_delivering) {
            self.end_records(id, end, None);
        }
    }

    /// Serves whom it has for a while, and then drains: its clients' calls go on meanwhile as if nothing were.
    pub(crate) fn on_retire(&mut self, timeout: Duration, now: Instant) {
        if self.retiring.is_none() {
            self.retiring = Some(timeout);
            self.timers.set(now + timeout, Timer::Retire);
        }
    }

    pub(crate) fn on_retire_over(&mut self, now: Instant) {
        if let Some(timeout) = self.retiring {
            self.on_drain(timeout, now);
        }
    }

    /// Starts nothing new from here on.
    pub(crate) fn on_drain(&mut self, timeout: Duration, now: Instant) {
        if self.draining.is_some() {
            return;
        }
        let until = now + timeout;
        self.draining = Some(until);
        self.timers.set(until, Timer::Drain);
    }

    /// Lets clients go that have nothing under way; they find the next daemon when they need one.
    pub(crate) fn release_idle_clients(&mut self) {
        let is_idle = |client: &Client| client.sockets.is_empty() && client.calls.is_empty();
        let idle: Vec<ClientId> =
            self.clients.iter().filter(|(_, client)| is_idle(client)).map(|(id, _)| id).collect();
        for client in idle {
            self.disconnect(client, "");
        }
    }

    pub(crate) fn on_drain_over(&mut self) {
        let clients: Vec<ClientId> = self.clients.iter().map(|(id, _)| id).collect();
        for client in clients {
            if let Some(client) = self.clients.get_mut(client) {
                client.ending = End::DaemonEnded;
            }
            self.disconnect(client, "the daemon is ending");
        }
    }

    /// Whether nothing new is begun any more.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether a daemon that drains or retires has nothing left to do by `now`.
    pub fn is_drained(&self, now: Instant) -> bool {
        let is_ending = self.draining.is_some() || self.retiring.is_some();
        (is_ending && self.census() == (0, 0)) || self.draining.is_some_and(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Config, Credentials, Input};

    /// How long the daemon here serves its clients, and then drains.
    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn a_daemon_that_retires_serves_for_its_time_and_drains_then() {
        let now = Instant::now();
        let mut core = Core::new(Config::default(), now);
        let client = core.add_client(Credentials { uid: 1, gid: 1, pid: 1 }, now).unwrap();
        core.handle(Input::Retire { timeout: TIMEOUT }, now);
        assert!(!core.is_draining() && !core.is_drained(now));
        let over = now + TIMEOUT;
        assert_eq!(core.poll_timeout(), Some(over));
        core.handle(Input::Tick, over);
        assert!(core.is_draining() && !core.is_drained(over));
        assert!(core.is_drained(over + TIMEOUT), "its client may stay no longer");
        core.handle(Input::ClientGone { client }, over);
        assert!(core.is_drained(over));
    }

    #[test]
    fn a_daemon_that_retires_without_clients_has_nothing_left_to_do() {
        let now = Instant::now();
        let mut core = Core::new(Config::default(), now);
        assert!(!core.is_drained(now));
        core.handle(Input::Retire { timeout: TIMEOUT }, now);
        assert!(core.is_drained(now) && !core.is_draining());
    }
}
