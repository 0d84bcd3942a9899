//! What happens in the world: what clients say, what the network does, how time goes.

use std::time::Duration;

use luasocketd::core::policy::{Accounts, Policy};
use luasocketd::core::{Admission, Answer, ClientId, Input, Place, Question};
use luasocketd_protocol::{
    Accept, AskRing, Bind, Call, Cancel, ClearPeer, ClientNote, Close, Connect, DATAGRAM_OVERHEAD, Direction,
    Failure, Family, GetOption, Hello, HostEntry, HostEntryOf, Kind, Listen, LocalName, NameInfo, NameInfoOf,
    Open, OptionValue, PeerName, Resolve, RingBegin, RingEnd, RingWake, SendTo, SetOption, SetPeer, Shutdown,
    SocketId, SocketOption, Sync, Timeout, UDP_MAX, VERSION, Watch, Window,
};

use super::super::random::Random;
use super::{Ring, System, World, names};

impl World {
    pub(super) fn client_speaks(&mut self, random: &mut Random) {
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
        let kind = [Kind::Tcp, Kind::Udp, Kind::UnixStream, Kind::UnixDgram][random.below(4) as usize];
        let (family, name) = if kind.is_local() { (Family::Unix, "/run/x") } else { (Family::Inet, host) };
        match random.below(30) {
            0 => self.request(client, Call::Open(Open { kind, family, window })),
            22 | 23 => {
                let bind = Bind {
                    socket: own,
                    kind,
                    host: name,
                    port: "0",
                    family,
                    reuse_address: false,
                    timeout_ms,
                    window: 200_000,
                };
                self.request(client, Call::Bind(bind));
            }
            24 => {
                let connect = Connect {
                    socket: own,
                    host: "/run/x",
                    port: "",
                    family: Family::Unix,
                    timeout_ms,
                    window,
                };
                self.request(client, Call::Connect(connect));
            }
            25 | 26 => {
                let set = SetPeer {
                    socket: own,
                    host,
                    port: "53",
                    family: Family::Unspec,
                    timeout_ms,
                    window: 200_000,
                };
                self.request(client, Call::SetPeer(set));
            }
            27 => match random.below(3) {
                0 => self.request(client, Call::ClearPeer(ClearPeer { socket })),
                1 => self.request(client, Call::HostEntry(HostEntryOf { host: "name", timeout_ms })),
                _ => {
                    let info = NameInfoOf { host: Some(host), service: None, timeout_ms };
                    self.request(client, Call::NameInfo(info));
                }
            },
            28 | 29 => {
                let host = random.once_in(2).then_some(host);
                let bytes = &[0; UDP_MAX][..random.below(3000) as usize];
                self.request(client, Call::SendTo(SendTo { socket, host, port: "53", timeout_ms, bytes }));
            }
            1..=3 => {
                let connect =
                    Connect { socket: own, host, port: "80", family: Family::Unspec, timeout_ms, window };
                self.request(client, Call::Connect(connect));
            }
            4 => {
                let family = [Family::Unspec, Family::Dual, Family::Inet6][random.below(3) as usize];
                let bind = Bind {
                    socket: own,
                    kind: Kind::Tcp,
                    host,
                    port: "0",
                    family,
                    reuse_address: true,
                    timeout_ms,
                    window: 0,
                };
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
            11 if random.once_in(2) => self.act_on_ring(client, random),
            11 => self.request(client, Call::Sync(Sync {})),
            12 if random.once_in(2) => {
                let timeout = Timeout { socket, block_ms: timeout_ms, total_ms: None };
                self.note(client, ClientNote::Timeout(timeout));
            }
            12 => self.note(client, ClientNote::Watch(Watch { socket })),
            13 => {
                let request = self.clients[&client].next_request.wrapping_sub(random.below(12) as u32);
                self.note(client, ClientNote::Cancel(Cancel { request }));
            }
            14 if random.once_in(3) => {
                let call = match random.below(3) {
                    0 => Call::LocalName(LocalName { socket }),
                    1 => Call::PeerName(PeerName { socket }),
                    _ => Call::GetOption(GetOption { socket, option: SocketOption::Error }),
                };
                self.request(client, call);
            }
            14 => self.grant(client, socket),
            15 => {
                let group = OptionValue::Group("239.1.2.3".to_owned(), "0.0.0.0".to_owned());
                let (option, value) = [
                    (SocketOption::IpAddMembership, group.clone()),
                    (SocketOption::IpDropMembership, group),
                    (SocketOption::Ipv6V6Only, OptionValue::Flag(random.once_in(2))),
                ][random.below(3) as usize]
                    .clone();
                self.request(client, Call::SetOption(SetOption { socket, option, value }));
            }
            _ => self.send(client, socket, random),
        }
    }

    fn request(&mut self, client: ClientId, call: Call<'_>) {
        let entry = self.clients.get_mut(&client).unwrap();
        let request = entry.next_request;
        entry.next_request += 1;
        entry.waiting.insert(request);
        self.hear(client, Input::Request { client, request, call });
    }

    fn note(&mut self, client: ClientId, note: ClientNote<'_>) {
        self.hear(client, Input::Note { client, note });
    }

    fn act_on_ring(&mut self, client: ClientId, random: &mut Random) {
        let entry = self.clients.get_mut(&client).unwrap();
        match entry.ring {
            Ring::No => {
                entry.ring = Ring::Asked(entry.next_request);
                self.request(client, Call::Ring(AskRing {}));
            }
            Ring::Offered if random.once_in(3) => self.note(client, ClientNote::RingEnd(RingEnd {})),
            Ring::Offered => self.note(client, ClientNote::RingBegin(RingBegin {})),
            Ring::Ending => self.note(client, ClientNote::RingEnd(RingEnd {})),
            Ring::Asked(_) | Ring::Used if random.once_in(20) => {
                self.note(client, ClientNote::RingBegin(RingBegin {}));
            }
            Ring::Asked(_) | Ring::Used => self.note(client, ClientNote::RingWake(RingWake {})),
        }
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

    pub(super) fn client_goes(&mut self, random: &mut Random) {
        let client = self.any_client(random);
        self.drop_client(client);
    }

    pub(super) fn drop_client(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.handle(Input::ClientGone { client });
    }

    /// A policy that forbids everything, or does not know the clients, and at once another one that lets them go
    /// on, some of them slowly or not far.
    pub(super) fn policy_changes(&mut self, random: &mut Random) {
        let forbidding = ["", "uid = 7\n"][random.below(2) as usize];
        let enforce_now = random.once_in(2);
        self.swept = enforce_now;
        self.set_policy(&format!("enforce_now = {enforce_now}\n[[profile]]\nname = \"none\"\n{forbidding}"));
        self.swept = false;
        let limits = [
            "",
            "receive_bytes_per_second = 300\nsend_bytes_per_second = 200\n",
            "bytes_in_all = 50000\n",
            "connections_per_second = 1\n",
        ];
        let limits = limits[random.below(limits.len() as u64) as usize];
        self.set_policy(&format!("[[profile]]\nname = \"all\"\nallow = \"*\"\n[profile.limits]\n{limits}"));
    }

    fn set_policy(&mut self, text: &str) {
        let mut policy = Policy::from_toml("policy", text, &Nobody).unwrap();
        policy.user_limits.clone_from(&self.user_limits);
        self.handle(Input::NewPolicy { policy });
    }

    pub(super) fn time_passes(&mut self, random: &mut Random) {
        let steps = [1, 50, 300, 6_000, 25_000];
        self.now += Duration::from_millis(steps[random.below(steps.len() as u64) as usize]);
        // What follows from it takes time, too, in which a new timer may become due.
        let ticked = self.now;
        self.handle(Input::Tick);
        assert!(self.core.poll_timeout().is_none_or(|at| at > ticked), "a timer stayed behind");
    }

    pub(super) fn network_acts(&mut self, random: &mut Random) {
        if let Some(recorded) = random.once_in(2).then(|| self.take_record(true)).flatten() {
            return self.handle(recorded);
        }
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
                    self.handle(Input::Synced { client, request });
                }
            }
            _ => self.bytes_flow(random),
        }
    }

    fn systems_where(&self, wanted: impl Fn(&System) -> bool) -> Vec<SocketId> {
        self.systems.iter().filter(|(_, system)| wanted(system)).map(|(&id, _)| id).collect()
    }

    pub(super) fn answer_lookup(&mut self, random: &mut Random) {
        if self.lookups.is_empty() {
            return;
        }
        let asked = self.lookups.swap_remove(random.below(self.lookups.len() as u64) as usize);
        let lookup = asked.lookup;
        let all = ["1.1.1.1:80", "[2::2]:80", "3.3.3.3:80"].map(|text| text.parse().unwrap());
        let result = match random.below(4) {
            0 => {
                Err(Failure { code: luasocketd_protocol::Code::Resolve, detail: -2, message: String::new() })
            }
            _ => Ok(match asked.question {
                Question::Addresses { .. } => Answer::Addresses(all[..random.below(4) as usize].to_vec()),
                Question::Host(name) => {
                    Answer::Host(HostEntry { name, aliases: vec![], addresses: vec!["1.1.1.1".into()] })
                }
                Question::Names { .. } | Question::NamesOf { .. } => {
                    Answer::Names(NameInfo { names: vec!["name".into()], service: None })
                }
            }),
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

    /// A datagram comes, or news of an earlier one.
    fn datagram_comes(&mut self, random: &mut Random) {
        let waiting = self.systems_where(|system| system.datagrams);
        let Some(&socket) = random.pick(&waiting) else { return };
        if random.once_in(10) {
            return self.handle(Input::SocketError { socket, errno: 111 });
        }
        let credit = self.core.push_credit(socket, self.now);
        self.perform();
        let from = Place::Net("1.1.1.1:53".parse().unwrap());
        if credit == 0 || !self.core.admit_datagram(socket, &from, 1) {
            return;
        }
        assert!(credit >= UDP_MAX + DATAGRAM_OVERHEAD, "the largest datagram would not fit");
        let cost = random.below((UDP_MAX + DATAGRAM_OVERHEAD) as u64) as u32;
        self.core.on_pushed(socket, cost as usize, self.now);
        self.pushed(socket, cost);
    }

    fn bytes_flow(&mut self, random: &mut Random) {
        if random.once_in(3) {
            return self.datagram_comes(random);
        }
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
                self.core.on_written(socket, length as usize, self.now);
                self.perform();
            }
            _ => {
                let credit = self.core.push_credit(socket, self.now) as u64;
                self.perform();
                let length = random.below(credit + 1) as u32;
                self.core.on_pushed(socket, length as usize, self.now);
                self.pushed(socket, length);
            }
        }
    }

    /// Bytes have gone to whoever reads from the socket.
    fn pushed(&mut self, socket: SocketId, length: u32) {
        // Its client may have been at the end of its bytes, and the socket gone with that.
        let reader = self.systems.get(&socket).and_then(|system| system.reader);
        let reader = reader.and_then(|reader| self.clients.get_mut(&reader));
        match reader.and_then(|reader| reader.sockets.get_mut(&socket)) {
            Some(known) => known.unread += length,
            None => assert_eq!(length, 0, "bytes pushed for a socket that their reader has not"),
        }
    }
}

/// A machine without users.
struct Nobody;

impl Accounts for Nobody {
    fn user(&self, _name: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }

    fn group(&self, _name: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }
}
