//! The world around the core: clients that say what they like, a network that answers when it likes.

mod acts;
mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use luasocketd::core::account::{UserLimits, Users};
use luasocketd::core::budget::{Budget, Limits, Resource};
use luasocketd::core::policy::Policy;
use luasocketd::core::{
    Action, ClientId, Config, Core, Credentials, Input, Lookup, Names, PIPE_BYTES, Place, RING_BYTES, Reply,
    Timeouts,
};
use luasocketd_protocol::{Code, DaemonNote, Failure, SocketId};

use self::shadow::Shadow;
use super::random::Random;

/// Small limits, so that every one of them is met often.
const LIMITS: Limits = Limits { bytes: PIPE_BYTES + 64 * 1024, sockets: 12, calls: 10, lookups: 3 };

/// What clients of a user hold together beyond their bases, in some worlds: less than all of them may one by one.
const USER_LIMITS: Limits = Limits { bytes: LIMITS.bytes, sockets: 10, calls: 7, lookups: 2 };

/// What each of them may hold whatever the others do: its pipe and little else.
const BASE: Limits = Limits { bytes: PIPE_BYTES, sockets: 2, calls: 2, lookups: 0 };

const CLIENTS: usize = 4;

/// Two users, each with some of the clients.
const UIDS: [u32; 2] = [1000, 1001];

/// What a client knows.
#[derive(Default)]
struct Client {
    greeted: bool,
    next_request: u32,
    /// Requests without an answer.
    waiting: BTreeSet<u32>,
    sockets: BTreeMap<SocketId, Known>,
    disconnected: bool,
    ring: Ring,
}

/// What a client knows of its ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ring {
    #[default]
    No,
    /// The request for it waits, under this number.
    Asked(u32),
    Offered,
    Used,
    /// The daemon wants it back.
    Ending,
}

/// What a client knows of one of its sockets.
#[derive(Default)]
struct Known {
    connected: bool,
    listening: bool,
    broken: bool,
    ended: bool,
    /// Credit for bytes to the daemon.
    credit: u64,
    /// Bytes pushed to the client that it has not granted again.
    unread: u32,
    accepts: usize,
}

/// What the system has of a socket.
#[derive(Default)]
struct System {
    /// Who gets the bytes that come.
    reader: Option<ClientId>,
    attempts: BTreeSet<usize>,
    listening: bool,
    flowing: bool,
    datagrams: bool,
    finishing: bool,
    /// Bytes that wait for the network.
    queued: u64,
}

pub struct World {
    limits: Limits,
    users: Users,
    user_limits: UserLimits,
    core: Core,
    now: Instant,
    start: Instant,
    clients: BTreeMap<ClientId, Client>,
    /// The accounts of all clients that have come.
    budgets: Vec<Budget>,
    systems: BTreeMap<SocketId, System>,
    lookups: Vec<Lookup>,
    /// Connections that wait on any listening socket.
    arrivals: u64,
    syncs: Vec<(ClientId, u32)>,
    /// The trail, in worlds that keep one.
    shadow: Option<Shadow>,
    /// Answers of the system so far, which decide the next one.
    answers: u64,
    /// Whether a new policy is ending what it forbids.
    swept: bool,
    /// The client that has just spoken: until all is done that came of it, nobody else's sockets are touched.
    speaker: Option<ClientId>,
    /// What went in so far, which decides how long the system takes.
    inputs: u64,
    /// All that went in and came out, where somebody wants to know.
    trace: Option<String>,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let start = Instant::now();
        let held = if random.once_in(2) { USER_LIMITS } else { Limits::of_a_user() };
        let user_limits = UserLimits { held, clients: 1 + random.below(CLIENTS as u64) };
        let mut policy = Policy::new(vec!["*".parse().unwrap()]);
        policy.user_limits.clone_from(&user_limits);
        let users = Users::new(BASE);
        let timeouts = Timeouts { hello: Duration::from_secs(5), linger: Duration::from_secs(20) };
        let recorded = random.once_in(2);
        let mut limits = LIMITS;
        // Enough for a ring in some worlds, so that there is not too much for all else in the others.
        limits.bytes += if random.once_in(2) { RING_BYTES } else { 0 };
        let config = Config {
            policy,
            limits: limits.clone(),
            users: users.clone(),
            timeouts,
            recorded,
            rings: true,
            ..Config::default()
        };
        let core = Core::new(config, start);
        let mut world = World {
            core,
            limits,
            users,
            user_limits,
            now: start,
            start,
            clients: BTreeMap::new(),
            budgets: Vec::new(),
            systems: BTreeMap::new(),
            lookups: Vec::new(),
            arrivals: 0,
            syncs: Vec::new(),
            shadow: recorded.then(Shadow::default),
            answers: 0,
            swept: false,
            speaker: None,
            inputs: 0,
            trace: None,
        };
        for _ in 0..CLIENTS {
            world.add_client();
        }
        world.step(random);
        world
    }

    /// From here on all that goes in and comes out is noted.
    pub fn keep_trace(&mut self) {
        self.trace = Some(String::new());
    }

    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    fn add_client(&mut self) {
        let uid = UIDS[self.turn(UIDS.len() as u64)];
        let credentials = Credentials { uid, gid: 1000, pid: 1 };
        let id = self.core.add_client(credentials, self.now).unwrap();
        self.budgets.extend(self.core.budget(id));
        // No two clients ask under the same number, so that an answer to the wrong one shows.
        let next_request = (self.budgets.len() as u32) << 16;
        self.clients.insert(id, Client { next_request, ..Client::default() });
    }

    pub fn step(&mut self, random: &mut Random) {
        match random.below(12) {
            0..=5 => self.client_speaks(random),
            6..=9 => self.network_acts(random),
            10 if random.once_in(2) => self.time_passes(random),
            11 if random.once_in(10) => self.policy_changes(random),
            _ if random.once_in(6) => self.client_goes(random),
            _ => {}
        }
        if self.clients.len() < CLIENTS {
            self.add_client();
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        if let Some(trace) = &mut self.trace {
            writeln!(trace, "{:?} {input:?}", self.now - self.start).unwrap();
        }
        self.inputs += 1;
        self.core.handle(input, self.now);
        self.perform();
    }

    /// As [`World::handle`], for what a client says.
    fn hear(&mut self, client: ClientId, input: Input<'_>) {
        self.speaker = Some(client);
        self.handle(input);
        self.speaker = None;
    }

    fn any_client(&self, random: &mut Random) -> ClientId {
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        *random.pick(&ids).unwrap()
    }

    /// A socket, mostly one of the client's own, sometimes another's, sometimes none at all.
    fn any_socket(&self, client: ClientId, random: &mut Random) -> SocketId {
        let own: Vec<SocketId> = self.clients[&client].sockets.keys().copied().collect();
        match random.below(20) {
            0 => SocketId(random.next()),
            1 => SocketId::new(random.below(20) as u32, random.below(5) as u32),
            _ => random.pick(&own).copied().unwrap_or(SocketId::new(0, 1)),
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            if let Some(trace) = &mut self.trace {
                writeln!(trace, "    {action:?}").unwrap();
            }
            if let Some(shadow) = &self.shadow {
                shadow.check(&action);
            }
            self.check_owner(&action);
            let input = match action {
                Action::Reply { client, request, reply } => {
                    self.answered(client, request);
                    self.on_ring_answer(client, request, Ring::Offered);
                    self.learn(client, reply);
                    continue;
                }
                Action::Fail { client, request, .. } => {
                    self.answered(client, request);
                    self.on_ring_answer(client, request, Ring::No);
                    continue;
                }
                Action::Notify { client, note } => {
                    self.noted(client, note);
                    continue;
                }
                Action::MakeRing { client, request } => {
                    let result = if self.turn(5) == 0 { Err(12) } else { Ok(()) };
                    Input::RingMade { client, request, result }
                }
                Action::BeginRing { client } => {
                    self.ring(client, Ring::Offered, Ring::Used);
                    continue;
                }
                Action::EndRing { client } => {
                    self.ring(client, Ring::Used, Ring::Ending);
                    continue;
                }
                Action::DropRing { client } => {
                    let ring = self.clients[&client].ring;
                    assert!(matches!(ring, Ring::Offered | Ring::Ending), "{ring:?} was dropped");
                    self.ring(client, ring, Ring::No);
                    continue;
                }
                Action::Sync { client, request } => {
                    self.syncs.push((client, request));
                    continue;
                }
                Action::Ask { client, request, .. } => {
                    self.answered(client, request);
                    continue;
                }
                Action::SetOption { client, request, set } => {
                    let result = if self.turn(3) == 0 { Err(22) } else { Ok(()) };
                    Input::OptionSet { client, request, set, result }
                }
                Action::Judged { .. } => continue,
                Action::Record { record, socket, wanted } => {
                    let shadow = self.shadow.as_mut().expect("a record where no trail is kept");
                    shadow.note(record, socket, wanted);
                    // Where nothing waits for the disk the answer comes at once.
                    if !wanted || self.turn(4) != 0 {
                        continue;
                    }
                    self.take_record(false).expect("a decision waits")
                }
                Action::Disconnect { client, .. } => {
                    self.clients.get_mut(&client).expect("disconnected twice").disconnected = true;
                    continue;
                }
                Action::Lookup(lookup) => {
                    self.lookups.push(lookup);
                    continue;
                }
                Action::Open { socket, .. } => {
                    self.systems.insert(socket, System::default());
                    Input::Opened { socket, result: Ok(()) }
                }
                Action::Bind { socket, place, .. } => {
                    self.systems.entry(socket).or_default();
                    let fails = matches!(&place, Place::Net(address) if address.is_ipv6());
                    Input::Bound { socket, result: if fails { Err(99) } else { Ok(place) } }
                }
                Action::DialPath { socket, .. } => {
                    self.systems.entry(socket).or_default();
                    let result = [Ok(names()), Err(11), Err(111)][self.turn(3)].clone();
                    Input::Dialed { socket, attempt: 0, result }
                }
                Action::SetPeer { socket, place, .. } => {
                    self.systems.entry(socket).or_default();
                    let names = Names { peer: place, ..names() };
                    let result = if self.turn(3) == 0 { Err(101) } else { Ok(names) };
                    Input::PeerSet { socket, result }
                }
                Action::ClearPeer { socket, request } => {
                    Input::PeerCleared { socket, request, result: Ok(()) }
                }
                Action::Send { socket, request, bytes, .. } => {
                    // A client may guess the id of a socket that is still being made.
                    let is_made = self.systems.contains_key(&socket);
                    let result = [Ok(bytes.len()), Err(11), Err(111)][self.turn(3)];
                    let result = if is_made { result } else { Err(9) };
                    Input::Sent { socket, request, result, bytes }
                }
                Action::StartDatagrams { socket, client } => {
                    let system = self.systems.get_mut(&socket).expect("started before it was made");
                    system.reader = Some(client);
                    assert!(!std::mem::replace(&mut system.datagrams, true), "started twice");
                    continue;
                }
                Action::Listen { socket, .. } => {
                    self.systems.get_mut(&socket).expect("listening on nothing").listening = true;
                    Input::Listening { socket, result: Ok(()) }
                }
                Action::Dial { socket, attempt, own, .. } => {
                    assert!(!own || self.systems.contains_key(&socket), "its own socket was never opened");
                    assert!(self.systems.entry(socket).or_default().attempts.insert(attempt));
                    continue;
                }
                Action::DropLookup { lookup } => {
                    // Some questions are taken back in time; others are answered later.
                    let position = self.lookups.iter().position(|waiting| waiting.lookup == lookup);
                    match position.filter(|position| position % 2 == 0) {
                        Some(position) => {
                            self.lookups.swap_remove(position);
                            Input::Resolved { lookup, result: Err(Failure::new(Code::Cancelled, "")) }
                        }
                        None => continue,
                    }
                }
                Action::HangUp { socket, attempt, .. } => {
                    if let Some(system) = self.systems.get_mut(&socket) {
                        system.attempts.remove(&attempt);
                    }
                    continue;
                }
                Action::Accept { listener, socket } => self.accept(listener, socket),
                Action::Probe { socket } => Input::Probed { socket, waiting: self.arrivals > 0 },
                Action::Start { socket, client } => {
                    let system = self.systems.get_mut(&socket).expect("started before it was connected");
                    system.reader = Some(client);
                    assert!(!std::mem::replace(&mut system.flowing, true), "started twice");
                    continue;
                }
                Action::Resume { .. } | Action::Shutdown { .. } => continue,
                Action::Finish { socket } => {
                    self.systems.get_mut(&socket).unwrap().finishing = true;
                    continue;
                }
                Action::Close { socket } => {
                    self.closed(socket);
                    continue;
                }
            };
            // The system takes its time.
            self.now += Duration::from_millis(self.inputs % 3);
            self.inputs += 1;
            self.core.handle(input, self.now);
        }
    }

    /// The trail's answer to the decision that has waited longest, or to the last one.
    fn take_record(&mut self, first: bool) -> Option<Input<'static>> {
        let fails = self.turn(7) == 0;
        let shadow = self.shadow.as_mut().filter(|shadow| !shadow.waiting.is_empty())?;
        let position = if first { 0 } else { shadow.waiting.len() - 1 };
        let (decided, socket) = shadow.waiting.remove(position);
        let id = decided.id;
        if fails {
            return Some(Input::Recorded { id, result: Err("no space left on device".to_owned()) });
        }
        shadow.committed(decided, socket);
        Some(Input::Recorded { id, result: Ok(()) })
    }

    /// One of so many answers, in turn.
    fn turn(&mut self, answers: u64) -> usize {
        self.answers += 1;
        (self.answers % answers) as usize
    }

    fn accept(&mut self, listener: SocketId, socket: SocketId) -> Input<'static> {
        let asked = self.clients.values().any(|c| c.sockets.get(&listener).is_some_and(|k| k.accepts > 0));
        assert!(asked, "a connection taken that nobody asked for");
        let result = if self.arrivals > 0 {
            self.arrivals -= 1;
            self.systems.insert(socket, System::default());
            Ok(Some(names()))
        } else {
            Ok(None)
        };
        Input::Accepted { listener, result }
    }

    fn closed(&mut self, socket: SocketId) {
        let Some(system) = self.systems.remove(&socket) else { return };
        // What was accepted and not delivered is lost by a failure, a linger time or a new policy only; all are
        // seen here by the clock or by `flowing`.
        if system.finishing && system.queued > 0 && system.flowing && !self.swept {
            assert!(self.now - self.start >= Duration::from_secs(20), "closed before the linger time");
        }
    }

    fn answered(&mut self, client: ClientId, request: u32) {
        if let Some(entry) = self.clients.get_mut(&client) {
            assert!(entry.waiting.remove(&request), "request {request} answered twice or never asked");
        }
    }

    fn learn(&mut self, client: ClientId, reply: Reply) {
        let (socket, credit, connected) = match reply {
            Reply::Socket(socket) => (socket, 0, false),
            Reply::Bound(bound) => (bound.socket, 0, false),
            Reply::Peer(peer) => (peer.socket, 0, false),
            Reply::Endpoint(endpoint) => (endpoint.socket, u64::from(endpoint.window), true),
            _ => return,
        };
        assert_eq!(self.owner(socket).unwrap_or(client), client, "another's socket");
        let Some(entry) = self.clients.get_mut(&client) else { return };
        let known = entry.sockets.entry(socket).or_default();
        (known.connected, known.credit) = (connected, credit);
    }

    /// Who knows a socket.
    fn owner(&self, socket: SocketId) -> Option<ClientId> {
        let knows = |(_, client): &(&ClientId, &Client)| client.sockets.contains_key(&socket);
        self.clients.iter().find(knows).map(|(&id, _)| id)
    }

    /// Asserts that what a client has said touches nobody else's socket, and that bytes go to who has the socket.
    fn check_owner(&self, action: &Action) {
        let Some((socket, client)) = subject(action) else { return };
        if let (Some(owner), Some(client)) = (self.owner(socket), client.or(self.speaker)) {
            assert_eq!(owner, client, "{action:?} is about another's socket");
        }
    }

    fn noted(&mut self, client: ClientId, note: DaemonNote<'static>) {
        let entry = self.clients.get_mut(&client).expect("a note to a client that has gone");
        let (socket, credit) = match &note {
            DaemonNote::Window(window) => (window.socket, u64::from(window.bytes)),
            DaemonNote::Eof(eof) => (eof.socket, 0),
            DaemonNote::Broken(broken) => (broken.socket, 0),
            DaemonNote::Acceptable(acceptable) => (acceptable.socket, 0),
            DaemonNote::Error(error) => (error.socket, 0),
            DaemonNote::Data(_) | DaemonNote::Datagram(_) => panic!("bytes are the shell's business"),
            DaemonNote::RingBegin(_) | DaemonNote::RingEnd(_) | DaemonNote::RingWake(_) => {
                panic!("the ring is the shell's business")
            }
        };
        let known = entry.sockets.get_mut(&socket).expect("a note about a socket that is not the client's");
        known.credit += credit;
        match note {
            DaemonNote::Window(_) => assert!(!known.broken, "a grant after the end"),
            DaemonNote::Eof(_) => known.ended = true,
            DaemonNote::Broken(_) => assert!(!std::mem::replace(&mut known.broken, true), "broken twice"),
            DaemonNote::Acceptable(_) => known.listening = true,
            _ => {}
        }
    }

    /// The request for a ring is answered, if it was that.
    fn on_ring_answer(&mut self, client: ClientId, request: u32, now: Ring) {
        if self.clients.get(&client).is_some_and(|client| client.ring == Ring::Asked(request)) {
            self.ring(client, Ring::Asked(request), now);
        }
    }

    fn ring(&mut self, client: ClientId, before: Ring, now: Ring) {
        let ring = &mut self.clients.get_mut(&client).expect("the ring of a client that has gone").ring;
        assert_eq!(std::mem::replace(ring, now), before);
    }

    /// What holds after every step.
    pub fn check(&self) {
        for (uid, resource) in UIDS.iter().flat_map(|&uid| Resource::ALL.iter().map(move |&it| (uid, it))) {
            let (used, limit) = (self.users.used(uid, resource), self.user_limits.held.of(resource));
            assert!(used <= limit, "{used} {resource} used by a user of {limit}");
            let own = self.clients.keys().filter(|&&id| self.core.credentials(id).unwrap().uid == uid);
            let beyond =
                |&id: &ClientId| self.core.used(id, resource).unwrap().saturating_sub(BASE.of(resource));
            let own: u64 = own.map(beyond).sum();
            assert!(own <= used, "{own} {resource} used by the clients of a user that has {used}");
        }
        for (&id, client) in &self.clients {
            for resource in Resource::ALL {
                let used = self.core.used(id, *resource).unwrap();
                let limit = self.limits.of(*resource);
                assert!(used <= limit, "{used} {resource} used of {limit}");
            }
            let credit: u64 = client.sockets.values().map(|known| known.credit).sum();
            let used = self.core.used(id, Resource::Bytes).unwrap();
            let ring =
                if matches!(client.ring, Ring::Offered | Ring::Used | Ring::Ending) { RING_BYTES } else { 0 };
            assert!(credit + PIPE_BYTES + ring <= used, "{credit} bytes granted, {used} charged");
        }
    }

    /// Everybody goes, everything is delivered or times out: nothing may be left.
    pub fn end(mut self, random: &mut Random) {
        let clients: Vec<ClientId> = self.clients.keys().copied().collect();
        for client in clients {
            self.drop_client(client);
        }
        self.now += Duration::from_secs(60);
        self.handle(Input::Tick);
        while !self.lookups.is_empty() || self.shadow.as_ref().is_some_and(|s| !s.waiting.is_empty()) {
            self.answer_lookup(random);
            if let Some(recorded) = self.take_record(true) {
                self.handle(recorded);
            }
        }
        assert!(self.shadow.is_none_or(|shadow| shadow.is_empty()), "something has no end in the trail");
        assert_eq!(self.core.census(), (0, 0), "clients or sockets are left");
        assert_eq!(self.core.poll_timeout(), None, "a timer is left");
        for resource in Resource::ALL {
            let used: u64 = self.budgets.iter().map(|budget| budget.used(*resource)).sum();
            assert_eq!(used, 0, "{resource} are held for clients that have gone");
        }
        assert!(self.systems.is_empty(), "system's sockets are left");
        for (uid, resource) in UIDS.iter().flat_map(|&uid| Resource::ALL.iter().map(move |&it| (uid, it))) {
            assert_eq!(self.users.used(uid, resource), 0, "{resource} are left with a user");
        }
    }
}

/// The socket that an action is about, and whose sake it is for where it says so.
fn subject(action: &Action) -> Option<(SocketId, Option<ClientId>)> {
    match action {
        Action::SetOption { client, set, .. } => Some((set.socket, Some(*client))),
        Action::Ask { client, socket, .. }
        | Action::Start { client, socket }
        | Action::StartDatagrams { client, socket } => Some((*socket, Some(*client))),
        Action::Record { socket, .. } => socket.map(|socket| (socket, None)),
        Action::Open { socket, .. }
        | Action::Bind { socket, .. }
        | Action::Listen { socket, .. }
        | Action::Dial { socket, .. }
        | Action::DialPath { socket, .. }
        | Action::SetPeer { socket, .. }
        | Action::ClearPeer { socket, .. }
        | Action::Send { socket, .. }
        | Action::HangUp { socket, .. }
        | Action::Accept { listener: socket, .. }
        | Action::Probe { socket }
        | Action::Resume { socket }
        | Action::Shutdown { socket, .. }
        | Action::Finish { socket }
        | Action::Close { socket } => Some((*socket, None)),
        Action::Reply { .. }
        | Action::Fail { .. }
        | Action::Notify { .. }
        | Action::Sync { .. }
        | Action::MakeRing { .. }
        | Action::BeginRing { .. }
        | Action::EndRing { .. }
        | Action::DropRing { .. }
        | Action::Disconnect { .. }
        | Action::Judged { .. }
        | Action::Lookup(_)
        | Action::DropLookup { .. } => None,
    }
}

fn names() -> Names {
    let address: SocketAddr = "1.1.1.1:80".parse().unwrap();
    Names { local: address.into(), peer: address.into() }
}
