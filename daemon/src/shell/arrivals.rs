//! Clients that come: they are taken from the listeners, and in by one of the loops.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mio::Interest;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::listener::PipeListener;
use super::pipe::{Pipe, widen};
use super::system::errno;
use super::tokens::Source;
use super::unsafe_groups::peer_groups;
use super::worker::{Work, Worker};
use crate::core::{Credentials, Identity, Input, Offence, Offender};

/// New clients taken in one turn, so that a flood of them does not starve those that are served.
const ACCEPTS_PER_TURN: usize = 64;

/// How long the daemon takes no new clients after it ran out of descriptors: long enough to use no
/// processor time, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A path that clients come by.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: PipeListener,
    /// Whether somebody may wait there.
    pub(crate) ready: bool,
}

/// Where the first loop stands with clients that come.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    pub(crate) listeners: Vec<Listening>,
    /// When there is to be another look.
    pub(crate) again: Option<Instant>,
    /// Whether the operator has been told that no client can be taken in.
    starved: bool,
}

/// A client that has come, and is to be taken in by a loop.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: UnixStream,
    /// Who it is, as the kernel said when it came.
    pub(crate) identity: Identity,
}

impl Arrival {
    /// Somebody who has come by `path`, or was given the pipe for the process `pid`.
    fn new(stream: UnixStream, path: Option<String>, pid: Option<i32>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        let pid = pid.unwrap_or(peer.pid());
        let credentials = Credentials { uid: peer.uid(), gid: peer.gid(), pid };
        widen(&stream);
        let groups = peer_groups(&stream)?;
        Ok(Arrival { stream, identity: Identity { credentials, groups, socket: path } })
    }
}

impl Worker {
    /// Takes new clients from `listener`, too, from here on.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn listen(&mut self, mut listener: PipeListener) -> io::Result<()> {
        // There are as many as the operator has named.
        let token = Source::Listener(self.entrance.listeners.len() as u32).token();
        self.poll.registry().register(listener.source(), token, Interest::READABLE)?;
        self.entrance.listeners.push(Listening { listener, ready: false });
        Ok(())
    }

    /// Takes the other end of a pipe that was given to the process `pid` as a client; user and groups are those of
    /// whoever has made the pipe.
    ///
    /// # Errors
    /// When the kernel does not say who that is, or the descriptor cannot be watched.
    pub fn add_client(&mut self, stream: UnixStream, pid: i32) -> io::Result<()> {
        self.take_in(Arrival::new(stream, None, Some(pid))?)
    }

    fn take_in(&mut self, arrival: Arrival) -> io::Result<()> {
        let Arrival { stream, identity } = arrival;
        let credentials = identity.credentials;
        let id = match self.core.add_client(identity, Instant::now()) {
            Ok(id) => id,
            Err(failure) => {
                self.complain_of(credentials.into(), Offence::Refused, format_args!("refused: {failure}"));
                return Ok(());
            }
        };
        let mut pipe = Pipe::new(id, mio::net::UnixStream::from_std(stream));
        if let Err(error) = pipe.watch(self.poll.registry(), Source::client(id).token()) {
            self.handle(Input::ClientGone { client: id });
            return Err(error);
        }
        tracing::debug!(client = %credentials, "connected");
        self.pipes.insert(id, pipe);
        self.schedule(Work::Client(id));
        Ok(())
    }

    /// Takes nobody from the listeners any more; gives them.
    pub(crate) fn shut_entrance(&mut self) -> Vec<PipeListener> {
        let mut listeners = Vec::new();
        for Listening { mut listener, .. } in std::mem::take(&mut self.entrance.listeners) {
            if let Err(error) = self.poll.registry().deregister(listener.source()) {
                tracing::error!("cannot deregister a listening pipe: {error}");
            }
            listeners.push(listener);
        }
        listeners
    }

    /// Takes clients from the listeners, each for the loop that has the fewest.
    pub(crate) fn accept_clients(&mut self) {
        let now = Instant::now();
        let entrance = &mut self.entrance;
        if entrance.again.is_some_and(|at| at <= now) {
            entrance.again = None;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let entrance = &mut self.entrance;
            if entrance.again.is_some() {
                return;
            }
            // The first path that somebody waits at, then the next one.
            let Some(listening) = entrance.listeners.iter_mut().find(|listening| listening.ready) else {
                return;
            };
            match listening.listener.accept() {
                Ok(Some(stream)) => {
                    entrance.starved = false;
                    let path = listening.listener.path().display().to_string();
                    let placed = Arrival::new(stream, Some(path), None).and_then(|new| self.place(new));
                    self.complain_unless(placed);
                }
                Ok(None) => listening.ready = false,
                Err(error) => {
                    if !std::mem::replace(&mut entrance.starved, true) {
                        tracing::warn!(errno = errno(&error), "no new clients until that is over: {error}");
                    }
                    entrance.again = Some(now + ACCEPT_PAUSE);
                }
            }
        }
        // More may wait, and no event will say so.
        self.entrance.again.get_or_insert(now);
    }

    fn place(&mut self, arrival: Arrival) -> io::Result<()> {
        // The others go by what this one has said last.
        self.count_own();
        match self.crew.hand_over(arrival) {
            Some(arrival) => self.take_in(arrival),
            None => Ok(()),
        }
    }

    /// Takes those in that the first loop has handed over.
    pub(crate) fn take_arrivals(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Ok(arrival) = self.arrivals.try_recv() else { return };
            let taken = self.take_in(arrival);
            self.complain_unless(taken);
            self.count_own();
            self.crew.on_arrived(self.lane.index());
        }
        // More may wait.
        self.crew.wake(self.lane.index());
    }

    fn complain_unless(&mut self, taken: io::Result<()>) {
        if let Err(error) = taken {
            let text = format!("a client could not be taken in: {error}");
            self.complain_of(Offender::Others, Offence::Refused, text);
        }
    }
}
