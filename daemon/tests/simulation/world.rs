//! The world around the core: clients that say what they like, a network that answers when it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use luasocketd::core::budget::{Limits, Resource};
use luasocketd::core::policy::Policy;
use luasocketd::core::{
    Action, Admission, ClientId, Config, Core, Credentials, Input, Lookup, Names, PIPE_BYTES, Reply, Timeouts,
};
use luasocketd_protocol::{
    Accept, Bind, Call, Cancel, ClientNote, Close, Connect, DaemonNote, Direction, Failure, Family, Hello,
    Kind, Listen, Open, Resolve, Shutdown, SocketId, Sync, VERSION, Watch, Window,
};

use super::random::Random;

/// Small limits, so that every one of them is met often.
const LIMITS: Limits = Limits { bytes: PIPE_BYTES + 64 * 1024, sockets: 12, calls: 10, lookups: 3 };

const CLIENTS: usize = 4;

/// What a client knows.
#[derive(Default)]
struct Client {
    greeted: bool,
    next_request: u32,
    /// Requests without an answer.
    waiting: BTreeSet<u32>,
    sockets: BTreeMap<SocketId, Known>,
    disconnected: bool,
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
    attempts: BTreeSet<usize>,
    listening: bool,
    flowing: bool,
    finishing: bool,
    /// Bytes that wait for the network.
    queued: u64,
}

pub struct World {
    core: Core,
    now: Instant,
    start: Instant,
    clients: BTreeMap<ClientId, Client>,
    systems: BTreeMap<SocketId, System>,
    lookups: Vec<Lookup>,
    /// Connections that wait on any listening socket.
    arrivals: u64,
    syncs: Vec<(ClientId, u32)>,
    trace: String,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let start = Instant::now();
        let policy = Policy::new(vec!["*".parse().unwrap()]);
        let timeouts = Timeouts { hello: Duration::from_secs(5), linger: Duration::from_secs(20) };
        let core = Core::new(Config { policy, limits: LIMITS, timeouts });
        let mut world = World {
            core,
            now: start,
            start,
            clients: BTreeMap::new(),
            systems: BTreeMap::new(),
            lookups: Vec::new(),
            arrivals: 0,
            syncs: Vec::new(),
            trace: String::new(),
        };
        for _ in 0..CLIENTS {
            world.add_client();
        }
        world.step(random);
        world
    }

    pub fn trace(&self) -> &str {
        &self.trace
    }

    fn add_client(&mut self) {
        let credentials = Credentials { uid: 1000, gid: 1000, pid: 1 };
        let id = self.core.add_client(credentials, self.now).unwrap();
        self.clients.insert(id, Client::default());
    }

    pub fn step(&mut self, random: &mut Random) {
        match random.below(12) {
            0..=5 => self.client_speaks(random),
            6..=9 => self.network_acts(random),
            10 if random.once_in(2) => self.time_passes(random),
            _ if random.once_in(6) => self.client_goes(random),
            _ => {}
        }
        if self.clients.len() < CLIENTS {
            self.add_client();
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        writeln!(self.trace, "{:?} {input:?}", self.now - self.start).unwrap();
        self.core.handle(input, self.now);
        self.perform();
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

    fn client_speaks(&mut self, random: &mut Random) {
        let client = self.any_client(random);
        if self.clients[&client].disconnected {
            return;
        }
        if !self.clients[&client].greeted && !random.once_in(30) {
            self.clients.get_mut(&client).unwrap().greeted = true;
            return self.request(client, Call::Hello(Hello { version: VERSION, client: "c", lua: "Lua" }));
        }
        let socket = self.any_socket(client, random);
        let timeout_ms = [None, Some(0), Some(100), Some(5_000), Some(u64::MAX)][random.below(5) as usize];
        let own = random.once_in(3).then_some(socket);
        let window = random.below(10_000) as u32;
        let host = ["127.0.0.1", "::1", "name", "*"][random.below(4) as usize];
        match random.below(22) {
            0 => self.request(client, Call::Open(Open { kind: Kind::Tcp, family: Family::Inet })),
            1..=3 => {
                let connect =
                    Connect { socket: own, host, port: "80", family: Family::Unspec, timeout_ms, window };
                self.request(client, Call::Connect(connect));
            }
            4 => {
                let family = [Family::Unspec, Family::Dual, Family::Inet6][random.below(3) as usize];
                let bind = Bind { socket: own, host, port: "0", family, reuse_address: true, timeout_ms };
                self.request(client, Call::Bind(bind));
            }
            5 => self.request(client, Call::Listen(Listen { socket, backlog: 1 })),
            6 | 7 => {
                if let Some(known) = self.clients.get_mut(&client).unwrap().sockets.get_mut(&socket) {
                    known.accepts += 1;
                }
                self.request(client, Call::Accept(Accept { socket, timeout_ms, window }));
            }
            8 => self
                .request(client, Call::Resolve(Resolve { host: "name", family: Family::Unspec, timeout_ms })),
            9 => {
                let direction = [Direction::Receive, Direction::Send, Direction::Both];
                let direction = direction[random.below(3) as usize];
                self.request(client, Call::Shutdown(Shutdown { socket, direction }));
            }
            10 => self.close(client, socket, random),
            11 => self.request(client, Call::Sync(Sync {})),
            12 => self.note(client, ClientNote::Watch(Watch { socket })),
            13 => {
                let request = random.below(u64::from(self.clients[&client].next_request) + 1) as u32;
                self.note(client, ClientNote::Cancel(Cancel { request }));
            }
            14 => self.grant(client, socket),
            _ => self.send(client, socket, random),
        }
    }

    fn request(&mut self, client: ClientId, call: Call<'_>) {
        let entry = self.clients.get_mut(&client).unwrap();
        let request = entry.next_request;
        entry.next_request += 1;
        entry.waiting.insert(request);
        self.handle(Input::Request { client, request, call });
    }

    fn note(&mut self, client: ClientId, note: ClientNote<'_>) {
        self.handle(Input::Note { client, note });
    }

    fn close(&mut self, client: ClientId, socket: SocketId, random: &mut Random) {
        self.clients.get_mut(&client).unwrap().sockets.remove(&socket);
        match random.once_in(2) {
            true => self.request(client, Call::Close(Close { socket })),
            false => self.note(client, ClientNote::Close(Close { socket })),
        }
    }

    fn grant(&mut self, client: ClientId, socket: SocketId) {
        let known = self.clients.get_mut(&client).unwrap().sockets.get_mut(&socket);
        let bytes = known.map_or(7, |known| std::mem::take(&mut known.unread));
        self.note(client, ClientNote::Window(Window { socket, bytes }));
    }

    fn send(&mut self, client: ClientId, socket: SocketId, random: &mut Random) {
        let credit = self.clients[&client]
            .sockets
            .get(&socket)
            .filter(|known| known.connected)
            .map_or(0, |k| k.credit);
        let overrun = random.once_in(300);
        let length = if overrun { credit + 1 } else { random.below(credit + 1) };
        match self.core.admit_data(client, socket, length as usize) {
            Admission::Take => {
                assert!(!overrun, "took more than was granted");
                self.clients.get_mut(&client).unwrap().sockets.get_mut(&socket).unwrap().credit -= length;
                self.systems.get_mut(&socket).expect("bytes for a socket without a system's one").queued +=
                    length;
            }
            Admission::Ignore => {
                if let Some(known) = self.clients.get_mut(&client).unwrap().sockets.get_mut(&socket) {
                    known.credit = known.credit.saturating_sub(length);
                }
            }
            Admission::NoHello => {
                assert!(!self.clients[&client].greeted, "it has said hello");
                self.drop_client(client);
            }
            Admission::Overrun => {
                assert!(overrun, "{length} bytes of {credit} granted are an overrun");
                self.drop_client(client);
            }
        }
    }

    fn client_goes(&mut self, random: &mut Random) {
        let client = self.any_client(random);
        self.drop_client(client);
    }

    fn drop_client(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.handle(Input::ClientGone { client });
    }

    fn time_passes(&mut self, random: &mut Random) {
        let steps = [1, 50, 300, 6_000, 25_000];
        self.now += Duration::from_millis(steps[random.below(steps.len() as u64) as usize]);
        self.handle(Input::Tick);
        assert!(self.core.poll_timeout().is_none_or(|at| at > self.now), "a timer stayed behind");
    }

    fn network_acts(&mut self, random: &mut Random) {
        match random.below(10) {
            0 => self.answer_lookup(random),
            1 | 2 => self.end_attempt(random),
            3 => {
                self.arrivals += 1;
                let listening: Vec<SocketId> = self.systems_where(|system| system.listening);
                if let Some(&socket) = random.pick(&listening) {
                    self.handle(Input::Acceptable { socket });
                }
            }
            4 => {
                for (client, request) in std::mem::take(&mut self.syncs) {
                    self.answered(client, request);
                }
            }
            _ => self.bytes_flow(random),
        }
    }

    fn systems_where(&self, wanted: impl Fn(&System) -> bool) -> Vec<SocketId> {
        self.systems.iter().filter(|(_, system)| wanted(system)).map(|(&id, _)| id).collect()
    }

    fn answer_lookup(&mut self, random: &mut Random) {
        if self.lookups.is_empty() {
            return;
        }
        let lookup = self.lookups.swap_remove(random.below(self.lookups.len() as u64) as usize).lookup;
        let all = ["1.1.1.1:80", "[2::2]:80", "3.3.3.3:80"].map(|text| text.parse().unwrap());
        let result = match random.below(4) {
            0 => {
                Err(Failure { code: luasocketd_protocol::Code::Resolve, detail: -2, message: String::new() })
            }
            1 => Ok(vec![]),
            _ => Ok(all[..1 + random.below(3) as usize].to_vec()),
        };
        self.handle(Input::Resolved { lookup, result });
    }

    fn end_attempt(&mut self, random: &mut Random) {
        let dialing = self.systems_where(|system| !system.attempts.is_empty());
        let Some(&socket) = random.pick(&dialing) else { return };
        let attempts: Vec<usize> = self.systems[&socket].attempts.iter().copied().collect();
        let attempt = *random.pick(&attempts).unwrap();
        self.systems.get_mut(&socket).unwrap().attempts.remove(&attempt);
        let result = if random.once_in(2) { Ok(names()) } else { Err(111) };
        self.handle(Input::Dialed { socket, attempt, result });
    }

    fn bytes_flow(&mut self, random: &mut Random) {
        let flowing = self.systems_where(|system| system.flowing);
        let Some(&socket) = random.pick(&flowing) else { return };
        match random.below(20) {
            0 => self.handle(Input::PeerEnded { socket }),
            1 => {
                self.systems.get_mut(&socket).unwrap().flowing = false;
                self.handle(Input::Failed { socket, failure: Failure::os(104) });
            }
            2..=10 => {
                let system = self.systems.get_mut(&socket).unwrap();
                let length = random.below(system.queued + 1);
                system.queued -= length;
                self.core.on_written(socket, length as usize);
                self.perform();
            }
            _ => {
                let credit = self.core.push_credit(socket) as u64;
                let length = random.below(credit + 1) as u32;
                self.core.on_pushed(socket, length as usize);
                for client in self.clients.values_mut() {
                    if let Some(known) = client.sockets.get_mut(&socket) {
                        known.unread += length;
                        return;
                    }
                }
                assert_eq!(length, 0, "bytes pushed for a socket that no client has");
            }
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            writeln!(self.trace, "    {action:?}").unwrap();
            let input = match action {
                Action::Reply { client, request, reply } => {
                    self.answered(client, request);
                    self.learn(client, reply);
                    continue;
                }
                Action::Fail { client, request, .. } => {
                    self.answered(client, request);
                    continue;
                }
                Action::Notify { client, note } => {
                    self.noted(client, note);
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
                Action::Bind { socket, address, .. } => {
                    self.systems.entry(socket).or_default();
                    let result = if address.is_ipv6() { Err(99) } else { Ok(address) };
                    Input::Bound { socket, result }
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
                Action::HangUp { socket, attempt } => {
                    if let Some(system) = self.systems.get_mut(&socket) {
                        system.attempts.remove(&attempt);
                    }
                    continue;
                }
                Action::Accept { listener, socket } => self.accept(listener, socket),
                Action::Probe { socket } => Input::Probed { socket, waiting: self.arrivals > 0 },
                Action::Start { socket, .. } => {
                    let system = self.systems.get_mut(&socket).expect("started before it was connected");
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
            self.core.handle(input, self.now);
        }
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
        // What was accepted and not delivered is lost by a failure or a linger time only; both are
        // seen here by the clock or by `flowing`.
        if system.finishing && system.queued > 0 && system.flowing {
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
            Reply::Endpoint(endpoint) => (endpoint.socket, u64::from(endpoint.window), true),
            _ => return,
        };
        for (other, entry) in &self.clients {
            assert!(*other == client || !entry.sockets.contains_key(&socket), "another's socket");
        }
        let Some(entry) = self.clients.get_mut(&client) else { return };
        let known = entry.sockets.entry(socket).or_default();
        (known.connected, known.credit) = (connected, credit);
    }

    fn noted(&mut self, client: ClientId, note: DaemonNote<'static>) {
        let entry = self.clients.get_mut(&client).expect("a note to a client that has gone");
        let (socket, credit) = match &note {
            DaemonNote::Window(window) => (window.socket, u64::from(window.bytes)),
            DaemonNote::Eof(eof) => (eof.socket, 0),
            DaemonNote::Broken(broken) => (broken.socket, 0),
            DaemonNote::Acceptable(acceptable) => (acceptable.socket, 0),
            DaemonNote::Data(_) => panic!("data is the shell's business"),
        };
        let known = entry.sockets.get_mut(&socket).expect("a note about a socket that is not the client's");
        known.credit += credit;
        match note {
            DaemonNote::Window(_) => assert!(!known.broken, "a grant after the end"),
            DaemonNote::Eof(_) => known.ended = true,
            DaemonNote::Broken(_) => assert!(!std::mem::replace(&mut known.broken, true), "broken twice"),
            DaemonNote::Acceptable(_) => known.listening = true,
            DaemonNote::Data(_) => {}
        }
    }

    /// What holds after every step.
    pub fn check(&self) {
        for (&id, client) in &self.clients {
            for resource in Resource::ALL {
                let used = self.core.used(id, *resource).unwrap();
                assert!(used <= LIMITS.of(*resource), "{used} {resource} used of {}", LIMITS.of(*resource));
            }
            let credit: u64 = client.sockets.values().map(|known| known.credit).sum();
            let used = self.core.used(id, Resource::Bytes).unwrap();
            assert!(credit + PIPE_BYTES <= used, "{credit} bytes granted, {used} charged");
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
        while !self.lookups.is_empty() {
            self.answer_lookup(random);
        }
        assert_eq!(self.core.census(), (0, 0), "clients or sockets are left");
        assert_eq!(self.core.poll_timeout(), None, "a timer is left");
        assert!(self.systems.is_empty(), "system's sockets are left");
    }
}

fn names() -> Names {
    let address: SocketAddr = "1.1.1.1:80".parse().unwrap();
    Names { local: address, peer: address }
}
