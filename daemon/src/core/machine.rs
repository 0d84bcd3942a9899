//! The core itself: its tables, the way in, the way out, and the counting of bytes.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Code, DATAGRAM_OVERHEAD, DaemonNote, Failure, MAX_FRAME, SocketId, Window};

use super::account::Users;
use super::action::{Action, Input};
use super::budget::{Budget, Limits, Resource};
use super::calls::over_limit;
use super::client::{Client, Credentials, Identity, Phase};
use super::flow::Admission;
use super::holding::Held;
use super::lane::Lane;
use super::meter::{Meter, Way};
use super::policy::{Policy, Rates};
use super::slots::{ClientId, LookupId, Slots};
use super::socket::{Socket, State};
use super::tally::Tally;
use super::timers::{Timer, Timers};
use super::trail::{End, Party, TrailId};

/// What is charged for a pipe: the shell queues at most [`PIPE_OUT_MAX`] bytes and one full frame
/// for a client, and buffers at most two frames of what comes from it.
pub const PIPE_BYTES: u64 = PIPE_OUT_MAX as u64 + 3 * MAX_FRAME as u64;

/// The most bytes that are queued for a client before the shell stops reading its requests. Network
/// data stops one frame earlier, so that answers always have room.
pub const PIPE_OUT_MAX: usize = 5 * MAX_FRAME;

/// What a daemon is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who may reach what.
    pub policy: Policy,
    /// What one client may hold.
    pub limits: Limits,
    /// What users hold, on all loops together.
    pub users: Users,
    /// How long things may take that no caller bounds.
    pub timeouts: Timeouts,
    /// Whether a trail is kept: nothing is done then before its decision is recorded.
    pub recorded: bool,
    /// Whether busy clients get memory to share.
    pub rings: bool,
    /// How long the shell looks at the empty ring of a client that has just sent something until it lets the client
    /// wake it.
    pub spin: Duration,
    /// Which of the daemon's loops this one is.
    pub lane: Lane,
}

/// Time limits of the daemon's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a new client may take to say hello: a pipe that says nothing holds a descriptor.
    pub hello: Duration,
    /// How long a closed socket goes on delivering what was accepted to a slow peer.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { hello: Duration::from_secs(10), linger: Duration::from_secs(30) }
    }
}

/// The state machine of the daemon.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) clients: Slots<ClientId, Client>,
    pub(crate) sockets: Slots<SocketId, Socket>,
    pub(crate) lookups: Slots<LookupId, super::calls::PendingLookup>,
    pub(crate) timers: Timers,
    pub(crate) actions: VecDeque<Action>,
    /// When the daemon ends at the latest, once it has been told to.
    pub(crate) draining: Option<Instant>,
    /// How long its drain takes once the time is over in which it still serves; of a daemon that another one has
    /// replaced.
    pub(crate) retiring: Option<Duration>,
    /// When what is being handled happened.
    pub(crate) now: Instant,
    /// The number of what is recorded next.
    pub(crate) next_record: TrailId,
    /// What waits for its record.
    pub(crate) held: HashMap<TrailId, Held>,
    /// What has happened since the start.
    pub(crate) tally: Tally,
    /// Held once for each client that has rings, and once here.
    pub(crate) rings: Rc<()>,
}

impl Core {
    /// A daemon without clients.
    pub fn new(config: Config, now: Instant) -> Self {
        config.users.set_limits(&config.policy.user_limits);
        Core {
            tally: Tally::new(&config.policy),
            next_record: config.lane.records().0,
            config,
            clients: Slots::default(),
            sockets: Slots::default(),
            lookups: Slots::default(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            draining: None,
            retiring: None,
            now,
            held: HashMap::new(),
            rings: Rc::default(),
        }
    }

    /// Takes a new client in.
    ///
    /// # Errors
    /// [`Code::ShuttingDown`] while the daemon drains, [`Code::Limit`] when the table is full.
    pub fn add_client(&mut self, identity: impl Into<Identity>, now: Instant) -> Result<ClientId, Failure> {
        self.now = now;
        let Identity { credentials, groups, socket } = identity.into();
        if self.draining.is_some() {
            return Err(shutting_down());
        }
        let deadline = now + self.config.timeouts.hello;
        let account = self.config.users.account(credentials.uid);
        let budget = Budget::new(self.config.limits.clone()).of_user(Arc::clone(&account));
        let party = Party {
            credentials,
            executable: None,
            name: String::new(),
            lua: String::new(),
            profile: String::new(),
            socket: socket.clone(),
        };
        let client = Client {
            credentials,
            groups,
            socket,
            party: Arc::new(party),
            ending: End::ClientGone,
            since: now,
            traffic: Default::default(),
            phase: Phase::Greeting(deadline),
            profile: None,
            seat: None,
            account,
            user_seat: None,
            _pipe: budget.charge(Resource::Bytes, PIPE_BYTES).map_err(over_limit)?,
            budget,
            meter: Rc::new(RefCell::new(Meter::new(Rates::default(), now))),
            sockets: Default::default(),
            calls: Default::default(),
            sharing: Default::default(),
        };
        let id = self.clients.insert(client).ok_or_else(|| Failure::new(Code::Limit, "no client slots"))?;
        self.timers.set(deadline, Timer::Hello(id));
        self.tally.clients += 1;
        Ok(id)
    }

    /// Takes in what happened. Time alone changes something only with [`Input::Tick`]: the result of an
    /// action must meet the state that asked for it.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.now = now;
        match input {
            Input::Request { client, request, call } => self.on_request(client, request, call, now),
            Input::Note { client, note } => self.on_note(client, note, now),
            Input::ClientGone { client } => self.on_client_gone(client, now),
            Input::Resolved { lookup, result } => self.on_resolved(lookup, result, now),
            Input::Opened { socket, result } => self.on_opened(socket, result),
            Input::Bound { socket, result } => self.on_bound(socket, result),
            Input::OptionSet { client, request, set, result } => {
                self.on_option_set(client, request, &set, result);
            }
            Input::PeerSet { socket, result } => self.on_peer_set(socket, result),
            Input::PeerCleared { socket, request, result } => self.on_peer_cleared(socket, request, result),
            Input::Sent { socket, request, result, bytes } => {
                self.on_sent(socket, request, result, bytes, now);
            }
            Input::SocketError { socket, errno } => self.on_socket_error(socket, errno),
            Input::Listening { socket, result } => self.on_listening(socket, result),
            Input::Dialed { socket, attempt, result } => self.on_dialed(socket, attempt, result, now),
            Input::Acceptable { socket } => self.on_acceptable(socket),
            Input::Accepted { listener, result } => self.on_accepted(listener, result),
            Input::Probed { socket, waiting } => self.on_probed(socket, waiting),
            Input::PeerEnded { socket } => self.on_peer_ended(socket),
            Input::Failed { socket, failure } => self.on_failed(socket, failure),
            Input::Synced { client, request } => self.on_synced(client, request),
            Input::RingMade { client, request, result } => self.on_ring_made(client, request, result),
            Input::Recorded { id, result } => self.on_recorded(id, result),
            Input::NewPolicy { policy } => self.on_new_policy(policy, now),
            Input::Kill { mark } => self.on_kill(mark),
            Input::Tick => self.handle_timers(now),
            Input::Retire { timeout } => self.on_retire(timeout, now),
            Input::Drain { timeout } => self.on_drain(timeout, now),
        }
        if self.draining.is_some() {
            self.release_idle_clients();
        }
    }

    /// What it was told at its start, with the policy that judges now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What judges now.
    pub fn policy(&self) -> &Policy {
        &self.config.policy
    }

    /// How long an empty ring is looked at.
    pub fn spin(&self) -> Duration {
        self.config.spin
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Counts `length` bytes that a client sent for one of its sockets.
    pub fn admit_data(&mut self, client: ClientId, socket: SocketId, length: usize) -> Admission {
        match self.sockets.get_mut(socket).filter(|socket| socket.client == client).map(|s| &mut s.state) {
            Some(State::Connected(flow)) => flow.admit(length),
            _ => match self.clients.get(client).map(|client| &client.phase) {
                Some(Phase::Greeting(_)) => Admission::NoHello,
                _ => Admission::Ignore,
            },
        }
    }

    /// Counts bytes that were pushed to the socket's client.
    pub fn on_pushed(&mut self, socket: SocketId, length: usize, now: Instant) {
        self.now = now;
        let payload = match self.sockets.get_mut(socket).map(|socket| &mut socket.state) {
            Some(State::Connected(flow) | State::Closing { flow, .. }) => {
                flow.on_pushed(length);
                length
            }
            Some(State::Datagrams(datagrams)) => {
                datagrams.on_pushed(length);
                length.saturating_sub(DATAGRAM_OVERHEAD)
            }
            _ => return,
        };
        self.count_bytes(socket, Way::FromNetwork, payload, now);
    }

    /// Counts bytes that the network has taken from the socket's queue.
    pub fn on_written(&mut self, id: SocketId, length: usize, now: Instant) {
        self.now = now;
        self.count_bytes(id, Way::ToNetwork, length, now);
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let client = socket.client;
        match &mut socket.state {
            State::Connected(flow) => {
                let bytes = flow.on_written(length);
                if bytes > 0 {
                    self.notify(client, DaemonNote::Window(Window { socket: id, bytes }));
                }
            }
            State::Closing { flow, .. } => {
                flow.on_written(length);
                if flow.held() == 0 {
                    self.forget_socket(id);
                }
            }
            _ => {}
        }
    }

    /// What is known of a client, for people.
    pub fn describe_client(&self, client: ClientId) -> String {
        let Some(client) = self.clients.get(client) else { return "a client that has gone".into() };
        match &client.phase {
            Phase::Welcome { name, lua } => format!("{} ({name}, {lua})", client.credentials),
            Phase::Greeting(_) | Phase::Refused => client.credentials.to_string(),
        }
    }

    /// Who a client is, as the kernel says.
    pub fn credentials(&self, client: ClientId) -> Option<Credentials> {
        self.clients.get(client).map(|client| client.credentials)
    }

    /// Notes the program that a client's process runs.
    pub fn note_executable(&mut self, client: ClientId, program: String) {
        if let Some(client) = self.clients.get_mut(client) {
            client.party = Arc::new(Party { executable: Some(program), ..Party::clone(&client.party) });
        }
    }

    /// How much of a resource a client holds.
    pub fn used(&self, client: ClientId, resource: Resource) -> Option<u64> {
        self.clients.get(client).map(|client| client.budget.used(resource))
    }

    /// The account of a client, which can be looked at when the client has gone.
    pub fn budget(&self, client: ClientId) -> Option<Budget> {
        self.clients.get(client).map(|client| client.budget.clone())
    }

    /// How many clients and how many sockets there are.
    pub fn census(&self) -> (usize, usize) {
        (self.clients.len(), self.sockets.len())
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.count_action(&action);
        self.actions.push_back(action);
    }

    pub(crate) fn notify(&mut self, client: ClientId, note: DaemonNote<'static>) {
        self.act(Action::Notify { client, note });
    }

    /// Ends a client's pipe, once; nothing that it says from here on is heard.
    pub(crate) fn disconnect(&mut self, client: ClientId, reason: impl Into<String>) {
        if self.refuse(client) {
            self.act(Action::Disconnect { client, reason: reason.into() });
        }
    }

    fn handle_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Hello(client) => self.disconnect(client, "no hello in time"),
                Timer::Call(client, request) => self.on_call_timeout(client, request, now),
                Timer::Dial(socket) => self.on_dial_delay(socket, now),
                Timer::Resend(socket) => self.on_resend(socket, now),
                Timer::Pace(socket) => self.on_pace(socket),
                Timer::Linger(socket) => self.on_linger_over(socket),
                Timer::Ring(client) => self.on_ring_idle(client, now),
                Timer::Retire => self.on_retire_over(now),
                Timer::Drain => self.on_drain_over(),
            }
        }
    }
}

pub(crate) fn shutting_down() -> Failure {
    Failure::new(Code::ShuttingDown, "the daemon is ending; try again when it is back")
}

#[cfg(test)]
mod tests {
    use super::super::account::UserLimits;
    use super::super::options::GROUPS_MAX;
    use super::super::recording::PEERS_MAX;
    use super::super::sharing::{RING_BYTES, RING_IDLE, RINGS_MAX};
    use super::*;

    #[test]
    fn the_documented_limits_are_the_defaults() {
        let documented = include_str!("../../../docs/limits.md");
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let resources = Resource::ALL.iter().map(|resource| (resource.to_string(), limits.of(*resource)));
        let times = [("hello", timeouts.hello), ("linger", timeouts.linger)];
        let times = times.map(|(name, time)| (name.to_owned(), time.as_secs()));
        for (name, default) in resources.chain(times) {
            let row = format!("| {name} | {default} |");
            assert!(documented.contains(&row), "docs/limits.md has no row `{row}`");
        }
        assert!(documented.contains(&format!("and {PIPE_BYTES} for the pipe")));
        assert!(documented.contains(&format!("is charged with {RING_BYTES} bytes")));
        for row in [format!("| rings | {RINGS_MAX} |"), format!("| ring idle | {} |", RING_IDLE.as_secs())] {
            assert!(documented.contains(&row), "docs/limits.md has no row `{row}`");
        }
        assert!(documented.contains(&format!("at most {GROUPS_MAX} multicast groups")));
        let audited = include_str!("../../../docs/audit.md");
        assert!(audited.contains(&format!("At most {PEERS_MAX} peers")));
        let (user, base) = (UserLimits::default(), Limits::base());
        for resource in Resource::ALL {
            let (limit, base) = (user.held.of(*resource), base.of(*resource));
            let row = format!("| {resource} | `{}` | {limit} | {base} |", resource.key());
            assert!(documented.contains(&row), "docs/limits.md has no row `{row}`");
        }
        assert!(documented.contains(&format!("| clients at once | `clients` | {} |", user.clients)));
        let keys = Resource::ALL.iter().map(|resource| (resource.to_string(), resource.key()));
        let rates = Rates::KEYS.iter().map(|&(key, name)| (name.to_owned(), key));
        for (name, key) in keys.chain(rates) {
            let row = format!("| {name} | `{key}` |");
            assert!(documented.contains(&row), "docs/limits.md has no row `{row}`");
        }
    }
}
