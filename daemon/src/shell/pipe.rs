//! One client's pipe: frames in, frames out.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use luasocketd_protocol::{FrameReader, MAX_FRAME, SocketId};
use mio::event::Event;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::queue::{ByteQueue, Pool};
use crate::core::{ClientId, PIPE_OUT_MAX};

/// Network data is queued for a client up to here; what is above is for answers.
pub(crate) const DATA_OUT_MAX: usize = PIPE_OUT_MAX - MAX_FRAME;

/// The first read of an idle pipe: most requests are far smaller.
const READ_MIN: usize = 16 * 1024;

/// The send and receive buffers of a pipe: one system call then moves a whole window (measured: half
/// again as fast as the system's own size).
const PIPE_BUFFER: usize = 1024 * 1024;

/// The shell's half of a client.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) id: ClientId,
    stream: UnixStream,
    pub(crate) reader: FrameReader,
    /// How much the next read asks for: it doubles while reads are full.
    read_size: usize,
    /// Frames for the client.
    pub(crate) out: ByteQueue,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Whether the system is asked to say when there is room to write. It is asked only while there is
    /// none, as it would say so each time that the client reads.
    watches_room: bool,
    /// The client has ended: a short read is no reason to wait, as no further event may come.
    hung_up: bool,
    /// The client reads nothing any more; what it has written is still read.
    pub(crate) deaf: bool,
    /// Nobody is at the other end any more: what was asked needs no answer, what was sent is still delivered.
    pub(crate) gone: bool,
    /// Whether it stands in the list of work.
    pub(crate) scheduled: bool,
    /// Whether something was queued in this turn.
    pub(crate) dirty: bool,
    /// Sockets with data for the client that wait for room in `out`, the first of them first.
    pub(crate) stalled: VecDeque<SocketId>,
    /// Sockets with data for the client that wait for their turn.
    pub(crate) busy: usize,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Bytes,
    Nothing,
    End,
}

impl Pipe {
    pub(crate) fn new(id: ClientId, stream: UnixStream) -> Self {
        Pipe {
            id,
            stream,
            reader: FrameReader::new(),
            read_size: READ_MIN,
            out: ByteQueue::default(),
            readable: true,
            writable: true,
            watches_room: false,
            hung_up: false,
            deaf: false,
            gone: false,
            scheduled: false,
            dirty: false,
            stalled: VecDeque::new(),
            busy: 0,
        }
    }

    pub(crate) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Notes what an event says; the flags stay until a call would block.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
        // A client that only ends its own direction still reads its answers.
        self.gone |= event.is_write_closed();
    }

    /// Whether everything that has come from the network is queued, as far as credit allows.
    pub(crate) fn is_level(&self) -> bool {
        self.busy == 0 && self.stalled.is_empty()
    }

    /// Whether requests wait until the client has read its answers.
    pub(crate) fn is_clogged(&self) -> bool {
        self.out.len() >= PIPE_OUT_MAX
    }

    /// Reads once.
    pub(crate) fn read(&mut self, pool: &mut Pool) -> Arrival {
        if self.reader.buffered() == 0 {
            self.reader.lend(pool.take());
        }
        let space = self.reader.space(self.read_size);
        let asked = space.len().min(self.read_size);
        loop {
            match self.stream.read(&mut space[..asked]) {
                Ok(0) => return Arrival::End,
                Ok(length) => {
                    self.readable = length == asked || self.hung_up;
                    if length == asked {
                        self.read_size = (self.read_size * 2).min(MAX_FRAME);
                    } else if length < READ_MIN {
                        self.read_size = READ_MIN;
                    }
                    self.reader.filled(length);
                    return Arrival::Bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Arrival::Nothing;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The client ended without reading everything; all that it wrote has been read.
                Err(error) => {
                    tracing::debug!(client = %self.id, "pipe: {error}");
                    return Arrival::End;
                }
            }
        }
    }

    /// Writes what is queued, as far as the client takes it.
    pub(crate) fn flush(&mut self, pool: &mut Pool) {
        while self.writable && !self.out.is_empty() && !self.deaf {
            match self.stream.write(self.out.unread()) {
                Ok(length) => {
                    self.writable = length == self.out.len();
                    self.out.consume(length, pool);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.deaf = true,
            }
        }
        if self.deaf {
            self.out.clear(pool);
        }
    }

    /// Starts the watch of the pipe, as the events of `token`.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE)
    }

    /// Watches for room to write while there is none, and no longer.
    pub(crate) fn watch_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let wanted = !self.writable && !self.deaf;
        if wanted == self.watches_room {
            return Ok(());
        }
        self.watches_room = wanted;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(&mut self.stream, token, if wanted { both } else { Interest::READABLE })
    }
}

/// Gives a pipe large buffers; a smaller one than asked for is no reason to refuse a client.
pub(crate) fn widen(stream: &impl AsFd) {
    let fd = stream.as_fd();
    let done = rustix::net::sockopt::set_socket_send_buffer_size(fd, PIPE_BUFFER)
        .and_then(|()| rustix::net::sockopt::set_socket_recv_buffer_size(fd, PIPE_BUFFER));
    if let Err(error) = done {
        tracing::debug!("a pipe keeps its small buffers: {error}");
    }
}
