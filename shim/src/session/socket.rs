//! One object of the script: what LuaSocket keeps in it, and which socket of the daemon it stands for.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use luasocketd_protocol::{Failure, Family, Kind, SocketId};

use crate::buffer::ReceiveBuffer;
use crate::limits::{Limits, Style};
use crate::mux::Ticket;
use crate::pipe::Pipe;

/// Names one object of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) usize);

/// A socket of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) pipe: Rc<Pipe>,
    pub(super) id: SocketId,
}

/// What an object stands for.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing yet, or nothing any more.
    Closed,
    /// A socket, bound or not.
    Idle(Line),
    Listening(Line),
    /// A connect that the script does not wait for; `own` is the socket that it had before.
    Connecting {
        pipe: Rc<Pipe>,
        ticket: Ticket,
        own: Option<SocketId>,
    },
    Connected(Line),
    /// Such a connect has failed, and the script was not told yet.
    Failed(Failure, Option<Line>),
}

impl State {
    /// The socket in the daemon, if there is one.
    pub(super) fn line(&self) -> Option<Line> {
        match self {
            State::Idle(line) | State::Listening(line) | State::Connected(line) => Some(line.clone()),
            State::Failed(_, line) => line.clone(),
            State::Connecting { pipe, own, .. } => own.map(|id| Line { pipe: Rc::clone(pipe), id }),
            State::Closed => None,
        }
    }

    /// The pipe, if there is anything on one.
    pub(super) fn pipe(&self) -> Option<&Rc<Pipe>> {
        match self {
            State::Connecting { pipe, .. } => Some(pipe),
            State::Idle(line) | State::Listening(line) | State::Connected(line) => Some(&line.pipe),
            State::Failed(_, line) => line.as_ref().map(|line| &line.pipe),
            State::Closed => None,
        }
    }
}

/// What `getstats` tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    /// Bytes that the script received.
    pub(crate) received: u64,
    /// Bytes that the daemon accepted.
    pub(crate) sent: u64,
    born: Instant,
    /// Seconds to add to the time since then.
    older: f64,
}

impl Statistics {
    /// Seconds since the object was made, or as `setstats` changed it.
    pub(crate) fn age(&self) -> f64 {
        self.born.elapsed().as_secs_f64() + self.older
    }

    /// Changes the age.
    pub(crate) fn set_age(&mut self, seconds: f64) {
        self.older += seconds - self.age();
    }
}

/// An object.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) limits: Limits,
    /// As LuaSocket records it: unspec until something fixes it.
    pub(super) family: Family,
    pub(super) statistics: Statistics,
    /// Received bytes of a connection that was closed before they were asked for.
    pub(super) left: ReceiveBuffer,
    /// The path that a local socket was bound to, as the script gave it; empty for none.
    pub(super) path: String,
    /// Whether `connect` has said yet that the object is connected.
    pub(super) connect_told: bool,
    /// Whether a connect has failed that had an address to go to: such a socket is at its end, not at its
    /// beginning.
    pub(super) was_refused: bool,
    /// What `getfd` answered.
    pub(super) duplicate: Option<OwnedFd>,
}

impl Socket {
    pub(super) fn new(kind: Kind, limits: Limits, family: Family) -> Self {
        Socket {
            kind,
            state: State::Closed,
            limits,
            family,
            statistics: Statistics { received: 0, sent: 0, born: Instant::now(), older: 0.0 },
            left: ReceiveBuffer::default(),
            path: String::new(),
            connect_told: false,
            was_refused: false,
            duplicate: None,
        }
    }

    /// The object of a connection that this one accepts: it has its family and its path, and limits of its own.
    pub(super) fn heir(&self, style: Style) -> Socket {
        let mut heir = Socket::new(self.kind, Limits::none(style), self.family);
        heir.path = self.path.clone();
        heir.connect_told = true;
        heir
    }
}
