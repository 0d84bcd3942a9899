//! One event loop with its clients and all their sockets.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{MAX_FRAME, SocketId};
use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Waker};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::closing::Closing;
use super::desk::Desk;
use super::listener::PipeListener;
use super::pipe::{DATA_OUT_MAX, Pipe, widen};
use super::queue::Pool;
use super::resolver::Resolver;
use super::signals::{Caught, Signals};
use super::socket::{Stall, SystemSocket};
use super::system::errno;
use super::table::Table;
use super::tokens::Source;
use super::unsafe_groups::peer_groups;
use crate::audit::Trail;
use crate::core::policy::Policy;
use crate::core::{
    ClientId, Config, Core, Credentials, Histogram, Identity, Input, Offence, Offender, Offenders, TURNS,
};

/// The most events that one look at the system brings; more come with the next look.
const EVENTS_MAX: usize = 1024;

/// Looks at the system after which everything has been told that had come before the first of them, even if each
/// brings as many events as it can: together they bring more than there are sockets of one client.
const LOOKS_MAX: u32 = 32;

/// New clients taken in one turn, so that a flood of them does not starve those that are served.
const ACCEPTS_PER_TURN: usize = 64;

/// How long the daemon takes no new clients after it ran out of descriptors: long enough to use no
/// processor time, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Spare buffers of pipes are kept up to what a full pipe queues, those of sockets up to a first window.
const PIPE_SPARE_MAX: usize = 2 * 1024 * 1024;
const SOCKET_SPARE_MAX: usize = 64 * 1024;

/// What stops the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was delivered, or the time for it was over.
    Drained,
    /// Somebody asked for an end at once.
    Forced,
}

/// The event loop.
#[derive(Debug)]
pub struct Worker {
    pub(crate) poll: Poll,
    pub(crate) core: Core,
    pub(crate) pipes: Table<ClientId, Pipe>,
    pub(crate) sockets: Table<SocketId, SystemSocket>,
    pub(crate) resolver: Resolver,
    /// Wakes the loop from another thread: a poll has one.
    pub(crate) waker: Arc<Waker>,
    /// Where operators' questions come in.
    pub(crate) desk: Desk,
    /// What is left of clients that have gone.
    pub(crate) closing: Closing,
    /// Buffers for pipes.
    pub(crate) pool: Pool,
    /// Buffers for sockets, small ones: a socket's client is charged for what it holds.
    pub(crate) socket_pool: Pool,
    /// Whether something was done in this turn that shows on another socket at once.
    pub(crate) stirred: bool,
    /// For one datagram while it is being received.
    pub(crate) datagram: Vec<u8>,
    /// Clients and sockets with something left to do.
    work: VecDeque<Work>,
    /// Clients for which something was queued in this turn.
    pub(crate) dirty: Vec<ClientId>,
    /// Sockets for which the frames that are being handled brought data.
    pub(crate) touched: Vec<SocketId>,
    /// Clients that want everything pushed that is readable now.
    pub(crate) syncs: Vec<Sync>,
    listeners: Vec<Listening>,
    accept_again: Option<Instant>,
    /// Whether the operator has been told that no client can be taken in.
    starved: bool,
    signals: Signals,
    ending: Option<Ending>,
    /// What is on record of all this, if anything.
    pub(crate) trail: Option<Trail>,
    /// Whether clients wait for the trail to write what they have caused.
    pub(crate) held_up: bool,
    /// Of whom the log was told.
    pub(crate) offenders: Offenders,
    /// When it was made.
    pub(crate) started: Instant,
    /// How long its turns took.
    pub(crate) turns: Histogram,
}

/// A path that clients come by.
#[derive(Debug)]
struct Listening {
    listener: PipeListener,
    /// Whether somebody may wait there.
    ready: bool,
}

/// A client's wish that everything be pushed to it that is readable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) client: ClientId,
    pub(crate) request: u32,
    /// How often the system was looked at since; [`LOOKS_MAX`] when it has told all that there was.
    pub(crate) looks: u32,
}

/// Something with work left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Client(ClientId),
    Socket(SocketId),
}

impl Worker {
    /// A loop without clients.
    ///
    /// # Errors
    /// When the system has no descriptors for it.
    pub fn new(config: Config, signals: Signals) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Source::Threads.token())?);
        let signal_fd = signals.fd();
        poll.registry().register(&mut SourceFd(&signal_fd), Source::Signals.token(), Interest::READABLE)?;
        Ok(Worker {
            poll,
            core: Core::new(config, Instant::now()),
            pipes: Table::default(),
            sockets: Table::default(),
            resolver: Resolver::new(Arc::clone(&waker)),
            desk: Desk::new(Arc::clone(&waker)),
            waker,
            closing: Closing::default(),
            pool: Pool::new(PIPE_SPARE_MAX),
            socket_pool: Pool::new(SOCKET_SPARE_MAX),
            stirred: false,
            datagram: Vec::new(),
            work: VecDeque::new(),
            dirty: Vec::new(),
            touched: Vec::new(),
            syncs: Vec::new(),
            listeners: Vec::new(),
            accept_again: None,
            starved: false,
            signals,
            ending: None,
            trail: None,
            held_up: false,
            offenders: Offenders::default(),
            started: Instant::now(),
            turns: Histogram::new(TURNS),
        })
    }

    /// Takes new clients from `listener`, too, from here on.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn listen(&mut self, mut listener: PipeListener) -> io::Result<()> {
        // There are as many as the operator has named.
        let token = Source::Listener(self.listeners.len() as u32).token();
        self.poll.registry().register(listener.source(), token, Interest::READABLE)?;
        self.listeners.push(Listening { listener, ready: false });
        Ok(())
    }

    /// Takes the other end of a pipe that was given to the process `pid` as a client; user and groups are those of
    /// whoever has made the pipe.
    ///
    /// # Errors
    /// When the kernel does not say who that is, or the descriptor cannot be watched.
    pub fn add_client(&mut self, stream: std::os::unix::net::UnixStream, pid: i32) -> io::Result<()> {
        self.add_client_by(stream, None, Some(pid))
    }

    fn add_client_by(
        &mut self,
        stream: std::os::unix::net::UnixStream,
        path: Option<String>,
        pid: Option<i32>,
    ) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        let pid = pid.unwrap_or(peer.pid());
        let credentials = Credentials { uid: peer.uid(), gid: peer.gid(), pid };
        widen(&stream);
        let groups = peer_groups(&stream)?;
        let identity = Identity { credentials, groups, socket: path };
        let id = match self.core.add_client(identity, Instant::now()) {
            Ok(id) => id,
            Err(failure) => {
                self.complain_of(credentials.into(), Offence::Refused, format_args!("refused: {failure}"));
                return Ok(());
            }
        };
        let mut pipe = Pipe::new(id, UnixStream::from_std(stream));
        if let Err(error) = pipe.watch(self.poll.registry(), Source::client(id).token()) {
            self.handle(Input::ClientGone { client: id });
            return Err(error);
        }
        tracing::debug!(client = %credentials, "connected");
        self.pipes.insert(id, pipe);
        self.schedule(Work::Client(id));
        Ok(())
    }

    /// Starts to end: nothing new is begun, what was accepted is delivered.
    pub fn drain(&mut self, timeout: Duration) {
        drop(self.stop_listening());
        self.handle(Input::Drain { timeout });
    }

    /// Takes no new clients; gives the listeners.
    pub(crate) fn stop_listening(&mut self) -> Vec<PipeListener> {
        let mut listeners = Vec::new();
        for Listening { mut listener, .. } in std::mem::take(&mut self.listeners) {
            if let Err(error) = self.poll.registry().deregister(listener.source()) {
                tracing::error!("cannot deregister a listening pipe: {error}");
            }
            listeners.push(listener);
        }
        listeners
    }

    /// Puts a new policy in the place of the old one, for all clients at once.
    pub fn set_policy(&mut self, policy: Policy) {
        self.note_policy(&policy);
        self.handle(Input::NewPolicy { policy });
    }

    /// Ends the loop without waiting for anything.
    pub fn stop(&mut self) {
        self.ending = Some(Ending::Forced);
    }

    /// How many clients and sockets there are.
    pub fn census(&self) -> (usize, usize) {
        self.core.census()
    }

    /// Serves until drained or stopped; `on_signal` is told each signal that comes.
    ///
    /// # Errors
    /// When the system cannot be asked for events any more.
    pub fn run(&mut self, mut on_signal: impl FnMut(&mut Worker, Caught)) -> io::Result<Ending> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let hasty = self.syncs.iter().any(|sync| sync.looks < LOOKS_MAX);
            let syncs = self.syncs.len();
            self.wait(&mut events, hasty)?;
            let woken = Instant::now();
            for signal in self.note_events(&events) {
                on_signal(self, signal);
            }
            self.handle(Input::Tick);
            self.count_due_offences();
            self.accept_clients();
            self.answer_operators();
            self.work_once();
            if std::mem::take(&mut self.stirred) {
                // A datagram to this machine has arrived by the time it is sent, as a local connection has; whoever
                // sent it to itself may look for it as soon as that is answered.
                self.poll.poll(&mut events, Some(Duration::ZERO)).or_else(ignore_interrupt)?;
                for signal in self.note_events(&events) {
                    on_signal(self, signal);
                }
                self.work_once();
            }
            self.end_syncs(syncs, events.iter().count());
            self.flush_pipes();
            self.closing.end_turn();
            self.turns.count(woken.elapsed());
            if self.core.is_drained(Instant::now()) {
                self.ending.get_or_insert(Ending::Drained);
            }
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
        }
    }

    /// Ends those syncs whose clients have got everything. The first `before` of them came before the last
    /// look at the system, which has brought so many events.
    fn end_syncs(&mut self, before: usize, events: usize) {
        for sync in self.syncs.iter_mut().take(before) {
            // It may have more to tell than one look brings.
            sync.looks = if events < EVENTS_MAX { LOOKS_MAX } else { sync.looks + 1 };
        }
        let pipes = &self.pipes;
        let is_over =
            |sync: &mut Sync| sync.looks >= LOOKS_MAX && pipes.get(sync.client).is_none_or(Pipe::is_level);
        let over: Vec<Sync> = self.syncs.extract_if(.., is_over).collect();
        for Sync { client, request, .. } in over {
            self.handle(Input::Synced { client, request });
        }
    }

    /// Waits for events, until the next timer, or not at all when there is work left.
    fn wait(&mut self, events: &mut Events, hasty: bool) -> io::Result<()> {
        let next =
            [self.core.poll_timeout(), self.accept_again, self.offenders.next()].into_iter().flatten().min();
        let timeout = match next {
            _ if hasty || !self.work.is_empty() || self.desk.is_busy() || self.closing.is_busy() => {
                Some(Duration::ZERO)
            }
            Some(at) => Some(at.saturating_duration_since(Instant::now())),
            None => None,
        };
        self.poll.poll(events, timeout).or_else(ignore_interrupt)
    }

    /// Notes what the events say; gives the signals among them.
    fn note_events(&mut self, events: &Events) -> Vec<Caught> {
        let mut signals = Vec::new();
        for event in events {
            match Source::of(event.token()) {
                Some(Source::Listener(number)) => {
                    if let Some(listening) = self.listeners.get_mut(number as usize) {
                        listening.ready = true;
                    }
                }
                Some(Source::Threads) => {
                    self.desk.note();
                    for (lookup, result) in self.resolver.take_answers() {
                        self.handle(Input::Resolved { lookup, result });
                    }
                    self.take_recorded();
                }
                Some(Source::Signals) => signals.extend(self.signals.take()),
                Some(Source::Client(slot)) => {
                    if let Some(pipe) = self.pipes.in_slot(slot) {
                        pipe.note(event);
                        let id = pipe.id;
                        self.schedule(Work::Client(id));
                    }
                }
                Some(Source::Socket(slot)) => self.on_socket_event(slot, event),
                Some(Source::Attempt(slot, attempt)) => self.on_attempt_event(slot, attempt),
                None => {}
            }
        }
        signals
    }

    /// Notes that a client or a socket has something to do.
    pub(crate) fn schedule(&mut self, work: Work) {
        let scheduled = match work {
            Work::Client(id) => self.pipes.get_mut(id).map(|pipe| &mut pipe.scheduled),
            Work::Socket(id) => self.sockets.get_mut(id).map(|socket| &mut socket.scheduled),
        };
        let Some(scheduled) = scheduled else { return };
        if !std::mem::replace(scheduled, true) {
            self.work.push_back(work);
        }
        if let Work::Socket(id) = work {
            self.count(id);
        }
    }

    /// Counts a scheduled socket among those that may have data for their client.
    fn count(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Some(client) = socket.phase.receiver()
            && socket.readable
            && socket.counted.is_none()
        {
            socket.counted = Some(client);
            self.count_busy(client, 1);
        }
    }

    pub(crate) fn count_busy(&mut self, client: ClientId, change: isize) {
        if let Some(pipe) = self.pipes.get_mut(client) {
            pipe.busy = pipe.busy.saturating_add_signed(change);
        }
    }

    /// Gives a turn to everything that has work now; what comes up meanwhile waits for the next look.
    fn work_once(&mut self) {
        for _ in 0..self.work.len() {
            match self.work.pop_front() {
                None => break,
                Some(Work::Client(id)) => {
                    if let Some(pipe) = self.pipes.get_mut(id) {
                        pipe.scheduled = false;
                        if pipe.queued() > 0 && !std::mem::replace(&mut pipe.dirty, true) {
                            self.dirty.push(id);
                        }
                        self.serve_client(id);
                    }
                }
                Some(Work::Socket(id)) => {
                    let Some(socket) = self.sockets.get_mut(id) else { continue };
                    socket.scheduled = false;
                    let counted = socket.counted.take();
                    let called = match socket.stall {
                        Stall::Called(client) => Some(client),
                        Stall::No | Stall::Waiting => None,
                    };
                    if let Some(client) = counted {
                        self.count_busy(client, -1);
                    }
                    self.serve_socket(id);
                    if let Some(client) = called {
                        self.call_stalled(client);
                    }
                }
            }
        }
    }

    /// Writes what this turn has queued for clients, and lets those go on that had no room.
    fn flush_pipes(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(pipe) = self.pipes.get_mut(id) else { continue };
            pipe.dirty = false;
            let was_clogged = pipe.is_clogged();
            if let Err(error) = pipe.flush(&mut self.pool) {
                self.break_client(id, &error.to_string());
                continue;
            }
            if let Err(error) = pipe.watch_room(self.poll.registry(), Source::client(id).token()) {
                self.break_client(id, &format!("its pipe cannot be watched: {error}"));
                continue;
            }
            let goes_on = was_clogged && !pipe.is_clogged();
            if goes_on {
                self.schedule(Work::Client(id));
            }
            self.call_stalled(id);
        }
    }

    /// Lets the first of a client's sockets go on that wait for room, if there is room for a frame. The
    /// next one is called when that one has had its turn.
    pub(crate) fn call_stalled(&mut self, client: ClientId) {
        let Some(pipe) = self.pipes.get_mut(client) else { return };
        if pipe.queued() + MAX_FRAME > DATA_OUT_MAX {
            return;
        }
        while let Some(id) = pipe.stalled.pop_front() {
            // It may have been closed meanwhile.
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.stall = Stall::Called(client);
                return self.schedule(Work::Socket(id));
            }
        }
    }

    fn accept_clients(&mut self) {
        let now = Instant::now();
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            if self.accept_again.is_some() {
                return;
            }
            // The first path that somebody waits at, then the next one.
            let Some(listening) = self.listeners.iter_mut().find(|listening| listening.ready) else { return };
            match listening.listener.accept() {
                Ok(Some(stream)) => {
                    self.starved = false;
                    let path = listening.listener.path().display().to_string();
                    if let Err(error) = self.add_client_by(stream, Some(path), None) {
                        let text = format!("a client could not be taken in: {error}");
                        self.complain_of(Offender::Others, Offence::Refused, text);
                    }
                }
                Ok(None) => listening.ready = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.starved, true) {
                        tracing::warn!(errno = errno(&error), "no new clients until that is over: {error}");
                    }
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                }
            }
        }
        // More may wait, and no event will say so.
        self.accept_again.get_or_insert(now);
    }
}

/// A wait that a signal has ended is as good as one that brought nothing.
fn ignore_interrupt(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
