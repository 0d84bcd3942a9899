//! Datagrams on their way to the network: one answer for each.
//!
//! Invariant: a datagram goes only to a place that the policy allows when it goes.

use std::time::Instant;

use luasocketd_protocol::{Code, Failure, Family, Kind, SendTo, SocketId};

use super::action::{Action, Reply};
use super::association::{Origin, Plan};
use super::budget::{Charge, Resource};
use super::calls::{client_gone, over_limit};
use super::client::Subject;
use super::connecting::literal;
use super::holding::Held;
use super::machine::Core;
use super::meter::{Allowance, Way, spent_text};
use super::numbers::errno;
use super::place::{Place, check_path};
use super::policy::{Verb, Verdict};
use super::question::Question;
use super::recording::{Asked, Findings};
use super::requests::check_name;
use super::slots::ClientId;
use super::socket::{Socket, State};
use super::timers::Timer;
use super::trail::Matter;

/// A datagram that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) request: u32,
    pub(super) to: Option<Place>,
    /// Empty while the system is being asked.
    bytes: Vec<u8>,
    /// Whether it fails at once when there is no room.
    at_once: bool,
    /// Whether it has waited, so that the policy may be another one now.
    waited: bool,
    /// What the policy has said to it, and to what.
    pub(super) verdict: Verdict,
    asked: Asked,
    _charge: Charge,
}

impl Core {
    pub(crate) fn on_send_to(
        &mut self,
        client: ClientId,
        request: u32,
        send: SendTo<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let kind = self.own(client, send.socket)?.kind;
        let datagrams = self.datagrams(client, send.socket)?;
        let (family, has_peer) = (datagrams.family, datagrams.peer.is_some());
        let last = datagrams.last.clone();
        if send.bytes.len() > kind.datagram_max() {
            return Err(Failure::os(errno::EMSGSIZE));
        }
        let asked = self.asked_to_send(kind, send.host.unwrap_or_default(), send.port);
        let judged = match send.host {
            None if has_peer => None,
            None => return Err(Failure::os(errno::EDESTADDRREQ)),
            Some(host) => {
                check_name(host, send.port)?;
                self.judge_destination(client, host, send.port, family, last, &asked)?
            }
        };
        let (to, verdict) = judged.unzip();
        let charge = self.charge_bytes(client, send.bytes.len())?;
        let at_once = send.timeout_ms == Some(0);
        // A call that waits for nothing needs no timer: the system answers it now.
        let timeout_ms = send.timeout_ms.filter(|_| !at_once);
        self.begin_call(client, request, Subject::Socket(send.socket), timeout_ms, now)?;
        let sending = Sending {
            request,
            to,
            bytes: send.bytes.to_vec(),
            at_once,
            waited: false,
            verdict: verdict.unwrap_or_default(),
            asked,
            _charge: charge,
        };
        match send.host {
            // Spelt in a way that only the resolver knows, or not an address at all.
            Some(host) if sending.to.is_none() => {
                let question = Question::Addresses {
                    host: host.to_owned(),
                    port: Some(send.port.to_owned()),
                    family,
                    kind,
                    numeric: true,
                };
                let asked = sending.asked.clone();
                let plan = Plan::Send { host: host.to_owned(), sending: Box::new(sending) };
                let origin = Origin { request, fresh: false, record: None };
                // Its address is judged when it is known; nobody is asked for it.
                let verdict = Verdict::default();
                self.resolve_for_datagrams(client, send.socket, origin, question, plan, asked, verdict);
            }
            _ => self.queue_datagram(send.socket, sending, now),
        }
        Ok(None)
    }

    pub(crate) fn on_sent(
        &mut self,
        socket: SocketId,
        request: u32,
        result: Result<usize, i32>,
        bytes: Vec<u8>,
        now: Instant,
    ) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let Some(first) = datagrams.sends.front_mut().filter(|first| first.request == request) else {
            return;
        };
        if result == Err(errno::EAGAIN) && !first.at_once {
            (first.bytes, first.waited) = (bytes, true);
            let at = now + datagrams.backoff.pause();
            datagrams.resend = Some(at);
            return self.timers.set(at, Timer::Resend(socket));
        }
        datagrams.backoff.reset();
        let place = datagrams.sends.pop_front().and_then(|first| first.to).or(datagrams.peer.clone());
        match result {
            Ok(sent) => {
                if let Some(place) = place {
                    entry.count_sent(&place, sent, now);
                }
                self.count_bytes(socket, Way::ToNetwork, sent, now);
                self.reply(client, request, Reply::Sent(sent));
            }
            Err(errno::EAGAIN) => self.fail(client, request, no_room()),
            Err(errno) => self.fail(client, request, Failure::os(errno)),
        }
        self.send_next(socket, now);
    }

    pub(crate) fn on_resend(&mut self, socket: SocketId, now: Instant) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
        {
            datagrams.resend = None;
        }
        self.send_next(socket, now);
    }

    /// What a client asks for that sends a datagram.
    pub(super) fn asked_to_send(&mut self, kind: Kind, host: &str, port: &str) -> Asked {
        self.asked(Matter::DatagramPeer, kind, host, (!kind.is_local()).then_some(port))
    }

    /// Where a datagram may go, and why, if that is known without the resolver; nothing for a name.
    pub(super) fn judge_destination(
        &mut self,
        client: ClientId,
        host: &str,
        port: &str,
        family: Family,
        last: Option<Place>,
        asked: &Asked,
    ) -> Result<Option<(Place, Verdict)>, Failure> {
        let place = match family {
            Family::Unix => {
                check_path(host)?;
                Place::Path(host.to_owned())
            }
            _ => match literal(host, port, family) {
                Some(address) => Place::Net(address),
                None => return Ok(None),
            },
        };
        let is_known = last.as_ref() == Some(&place);
        let verdict = self.judge_datagram(client, host, &place, is_known, asked)?;
        Ok(Some((place, verdict)))
    }

    /// Puts a datagram behind those that wait.
    pub(super) fn queue_datagram(&mut self, socket: SocketId, sending: Sending, now: Instant) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        let is_first = datagrams.sends.is_empty();
        if !is_first && sending.at_once {
            return self.fail(client, sending.request, no_room());
        }
        datagrams.last = sending.to.clone().or(datagrams.last.take());
        datagrams.sends.push_back(Sending { waited: !is_first, ..sending });
        if is_first {
            self.send_next(socket, now);
        }
    }

    /// Has the system send the first datagram that waits, if its client has not gone too fast.
    pub(super) fn send_next(&mut self, socket: SocketId, now: Instant) {
        // Each round takes one of those that wait.
        loop {
            let Some(entry) = self.sockets.get(socket) else { return };
            let (client, follow) = (entry.client, self.follows_links(entry.client));
            let allowance = entry.meter.borrow().allowance(Way::ToNetwork, now);
            let forbidden = self.is_forbidden_now(socket);
            let is_stranger = self.config.recorded && self.is_to_stranger(entry);
            let Some(State::Datagrams(datagrams)) =
                self.sockets.get_mut(socket).map(|socket| &mut socket.state)
            else {
                return;
            };
            if datagrams.recording {
                return;
            }
            let Some(first) = datagrams.sends.front_mut() else { return };
            let request = first.request;
            let refusal = match allowance {
                _ if forbidden => Failure::new(Code::Denied, "the policy forbids it by now"),
                Allowance::Bytes(_) if is_stranger => {
                    let places = first.to.clone().into_iter().collect();
                    let findings = Findings { places, verdict: first.verdict.clone(), ..Findings::default() };
                    let asked = first.asked.clone();
                    datagrams.recording = true;
                    self.displace_peer(socket);
                    return self.record_socket(socket, asked, findings, Held::Send(socket));
                }
                Allowance::Bytes(_) => {
                    let (to, bytes) = (first.to.clone(), std::mem::take(&mut first.bytes));
                    return self.act(Action::Send { socket, request, to, follow, bytes });
                }
                Allowance::Later(at) if !first.at_once => {
                    first.waited = true;
                    datagrams.resend = Some(at);
                    return self.timers.set(at, Timer::Resend(socket));
                }
                Allowance::Later(_) => no_room(),
                Allowance::Spent(all) => Failure::new(Code::Limit, spent_text(all)),
            };
            datagrams.sends.pop_front();
            self.fail(client, request, refusal);
        }
    }

    /// Sends the first datagram that waits, as its peer is in the trail now; or fails it, as it cannot be.
    pub(crate) fn send_recorded(&mut self, socket: SocketId, failure: Option<Failure>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Datagrams(datagrams) = &mut entry.state else { return };
        datagrams.recording = false;
        if let Some(failure) = failure
            && let Some(first) = datagrams.sends.pop_front()
        {
            self.fail(client, first.request, failure);
        }
        self.send_next(socket, self.now);
    }

    /// Whether the first datagram that waits may not be sent any more: it was judged when it came.
    fn is_forbidden_now(&self, socket: SocketId) -> bool {
        let Some(entry) = self.sockets.get(socket) else { return false };
        let State::Datagrams(datagrams) = &entry.state else { return false };
        let Some(Sending { to: Some(place), waited: true, .. }) = datagrams.sends.front() else {
            return false;
        };
        !self.verdict(entry.client, Verb::Datagram, &place.host(), place).lets_through()
    }

    /// Waits for no room any more.
    pub(super) fn cancel_resend(&mut self, socket: SocketId) {
        if let Some(State::Datagrams(datagrams)) =
            self.sockets.get_mut(socket).map(|socket| &mut socket.state)
            && let Some(at) = datagrams.resend.take()
        {
            self.timers.cancel(at, Timer::Resend(socket));
        }
    }

    /// Whether the first datagram that waits goes to somebody whom the trail does not know yet.
    fn is_to_stranger(&self, socket: &Socket) -> bool {
        let State::Datagrams(datagrams) = &socket.state else { return false };
        let place = datagrams.sends.front().and_then(|first| first.to.as_ref());
        place.is_some_and(|place| !self.knows_peer(socket, place))
    }

    /// Whether it is on record already that a socket may send to a place; what is only being recorded does not count.
    pub(super) fn knows_peer(&self, socket: &Socket, place: &Place) -> bool {
        socket.decisions_on(place).any(|id| !self.held.contains_key(&id))
    }

    fn charge_bytes(&mut self, client: ClientId, length: usize) -> Result<Charge, Failure> {
        let budget = &self.clients.get(client).ok_or_else(client_gone)?.budget;
        budget.charge(Resource::Bytes, length as u64).map_err(over_limit)
    }
}

fn no_room() -> Failure {
    Failure::new(Code::Timeout, "there is no room for the datagram now")
}
