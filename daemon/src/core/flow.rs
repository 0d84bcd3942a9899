//! The bytes of one connected socket: counted, never touched.

use luasocketd_protocol::{Overrun, ReceiveWindow, SendWindow};

use super::budget::{Budget, Charge, OverLimit, Resource};

/// What every connected socket is granted however full the budget is: one small request.
pub(crate) const WINDOW_MIN: u32 = 4 * 1024;

/// The first grant while there is plenty: what a kernel's send buffer takes before it has grown.
const WINDOW_FIRST: u32 = 64 * 1024;

/// What the window of a busy socket grows to: at this size a copy through the daemon costs no more
/// wake-ups than bytes (measured: larger windows gain nothing).
const WINDOW_MAX: u32 = 1024 * 1024;

/// A first grant is at most this part of what is left of the budget, so that no number of sockets
/// meets a sudden end of it.
const FIRST_SHARE: u64 = 2048;

/// A grown window is at most this part of what is left of the budget.
const GROWN_SHARE: u64 = 128;

/// What to do with data that a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Queue it for the network: it is counted.
    Take,
    /// Drop it: its socket has gone, or has failed, and the client will learn so.
    Ignore,
    /// Disconnect the client: it was granted less.
    Overrun,
    /// Disconnect the client: it has not said hello.
    NoHello,
}

/// Both directions of a connected socket.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Credit for pushing bytes to the client.
    push: SendWindow,
    /// Credit that the client was granted, and what it made of it.
    accept: ReceiveWindow,
    /// Whether the client has used its whole grant since the last one.
    exhausted: bool,
    /// Covers the window's size and [`ReceiveWindow::committed`], whichever is more.
    charge: Charge,
    /// The client sends nothing more.
    pub(crate) send_ended: bool,
    /// The connection has failed: nothing goes either way.
    pub(crate) failed: bool,
}

impl Flow {
    /// A flow with the client's grant and a first one to it, charged to its budget.
    pub(crate) fn new(push: u32, budget: &Budget) -> Result<Self, OverLimit> {
        let window = cut(to_spare(budget.free(Resource::Bytes), budget), FIRST_SHARE, WINDOW_FIRST);
        let charge = budget.charge(Resource::Bytes, window.into())?;
        Ok(Flow {
            push: SendWindow::new(push),
            accept: ReceiveWindow::new(window),
            exhausted: false,
            charge,
            send_ended: false,
            failed: false,
        })
    }

    /// The client's first grant.
    pub(crate) fn first_window(&self) -> u32 {
        self.accept.committed()
    }

    /// How many bytes the client has agreed to take.
    pub(crate) fn push_credit(&self) -> usize {
        self.push.available()
    }

    /// Counts bytes that went to the client.
    pub(crate) fn on_pushed(&mut self, bytes: usize) {
        self.push.take(bytes);
    }

    /// Adds a grant of the client.
    pub(crate) fn on_granted(&mut self, bytes: u32) -> Result<(), Overrun> {
        self.push.grant(bytes)
    }

    /// Counts bytes from the client.
    pub(crate) fn admit(&mut self, bytes: usize) -> Admission {
        match self.accept.on_received(bytes) {
            Err(_) => Admission::Overrun,
            Ok(()) if self.failed || self.send_ended => {
                self.accept.on_consumed(bytes);
                Admission::Ignore
            }
            Ok(()) => {
                self.exhausted |= self.accept.committed() == self.accept.held();
                Admission::Take
            }
        }
    }

    /// Bytes from the client that the network has not taken yet.
    pub(crate) fn held(&self) -> u32 {
        self.accept.held()
    }

    /// Counts bytes that the network has taken; gives the grant that follows from it.
    pub(crate) fn on_written(&mut self, bytes: usize) -> u32 {
        self.accept.on_consumed(bytes);
        if self.failed || self.send_ended {
            return 0;
        }
        if self.exhausted {
            let room = to_spare(self.charge.room(), self.charge.budget());
            self.resize(cut(room, GROWN_SHARE, WINDOW_MAX));
        }
        let due = self.accept.take_grant();
        if due > 0 {
            self.exhausted = false;
        }
        due
    }

    /// Changes the window and the charge that covers it, where the budget has room.
    fn resize(&mut self, window: u32) {
        let cost = window.max(self.accept.committed());
        if self.charge.resize(cost.into()).is_ok() {
            self.accept.resize(window);
        }
    }

    /// Forgets what the network will never take.
    pub(crate) fn discard(&mut self) {
        self.accept.on_consumed(usize::MAX);
    }
}

/// What is left of so many bytes when a least window is kept for each socket that may still be opened: no number
/// of sockets meets an end of the bytes before that of the sockets.
fn to_spare(bytes: u64, budget: &Budget) -> u64 {
    bytes.saturating_sub(budget.free(Resource::Sockets).saturating_mul(WINDOW_MIN.into()))
}

/// A window of at most `most` bytes that leaves room for other sockets' windows.
fn cut(free: u64, part: u64, most: u32) -> u32 {
    u32::try_from(free / part).unwrap_or(u32::MAX).clamp(WINDOW_MIN, most)
}

#[cfg(test)]
mod tests {
    use super::super::budget::Limits;
    use super::*;

    fn budget(bytes: u64) -> Budget {
        Budget::new(Limits { bytes, ..Limits::default() })
    }

    #[test]
    fn a_busy_socket_gets_a_larger_window_and_gives_it_back_at_its_end() {
        let budget = budget(256 << 20);
        let mut flow = Flow::new(1, &budget).unwrap();
        let first = flow.first_window();
        assert_eq!(first, WINDOW_FIRST);
        assert_eq!(flow.admit(first as usize), Admission::Take);
        assert_eq!(flow.held(), first);
        assert_eq!(flow.on_written(first as usize), WINDOW_MAX);
        assert_eq!(budget.used(Resource::Bytes), u64::from(WINDOW_MAX));
        drop(flow);
        assert_eq!(budget.used(Resource::Bytes), 0);
    }

    #[test]
    fn more_than_the_grant_is_an_overrun() {
        let mut flow = Flow::new(1, &budget(1 << 20)).unwrap();
        let window = flow.first_window() as usize;
        assert_eq!(flow.admit(window + 1), Admission::Overrun);
        assert_eq!(flow.admit(window), Admission::Take);
        assert_eq!(flow.admit(1), Admission::Overrun);
    }

    #[test]
    fn the_budget_bounds_all_windows_together() {
        let budget = budget(1 << 20);
        let mut flows: Vec<Flow> = std::iter::from_fn(|| Flow::new(1, &budget).ok()).collect();
        assert_eq!(flows.len(), (1 << 20) / WINDOW_MIN as usize);
        assert_eq!(budget.free(Resource::Bytes), 0);
        for flow in &mut flows {
            assert_eq!(flow.admit(WINDOW_MIN as usize), Admission::Take);
            assert_eq!(flow.on_written(WINDOW_MIN as usize), WINDOW_MIN);
            assert_eq!(budget.free(Resource::Bytes), 0);
        }
    }

    #[test]
    fn every_socket_that_may_be_opened_gets_a_window() {
        let budget = Budget::new(Limits::default());
        let open = || {
            let socket = budget.charge(Resource::Sockets, 1).ok()?;
            Some((socket, Flow::new(1, &budget).expect("bytes are left while sockets are")))
        };
        let flows: Vec<_> = std::iter::from_fn(open).collect();
        assert_eq!(flows.len() as u64, Limits::default().sockets);
        assert_eq!(flows[0].1.first_window(), WINDOW_FIRST);
    }

    #[test]
    fn an_ended_direction_takes_nothing_and_grants_nothing() {
        let budget = budget(1 << 20);
        let mut flow = Flow::new(1, &budget).unwrap();
        assert_eq!(flow.admit(10), Admission::Take);
        flow.send_ended = true;
        assert_eq!((flow.admit(10), flow.held()), (Admission::Ignore, 10));
        assert_eq!(flow.on_written(10), 0);
    }
}
