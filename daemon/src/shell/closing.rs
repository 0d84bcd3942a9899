//! The end of the system's sockets of clients that have gone: so many of them cost the system time that nobody else
//! shall wait for.

use std::collections::VecDeque;

use super::socket::SystemSocket;
use super::worker::Worker;

/// Sockets of gone clients that are closed in one turn: the system takes 40 µs for a connection (measured), so that
/// a turn takes a few milliseconds more.
const CLOSES_PER_TURN: usize = 64;

/// Sockets that wait to be closed: no more than the descriptors that the process may have.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    waiting: VecDeque<SystemSocket>,
    /// How many were closed in this turn.
    closed: usize,
    /// Whether what is closed now is a gone client's.
    is_clearing: bool,
}

impl Closing {
    /// Closes a socket: at once if a script has asked for it, who could see that it is still there.
    pub(crate) fn close(&mut self, mut socket: SystemSocket) {
        if self.is_clearing {
            self.waiting.push_back(socket);
            self.close_waiting();
        } else {
            socket.discard_received();
        }
    }

    /// Closes those that wait, as many as the turn has room for.
    fn close_waiting(&mut self) {
        while self.closed < CLOSES_PER_TURN
            && let Some(mut socket) = self.waiting.pop_front()
        {
            self.closed += 1;
            socket.discard_received();
        }
    }

    /// Closes those that wait, and ends the turn.
    pub(crate) fn end_turn(&mut self) {
        self.close_waiting();
        self.closed = 0;
    }

    /// Whether some wait.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Worker {
    /// Does something in which all that is closed is a gone client's.
    pub(crate) fn clear(&mut self, what: impl FnOnce(&mut Worker)) {
        let before = std::mem::replace(&mut self.closing.is_clearing, true);
        what(self);
        self.closing.is_clearing = before;
    }
}

#[cfg(test)]
mod tests {
    use luasocketd_protocol::SocketId;
    use socket2::{Domain, Socket, Type};

    use super::*;

    fn socket(number: u64) -> SystemSocket {
        SystemSocket::new(SocketId(number), Some(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()))
    }

    #[test]
    fn a_gone_clients_sockets_share_out_over_turns_and_a_scripts_own_are_closed_at_once() {
        let mut closing = Closing { is_clearing: true, ..Closing::default() };
        for number in 0..2 * CLOSES_PER_TURN as u64 + 1 {
            closing.close(socket(number));
        }
        assert_eq!(closing.waiting.len(), CLOSES_PER_TURN + 1);
        closing.is_clearing = false;
        closing.close(socket(1000));
        assert_eq!(closing.waiting.len(), CLOSES_PER_TURN + 1);
        closing.end_turn();
        assert_eq!(closing.waiting.len(), CLOSES_PER_TURN + 1, "this turn had closed its share");
        closing.end_turn();
        assert_eq!(closing.waiting.len(), 1);
        closing.end_turn();
        assert!(!closing.is_busy());
    }
}
