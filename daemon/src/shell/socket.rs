//! One of the system's sockets: its descriptor, what waits to be sent on it, and what is known of its readiness.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::time::Duration;

use luasocketd_protocol::{Direction, SocketId};
use mio::event::Event;
use rustix::net::RecvFlags;
use socket2::Socket;

use super::queue::{ByteQueue, Pool};
use super::system;
use crate::core::ClientId;

/// The most bytes that one socket sends or receives in one turn of the loop, so that a busy one lets
/// the others have theirs; as much as one frame carries.
const TURN_BYTES: usize = luasocketd_protocol::MAX_DATA;

/// The first receive of a socket: most of what comes is far smaller, and a large buffer for each of many sockets
/// costs more than the bytes in it.
const RECEIVE_MIN: usize = 8 * 1024;

/// What a closing socket throws away: more than a system's receive buffer grows to, and not without end,
/// so that a peer that goes on sending cannot hold up the loop.
const DISCARD_BYTES: usize = 64 * 1024;
const DISCARDS_MAX: usize = 128;

/// The shell's half of a socket.
#[derive(Debug)]
pub(crate) struct SystemSocket {
    pub(crate) id: SocketId,
    /// Absent before the system has been asked for one.
    pub(crate) io: Option<Socket>,
    /// Attempts to connect that have a system's socket of their own.
    pub(crate) attempts: Vec<(u32, Socket)>,
    /// The attempt that uses [`SystemSocket::io`].
    pub(crate) own_attempt: Option<usize>,
    /// The attempt that has become [`SystemSocket::io`], whose events go on coming as the attempt's.
    pub(crate) kept_attempt: Option<u32>,
    /// Whether a close might wait for the peer: a script has asked for that.
    pub(crate) may_linger: bool,
    pub(crate) phase: Phase,
    /// Bytes for the peer.
    pub(crate) out: ByteQueue,
    /// Whether sending ends once `out` is empty.
    pub(crate) shutdown_planned: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer may have ended its direction, or sent urgent data: a short read is no reason to wait for
    /// an event.
    pub(crate) hung_up: bool,
    /// The system says that nothing more can be sent: the peer has reset the connection, or has gone.
    pub(crate) cut_off: bool,
    /// A write has failed: what was received before is read, then the connection has failed.
    pub(crate) write_error: Option<i32>,
    /// Whether it stands in the list of work.
    pub(crate) scheduled: bool,
    /// The client whose count of busy sockets it is in.
    pub(crate) counted: Option<ClientId>,
    pub(crate) stall: Stall,
    /// How much the next receive asks for: it doubles while receives are full.
    receive_size: usize,
}

/// Whether a socket waits for room in its client's pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// It does not.
    No,
    /// It stands in the pipe's list.
    Waiting,
    /// It has come to the front of this client's list, and goes before those that came later.
    Called(ClientId),
}

/// What events on the descriptor mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing, or the end of an attempt.
    Quiet,
    /// That a connection may wait.
    Listening,
    /// That bytes may flow, from the peer to this client.
    Flowing(ClientId),
    /// That bytes may flow to the peer; the other direction is over.
    Sending,
    /// That datagrams may have come, for this client.
    Datagrams(ClientId),
}

impl Phase {
    /// Who gets what comes from the network.
    pub(crate) fn receiver(self) -> Option<ClientId> {
        match self {
            Phase::Flowing(client) | Phase::Datagrams(client) => Some(client),
            Phase::Quiet | Phase::Listening | Phase::Sending => None,
        }
    }
}

impl SystemSocket {
    pub(crate) fn new(id: SocketId, io: Option<Socket>) -> Self {
        SystemSocket {
            id,
            io,
            attempts: Vec::new(),
            own_attempt: None,
            kept_attempt: None,
            may_linger: false,
            phase: Phase::Quiet,
            out: ByteQueue::default(),
            shutdown_planned: false,
            readable: false,
            writable: false,
            hung_up: false,
            cut_off: false,
            write_error: None,
            scheduled: false,
            counted: None,
            stall: Stall::No,
            receive_size: RECEIVE_MIN,
        }
    }

    /// Notes what an event says; the flags stay until a call would block.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |=
            event.is_readable() || event.is_priority() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.cut_off |= event.is_write_closed();
        // Urgent data cuts a receive short, too.
        self.hung_up |= event.is_read_closed() || event.is_error() || event.is_priority();
    }

    /// How many bytes it asks for at once.
    pub(crate) fn receive_size(&self) -> usize {
        self.receive_size
    }

    /// Receives into `buffer`; `Ok(None)` when nothing is there.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.receive_with(buffer.len(), |mut socket| socket.read(buffer))
    }

    /// Receives with `receive`, which asks for so many bytes; `Ok(None)` when nothing is there.
    pub(crate) fn receive_with(
        &mut self,
        asked: usize,
        mut receive: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> io::Result<Option<usize>> {
        let Some(socket) = self.io.as_ref() else { return Ok(None) };
        loop {
            match receive(socket) {
                Ok(length) => {
                    // Less than asked for means that the queue is empty; the next bytes make an event.
                    // A FIN may share the event of the bytes before it, so it must not wait for one.
                    self.readable = length == asked || self.hung_up;
                    if length >= self.receive_size {
                        self.receive_size = (self.receive_size * 2).min(TURN_BYTES);
                    } else if length < RECEIVE_MIN {
                        self.receive_size = RECEIVE_MIN;
                    }
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    (self.readable, self.hung_up) = (false, false);
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Throws away what has been received and will not be read. The system answers a close before that
    /// with a reset, which can overtake and destroy bytes that the peer has not read yet.
    pub(crate) fn discard_received(&mut self) {
        if !matches!(self.phase, Phase::Flowing(_) | Phase::Sending) {
            return;
        }
        let Some(socket) = &self.io else { return };
        let mut scratch = [MaybeUninit::<u8>::uninit(); DISCARD_BYTES];
        for _ in 0..DISCARDS_MAX {
            // TRUNC: the system throws the bytes away without copying them (tcp(7)).
            match rustix::net::recv(socket, &mut scratch[..], RecvFlags::TRUNC) {
                Ok((.., length)) if length > 0 => {}
                // Nothing left, the end, or a failure that no one is there to hear of.
                _ => return,
            }
        }
    }

    /// Sends what waits, as much as one turn and the client's credit allow and the system takes; gives the
    /// number of bytes.
    pub(crate) fn flush(&mut self, pool: &mut Pool, credit: usize) -> io::Result<usize> {
        let (mut sent, most) = (0, credit.min(TURN_BYTES));
        while self.writable && !self.out.is_empty() && sent < most {
            let piece = self.out.unread();
            let piece = &piece[..piece.len().min(most - sent)];
            let Some(socket) = self.io.as_ref() else { break };
            // The standard library's `write` and socket2's `send` both keep SIGPIPE away.
            match socket.send(piece) {
                Ok(length) => {
                    // The system took a part: it has no room until an event says so.
                    self.writable = length == piece.len();
                    self.out.consume(length, pool);
                    sent += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.writable {
            self.out.trim();
        }
        Ok(sent)
    }

    /// Sends with `send`, which takes at most so many bytes, if nothing waits to be sent before them and the system has
    /// room; gives the number of bytes.
    pub(crate) fn send_with(
        &mut self,
        length: usize,
        send: impl FnOnce(&Socket, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let is_next = self.writable && self.out.is_empty() && self.write_error.is_none();
        let may_send = matches!(self.phase, Phase::Flowing(_) | Phase::Sending);
        let Some(socket) = self.io.as_ref().filter(|_| is_next && may_send) else { return Ok(0) };
        match send(socket, length.min(TURN_BYTES)) {
            Ok(sent) => {
                self.writable = sent == length.min(TURN_BYTES);
                Ok(sent)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// A write has failed: the first error says why, later ones only that it is over. What the peer sent before may still
    /// be there to be read.
    pub(crate) fn fail_write(&mut self, errno: i32, pool: &mut Pool) {
        self.out.clear(pool);
        self.write_error.get_or_insert(errno);
        self.readable = true;
    }

    /// Plans the end of directions: receiving ends at once, sending behind the queue.
    pub(crate) fn plan_shutdown(&mut self, direction: Direction) {
        if direction.ends_send() {
            self.shutdown_planned = true;
            self.finish();
        }
        if direction.ends_receive() {
            self.end(Direction::Receive);
        }
    }

    /// Ends sending, if that is planned and the queue is empty.
    pub(crate) fn finish(&mut self) {
        if self.out.is_empty() && std::mem::take(&mut self.shutdown_planned) {
            self.end(Direction::Send);
        }
    }

    fn end(&self, direction: Direction) {
        let Some(socket) = &self.io else { return };
        if let Err(error) = system::shutdown(socket, direction) {
            // The peer was faster: there is nothing left to end.
            tracing::debug!(socket = %self.id, "shutdown: {error}");
        }
    }
}

impl Drop for SystemSocket {
    /// Prepares what the system does when it closes the socket. A peer that does not get everything has
    /// to see a reset: an orderly end would pass for the whole. And a script's `linger` must not hold up
    /// the loop: with it, `close` waits for the peer even on a non-blocking socket.
    fn drop(&mut self) {
        let Some(socket) = &self.io else { return };
        let prepared = match self.may_linger.then(|| socket.linger()) {
            _ if !self.out.is_empty() => socket.set_linger(Some(Duration::ZERO)),
            Some(Ok(Some(time))) if !time.is_zero() => socket.set_linger(None),
            _ => Ok(()),
        };
        if let Err(error) = prepared {
            tracing::debug!(socket = %self.id, "cannot prepare the close: {error}");
        }
    }
}
