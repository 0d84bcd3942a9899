//! From `connect` to the first byte: name, policy, attempts, connection.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use luasocketd_protocol::{Connect, Endpoint, Failure, Family, Kind, MAX_WINDOW, SocketId};

use super::action::{Action, Names, Reply};
use super::backoff::Backoff;
use super::calls::{Purpose, over_limit};
use super::client::Subject;
use super::dial::{Dial, Next};
use super::flow::Flow;
use super::holding::Held;
use super::lookups::no_address;
use super::machine::{Core, shutting_down};
use super::numbers::errno;
use super::place::{Place, check_path};
use super::policy::{Verb, Verdict};
use super::question::Question;
use super::recording::{Asked, Findings};
use super::requests::{bad_argument, check_name};
use super::slots::ClientId;
use super::socket::{ConnectPlan, Plan, State};
use super::timers::Timer;
use super::trail::{End, Matter};

impl Core {
    pub(crate) fn on_connect(
        &mut self,
        client: ClientId,
        request: u32,
        connect: Connect<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(connect.host, connect.port)?;
        check_window(connect.window)?;
        if self.draining.is_some() {
            return Err(shutting_down());
        }
        let own = connect.socket.map(|socket| self.idle_for_connect(client, socket)).transpose()?;
        let family = own.as_ref().map_or(connect.family, |(family, _)| *family);
        let is_path = family == Family::Unix;
        let host = if is_path { connect.host } else { peer_host(connect.host, family) };
        let kind = if is_path { Kind::UnixStream } else { Kind::Tcp };
        let port = (!is_path).then_some(connect.port);
        let asked = self.asked(Matter::Connection, kind, connect.host, port);
        let verdict = if is_path {
            check_path(host)?;
            self.judge_place(client, Verb::Connect, host, &Place::Path(host.to_owned()), &asked)?
        } else {
            self.judge_lookup(client, Some(Verb::Connect), host, &asked)?
        };
        let timeout_ms = self.bounded(client, connect.timeout_ms);
        let begun = self.begin_on_idle(client, request, connect.socket, kind, family, timeout_ms, now);
        let socket = begun.inspect_err(|refusal| {
            let findings = Findings { verdict: verdict.clone(), ..Findings::default() };
            self.record_refusal(client, asked.clone(), findings, refusal);
        })?;
        let plan = ConnectPlan { host: host.to_owned(), asked, lookup: None, window: connect.window, own };
        match literal(host, connect.port, family) {
            _ if is_path => self.dial_path(client, socket, request, plan, verdict, now),
            Some(address) => self.dial(socket, request, plan, &[address], now),
            None => {
                let plan = Plan::Connect(plan);
                self.resolve_for(socket, request, host, connect.port, family, plan, verdict);
            }
        }
        Ok(None)
    }

    /// Keeps a request for a socket that is to be connected or bound; it is made where there is none.
    #[expect(clippy::too_many_arguments, reason = "the parts of a request, each named")]
    pub(crate) fn begin_on_idle(
        &mut self,
        client: ClientId,
        request: u32,
        socket: Option<SocketId>,
        kind: Kind,
        family: Family,
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<SocketId, Failure> {
        match socket {
            Some(socket) => {
                self.begin_call(client, request, Subject::Socket(socket), timeout_ms, now)?;
                Ok(socket)
            }
            None => {
                let socket = self.new_socket(client, kind, State::Idle { family, bound: None })?;
                self.begin_socket_call(client, request, socket, timeout_ms, now)?;
                Ok(socket)
            }
        }
    }

    /// What a socket that was made before has to be to be connected.
    fn idle_for_connect(
        &mut self,
        client: ClientId,
        socket: SocketId,
    ) -> Result<(Family, Option<(String, Place)>), Failure> {
        match &self.own(client, socket)?.state {
            State::Idle { family, bound } => Ok((*family, bound.clone())),
            State::Connected(_) | State::Listening { .. } | State::Starting { .. } => {
                Err(Failure::os(errno::EISCONN))
            }
            State::Datagrams(_) => Err(Failure::os(errno::EOPNOTSUPP)),
            _ => Err(Failure::os(errno::EALREADY)),
        }
    }

    /// Starts to connect to a path that was judged.
    fn dial_path(
        &mut self,
        client: ClientId,
        socket: SocketId,
        request: u32,
        connect: ConnectPlan,
        verdict: Verdict,
        now: Instant,
    ) {
        let (path, asked) = (connect.host.clone(), connect.asked.clone());
        let findings = Findings { places: vec![Place::Path(path.clone())], verdict, ..Findings::default() };
        let counted = self.count_connect(client, now);
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        entry.note_admitted(Verb::Connect, &path, findings.places.clone());
        let backoff = Backoff::default();
        entry.state = State::DialingPath { request, connect, backoff, next_attempt: None };
        self.record_connect(client, socket, asked, findings, counted);
    }

    /// Has a connect recorded that the policy allows; it begins then, unless its client has had too many.
    fn record_connect(
        &mut self,
        client: ClientId,
        socket: SocketId,
        asked: Asked,
        findings: Findings,
        counted: Result<(), Failure>,
    ) {
        match counted {
            Ok(()) => self.record_socket(socket, asked, findings, Held::Dial(socket)),
            Err(refusal) => {
                self.record_refusal(client, asked, findings, &refusal);
                self.fail_socket_call(socket, refusal);
            }
        }
    }

    /// Begins to connect: the trail knows of it.
    pub(crate) fn start_dial(&mut self, socket: SocketId) {
        let now = self.now;
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        match &entry.state {
            State::Dialing { .. } => self.start_attempt(socket, false, now),
            State::DialingPath { connect, .. } => {
                let (client, path) = (entry.client, connect.host.clone());
                let follow = self.follows_links(client);
                self.act(Action::DialPath { socket, path, follow });
            }
            _ => {}
        }
    }

    fn on_path_dialed(&mut self, socket: SocketId, result: Result<Names, i32>, now: Instant) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::DialingPath { request, connect, backoff, next_attempt, .. } = &mut entry.state else {
            return;
        };
        let (request, window) = (*request, connect.window);
        match result {
            Ok(names) => self.establish(client, request, socket, window, names),
            Err(errno::EAGAIN) => {
                let at = now + backoff.pause();
                *next_attempt = Some(at);
                self.timers.set(at, Timer::Dial(socket));
            }
            Err(errno) => self.fail_socket_call(socket, Failure::os(errno)),
        }
    }

    /// Asks the resolver for a socket's sake; fails the socket's call if it cannot be asked.
    #[expect(clippy::too_many_arguments, reason = "the parts of a question, each named")]
    pub(crate) fn resolve_for(
        &mut self,
        socket: SocketId,
        request: u32,
        host: &str,
        port: &str,
        family: Family,
        plan: Plan,
        verdict: Verdict,
    ) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        let asked = self.asked_for(plan.asked(), host);
        let question = Question::Addresses {
            host: host.to_owned(),
            port: Some(port.to_owned()),
            family,
            kind: Kind::Tcp,
            numeric: false,
        };
        let lookup = self.begin_lookup(client, Purpose::Socket(socket), question, asked, verdict);
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        match lookup {
            Ok(lookup) => entry.state = State::Resolving { request, lookup, plan },
            Err(failure) => {
                // The plan knows what the socket goes back to.
                let lookup = super::slots::Key::from_parts(0, 0);
                entry.state = State::Resolving { request, lookup, plan };
                self.fail_socket_call(socket, failure);
            }
        }
    }

    pub(crate) fn on_socket_resolved(
        &mut self,
        socket: SocketId,
        answered: super::slots::LookupId,
        result: Result<Vec<SocketAddr>, Failure>,
        took: Duration,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        match &mut entry.state {
            State::Resolving { lookup, plan, .. } if *lookup == answered => {
                if let Plan::Connect(connect) = plan {
                    connect.lookup = Some(took);
                }
            }
            State::Datagrams(_) => return self.on_datagrams_resolved(socket, answered, result, now),
            _ => return,
        }
        let addresses = match result {
            Ok(addresses) if addresses.is_empty() => {
                return self.fail_socket_call(socket, no_address());
            }
            Ok(addresses) => addresses,
            Err(failure) => return self.fail_socket_call(socket, failure),
        };
        let placeholder = State::Reserved;
        match std::mem::replace(&mut entry.state, placeholder) {
            State::Resolving { request, plan: Plan::Connect(plan), .. } => {
                self.dial(socket, request, plan, &addresses, now);
            }
            State::Resolving { request, plan: Plan::Bind(plan), .. } => {
                self.bind_to(socket, request, plan, addresses.into_iter().map(Place::Net).collect());
            }
            other => entry.state = other,
        }
    }

    /// Starts on those addresses that the policy allows.
    fn dial(
        &mut self,
        socket: SocketId,
        request: u32,
        connect: ConnectPlan,
        addresses: &[SocketAddr],
        now: Instant,
    ) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        let (host, asked, lookup) = (connect.host.clone(), connect.asked.clone(), connect.lookup);
        let judged = self.judge_addresses(client, Verb::Connect, &host, addresses, &asked);
        let counted = if judged.is_ok() { self.count_connect(client, now) } else { Ok(()) };
        let bound =
            connect.own.as_ref().and_then(|(_, bound)| bound.as_ref().map(|(_, place)| place.clone()));
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let places = judged.as_ref().map(|found| found.places.clone()).unwrap_or_default();
        let dial = Dial::new(&net_addresses(&places), connect.own.is_none());
        entry.note_admitted(Verb::Connect, &host, places);
        entry.state = State::Dialing { request, connect, dial, next_attempt: None };
        match judged {
            Ok(found) => {
                let findings = Findings { local: bound, lookup, ..found };
                self.record_connect(client, socket, asked, findings, counted);
            }
            Err(refusal) => self.fail_socket_call(socket, refusal),
        }
    }

    /// Starts the next attempt of a connect, if it is its turn.
    fn start_attempt(&mut self, socket: SocketId, delay_over: bool, now: Instant) {
        let Some(State::Dialing { connect, dial, next_attempt, .. }) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        else {
            return;
        };
        let Some((attempt, address)) = dial.start(delay_over) else { return };
        let own = connect.own.is_some();
        let (before, after) = (*next_attempt, dial.next_start(now));
        *next_attempt = after;
        if let Some(at) = before {
            self.timers.cancel(at, Timer::Dial(socket));
        }
        if let Some(at) = after {
            self.timers.set(at, Timer::Dial(socket));
        }
        self.act(Action::Dial { socket, attempt, address, own });
    }

    pub(crate) fn on_dial_delay(&mut self, socket: SocketId, now: Instant) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        if let State::DialingPath { connect, next_attempt, .. } = &mut entry.state {
            *next_attempt = None;
            let (client, path) = (entry.client, connect.host.clone());
            let follow = self.follows_links(client);
            return self.act(Action::DialPath { socket, path, follow });
        }
        self.start_attempt(socket, true, now);
    }

    pub(crate) fn on_dialed(
        &mut self,
        socket: SocketId,
        attempt: usize,
        result: Result<Names, i32>,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let (dial, connect) = match &mut entry.state {
            State::Dialing { dial, connect, .. } => (dial, connect),
            State::DialingPath { .. } => return self.on_path_dialed(socket, result, now),
            _ => return,
        };
        if !dial.is_running(attempt) {
            return;
        }
        match result {
            Ok(names) => self.connected(socket, attempt, names),
            Err(errno) => {
                let tried = dial.address(attempt).map(Place::Net);
                entry.opens.iter_mut().for_each(|open| open.peer = tried.clone());
                let (next, own) = (dial.on_failed(attempt, errno), connect.own.is_some());
                self.act(Action::HangUp { socket, attempt, own });
                match next {
                    Next::GiveUp(errno) => self.fail_socket_call(socket, Failure::os(errno)),
                    Next::Wait => self.start_attempt(socket, false, now),
                }
            }
        }
    }

    /// Makes a connected socket of the attempt that has won.
    fn connected(&mut self, socket: SocketId, winner: usize, names: Names) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let (client, State::Dialing { request, connect, dial, .. }) = (entry.client, &entry.state) else {
            return;
        };
        let (request, window) = (*request, connect.window);
        let dialed = dial.address(winner).map(|address| (connect.host.clone(), address));
        let losers: Vec<usize> = dial.running().iter().copied().filter(|&other| other != winner).collect();
        for attempt in losers {
            // Attempts on a socket of one's own come one at a time.
            self.act(Action::HangUp { socket, attempt, own: false });
        }
        self.cancel_dial_timer(socket);
        if let (Some(entry), Some((host, address))) = (self.sockets.get_mut(socket), dialed) {
            entry.note_admitted(Verb::Connect, &host, vec![Place::Net(address)]);
        }
        self.establish(client, request, socket, window, names);
    }

    /// Lets bytes flow on a socket, and answers the request that it was made for.
    pub(crate) fn establish(
        &mut self,
        client: ClientId,
        request: u32,
        socket: SocketId,
        window: u32,
        names: Names,
    ) {
        let Some(budget) = self.clients.get(client).map(|client| client.budget.clone()) else {
            self.end_records(socket, End::ClientGone, None);
            return self.forget_socket(socket);
        };
        let flow = match Flow::new(window, &budget) {
            Ok(flow) => flow,
            Err(over) => {
                let state = self.sockets.get(socket).map(|socket| &socket.state);
                if let Some(State::Dialing { .. } | State::DialingPath { .. }) = state {
                    return self.fail_socket_call(socket, over_limit(over));
                }
                self.end_records(socket, End::Limit, Some(&over_limit(over)));
                self.forget_socket(socket);
                return self.fail(client, request, over_limit(over));
            }
        };
        let endpoint = Endpoint {
            socket,
            window: flow.first_window(),
            local: names.local.clone().into(),
            peer: names.peer.clone().into(),
        };
        let now = self.now;
        if let Some(entry) = self.sockets.get_mut(socket) {
            entry.state = State::Connected(flow);
            let connect = entry.dialing_for(now);
            for open in &mut entry.opens {
                open.established(&names, connect);
            }
        }
        self.reply(client, request, Reply::Endpoint(endpoint));
        self.act(Action::Start { socket, client });
    }

    pub(crate) fn cancel_dial_timer(&mut self, socket: SocketId) {
        if let Some(
            State::Dialing { next_attempt: Some(at), .. } | State::DialingPath { next_attempt: Some(at), .. },
        ) = self.sockets.get(socket).map(|socket| &socket.state)
        {
            self.timers.cancel(*at, Timer::Dial(socket));
        }
    }
}

/// The address that needs no resolver, when host and port are spelt in the ordinary way.
pub(crate) fn literal(host: &str, port: &str, family: Family) -> Option<SocketAddr> {
    let ip: IpAddr = host.parse().ok()?;
    let fits = matches!(family, Family::Unspec | Family::Dual) || Family::of(ip) == family;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (fits && is_number).then(|| port.parse().ok().map(|port| SocketAddr::new(ip, port)))?
}

fn net_addresses(places: &[Place]) -> Vec<SocketAddr> {
    let address = |place: &Place| match place {
        Place::Net(address) => Some(*address),
        Place::Path(_) => None,
    };
    places.iter().filter_map(address).collect()
}

/// `"*"` as a peer is this machine, as glibc has it.
pub(crate) fn peer_host(host: &str, family: Family) -> &str {
    match (host, family) {
        ("*", Family::Inet6) => "::1",
        ("*", _) => "127.0.0.1",
        (host, _) => host,
    }
}

pub(crate) fn check_window(window: u32) -> Result<(), Failure> {
    if window > MAX_WINDOW {
        return Err(bad_argument(format!("a window is at most {MAX_WINDOW} bytes")));
    }
    Ok(())
}
