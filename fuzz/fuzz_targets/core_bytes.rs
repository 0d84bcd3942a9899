//! Bytes as they come through a client's pipe, on their way through codec and core as in the daemon's shell, with a system
//! beneath that answers as the input says. Nothing panics, every answer is to a question, a neighbour is not touched, and
//! nothing is held for a client that has gone.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use luasocketd::core::budget::{Budget, Limits, Resource};
use luasocketd::core::policy::Policy;
use luasocketd::core::trail::{Record, TrailId};
use luasocketd::core::{
    Action, Admission, Answer, ClientId, Config, Core, Credentials, Input, Lookup, Names, PIPE_BYTES, Place,
    Question, RING_BYTES, Timeouts,
};
use luasocketd_fuzz::numbers::Numbers;
use luasocketd_fuzz::{samples, seeds};
use luasocketd_protocol::*;

/// Small limits, so that every one of them is met.
const LIMITS: Limits =
    Limits { bytes: PIPE_BYTES + RING_BYTES + 64 * 1024, sockets: 12, calls: 10, lookups: 3 };

/// Frames of one input: what goes wrong only behind more of them is for `core_operations`.
const FRAMES_MAX: usize = 1000;

const RULES: [&str; 4] = ["*", "127.0.0.1:*", "listen:127.0.0.1:*", "resolve:localhost"];

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let Some((&[flags, length], rest)) = input.split_first_chunk() else { return };
        let (story, stream) = rest.split_at(rest.len().min(length.into()));
        let mut world = World::new(flags, Numbers::new(story));
        world.serve(stream);
        world.end();
    }
);

/// A little of everything, said by a client that is known and by one that is not.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for slot in 0..8 {
        let socket = SocketId::new(slot, 1);
        let mut stream = Vec::new();
        let calls = samples::calls(socket);
        for (id, call) in calls.iter().skip(1).cycle().take(2 * calls.len()).enumerate() {
            encode_request(&mut stream, id as u32, call);
        }
        for note in samples::client_notes(socket) {
            encode_note(&mut stream, &note);
        }
        let story: Vec<u8> = (0..64).map(|step: u8| step.wrapping_mul(37).wrapping_add(slot as u8)).collect();
        inputs.push([&[1 | (slot as u8) << 1, story.len() as u8], &story[..], &stream].concat());
    }
    for call in samples::calls(SocketId::new(2, 1)) {
        let mut stream = Vec::new();
        encode_request(&mut stream, 7, &call);
        inputs.push([&[1, 0], &stream[..]].concat());
    }
    inputs
}

/// A socket of the system.
#[derive(Default)]
struct System {
    attempts: BTreeSet<usize>,
    is_listening: bool,
    is_flowing: bool,
    has_datagrams: bool,
    /// Bytes that wait for the network.
    queued: usize,
}

struct World {
    core: Core,
    now: Instant,
    numbers: Numbers,
    /// Whose bytes they are.
    client: ClientId,
    budget: Budget,
    /// Whether the core has let it go: what it asks from here on is not heard.
    is_refused: bool,
    /// Whether its pipe is closed.
    is_gone: bool,
    /// The questions that it waits for.
    asked: BTreeSet<u32>,
    /// Somebody else, and what it has.
    neighbour: ClientId,
    neighbours: BTreeSet<SocketId>,
    systems: BTreeMap<SocketId, System>,
    lookups: Vec<Lookup>,
    syncs: Vec<u32>,
    records: Vec<TrailId>,
}

impl World {
    fn new(flags: u8, numbers: Numbers) -> Self {
        let now = Instant::now();
        let rule = RULES[usize::from(flags >> 1) % RULES.len()].parse().expect("a rule");
        let policy = Policy::new(vec![rule]);
        let timeouts = Timeouts { hello: Duration::from_secs(5), linger: Duration::from_secs(20) };
        let recorded = flags & 8 != 0;
        let config = Config { policy, limits: LIMITS, timeouts, recorded, rings: true, ..Config::default() };
        let mut core = Core::new(config, now);
        let credentials = Credentials { uid: 1000, gid: 1000, pid: 1 };
        let neighbour = core.add_client(credentials, now).expect("a place for the first");
        let client = core.add_client(credentials, now).expect("a place for the second");
        let budget = core.budget(client).expect("a client that is there");
        let mut world = World {
            core,
            now,
            numbers,
            client,
            budget,
            is_refused: false,
            is_gone: false,
            asked: BTreeSet::new(),
            neighbour,
            neighbours: BTreeSet::new(),
            systems: BTreeMap::new(),
            lookups: Vec::new(),
            syncs: Vec::new(),
            records: Vec::new(),
        };
        world.settle_neighbour();
        if flags & 1 != 0 {
            let hello = Call::Hello(Hello { version: VERSION, client: "c", lua: "Lua" });
            world.asked.insert(u32::MAX);
            world.handle(Input::Request { client, request: u32::MAX, call: hello });
        }
        world
    }

    /// The neighbour has a socket of each kind.
    fn settle_neighbour(&mut self) {
        let client = self.neighbour;
        let hello = Call::Hello(Hello { version: VERSION, client: "n", lua: "Lua" });
        self.core.handle(Input::Request { client, request: 0, call: hello }, self.now);
        for (request, kind) in [(1, Kind::Tcp), (2, Kind::Udp)] {
            let open = Call::Open(Open { kind, family: Family::Inet, window: 200_000 });
            self.core.handle(Input::Request { client, request, call: open }, self.now);
        }
        while let Some(action) = self.core.poll_action() {
            if let Action::Open { socket, .. } = action {
                self.neighbours.insert(socket);
                self.core.handle(Input::Opened { socket, result: Ok(()) }, self.now);
            }
        }
        assert_eq!(self.neighbours.len(), 2);
    }

    /// Takes what comes through the pipe, in pieces, as the shell does.
    fn serve(&mut self, stream: &[u8]) {
        let mut reader = FrameReader::new();
        let (mut rest, mut frames) = (stream, 0);
        while !rest.is_empty() && !self.is_gone {
            let length = [rest.len(), 1, 64][self.numbers.below(3) as usize].min(rest.len()).min(MAX_FRAME);
            reader.space(length)[..length].copy_from_slice(&rest[..length]);
            reader.filled(length);
            rest = &rest[length..];
            loop {
                match reader.next_frame().map(|frame| frame.map(<[u8]>::to_vec)) {
                    Ok(Some(frame)) => {
                        frames += 1;
                        if frames > FRAMES_MAX || self.serve_frame(&frame).is_err() {
                            return self.drop_client();
                        }
                        self.check();
                        self.happen();
                        self.check();
                    }
                    Ok(None) => break,
                    Err(_) => return self.drop_client(),
                }
                if self.is_gone {
                    return;
                }
            }
        }
    }

    fn serve_frame(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        if let Some(data) = plain_data(frame) {
            self.take_data(data);
            return Ok(());
        }
        let client = self.client;
        match Frame::parse(frame)? {
            Frame::Notification { method: "data", params } => self.take_data(decode(params)?),
            Frame::Notification { method, params } => {
                let note = ClientNote::parse(method, params)?;
                self.handle(Input::Note { client, note });
            }
            Frame::Request { .. } if self.is_refused => {}
            Frame::Request { id: request, method, params } => {
                let call = match method {
                    "hello" => Call::parse_hello(method, params).map(Call::Hello),
                    _ => Call::parse(method, params),
                };
                if !matches!(call, Err(FrameError::Malformed)) {
                    self.asked.insert(request);
                }
                match call {
                    Ok(call) => self.handle(Input::Request { client, request, call }),
                    Err(FrameError::Version(version)) => self.core.refuse_version(client, request, version),
                    Err(FrameError::UnknownMethod) => self.core.refuse_method(client, request, method),
                    Err(error) => return Err(error),
                }
                self.perform();
            }
            Frame::Response { .. } => return Err(FrameError::Malformed),
        }
        Ok(())
    }

    fn take_data(&mut self, data: Data<'_>) {
        match self.core.admit_data(self.client, data.socket, data.bytes.len()) {
            Admission::Take => {
                assert!(!self.neighbours.contains(&data.socket), "bytes for a neighbour's socket");
                self.systems.entry(data.socket).or_default().queued += data.bytes.len();
            }
            Admission::Ignore => {}
            Admission::Overrun | Admission::NoHello => self.drop_client(),
        }
    }

    fn drop_client(&mut self) {
        if !std::mem::replace(&mut self.is_gone, true) {
            self.handle(Input::ClientGone { client: self.client });
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.core.handle(input, self.now);
        self.perform();
    }

    /// What the network and the clock do between two frames.
    fn happen(&mut self) {
        let sockets: Vec<SocketId> = self.systems.keys().copied().collect();
        let any = self.numbers.pick(&sockets).copied();
        match (self.numbers.below(16), any) {
            (0, _) => self.pass(Duration::from_millis(100)),
            (1, _) => self.pass(Duration::from_secs(7)),
            (2, _) => self.answer_lookup(),
            (3, _) => {
                for request in std::mem::take(&mut self.syncs) {
                    self.handle(Input::Synced { client: self.client, request });
                }
            }
            (4, _) => self.answer_record(),
            (5 | 6, Some(socket)) => self.end_attempt(socket),
            (7, Some(socket)) if self.systems[&socket].is_listening => {
                self.handle(Input::Acceptable { socket })
            }
            (8, Some(socket)) if self.systems[&socket].is_flowing => self.handle(Input::PeerEnded { socket }),
            (9, Some(socket)) if self.systems[&socket].is_flowing => {
                self.handle(Input::Failed { socket, failure: Failure::os(104) });
            }
            (10, Some(socket)) if self.systems[&socket].has_datagrams => {
                self.handle(Input::SocketError { socket, errno: 111 });
            }
            (11 | 12, Some(socket)) => self.receive(socket),
            (13 | 14, Some(socket)) => self.deliver(socket),
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Tick);
    }

    fn answer_lookup(&mut self) {
        if self.lookups.is_empty() {
            return;
        }
        let asked = self.lookups.swap_remove(self.numbers.below(self.lookups.len() as u64) as usize);
        let all = ["127.0.0.1:80", "[::1]:80", "8.8.8.8:80"].map(|text| text.parse().expect("an address"));
        let result = match self.numbers.below(4) {
            0 => Err(Failure { code: Code::Resolve, detail: -2, message: String::new() }),
            count => Ok(match asked.question {
                Question::Addresses { .. } => Answer::Addresses(all[..count as usize].to_vec()),
                Question::Host(name) => Answer::Host(HostEntry { name, aliases: vec![], addresses: vec![] }),
                Question::Names { .. } | Question::NamesOf { .. } => {
                    Answer::Names(NameInfo { names: vec!["name".into()], service: None })
                }
            }),
        };
        self.handle(Input::Resolved { lookup: asked.lookup, result });
    }

    fn answer_record(&mut self) {
        if self.records.is_empty() {
            return;
        }
        let id = self.records.remove(0);
        let result = if self.numbers.once_in(5) { Err("no space left on device".to_owned()) } else { Ok(()) };
        self.handle(Input::Recorded { id, result });
    }

    fn end_attempt(&mut self, socket: SocketId) {
        let Some(attempt) = self.systems.get_mut(&socket).and_then(|system| system.attempts.pop_first())
        else {
            return;
        };
        let result = if self.numbers.once_in(3) { Err(111) } else { Ok(names()) };
        self.handle(Input::Dialed { socket, attempt, result });
    }

    /// Bytes come from the network.
    fn receive(&mut self, socket: SocketId) {
        let system = &self.systems[&socket];
        if !system.is_flowing && !system.has_datagrams {
            return;
        }
        let is_datagram = system.has_datagrams;
        let credit = self.core.push_credit(socket, self.now);
        self.perform();
        if !is_datagram {
            let length = self.numbers.below(credit as u64 + 1) as usize;
            self.core.on_pushed(socket, length, self.now);
        } else if credit > 0 && self.core.admit_datagram(socket, &place(), 1) {
            assert!(credit >= UDP_MAX + DATAGRAM_OVERHEAD, "the largest datagram would not fit");
            let length = self.numbers.below(UDP_MAX as u64) as usize;
            self.core.on_pushed(socket, length + DATAGRAM_OVERHEAD, self.now);
        }
        self.perform();
    }

    /// The network takes bytes.
    fn deliver(&mut self, socket: SocketId) {
        let queued = self.systems[&socket].queued;
        let credit = if queued > 0 { self.core.write_credit(socket, self.now) } else { 0 };
        self.perform();
        let length = self.numbers.below(queued.min(credit) as u64 + 1) as usize;
        if let Some(system) = self.systems.get_mut(&socket).filter(|_| length > 0) {
            system.queued -= length;
            self.core.on_written(socket, length, self.now);
            self.perform();
        }
    }

    /// Does what the core says, as the system would.
    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            if let Some(input) = self.act(action) {
                self.core.handle(input, self.now);
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Input<'static>> {
        let mut out = Vec::new();
        Some(match action {
            Action::Reply { client, request, reply } => {
                self.answered(client, request);
                encode_reply(&mut out, request, &reply);
                return None;
            }
            Action::Fail { client, request, failure } => {
                self.answered(client, request);
                encode_failure(&mut out, request, &failure);
                return None;
            }
            Action::Ask { client, request, socket, .. } => {
                self.answered(client, request);
                self.own(socket);
                return None;
            }
            Action::Notify { client, note } => {
                self.mine(client);
                encode_note(&mut out, &note);
                return None;
            }
            Action::Sync { client, request } => {
                self.mine(client);
                self.syncs.push(request);
                return None;
            }
            Action::MakeRing { client, request } => {
                self.mine(client);
                let result = if self.numbers.once_in(5) { Err(12) } else { Ok(()) };
                Input::RingMade { client, request, result }
            }
            Action::BeginRing { client } | Action::EndRing { client } | Action::DropRing { client } => {
                self.mine(client);
                return None;
            }
            Action::SetOption { client, request, set } => {
                self.mine(client);
                self.own(set.socket);
                Input::OptionSet { client, request, set, result: self.result() }
            }
            Action::Disconnect { client, .. } => {
                self.mine(client);
                assert!(!std::mem::replace(&mut self.is_refused, true), "disconnected twice");
                return None;
            }
            Action::Record { record: Record::Decided(decided), wanted: true, .. } => {
                self.records.push(decided.id);
                return None;
            }
            Action::Record { .. } | Action::Judged { .. } => return None,
            Action::Lookup(lookup) => {
                self.lookups.push(lookup);
                return None;
            }
            Action::DropLookup { lookup } => {
                let position = self.lookups.iter().position(|waiting| waiting.lookup == lookup)?;
                self.lookups.swap_remove(position);
                Input::Resolved { lookup, result: Err(Failure::new(Code::Cancelled, "")) }
            }
            Action::Open { socket, .. } => Input::Opened { socket, result: self.made(socket) },
            Action::Bind { socket, place, .. } => {
                Input::Bound { socket, result: self.made(socket).map(|()| place) }
            }
            Action::Listen { socket, .. } => {
                self.system(socket).is_listening = true;
                Input::Listening { socket, result: self.result() }
            }
            Action::Dial { socket, attempt, .. } => {
                assert!(self.system(socket).attempts.insert(attempt), "one attempt begun twice");
                return None;
            }
            Action::DialPath { socket, .. } => {
                Input::Dialed { socket, attempt: 0, result: self.made(socket).map(|()| names()) }
            }
            Action::SetPeer { socket, place, .. } => {
                let result = self.made(socket).map(|()| Names { peer: place, ..names() });
                Input::PeerSet { socket, result }
            }
            Action::ClearPeer { socket, request } => {
                self.own(socket);
                Input::PeerCleared { socket, request, result: self.result() }
            }
            Action::Send { socket, request, bytes, .. } => {
                self.own(socket);
                let result =
                    [Ok(bytes.len()), Ok(bytes.len()), Err(11), Err(111)][self.numbers.below(4) as usize];
                Input::Sent { socket, request, result, bytes }
            }
            Action::HangUp { socket, attempt, .. } => {
                self.system(socket).attempts.remove(&attempt);
                return None;
            }
            Action::Accept { listener, socket } => {
                self.own(listener);
                let result = [Ok(Some(names())), Ok(None), Err(103)][self.numbers.below(3) as usize].clone();
                if matches!(result, Ok(Some(_))) {
                    self.system(socket);
                }
                Input::Accepted { listener, result }
            }
            Action::Probe { socket } => {
                self.own(socket);
                Input::Probed { socket, waiting: self.numbers.once_in(2) }
            }
            Action::Start { socket, client } => {
                self.mine(client);
                self.system(socket).is_flowing = true;
                return None;
            }
            Action::StartDatagrams { socket, client } => {
                self.mine(client);
                self.system(socket).has_datagrams = true;
                return None;
            }
            Action::Resume { socket } | Action::Shutdown { socket, .. } | Action::Finish { socket } => {
                self.own(socket);
                return None;
            }
            Action::Close { socket } => {
                self.own(socket);
                self.systems.remove(&socket);
                return None;
            }
        })
    }

    /// The system's socket, which is made where there is none.
    fn system(&mut self, socket: SocketId) -> &mut System {
        self.own(socket);
        self.systems.entry(socket).or_default()
    }

    /// Makes the system's socket, or not.
    fn made(&mut self, socket: SocketId) -> Result<(), i32> {
        self.system(socket);
        self.result()
    }

    fn result(&mut self) -> Result<(), i32> {
        if self.numbers.once_in(6) { Err(98) } else { Ok(()) }
    }

    fn own(&self, socket: SocketId) {
        assert!(!self.neighbours.contains(&socket), "a neighbour's socket is touched");
    }

    fn mine(&self, client: ClientId) {
        assert_eq!(client, self.client, "somebody else is concerned");
    }

    fn answered(&mut self, client: ClientId, request: u32) {
        self.mine(client);
        assert!(self.asked.remove(&request), "{request} is answered twice, or was never asked");
    }

    /// What holds after every step.
    fn check(&self) {
        for &resource in Resource::ALL {
            let (used, limit) = (self.budget.used(resource), LIMITS.of(resource));
            assert!(used <= limit, "{used} {resource} used of {limit}");
        }
    }

    /// The client goes, and everything ends: nothing is held for it, and its neighbour has what it had.
    fn end(mut self) {
        self.drop_client();
        self.pass(Duration::from_secs(60));
        while !self.lookups.is_empty() || !self.records.is_empty() {
            self.answer_lookup();
            self.answer_record();
        }
        for &resource in Resource::ALL {
            assert_eq!(self.budget.used(resource), 0, "{resource} are held for a client that has gone");
        }
        assert!(self.systems.is_empty(), "system's sockets are left");
        assert_eq!(self.core.census(), (1, self.neighbours.len()), "a neighbour and its sockets");
    }
}

fn place() -> Place {
    Place::Net("127.0.0.1:53".parse().expect("an address"))
}

fn names() -> Names {
    Names { local: place(), peer: place() }
}
