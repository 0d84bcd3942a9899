//! Datagrams on their way to the network: one answer for each.
//!
//! Invariant: a datagram goes only to a place that the policy allows when it goes.

use std::time::Instant;

use luasocketd_protocol::{Code, Failure, Family, SendTo, SocketId};

use super::action::{Action, Question, Reply};
use super::association::{Origin, Plan};
use super::budget::{Charge, Resource};
use super::calls::{client_gone, over_limit};
use super::client::Subject;
use super::connecting::literal;
use super::machine::Core;
use super::meter::{Allowance, Way, spent_text};
use super::numbers::errno;
use super::place::{Place, check_path};
use super::policy::Verb;
use super::requests::check_name;
use super::slots::ClientId;
use super::socket::State;
use super::timers::Timer;

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
        let to = match send.host {
            None if has_peer => None,
            None => return Err(Failure::os(errno::EDESTADDRREQ)),
            Some(host) => {
                check_name(host, send.port)?;
                self.judge_destination(client, host, send.port, family, last)?
            }
        };
        let charge = self.charge_bytes(client, send.bytes.len())?;
        let at_once = send.timeout_ms == Some(0);
        // A call that waits for nothing needs no timer: the system answers it now.
        let timeout_ms = send.timeout_ms.filter(|_| !at_once);
        self.begin_call(client, request, Subject::Socket(send.socket), timeout_ms, now)?;
        let sending =
            Sending { request, to, bytes: send.bytes.to_vec(), at_once, waited: false, _charge: charge };
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
                let plan = Plan::Send { host: host.to_owned(), sending };
                let origin = Origin { request, fresh: false };
                self.resolve_for_datagrams(client, send.socket, origin, question, plan);
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
        datagrams.sends.pop_front();
        match result {
            Ok(sent) => {
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

    /// Where a datagram may go, if that is known without the resolver; nothing for a name.
    pub(super) fn judge_destination(
        &mut self,
        client: ClientId,
        host: &str,
        port: &str,
        family: Family,
        last: Option<Place>,
    ) -> Result<Option<Place>, Failure> {
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
        self.judge_datagram(client, host, &place, last.as_ref() == Some(&place))?;
        Ok(Some(place))
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
            let Some(State::Datagrams(datagrams)) =
                self.sockets.get_mut(socket).map(|socket| &mut socket.state)
            else {
                return;
            };
            let Some(first) = datagrams.sends.front_mut() else { return };
            let request = first.request;
            let refusal = match allowance {
                _ if forbidden => Failure::new(Code::Denied, "the policy forbids it by now"),
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

    fn charge_bytes(&mut self, client: ClientId, length: usize) -> Result<Charge, Failure> {
        let budget = &self.clients.get(client).ok_or_else(client_gone)?.budget;
        budget.charge(Resource::Bytes, length as u64).map_err(over_limit)
    }
}

fn no_room() -> Failure {
    Failure::new(Code::Timeout, "there is no room for the datagram now")
}
