//! The core's actions, done.

use luasocketd_protocol::{
    Bound, Code, Direction, Endpoint, Failure, Family, Kind, SocketId, SocketOption, encode_failure,
    encode_note, encode_reply,
};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::io::Errno;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use super::option::{option, set_option};
use super::pipe::Pipe;
use super::queue::Pool;
use super::sharing::SharedRing;
use super::socket::{Phase, Stall, SystemSocket};
use super::system::{self, errno, name_scope};
use super::tokens::Source;
use super::worker::{Sync, Work, Worker};
use crate::core::policy::{Decision, Judgement};
use crate::core::{Action, Ask, ClientId, Input, Names, Offence, Place, Reply};

/// What is to be heard of a socket. Urgent data is no one's wish, but without hearing of it the bytes
/// behind it would wait for the next ones.
const EVENTS: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);

impl Worker {
    /// Does everything that the core wants done, what follows from it included.
    pub(crate) fn perform_actions(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply { client, request, reply } => self.reply(client, request, reply),
            Action::Fail { client, request, failure } => self.fail(client, request, &failure),
            Action::Notify { client, note } => self.tell(client, |out| encode_note(out, &note)),
            Action::Sync { client, request } => self.syncs.push(Sync { client, request, looks: 0 }),
            Action::MakeRing { client, request } => {
                let made = SharedRing::create(self.core.spin()).map(|(ring, file)| {
                    if let Some(pipe) = self.pipes.get_mut(client) {
                        pipe.offer(ring, file);
                    }
                });
                let result = made.map_err(|error| errno(&error));
                self.feed(Input::RingMade { client, request, result });
            }
            Action::BeginRing { client } => self.turn_ring(client, Pipe::begin_ring),
            Action::EndRing { client } => self.turn_ring(client, |pipe, _| pipe.end_ring()),
            Action::DropRing { client } => self.turn_ring(client, |pipe, _| pipe.drop_ring()),
            Action::SetOption { client, request, set } => {
                let done = self.io(set.socket).and_then(|io| set_option(io, set.option, &set.value));
                if let Some(entry) = self.sockets.get_mut(set.socket) {
                    entry.may_linger |= set.option == SocketOption::Linger;
                }
                let result = done.map_err(|error| errno(&error));
                self.feed(Input::OptionSet { client, request, set, result });
            }
            Action::Ask { client, request, socket, ask } => self.answer(client, request, socket, ask),
            Action::Record { record, socket, wanted } => self.append(record, socket, wanted),
            Action::Judged { client, judgement } => self.record(client, &judgement),
            Action::Disconnect { client, reason } => self.disconnect(client, &reason),
            Action::Lookup(lookup) => {
                let id = lookup.lookup;
                let client = self.core.asker(id);
                if let Err(error) = self.resolver.ask(client, lookup) {
                    let result = Err(Failure::os(errno(&error)));
                    self.feed(Input::Resolved { lookup: id, result });
                }
            }
            Action::DropLookup { lookup } => {
                if self.resolver.drop_question(lookup) {
                    let gone = Failure::new(Code::Cancelled, "nobody waits for it");
                    self.feed(Input::Resolved { lookup, result: Err(gone) });
                }
            }
            Action::Open { socket, kind, family } => {
                let opened = system::open(kind, family).and_then(|io| self.adopt(socket, kind, io));
                self.feed(Input::Opened { socket, result: opened.map_err(|error| errno(&error)) });
            }
            Action::Bind { socket, kind, place, follow, dual, reuse_address } => {
                let bind = |io: &Socket| system::bind(io, &place, follow, dual, reuse_address);
                let bound = self.bind(socket, kind, place.family(), bind);
                self.feed(Input::Bound { socket, result: bound.map_err(|error| errno(&error)) });
            }
            Action::Listen { socket, backlog } => self.listen_on(socket, backlog),
            Action::Dial { socket, attempt, address, own } => self.dial(socket, attempt, address, own),
            Action::DialPath { socket, path, follow } => {
                let result = self.dial_path(socket, &path, follow).map_err(|error| errno(&error));
                self.stirred |= result.is_ok();
                self.feed(Input::Dialed { socket, attempt: 0, result });
            }
            Action::SetPeer { socket, place, follow } => {
                let result = self.set_peer(socket, &place, follow).map_err(|error| errno(&error));
                self.feed(Input::PeerSet { socket, result });
            }
            Action::ClearPeer { socket, request } => {
                let result = self.clear_peer(socket).map_err(|error| errno(&error));
                self.feed(Input::PeerCleared { socket, request, result });
            }
            Action::Send { socket, request, to, follow, bytes } => {
                self.send_datagram(socket, request, to.as_ref(), follow, bytes);
            }
            Action::HangUp { socket, attempt, own } => self.hang_up(socket, attempt, own),
            Action::Accept { listener, socket } => {
                let result = self.accept(listener, socket).map_err(|error| errno(&error));
                self.feed(Input::Accepted { listener, result });
            }
            Action::Probe { socket } => {
                // What cannot be asked has nothing waiting; the next call on it says what is wrong.
                let waiting = self.io(socket).is_ok_and(|io| system::is_acceptable(io).unwrap_or(false));
                self.feed(Input::Probed { socket, waiting });
            }
            Action::Start { socket, client } => {
                if let Some(entry) = self.sockets.get_mut(socket) {
                    entry.phase = Phase::Flowing(client);
                    entry.writable = true;
                    // What was watched from its beginning has had all of its events noted. Of others they may have said
                    // so before, and will not say it again; and that it is hung up while it was not connected yet.
                    if entry.kept_attempt.is_none() {
                        (entry.readable, entry.hung_up, entry.cut_off) = (true, true, false);
                    }
                    self.schedule(Work::Socket(socket));
                }
            }
            Action::StartDatagrams { socket, client } => {
                if let Some(entry) = self.sockets.get_mut(socket) {
                    entry.phase = Phase::Datagrams(client);
                    // Events that came before may have said so already, and will not say it again.
                    entry.readable = true;
                    self.schedule(Work::Socket(socket));
                }
            }
            Action::Resume { socket } => self.schedule(Work::Socket(socket)),
            Action::Shutdown { socket, direction } => {
                if let Some(entry) = self.sockets.get_mut(socket) {
                    entry.plan_shutdown(direction);
                    // The end of receiving is read like an end by the peer.
                    (entry.readable, entry.hung_up) = (true, entry.hung_up || direction.ends_receive());
                    self.schedule(Work::Socket(socket));
                }
            }
            Action::Finish { socket } => {
                if let Some(entry) = self.sockets.get_mut(socket) {
                    entry.phase = Phase::Sending;
                    entry.plan_shutdown(Direction::Send);
                    self.schedule(Work::Socket(socket));
                }
            }
            Action::Close { socket } => self.close(socket),
        }
    }

    /// Feeds the core from within an action; what follows is done by the loop around it.
    pub(crate) fn feed(&mut self, input: Input<'_>) {
        self.core.handle(input, Instant::now());
    }

    /// Tells the operator what the policy has said.
    fn record(&mut self, client: ClientId, judgement: &Judgement) {
        let Judgement { act, verdict } = judgement;
        match verdict.decision {
            Decision::Allow => {
                tracing::trace!(client = %self.core.describe_client(client), "may {act}: {verdict}");
            }
            Decision::Deny => {
                self.complain(client, Offence::Denied, format_args!("may not {act}: {verdict}"))
            }
            Decision::Report => {
                self.complain(client, Offence::Reported, format_args!("may {act} for now: {verdict}"));
            }
        }
    }

    fn reply(&mut self, client: ClientId, request: u32, mut reply: Reply) {
        for address in reply.addresses() {
            name_scope(address);
        }
        match &reply {
            Reply::Endpoint(Endpoint { socket, local, peer, .. }) => {
                tracing::debug!(%client, %socket, "connected: {local} and {peer}");
            }
            Reply::Bound(Bound { socket, local }) => tracing::debug!(%client, %socket, "bound to {local}"),
            _ => {}
        }
        self.tell(client, |out| encode_reply(out, request, &reply));
    }

    fn fail(&mut self, client: ClientId, request: u32, failure: &Failure) {
        match failure.code {
            Code::Limit => self.complain(client, Offence::Limited, failure),
            _ => tracing::debug!(client = %self.core.describe_client(client), request, "{failure}"),
        }
        self.tell(client, |out| encode_failure(out, request, failure));
    }

    /// Queues a message for a client.
    pub(crate) fn tell(&mut self, client: ClientId, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(pipe) = self.pipes.get_mut(client) else { return };
        let mut frame = self.pool.take_scratch();
        encode(&mut frame);
        if !pipe.deaf {
            pipe.out.push(&frame, &mut self.pool);
            if !std::mem::replace(&mut pipe.dirty, true) {
                self.dirty.push(client);
            }
        }
        self.pool.put_scratch(frame);
    }

    /// Changes what a client's ring is used for, and sees to what is queued then.
    fn turn_ring(&mut self, client: ClientId, turn: impl FnOnce(&mut Pipe, &mut Pool)) {
        let Some(pipe) = self.pipes.get_mut(client) else { return };
        turn(pipe, &mut self.pool);
        if !std::mem::replace(&mut pipe.dirty, true) {
            self.dirty.push(client);
        }
    }

    fn disconnect(&mut self, client: ClientId, reason: &str) {
        if let Some(pipe) = self.pipes.get_mut(client)
            && let Err(error) = pipe.flush(&mut self.pool)
        {
            tracing::debug!(%client, "the last words: {error}");
        }
        match reason {
            "" => self.drop_client(client),
            reason => self.break_client(client, reason),
        }
    }

    fn answer(&mut self, client: ClientId, request: u32, socket: SocketId, ask: Ask) {
        let answer = self.io(socket).and_then(|io| match ask {
            Ask::LocalName => Ok(Reply::Address(system::local_name(io)?.into())),
            Ask::PeerName => Ok(Reply::Address(system::peer_name(io)?.into())),
            Ask::GetOption(name) => Ok(Reply::Value(option(io, name)?)),
        });
        match answer {
            Ok(reply) => self.reply(client, request, reply),
            Err(error) => self.fail(client, request, &Failure::os(errno(&error))),
        }
    }

    /// The system's socket of `id`.
    ///
    /// # Errors
    /// `EBADF` where there is none yet.
    pub(crate) fn io(&self, id: SocketId) -> io::Result<&Socket> {
        let io = self.sockets.get(id).and_then(|socket| socket.io.as_ref());
        io.ok_or_else(|| Errno::BADF.into())
    }

    /// Watches a system's socket and makes it the one of `id`.
    pub(crate) fn adopt(&mut self, id: SocketId, kind: Kind, io: Socket) -> io::Result<()> {
        // Room to send a datagram is asked for by trying: an event for each would come with every one that is sent.
        let events =
            if kind.is_datagram() { EVENTS.remove(Interest::WRITABLE).unwrap_or(EVENTS) } else { EVENTS };
        watch(self.poll.registry(), &io, Source::socket(id), events)?;
        match self.sockets.get_mut(id) {
            Some(socket) => socket.io = Some(io),
            None => self.sockets.insert(id, SystemSocket::new(id, Some(io))),
        }
        Ok(())
    }

    /// Binds a socket's system socket, which is made where there is none.
    fn bind(
        &mut self,
        id: SocketId,
        kind: Kind,
        family: Family,
        bind: impl FnOnce(&Socket) -> io::Result<Place>,
    ) -> io::Result<Place> {
        if let Ok(io) = self.io(id) {
            return bind(io);
        }
        // Adopted only once it is bound: the next address may be of another family.
        let io = system::open(kind, family)?;
        let local = bind(&io)?;
        self.adopt(id, kind, io)?;
        Ok(local)
    }

    fn dial_path(&mut self, id: SocketId, path: &str, follow: bool) -> io::Result<Names> {
        if self.io(id).is_err() {
            let io = system::open(Kind::UnixStream, Family::Unix)?;
            self.adopt(id, Kind::UnixStream, io)?;
        }
        system::connect_path(self.io(id)?, path, follow)
    }

    fn listen_on(&mut self, id: SocketId, backlog: i32) {
        let listening = self.io(id).and_then(|io| io.listen(backlog));
        if let (Ok(()), Some(socket)) = (&listening, self.sockets.get_mut(id)) {
            socket.phase = Phase::Listening;
        }
        self.feed(Input::Listening { socket: id, result: listening.map_err(|error| errno(&error)) });
    }

    fn dial(&mut self, id: SocketId, attempt: usize, address: SocketAddr, own: bool) {
        match self.start_dial(id, attempt, address, own) {
            Ok(false) => {}
            Ok(true) => self.end_dial(id, attempt),
            Err(error) => {
                self.feed(Input::Dialed { socket: id, attempt, result: Err(errno(&error)) });
            }
        }
    }

    /// Starts an attempt; `Ok(true)` when it has succeeded already.
    fn start_dial(
        &mut self,
        id: SocketId,
        attempt: usize,
        address: SocketAddr,
        own: bool,
    ) -> io::Result<bool> {
        if own {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.own_attempt = Some(attempt);
            }
            return system::connect(self.io(id)?, address);
        }
        let io = system::open(Kind::Tcp, Family::of(address.ip()))?;
        let connected = system::connect(&io, address)?;
        let number = attempt as u32;
        watch(self.poll.registry(), &io, Source::Attempt(id.slot(), number), EVENTS)?;
        if self.sockets.get(id).is_none() {
            self.sockets.insert(id, SystemSocket::new(id, None));
        }
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.attempts.push((number, io));
        }
        Ok(connected)
    }

    pub(crate) fn on_socket_event(&mut self, slot: u32, event: &Event) {
        let Some(socket) = self.sockets.in_slot(slot) else { return };
        socket.note(event);
        let id = socket.id;
        match (socket.phase, socket.own_attempt) {
            (Phase::Quiet, Some(attempt)) => {
                self.end_dial(id, attempt);
                self.perform_actions();
            }
            (Phase::Quiet, None) => {}
            (Phase::Listening, _) => self.handle(Input::Acceptable { socket: id }),
            (Phase::Flowing(_) | Phase::Sending | Phase::Datagrams(_), _) => self.schedule(Work::Socket(id)),
        }
    }

    pub(crate) fn on_attempt_event(&mut self, slot: u32, attempt: u32, event: &Event) {
        let Some(socket) = self.sockets.in_slot(slot) else { return };
        let id = socket.id;
        if socket.kept_attempt == Some(attempt) {
            return self.on_socket_event(slot, event);
        }
        self.end_dial(id, attempt as usize);
        if let Some(socket) = self.sockets.get_mut(id)
            && socket.kept_attempt == Some(attempt)
        {
            socket.note(event);
        }
        self.perform_actions();
    }

    /// Tells the core how an attempt has ended, if it has.
    fn end_dial(&mut self, id: SocketId, attempt: usize) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let position = socket.attempts.iter().position(|(number, _)| *number as usize == attempt);
        let io = match position {
            Some(position) => Some(&socket.attempts[position].1),
            None if socket.own_attempt == Some(attempt) => socket.io.as_ref(),
            None => None,
        };
        let Some(outcome) = io.map(system::connect_outcome) else { return };
        let result = match outcome {
            Ok(None) => return,
            Ok(Some(names)) => {
                self.keep_attempt(id, position);
                Ok(names)
            }
            Err(error) => Err(error),
        };
        self.feed(Input::Dialed { socket: id, attempt, result: result.map_err(|error| errno(&error)) });
    }

    /// Makes the attempt's system socket the socket's own.
    fn keep_attempt(&mut self, id: SocketId, position: Option<usize>) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.own_attempt = None;
        if let Some(position) = position {
            let (attempt, io) = socket.attempts.swap_remove(position);
            (socket.kept_attempt, socket.io) = (Some(attempt), Some(io));
        }
    }

    /// Closes the system's socket of an attempt, or lets the socket that was opened before forget it.
    fn hang_up(&mut self, id: SocketId, attempt: usize, own: bool) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.attempts.retain(|(number, _)| *number as usize != attempt);
        if !own {
            return;
        }
        socket.own_attempt = None;
        // Without this the system goes on connecting to where nobody wants to any more, and the next
        // connect on the socket could succeed with the wrong peer.
        if let Some(io) = &socket.io
            && let Err(error) = rustix::net::connect_unspec(io)
        {
            tracing::debug!(socket = %id, "an attempt to connect cannot be dissolved: {error}");
        }
    }

    fn accept(&mut self, listener: SocketId, socket: SocketId) -> io::Result<Option<Names>> {
        let Some((io, names)) = self.io(listener).and_then(system::accept)? else { return Ok(None) };
        // Its kind matters only as far as that it is a stream.
        self.adopt(socket, Kind::Tcp, io)?;
        let inherits = self.sockets.get(listener).is_some_and(|listener| listener.may_linger);
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.may_linger = inherits;
        }
        Ok(Some(names))
    }

    /// Drops the system's sockets of `id`, which closes them and ends their watch.
    fn close(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.remove(id) {
            if let Some(client) = socket.counted {
                self.count_busy(client, -1);
            }
            if let Stall::Called(client) = socket.stall {
                self.call_stalled(client);
            }
            self.closing.close(socket);
        }
    }
}

fn watch(registry: &Registry, io: &Socket, source: Source, events: Interest) -> io::Result<()> {
    registry.register(&mut SourceFd(&io.as_raw_fd()), source.token(), events)
}
