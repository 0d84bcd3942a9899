//! One event loop with its clients and all their sockets; the first one speaks for all loops of its daemon.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_protocol::{MAX_FRAME, SocketId};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::arrivals::{Arrival, Entrance};
use super::closing::Closing;
use super::crew::{Berth, Bond, Crew};
use super::desk::Desk;
use super::orders::News;
use super::others::Others;
use super::pipe::{DATA_OUT_MAX, Pipe};
use super::queue::Pool;
use super::resolver::Resolver;
use super::signals::{Caught, Signals};
use super::socket::{Stall, SystemSocket};
use super::table::Table;
use super::tokens::Source;
use crate::audit::Trail;
use crate::core::policy::Policy;
use crate::core::rota::{Place, Rota};
use crate::core::{ClientId, Config, Core, Histogram, Input, Lane, TURNS};

/// The most events that one look at the system brings; more come with the next look.
const EVENTS_MAX: usize = 1024;

/// Looks at the system after which everything has been told that had come before the first of them, even if each
/// brings as many events as it can: together they bring more than there are sockets of one client.
const LOOKS_MAX: u32 = 32;

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
    /// All loops of the daemon, this one included.
    pub(crate) crew: Arc<Crew>,
    /// Which one this is.
    pub(crate) lane: Lane,
    /// Of the first loop, the others.
    pub(crate) others: Others,
    /// Where operators' questions come in.
    pub(crate) desk: Desk,
    /// What is left of clients that have gone.
    pub(crate) closing: Closing,
    /// Buffers for pipes.
    pub(crate) pool: Pool,
    /// Buffers for sockets, small ones: a socket's client is charged for what it holds.
    pub(crate) socket_pool: Pool,
    /// Whether a ring was looked at in this turn whose client may go on soon.
    pub(crate) spins: bool,
    /// Whether something was done in this turn that shows on another socket at once.
    pub(crate) stirred: bool,
    /// For one datagram while it is being received.
    pub(crate) datagram: Vec<u8>,
    /// Whose turn it is, of those that have something to do.
    rota: Rota<Option<ClientId>>,
    /// What is to do for sockets whose clients have gone.
    orphans: Flow,
    /// Clients for which something was queued in this turn.
    pub(crate) dirty: Vec<ClientId>,
    /// Sockets for which the frames that are being handled brought data.
    pub(crate) touched: Vec<SocketId>,
    /// Clients that want everything pushed that is readable now.
    pub(crate) syncs: Vec<Sync>,
    /// Where clients come in, on the first loop.
    pub(crate) entrance: Entrance,
    /// Those that the first loop hands over.
    pub(crate) arrivals: Receiver<Arrival>,
    /// What the first loop hears.
    signals: Option<Signals>,
    /// How far it has carried out what all loops are told to do.
    obeyed: u64,
    /// Whether there is nothing left to do on this loop.
    drained: bool,
    ending: Option<Ending>,
    /// What is on record of all this, if anything.
    pub(crate) trail: Option<Trail>,
    /// Whether clients wait for the trail to write what they have caused.
    pub(crate) held_up: bool,
    /// How long its turns took.
    pub(crate) turns: Histogram,
}

/// A client's wish that everything be pushed to it that is readable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    pub(crate) client: ClientId,
    pub(crate) request: u32,
    /// How often the system was looked at since; [`LOOKS_MAX`] when it has told all that there was.
    pub(crate) looks: u32,
}

/// What one client has to do, and its place among those that have.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    place: Place,
    work: VecDeque<Work>,
}

/// Something with work left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Client(ClientId),
    Socket(SocketId),
}

impl Worker {
    /// The only loop of its daemon, without clients.
    ///
    /// # Errors
    /// When the system has no descriptors for it.
    pub fn new(config: Config, signals: Signals) -> io::Result<Self> {
        Worker::several(1, config, signals)
    }

    /// The first of so many loops, without clients.
    ///
    /// # Errors
    /// When the system has no descriptors for them.
    pub fn several(loops: usize, config: Config, signals: Signals) -> io::Result<Self> {
        let (berth, others) = Crew::gather(loops, &config.policy)?;
        let mut worker = Worker::board(berth, config, Some(signals))?;
        worker.others = Others::new(others);
        Ok(worker)
    }

    /// The loop at a place, without clients.
    pub(crate) fn board(berth: Berth, config: Config, signals: Option<Signals>) -> io::Result<Self> {
        let Berth { lane, poll, questions, arrivals, resolver, crew } = berth;
        if let Some(signals) = &signals {
            let fd = signals.fd();
            poll.registry().register(&mut SourceFd(&fd), Source::Signals.token(), Interest::READABLE)?;
        }
        Ok(Worker {
            poll,
            core: Core::new(Config { lane, ..config }, Instant::now()),
            pipes: Table::default(),
            sockets: Table::default(),
            resolver,
            desk: Desk::new(questions),
            closing: Closing::default(),
            crew,
            lane,
            others: Others::default(),
            pool: Pool::new(PIPE_SPARE_MAX),
            socket_pool: Pool::new(SOCKET_SPARE_MAX),
            spins: false,
            stirred: false,
            datagram: Vec::new(),
            rota: Rota::default(),
            orphans: Flow::default(),
            dirty: Vec::new(),
            touched: Vec::new(),
            syncs: Vec::new(),
            entrance: Entrance::default(),
            arrivals,
            signals,
            obeyed: 0,
            drained: false,
            ending: None,
            trail: None,
            held_up: false,
            turns: Histogram::new(TURNS),
        })
    }

    /// Starts to end, on all loops: nothing new is begun, what was accepted is delivered.
    pub fn drain(&mut self, timeout: Duration) {
        self.crew.drain(Instant::now() + timeout);
        self.obey();
    }

    /// Whether the daemon has begun to end.
    pub fn is_draining(&self) -> bool {
        self.crew.orders.is_draining()
    }

    /// Puts a new policy in the place of the old one, for all clients of all loops.
    pub fn set_policy(&mut self, policy: Policy) {
        self.crew.set_policy(policy);
        self.obey();
    }

    /// Ends all loops without waiting for anything.
    pub fn stop(&mut self) {
        self.crew.stop();
        self.obey();
    }

    /// How many clients and sockets there are on all loops.
    pub fn census(&self) -> (usize, usize) {
        self.count_own();
        self.crew.census()
    }

    /// Tells the other loops how many there are on this one.
    pub(crate) fn count_own(&self) {
        self.crew.count(self.lane.index(), self.core.census());
    }

    /// Serves with all loops until they are drained or stopped; `on_signal` is told each signal that comes.
    ///
    /// # Errors
    /// When the system cannot be asked for events any more, or one of the other loops has failed.
    pub fn run(&mut self, on_signal: impl FnMut(&mut Worker, Caught)) -> io::Result<Ending> {
        let bond = Bond(Arc::clone(&self.crew));
        let served = self.start_others().and_then(|()| self.take_turns(on_signal));
        self.crew.orders.end();
        // The others' go with them.
        self.dismiss_operators();
        drop(bond);
        self.join_others().and(served)
    }

    /// Serves on this loop.
    pub(crate) fn take_turns(
        &mut self,
        mut on_signal: impl FnMut(&mut Worker, Caught),
    ) -> io::Result<Ending> {
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
            if std::mem::take(&mut self.spins) {
                // Whoever else has something to do on this processor goes first.
                thread::yield_now();
            }
            self.closing.end_turn();
            self.turns.count(woken.elapsed());
            self.count_own();
            if self.core.is_drained(Instant::now()) && !std::mem::replace(&mut self.drained, true) {
                self.crew.on_drained();
            }
            if self.drained && self.crew.is_drained() {
                self.ending.get_or_insert(Ending::Drained);
            }
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
        }
    }

    /// Carries out what all loops are told to do, as far as it is new.
    pub(crate) fn obey(&mut self) {
        let Some(news) = self.crew.orders.news(self.obeyed) else { return };
        let News { number, policy, retire, drain, stop } = news;
        self.obeyed = number;
        if let Some(policy) = policy {
            self.handle(Input::NewPolicy { policy });
        }
        if let Some(timeout) = retire {
            self.handle(Input::Retire { timeout });
        }
        if let Some(until) = drain {
            drop(self.shut_entrance());
            self.handle(Input::Drain { timeout: until.saturating_duration_since(Instant::now()) });
        }
        if stop {
            self.ending = Some(Ending::Forced);
        }
        self.crew.orders.done(self.lane.index(), number);
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
        let next = [self.core.poll_timeout(), self.entrance.again, self.crew.complaints.next()];
        let next = next.into_iter().flatten().min();
        let timeout = match next {
            _ if hasty || !self.rota.is_empty() || self.desk.is_busy() || self.closing.is_busy() => {
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
                    if let Some(listening) = self.entrance.listeners.get_mut(number as usize) {
                        listening.ready = true;
                    }
                }
                Some(Source::Threads) => {
                    self.desk.note();
                    for (lookup, result) in self.resolver.take_answers() {
                        self.handle(Input::Resolved { lookup, result });
                    }
                    self.take_recorded();
                    self.obey();
                    self.take_arrivals();
                }
                Some(Source::Signals) => {
                    signals.extend(self.signals.iter_mut().flat_map(Signals::take));
                }
                Some(Source::Client(slot)) => {
                    if let Some(pipe) = self.pipes.in_slot(slot) {
                        pipe.note(event);
                        let id = pipe.id;
                        self.schedule(Work::Client(id));
                    }
                }
                Some(Source::Socket(slot)) => self.on_socket_event(slot, event),
                Some(Source::Attempt(slot, attempt)) => self.on_attempt_event(slot, attempt, event),
                None => {}
            }
        }
        signals
    }

    /// Notes that a client or a socket has something to do.
    pub(crate) fn schedule(&mut self, work: Work) {
        let (scheduled, whose) = match work {
            Work::Client(id) => (self.pipes.get_mut(id).map(|pipe| &mut pipe.scheduled), Some(id)),
            Work::Socket(id) => {
                (self.sockets.get_mut(id).map(|socket| &mut socket.scheduled), self.core.owner(id))
            }
        };
        let Some(scheduled) = scheduled else { return };
        if !std::mem::replace(scheduled, true) {
            self.enqueue(whose, work);
        }
        if let Work::Socket(id) = work {
            self.count(id);
        }
    }

    fn enqueue(&mut self, whose: Option<ClientId>, work: Work) {
        let pipe = whose.and_then(|id| self.pipes.get_mut(id));
        let (whose, flow) = pipe.map_or((None, &mut self.orphans), |pipe| (Some(pipe.id), &mut pipe.flow));
        flow.work.push_back(work);
        self.rota.join(whose, &mut flow.place, Instant::now);
    }

    /// What was to do for a client that has gone is still to do for its sockets.
    pub(crate) fn orphan(&mut self, flow: Flow) {
        for work in flow.work {
            self.enqueue(None, work);
        }
    }

    fn flow(&mut self, whose: Option<ClientId>) -> Option<&mut Flow> {
        match whose {
            Some(id) => self.pipes.get_mut(id).map(|pipe| &mut pipe.flow),
            None => Some(&mut self.orphans),
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

    /// Gives a turn to everybody who has work now, as far as one round goes.
    fn work_once(&mut self) {
        // Nobody waits for who is alone.
        let mut clock = self.rota.is_shared().then(Stopwatch::start);
        self.rota.begin_round();
        while let Some(whose) = self.rota.call() {
            let Some(flow) = self.flow(whose) else { continue };
            let (mut place, work) = (flow.place, flow.work.len());
            let grant = self.rota.grant(&mut place);
            let mut spent = Duration::ZERO;
            // What comes up meanwhile waits for the next round.
            for _ in 0..work {
                if spent >= grant {
                    break;
                }
                let Some(work) = self.flow(whose).and_then(|flow| flow.work.pop_front()) else { break };
                self.work(work, grant - spent);
                spent += clock.as_mut().map_or(Duration::ZERO, Stopwatch::lap);
            }
            let Some(flow) = self.flow(whose) else { continue };
            let has_work = !flow.work.is_empty();
            self.rota.leave(whose, &mut place, spent, has_work);
            if let Some(flow) = self.flow(whose) {
                flow.place = place;
            }
        }
    }

    /// Does some work, which may take about so long.
    fn work(&mut self, work: Work, most: Duration) {
        match work {
            Work::Client(id) => {
                if let Some(pipe) = self.pipes.get_mut(id) {
                    pipe.scheduled = false;
                    if pipe.queued() > 0 && !std::mem::replace(&mut pipe.dirty, true) {
                        self.dirty.push(id);
                    }
                    self.serve_client(id, most);
                }
            }
            Work::Socket(id) => {
                let Some(socket) = self.sockets.get_mut(id) else { return };
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
}

/// The time that this thread has run: a loop that others have kept from running has cost nobody anything.
#[derive(Debug)]
struct Stopwatch(Timespec);

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch(clock_gettime(ClockId::ThreadCPUTime))
    }

    /// The time since its start, or since the last lap.
    fn lap(&mut self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let before = std::mem::replace(&mut self.0, now);
        Duration::try_from(now - before).unwrap_or_default()
    }
}

/// A wait that a signal has ended is as good as one that brought nothing.
fn ignore_interrupt(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
