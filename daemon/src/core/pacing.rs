//! Bytes on their way, counted against what a client may move: in a second, and in all.

use std::time::Instant;

use luasocketd_protocol::{Broken, Code, DaemonNote, Failure, SocketId};

use super::action::Action;
use super::machine::Core;
use super::meter::{Allowance, Way, spent_text};
use super::recording::end_of;
use super::socket::State;
use super::timers::Timer;

impl Core {
    /// How many bytes from the network may be pushed to the socket's client now; of a datagram socket either
    /// the next datagram, however large it is, or nothing. Where it is none, [`Action::Resume`] comes when
    /// there is credit again.
    pub fn push_credit(&mut self, id: SocketId, now: Instant) -> usize {
        let Some(socket) = self.sockets.get(id) else { return 0 };
        let credit = match &socket.state {
            State::Connected(flow) if !flow.failed => flow.push_credit(),
            // A datagram cannot be cut: one that takes more than is allowed is made up for by a pause.
            State::Datagrams(datagrams) => {
                let credit = datagrams.push_credit(socket.kind);
                let may_pass = credit > 0 && self.allowance(id, Way::FromNetwork, now) > 0;
                return if may_pass { credit } else { 0 };
            }
            _ => 0,
        };
        if credit == 0 { 0 } else { self.allowance(id, Way::FromNetwork, now).min(credit) }
    }

    /// How many bytes may be written to the network now, as [`Core::push_credit`].
    pub fn write_credit(&mut self, id: SocketId, now: Instant) -> usize {
        self.allowance(id, Way::ToNetwork, now)
    }

    fn allowance(&mut self, id: SocketId, way: Way, now: Instant) -> usize {
        let Some(socket) = self.sockets.get_mut(id) else { return usize::MAX };
        let allowance = socket.meter.borrow().allowance(way, now);
        match allowance {
            Allowance::Bytes(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            Allowance::Later(at) => {
                if socket.resumes.is_none() {
                    socket.resumes = Some(at);
                    self.timers.set(at, Timer::Pace(id));
                }
                0
            }
            Allowance::Spent(all) => {
                self.break_socket(id, Failure::new(Code::Limit, spent_text(all)));
                0
            }
        }
    }

    pub(crate) fn on_pace(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.resumes = None;
            self.act(Action::Resume { socket: id });
        }
    }

    /// Counts bytes that have passed.
    pub(crate) fn count_bytes(&mut self, id: SocketId, way: Way, bytes: usize, now: Instant) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.meter.borrow_mut().pass(way, bytes, now);
        let is_datagram = socket.kind.is_datagram();
        let client = self.clients.get_mut(socket.client).map(|client| &mut client.traffic);
        let all = [Some(&mut socket.traffic), client, Some(&mut self.tally.traffic)];
        for traffic in all.into_iter().flatten() {
            traffic[way as usize].count(bytes, is_datagram);
        }
    }

    /// Ends a connection because of what its client may not, or may not any more: nothing more goes either
    /// way, and the client learns why.
    pub(crate) fn break_socket(&mut self, id: SocketId, failure: Failure) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let client = socket.client;
        match &mut socket.state {
            State::Connected(flow) if !flow.failed => {
                flow.failed = true;
                flow.discard();
                self.end_records(id, end_of(&failure), Some(&failure));
                self.notify(client, DaemonNote::Broken(Broken { socket: id, failure }));
                self.act(Action::Close { socket: id });
            }
            State::Closing { .. } => {
                self.end_records(id, end_of(&failure), Some(&failure));
                self.forget_socket(id);
            }
            State::Datagrams(_) => self.isolate_datagrams(id, failure),
            _ => {}
        }
    }
}
