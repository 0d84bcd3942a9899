//! Requests that wait: how they begin, how they end, and what is left when they end early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Code, Failure};

use super::action::{Action, Reply};
use super::budget::{Charge, OverLimit, Resource};
use super::client::{PendingCall, Subject};
use super::holding::Held;
use super::machine::Core;
use super::policy::Verdict;
use super::question::{Lookup, Question};
use super::recording::{Asked, Findings, Open};
use super::slots::{ClientId, LookupId};
use super::socket::State;
use super::timers::Timer;

/// A lookup that the resolver has not answered. It stays charged after its request has ended, as the
/// resolver cannot be stopped.
#[derive(Debug)]
pub(crate) struct PendingLookup {
    pub(crate) purpose: Purpose,
    pub(crate) since: Instant,
    /// What the trail follows; nothing for what no server is asked about.
    pub(crate) open: Option<Open>,
    pub(crate) _charge: Charge,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The client's `resolve`.
    Answer(ClientId, u32),
    /// The addresses of the client's `name-info`, whose names are asked for next; whether that of a port, too.
    Names(ClientId, u32, bool),
    /// A socket that waits to be connected or bound.
    Socket(luasocketd_protocol::SocketId),
}

/// A time limit on the pipe is at most this long; what is longer is no limit in practice (a century),
/// and `Instant` cannot hold every number of milliseconds.
const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Core {
    /// Keeps a request that cannot be answered at once.
    pub(crate) fn begin_call(
        &mut self,
        client: ClientId,
        request: u32,
        subject: Subject,
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(entry) = self.clients.get_mut(client) else { return Ok(()) };
        let charge = entry.budget.charge(Resource::Calls, 1).map_err(over_limit)?;
        let deadline = timeout_ms.map(|ms| now + Duration::from_millis(ms).min(TIMEOUT_MAX));
        entry.calls.insert(request, PendingCall { deadline, subject, _charge: charge });
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::Call(client, request));
        }
        Ok(())
    }

    /// The time limit of a call to connect, to bind or to look up: the script's own or that of its profile,
    /// whichever is shorter.
    pub(crate) fn bounded(&self, client: ClientId, timeout_ms: Option<u64>) -> Option<u64> {
        let profile = self.clients.get(client).and_then(|client| client.profile.as_ref());
        let most = profile.and_then(|profile| profile.connect_timeout);
        // A profile's time is at most a day.
        let most = most.map(|most| most.as_millis() as u64);
        timeout_ms.into_iter().chain(most).min()
    }

    /// Whether a request waits for this, still: its number may stand for a later one by now.
    pub(crate) fn waits_for(&self, client: ClientId, request: u32, subject: Subject) -> bool {
        let call = self.clients.get(client).and_then(|client| client.calls.get(&request));
        call.is_some_and(|call| call.subject == subject)
    }

    /// Has a request that is as good as answered wait for the record of it, and for nothing else.
    pub(crate) fn await_record(&mut self, client: ClientId, request: u32) {
        let call = self.clients.get_mut(client).and_then(|client| client.calls.get_mut(&request));
        let Some(call) = call else { return };
        call.subject = Subject::Record;
        if let Some(deadline) = call.deadline.take() {
            self.timers.cancel(deadline, Timer::Call(client, request));
        }
    }

    /// Lets a request go that is being answered.
    fn end_call(&mut self, client: ClientId, request: u32) {
        let call = self.clients.get_mut(client).and_then(|client| client.calls.remove(&request));
        if let Some(deadline) = call.and_then(|call| call.deadline) {
            self.timers.cancel(deadline, Timer::Call(client, request));
        }
    }

    /// Answers a request.
    pub(crate) fn reply(&mut self, client: ClientId, request: u32, reply: Reply) {
        self.end_call(client, request);
        self.act(Action::Reply { client, request, reply });
    }

    /// Answers a request with a failure.
    pub(crate) fn fail(&mut self, client: ClientId, request: u32, failure: Failure) {
        self.end_call(client, request);
        self.act(Action::Fail { client, request, failure });
    }

    /// Asks the resolver, once that is recorded.
    pub(crate) fn begin_lookup(
        &mut self,
        client: ClientId,
        purpose: Purpose,
        question: Question,
        asked: Asked,
        verdict: Verdict,
    ) -> Result<LookupId, Failure> {
        let is_asked_about = self.config.recorded && question.asks_a_server();
        let budget = &self.clients.get(client).ok_or_else(client_gone)?.budget;
        let charge = match budget.charge(Resource::Lookups, 1).map_err(over_limit) {
            Ok(charge) => charge,
            Err(refusal) => {
                if is_asked_about {
                    let findings = Findings { verdict, ..Findings::default() };
                    self.record_refusal(client, asked, findings, &refusal);
                }
                return Err(refusal);
            }
        };
        let open = if is_asked_about { self.open_lookup(client, asked, verdict) } else { None };
        let decided = open.as_ref().map(|open| Arc::clone(&open.decided));
        let pending = PendingLookup { purpose, since: self.now, open, _charge: charge };
        let id = self.lookups.insert(pending);
        let id = id.ok_or_else(|| Failure::new(Code::Limit, "no lookup slots"))?;
        let lookup = Lookup { lookup: id, question };
        match decided {
            Some(decided) => self.hold(decided, None, Held::Lookup(lookup)),
            None => self.act(Action::Lookup(lookup)),
        }
        Ok(id)
    }

    /// Ends a request because its time is over.
    pub(crate) fn on_call_timeout(&mut self, client: ClientId, request: u32, now: Instant) {
        self.abandon_call(client, request, Failure::new(Code::Timeout, "the call's time limit passed"), now);
    }

    /// Ends a request because its client wants so.
    pub(crate) fn on_cancel(&mut self, client: ClientId, request: u32, now: Instant) {
        self.abandon_call(client, request, cancelled(), now);
    }

    /// Fails a request that waits, and undoes what it had begun.
    fn abandon_call(&mut self, client: ClientId, request: u32, failure: Failure, now: Instant) {
        let Some(call) = self.clients.get(client).and_then(|client| client.calls.get(&request)) else {
            return;
        };
        match call.subject {
            Subject::Network => self.fail(client, request, failure),
            // What it waits for has happened: the answer follows the record of it.
            Subject::Record => {}
            Subject::Lookup(lookup) => {
                self.drop_lookup(lookup);
                self.fail(client, request, failure);
            }
            Subject::Socket(socket) => match self.sockets.get_mut(socket).map(|socket| &mut socket.state) {
                Some(State::Listening { accepts, .. }) => {
                    accepts.retain(|accept| accept.request != request);
                    self.fail(client, request, failure);
                }
                Some(State::Datagrams(_)) => self.abandon_datagram_call(socket, request, failure, now),
                None => self.fail(client, request, failure),
                _ => self.fail_socket_call(socket, failure),
            },
        }
    }
}

pub(crate) fn over_limit(over: OverLimit) -> Failure {
    Failure::new(Code::Limit, format!("{over}; close some, or ask the operator for more"))
}

/// Nobody reads this one.
pub(crate) fn client_gone() -> Failure {
    Failure::new(Code::Closed, "the client has gone")
}

pub(crate) fn cancelled() -> Failure {
    Failure::new(Code::Cancelled, "cancelled by the client")
}
