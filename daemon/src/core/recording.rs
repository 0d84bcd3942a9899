//! What is told to the audit trail: who asked for what, what was decided, how it ended.
//!
//! Invariant: what is decided and let through is ended once, unless its decision could not be recorded; then it
//! is not done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Code, Failure, Kind, SocketId};

use super::action::{Action, Names};
use super::holding::Held;
use super::machine::Core;
use super::place::Place;
use super::policy::Verdict;
use super::question::Answer;
use super::slots::ClientId;
use super::socket::{Socket, State};
use super::trail::{Decided, End, Ended, Matter, Record, Traffic, TrailId};

/// The most peers of one datagram socket that the trail follows at a time: a server's usual crowd. Past it the one
/// that was sent to least recently is ended for the next one.
pub(crate) const PEERS_MAX: usize = 64;

/// What a client asks for, in its own words.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: TrailId,
    pub(crate) parent: Option<TrailId>,
    pub(crate) matter: Matter,
    pub(crate) kind: Kind,
    pub(crate) host: String,
    pub(crate) port: Option<String>,
}

/// What the policy has said to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) places: Vec<Place>,
    pub(crate) denied: Vec<Place>,
    /// The own address, where it is known already.
    pub(crate) local: Option<Place>,
    /// How long the lookup took that has led there.
    pub(crate) lookup: Option<Duration>,
    pub(crate) verdict: Verdict,
}

/// Something that was decided and has not ended.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) decided: Arc<Decided>,
    at: Instant,
    /// How long connecting took.
    pub(crate) connect: Option<Duration>,
    pub(crate) local: Option<Place>,
    pub(crate) peer: Option<Place>,
    /// The peer has ended its direction.
    pub(crate) peer_ended: bool,
    /// When it was sent to last.
    used: Instant,
    /// Of datagrams: what went there, and what came from there.
    sent: Traffic,
    received: Traffic,
}

impl Open {
    fn new(decided: Arc<Decided>, now: Instant) -> Self {
        Open {
            at: now,
            connect: None,
            local: decided.local.clone(),
            peer: None,
            peer_ended: false,
            used: now,
            sent: Traffic::default(),
            received: Traffic::default(),
            decided,
        }
    }

    /// Notes that it has come about.
    pub(crate) fn established(&mut self, names: &Names, connect: Option<Duration>) {
        self.connect = connect;
        (self.local, self.peer) = (Some(names.local.clone()), Some(names.peer.clone()));
    }

    /// Whether it is about datagrams to this place.
    pub(crate) fn is_peer(&self, place: &Place) -> bool {
        let peer = self.peer.as_ref().or(self.decided.places.first());
        self.decided.matter == Matter::DatagramPeer && peer == Some(place)
    }

    /// Whether it is about datagrams that are sent to this multicast group.
    pub(crate) fn is_group(&self, group: IpAddr) -> bool {
        let place = self.decided.places.first();
        self.decided.matter == Matter::Listener
            && matches!(place, Some(Place::Net(address)) if address.ip() == group)
    }

    fn ended(self, end: End, failure: Option<Failure>, answers: Vec<String>, now: Instant) -> Record {
        Record::Ended(Box::new(Ended {
            lasted: now.saturating_duration_since(self.at),
            local: self.local,
            peer: self.peer,
            answers,
            end,
            failure,
            connect: self.connect,
            sent: self.sent,
            received: self.received,
            decided: self.decided,
        }))
    }
}

impl Core {
    /// Has everything recorded from here on.
    pub(crate) fn keep_trail(&mut self) {
        self.config.recorded = true;
    }

    /// A new question of a client.
    pub(crate) fn asked(&mut self, matter: Matter, kind: Kind, host: &str, port: Option<&str>) -> Asked {
        let id = self.next_record;
        self.next_record = TrailId(id.0 + self.config.lane.records().1);
        Asked { id, parent: None, matter, kind, host: host.to_owned(), port: port.map(str::to_owned) }
    }

    /// What is asked of the resolver for the sake of something else.
    pub(crate) fn asked_for(&mut self, whole: &Asked, host: &str) -> Asked {
        let (parent, kind) = (Some(whole.id), whole.kind);
        Asked { parent, ..self.asked(Matter::Lookup, kind, host, None) }
    }

    /// Tells the trail that something is refused, and why.
    pub(crate) fn record_refusal(
        &mut self,
        client: ClientId,
        asked: Asked,
        findings: Findings,
        failure: &Failure,
    ) {
        if !self.config.recorded {
            return;
        }
        if let Some(mut decided) = self.decision(client, asked, findings) {
            decided.refusal = Some(failure.clone());
            let record = Record::Decided(Arc::new(decided));
            self.act(Action::Record { record, socket: None, wanted: false });
        }
    }

    /// Tells the trail what a socket may do from here on; it goes on with `held` when that is recorded.
    pub(crate) fn record_socket(&mut self, id: SocketId, asked: Asked, findings: Findings, held: Held) {
        if !self.config.recorded {
            return self.release(held);
        }
        let Some(client) = self.sockets.get(id).map(|socket| socket.client) else { return };
        let Some(decided) = self.decision(client, asked, findings).map(Arc::new) else { return };
        let now = self.now;
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.opens.push(Open::new(Arc::clone(&decided), now));
        }
        self.hold(decided, Some(id), held);
    }

    /// Tells the trail that a lookup begins; it is kept until it ends.
    pub(crate) fn open_lookup(&mut self, client: ClientId, asked: Asked, verdict: Verdict) -> Option<Open> {
        let findings = Findings { verdict, ..Findings::default() };
        let decided = self.decision(client, asked, findings)?;
        Some(Open::new(Arc::new(decided), self.now))
    }

    /// What is recorded of a decision for a client that is there.
    fn decision(&self, client: ClientId, asked: Asked, findings: Findings) -> Option<Decided> {
        let party = Arc::clone(&self.clients.get(client)?.party);
        let Asked { id, parent, matter, kind, host, port } = asked;
        let Findings { places, denied, local, lookup, verdict } = findings;
        Some(Decided {
            id,
            parent,
            matter,
            kind,
            party,
            host,
            port,
            places,
            denied,
            local,
            lookup,
            verdict,
            refusal: None,
        })
    }

    /// Ends everything that the trail follows of a socket.
    pub(crate) fn end_records(&mut self, id: SocketId, end: End, failure: Option<&Failure>) {
        let opens = self.sockets.get_mut(id).map(|socket| std::mem::take(&mut socket.opens));
        for open in opens.into_iter().flatten() {
            self.end_record(Some(id), open, end, failure);
        }
    }

    /// Ends one of the things that the trail follows of a socket.
    pub(crate) fn end_one(
        &mut self,
        id: SocketId,
        end: End,
        failure: Option<&Failure>,
        which: impl Fn(&Open) -> bool,
    ) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Some(position) = socket.opens.iter().position(which) {
            let open = socket.opens.swap_remove(position);
            self.end_record(Some(id), open, end, failure);
        }
    }

    fn end_record(&mut self, id: Option<SocketId>, mut open: Open, end: End, failure: Option<&Failure>) {
        if let Some(socket) = id.and_then(|id| self.sockets.get(id))
            && !socket.kind.is_datagram()
        {
            [open.sent, open.received] = socket.traffic;
            // What has not come about was still being connected.
            open.connect = open.connect.or_else(|| socket.dialing_for(self.now));
        }
        let end = if end == End::Closed && open.peer_ended { End::PeerEnded } else { end };
        let number = open.decided.id;
        let record = open.ended(end, failure.cloned(), Vec::new(), self.now);
        self.tell_end(number, id, record);
    }

    /// Ends the record of a lookup.
    pub(crate) fn end_lookup(&mut self, open: Option<Open>, result: &Result<Answer, Failure>) {
        let Some(open) = open else { return };
        let (end, failure, answers) = match result {
            Ok(answer) => (End::Answered, None, answer.texts()),
            Err(failure) => (end_of(failure), Some(failure.clone()), Vec::new()),
        };
        let number = open.decided.id;
        let record = open.ended(end, failure, answers, self.now);
        self.tell_end(number, None, record);
    }

    /// Forgets what could not be recorded.
    pub(crate) fn disown(&mut self, socket: SocketId, id: TrailId) {
        if let Some(socket) = self.sockets.get_mut(socket) {
            socket.opens.retain(|open| open.decided.id != id);
        }
    }

    /// Ends all that the trail follows: the daemon ends.
    pub fn end_trail(&mut self, now: Instant) {
        self.now = now;
        let sockets: Vec<SocketId> = self.sockets.iter().map(|(id, _)| id).collect();
        for id in sockets {
            self.end_records(id, End::DaemonEnded, None);
        }
        let lookups: Vec<Open> =
            self.lookups.iter_mut().filter_map(|(_, lookup)| lookup.open.take()).collect();
        for open in lookups {
            self.end_record(None, open, End::DaemonEnded, None);
        }
        // Nobody waits for the decisions any more that are on their way to the disk; the ends follow them there.
        self.release_ends();
    }

    /// Makes room for one more peer of a datagram socket.
    pub(crate) fn displace_peer(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get(id) else { return };
        let State::Datagrams(datagrams) = &socket.state else { return };
        // Whoever the socket is connected to is sent to without being named again.
        let is_other = |open: &&Open| !datagrams.peer().is_some_and(|peer| open.is_peer(peer));
        let peers = || {
            let all = socket.opens.iter().filter(|open| open.decided.matter == Matter::DatagramPeer);
            all.filter(is_other)
        };
        if peers().count() < PEERS_MAX {
            return;
        }
        if let Some(oldest) = peers().min_by_key(|open| open.used).map(|open| open.decided.id) {
            self.end_one(id, End::Displaced, None, |open| open.decided.id == oldest);
        }
    }
}

impl Socket {
    /// How long it has been connecting.
    pub(crate) fn dialing_for(&self, now: Instant) -> Option<Duration> {
        self.dialed.map(|dialed| now.saturating_duration_since(dialed))
    }

    /// The decisions by which the trail follows datagrams to this place.
    pub(crate) fn decisions_on(&self, place: &Place) -> impl Iterator<Item = TrailId> {
        self.opens.iter().filter(|open| open.is_peer(place)).map(|open| open.decided.id)
    }

    /// Notes the addresses that something has got.
    pub(crate) fn note_names(&mut self, id: Option<TrailId>, local: Option<&Place>, peer: Option<&Place>) {
        for open in self.opens.iter_mut().filter(|open| Some(open.decided.id) == id) {
            (open.local, open.peer) = (local.cloned(), peer.cloned());
        }
    }

    /// Counts a datagram that was sent to a place.
    pub(crate) fn count_sent(&mut self, place: &Place, bytes: usize, now: Instant) {
        if let Some(open) = self.opens.iter_mut().find(|open| open.is_peer(place)) {
            (open.used, open.peer) = (now, Some(place.clone()));
            open.sent.count(bytes, true);
        }
    }

    /// Counts a datagram that came from a place: of that peer, else of the socket that hears strangers.
    pub(crate) fn count_received(&mut self, place: &Place, bytes: usize) {
        let known = self.opens.iter().position(|open| open.is_peer(place));
        let heard = || self.opens.iter().position(|open| open.decided.matter == Matter::Listener);
        if let Some(open) = known.or_else(heard).and_then(|position| self.opens.get_mut(position)) {
            open.received.count(bytes, true);
        }
    }

    /// Why it is ended when nobody says more.
    pub(crate) fn plain_end(&self) -> End {
        match &self.state {
            State::Connected(_) | State::Closing { .. } | State::Listening { .. } | State::Datagrams(_) => {
                End::Closed
            }
            _ => End::Cancelled,
        }
    }
}

/// Why something ended that has failed.
pub(crate) fn end_of(failure: &Failure) -> End {
    match failure.code {
        Code::Timeout => End::Timeout,
        Code::Cancelled => End::Cancelled,
        Code::Denied => End::Forbidden,
        Code::Limit => End::Limit,
        Code::Os
        | Code::Resolve
        | Code::Host
        | Code::Closed
        | Code::UnknownSocket
        | Code::BadArgument
        | Code::UnknownMethod
        | Code::Version
        | Code::ShuttingDown
        | Code::Unrecorded => End::Failed,
    }
}

#[cfg(test)]
mod tests {
    use luasocketd_protocol::{Call, Connect, Family, Hello};

    use super::super::action::Input;
    use super::super::client::Credentials;
    use super::super::machine::Config;
    use super::super::policy::Policy;
    use super::*;

    #[test]
    fn what_is_still_being_recorded_when_the_daemon_ends_has_its_end_behind_it() {
        let now = Instant::now();
        let policy = Policy::new(vec!["*".parse().unwrap()]);
        let mut core = Core::new(Config { policy, recorded: true, ..Config::default() }, now);
        let client = core.add_client(Credentials { uid: 0, gid: 0, pid: 1 }, now).unwrap();
        let hello = Hello { version: 1, client: "test", lua: "" };
        core.handle(Input::Request { client, request: 1, call: Call::Hello(hello) }, now);
        let (host, port, family) = ("192.0.2.1", "80", Family::Unspec);
        let connect = Connect { socket: None, host, port, family, timeout_ms: None, window: 0 };
        core.handle(Input::Request { client, request: 2, call: Call::Connect(connect) }, now);
        core.end_trail(now);
        let records: Vec<Record> = std::iter::from_fn(|| core.poll_action())
            .filter_map(|action| match action {
                Action::Record { record, .. } => Some(record),
                _ => None,
            })
            .collect();
        let [Record::Decided(decided), Record::Ended(ended)] = &records[..] else { panic!("{records:?}") };
        assert_eq!((ended.decided.id, ended.end), (decided.id, End::DaemonEnded));
    }
}
