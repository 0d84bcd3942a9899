//! How objects come to a socket: open, bind, listen, accept, connect.

use std::rc::Rc;
use std::time::Instant;

use luasocketd_protocol::{
    Accept, Address, Bind, Bound, Call, Code, Connect, Endpoint, Failure, Family, Listen, Open, SocketId,
    aton,
};
use rustix::io::Errno;

use super::socket::{Key, Line, State};
use super::{Outcome, Session, Trouble, control};
use crate::limits::{Limits, Style, Until};
use crate::mailbox::window_of;
use crate::mux::{Reply, Ticket};
use crate::pipe::{GRACE, Host, Pipe, Woken};
use crate::stream::closed;

/// Bytes of one connection that the daemon may send ahead. Large enough that it never waits for a script
/// that keeps reading, small enough for thousands of connections.
pub(super) const RECEIVE_WINDOW: u32 = 256 * 1024;

/// What to bind to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: &'a str,
    pub(crate) family: Family,
    /// For a socket that is made by binding.
    pub(crate) reuse_address: bool,
}

impl Session {
    /// Gives an object a socket of its family.
    pub(crate) fn open(&self, host: &dyn Host, key: Key) -> Outcome<()> {
        let pipe = self.pipe(host, Until::Forever)?;
        let kind = self.kind(key);
        let call = Call::Open(Open { kind, family: self.family(key), window: window_of(kind) });
        let (pipe, answer) = self.ask(host, pipe, &call, control())?;
        let Reply::Socket(id) = answer? else { return Err(closed().into()) };
        self.become_state(key, State::Idle(Line { pipe, id }));
        Ok(())
    }

    /// Binds an object, giving it a socket if it has none; gives the address it got.
    pub(crate) fn bind(&self, host: &dyn Host, key: Key, place: Place<'_>) -> Outcome<Address> {
        let time = self.time_for(key);
        let Place { host: name, port, family, reuse_address } = place;
        let kind = self.kind(key);
        let left = self.left_socket(key);
        let (pipe, own) = match &left {
            Some(_) => (self.pipe(host, time.until)?, None),
            None => self.socket_or_pipe(host, key, time.until)?,
        };
        let call = Call::Bind(Bind {
            socket: own,
            kind,
            host: name,
            port,
            family,
            reuse_address,
            timeout_ms: time.of_lookup(),
            window: if own.is_none() { window_of(kind) } else { 0 },
        });
        let (pipe, answer) = match own {
            Some(_) => (Rc::clone(&pipe), pipe.call(host, &call, time.patience)?),
            None => self.ask(host, pipe, &call, time.patience)?,
        };
        // LuaSocket's resolver complains before the socket of an earlier bind is thrown away.
        if let Some(Line { pipe, id }) = left
            && !matches!(&answer, Err(failure) if failure.code == Code::Resolve)
        {
            self.with(key, |socket| socket.state = State::Closed);
            pipe.mux().close(id);
            pipe.flush();
        }
        if let Err(failure) = &answer
            && failure.code == Code::Os
            && own.is_none()
            && self.family(key) == Family::Unspec
        {
            self.leave_socket(host, key, name)?;
        }
        let Reply::Bound(Bound { socket, local }) = answer? else { return Err(closed().into()) };
        self.with(key, |object| object.family = local.family);
        self.become_state(key, State::Idle(Line { pipe, id: socket }));
        Ok(local)
    }

    /// The socket that an earlier bind has left with an object which it could not bind.
    fn left_socket(&self, key: Key) -> Option<Line> {
        if self.family(key) == Family::Unspec { self.idle(key) } else { None }
    }

    /// LuaSocket leaves a socket of the address' family with an object that could not be bound, and forgets
    /// its family: the next bind or connect makes another one.
    fn leave_socket(&self, host: &dyn Host, key: Key, name: &str) -> Outcome<()> {
        let family = match name {
            _ if name.contains(':') => Family::Inet6,
            _ if name == "*" || aton(name).is_some() => Family::Inet,
            _ => return Ok(()),
        };
        self.with(key, |socket| socket.family = family);
        let opened = self.open(host, key);
        self.with(key, |socket| socket.family = Family::Unspec);
        match opened {
            Err(Trouble::Interrupted) => Err(Trouble::Interrupted),
            // There is a failure to tell already.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes a bound object listen, or changes its backlog.
    pub(crate) fn listen(&self, host: &dyn Host, key: Key, backlog: i32) -> Outcome<()> {
        let line = self.line(key)?;
        let call = Call::Listen(Listen { socket: line.id, backlog });
        line.pipe.call(host, &call, control())??;
        line.pipe.mux().listen(line.id);
        self.with(key, |socket| socket.state = State::Listening(line));
        Ok(())
    }

    /// Takes one connection, within the listening object's limits; gives its new object.
    pub(crate) fn accept(&self, host: &dyn Host, key: Key, style: Style) -> Outcome<Key> {
        let listening = self.with(key, |socket| match &socket.state {
            State::Listening(line) => Some((line.clone(), socket.limits, socket.heir(style))),
            _ => None,
        });
        let Some((line, limits, mut socket)) = listening.flatten() else { return Err(closed().into()) };
        line.pipe.mux().look_at(line.id);
        let early = line.pipe.mux().take_accepted(line.id);
        let endpoint = match early {
            Some(endpoint) => Ok(endpoint),
            None => {
                let asked = ask_for_connection(host, &line, limits);
                // The daemon may have told of the very connection that it gives.
                line.pipe.mux().doubt_acceptable(line.id);
                asked
            }
        };
        // The next connection is news again for whoever waits on the descriptor.
        self.show_to_pollers(key);
        let endpoint = endpoint?;
        socket.state = State::Connected(Line { pipe: line.pipe, id: endpoint.socket });
        Ok(self.insert(socket))
    }

    /// Connects an object within its limits. With a limit of 0 it only begins to, and the answer is
    /// [`Code::Timeout`].
    pub(crate) fn connect(&self, host: &dyn Host, key: Key, name: &str, port: &str) -> Outcome<()> {
        if let Some(answer) = self.go_on_connecting(host, key)? {
            return answer;
        }
        let Some((limits, family)) = self.with(key, |socket| (socket.limits, socket.family)) else {
            return Err(closed().into());
        };
        let now = Instant::now();
        let until = limits.until(now, now);
        let (pipe, own) = self.socket_or_pipe(host, key, until)?;
        // A socket of one's own goes on connecting when the script has stopped waiting, as in the kernel.
        let goes_on = own.is_some() || limits.is_instant();
        let timeout_ms = if goes_on { None } else { until.remaining_ms(now) };
        let window = RECEIVE_WINDOW;
        let call = Call::Connect(Connect { socket: own, host: name, port, family, timeout_ms, window });
        if !goes_on {
            let (pipe, answer) = self.ask(host, pipe, &call, until.later(GRACE))?;
            return match answer? {
                Reply::Endpoint(endpoint) => self.on_connected(key, &pipe, endpoint, false),
                _ => Err(closed().into()),
            };
        }
        let ticket = pipe.start(&call)?;
        self.become_state(key, State::Connecting { pipe: Rc::clone(&pipe), ticket, own });
        if limits.is_instant() {
            // What needs no network is known at once: a denial, a wrong name.
            pipe.sync(host)?;
            return Err(self.take_verdict(key, &pipe, ticket).unwrap_or_else(timeout).into());
        }
        loop {
            let woken = pipe.wait(host, until)?;
            if pipe.mux().peek_answer(ticket).is_some() {
                self.settle(key);
                return match self.take_failure(key) {
                    Some(failure) => Err(failure.into()),
                    None => Ok(()),
                };
            }
            if woken == Woken::Timeout {
                return Err(timeout().into());
            }
        }
    }

    /// Takes notice of a pending connect that has ended.
    pub(super) fn settle(&self, key: Key) {
        let answer = self.with(key, |socket| match &socket.state {
            State::Connecting { pipe, ticket, own } => {
                let answer = pipe.mux().take_answer(*ticket)?;
                Some((Rc::clone(pipe), *own, answer))
            }
            _ => None,
        });
        match answer.flatten() {
            None => {}
            Some((pipe, _, Ok(Reply::Endpoint(endpoint)))) => {
                // It is connected either way; only the object may be gone.
                let _gone = self.on_connected(key, &pipe, endpoint, false);
            }
            Some((pipe, own, answer)) => {
                let failure = answer.err().unwrap_or_else(closed);
                let line = own.map(|id| Line { pipe, id });
                self.with(key, |socket| {
                    socket.was_refused |= failure.code != Code::Resolve;
                    socket.state = State::Failed(failure, line);
                });
            }
        }
    }

    /// Takes the failure of a pending connect, which is told once, that of a broken connection, or what became
    /// of an earlier datagram.
    pub(super) fn take_failure(&self, key: Key) -> Option<Failure> {
        let failed = self.with(key, |socket| {
            if !matches!(socket.state, State::Failed(..)) {
                return None;
            }
            match std::mem::replace(&mut socket.state, State::Closed) {
                State::Failed(failure, line) => {
                    socket.state = line.map_or(State::Closed, State::Idle);
                    Some(failure)
                }
                other => {
                    socket.state = other;
                    None
                }
            }
        });
        failed.flatten().or_else(|| {
            if let Some(Line { pipe, id }) = self.connection(key) {
                return pipe.mux().stream(id)?.take_news();
            }
            let Line { pipe, id } = self.idle(key)?;
            pipe.mux().mailbox(id)?.take_error()
        })
    }

    /// What `connect` says of an object that is past the beginning; `None` where it has to begin.
    fn go_on_connecting(&self, host: &dyn Host, key: Key) -> Outcome<Option<Outcome<()>>> {
        let pending = self.with(key, |socket| match &socket.state {
            State::Connecting { pipe, .. } => Some(Rc::clone(pipe)),
            _ => None,
        });
        if let Some(pipe) = pending.flatten() {
            pipe.look();
            pipe.sync(host)?;
            self.settle(key);
        }
        let errno = |errno: Errno| Some(Err(Failure::os(errno.raw_os_error()).into()));
        let answer = self.with(key, |socket| match &socket.state {
            State::Connecting { .. } => errno(Errno::ALREADY),
            State::Connected(_) if socket.connect_told => errno(Errno::ISCONN),
            State::Connected(_) => {
                socket.connect_told = true;
                Some(Ok(()))
            }
            State::Listening(_) => errno(Errno::ISCONN),
            State::Closed | State::Idle(_) | State::Failed(..) => None,
        });
        let failed = self.with(key, |socket| matches!(socket.state, State::Failed(..))) == Some(true);
        if failed {
            return Ok(self.take_failure(key).map(|failure| Err(failure.into())));
        }
        Ok(answer.flatten())
    }

    /// A failure of a connect that has just begun, unless it came from the network.
    fn take_verdict(&self, key: Key, pipe: &Pipe, ticket: Ticket) -> Option<Failure> {
        let local = match pipe.mux().peek_answer(ticket)? {
            Err(failure) => !matches!(failure.code, Code::Os | Code::Timeout | Code::Closed),
            Ok(_) => false,
        };
        if !local {
            return None;
        }
        self.settle(key);
        self.take_failure(key)
    }

    pub(super) fn on_connected(
        &self,
        key: Key,
        pipe: &Rc<Pipe>,
        endpoint: Endpoint,
        told: bool,
    ) -> Outcome<()> {
        let line = Line { pipe: Rc::clone(pipe), id: endpoint.socket };
        let left = self.with(key, |socket| {
            socket.family = endpoint.local.family;
            socket.connect_told = told;
            socket.state = State::Connected(line);
            std::mem::take(&mut socket.left)
        });
        let Some(left) = left else {
            pipe.mux().close(endpoint.socket);
            return Err(closed().into());
        };
        if !left.unread().is_empty()
            && let Some(stream) = pipe.mux().stream(endpoint.socket)
        {
            stream.inherit(left.unread());
        }
        self.show_limits_of_new(key);
        self.show_to_pollers(key);
        Ok(())
    }

    /// The object's socket with its pipe, or the pipe to make one on. What a failed bind has left is no socket
    /// to go on with.
    pub(super) fn socket_or_pipe(
        &self,
        host: &dyn Host,
        key: Key,
        until: Until,
    ) -> Outcome<(Rc<Pipe>, Option<SocketId>)> {
        if self.family(key) == Family::Unspec && self.idle(key).is_some() {
            self.close(key);
        }
        match self.idle(key) {
            Some(Line { pipe, id }) if pipe.is_alive() => Ok((pipe, Some(id))),
            _ => Ok((self.pipe(host, until)?, None)),
        }
    }

    pub(super) fn become_state(&self, key: Key, state: State) {
        self.with(key, |socket| socket.state = state);
        self.show_limits_of_new(key);
    }

    /// A new socket has no limits until the daemon hears of some.
    fn show_limits_of_new(&self, key: Key) {
        if self.limits(key).is_some_and(|limits| limits.millis() != (None, None)) {
            self.show_limits(key);
        }
    }
}

fn ask_for_connection(host: &dyn Host, line: &Line, limits: Limits) -> Outcome<Endpoint> {
    let started = Instant::now();
    let until = limits.until(started, started);
    let timeout_ms = until.remaining_ms(started);
    let call = Call::Accept(Accept { socket: line.id, timeout_ms, window: RECEIVE_WINDOW });
    match line.pipe.call(host, &call, until.later(GRACE))?? {
        Reply::Endpoint(endpoint) => Ok(endpoint),
        _ => Err(closed().into()),
    }
}

/// A limit of the call's own has passed.
pub(super) fn timeout() -> Failure {
    Failure::new(Code::Timeout, "the socket's own limit")
}
