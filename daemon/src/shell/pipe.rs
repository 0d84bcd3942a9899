//! One client's pipe: frames in, frames out, through the pipe itself or through the ring beside it.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use luasocketd_protocol::{
    BadMark, DaemonNote, FrameReader, MAX_FRAME, RING_WAKE, RingBegin, RingEnd, SocketId, encode_note,
};
use mio::event::Event;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::queue::{ByteQueue, Pool};
use super::sharing::{SharedRing, pass_bells};
use super::worker::Flow;
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
    /// Which way `out` goes.
    way: Way,
    /// Frames that were queued before `out` changed its way, and go the other one.
    before: ByteQueue,
    /// Memory that is shared with the client.
    ring: Option<Box<SharedRing>>,
    /// The ring's descriptor, to be sent with the next bytes on the pipe.
    hand_over: Option<OwnedFd>,
    /// `out` shall go through the pipe again, once `before` has gone.
    turns_back: bool,
    /// Nothing more comes on the pipe; what is in the ring may still be read.
    ended: bool,
    /// The client goes on through the pipe already, behind the end of its ring, which has not been read yet.
    goes_on: bool,
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
    /// What there is to do for it and its sockets.
    pub(crate) flow: Flow,
    /// Whether the pipe itself is among that.
    pub(crate) scheduled: bool,
    /// Whether its next frame waits until its decision can be recorded.
    pub(crate) waits_for_trail: bool,
    /// Whether something was queued in this turn.
    pub(crate) dirty: bool,
    /// Sockets with data for the client that wait for room in `out`, the first of them first.
    pub(crate) stalled: VecDeque<SocketId>,
    /// Sockets with data for the client that wait for their turn.
    pub(crate) busy: usize,
}

/// The way of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pipe,
    Ring,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Bytes,
    Nothing,
    End,
    /// What cannot be.
    Broken(&'static str),
}

impl Pipe {
    pub(crate) fn new(id: ClientId, stream: UnixStream) -> Self {
        Pipe {
            id,
            stream,
            reader: FrameReader::new(),
            read_size: READ_MIN,
            out: ByteQueue::default(),
            way: Way::Pipe,
            before: ByteQueue::default(),
            ring: None,
            hand_over: None,
            turns_back: false,
            ended: false,
            goes_on: false,
            readable: true,
            writable: true,
            watches_room: false,
            hung_up: false,
            deaf: false,
            gone: false,
            flow: Flow::default(),
            scheduled: false,
            waits_for_trail: false,
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
        if let Some(ring) = &mut self.ring {
            ring.note_bell();
            // Nobody makes room in it any more.
            self.deaf |= self.gone && self.way == Way::Ring;
        }
    }

    /// Whether there may be something to read without anybody saying so again.
    pub(crate) fn has_more(&self) -> bool {
        self.readable || self.ended || self.spins()
    }

    /// Whether its ring is looked at without anybody asking for it.
    pub(crate) fn spins(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.is_ready())
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.before.len() + self.out.len()
    }

    /// Whether the client's frames come through the ring.
    pub(crate) fn reads_ring(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.reads)
    }

    /// The reader of the way by which the client's frames come.
    pub(crate) fn reader(&mut self) -> &mut FrameReader {
        match &mut self.ring {
            Some(ring) if ring.reads => &mut ring.reader,
            _ => &mut self.reader,
        }
    }

    /// Puts a reader back that was taken out while the client's frames came that way, unless its ring is gone.
    pub(crate) fn put_reader(&mut self, reader: FrameReader, by_ring: bool) {
        match &mut self.ring {
            Some(ring) if by_ring => ring.reader = reader,
            _ if by_ring => {}
            _ => self.reader = reader,
        }
    }

    /// Drops what is queued.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.before.clear(pool);
        self.out.clear(pool);
    }

    /// The ring, if large data may be taken out of it.
    pub(crate) fn read_ring(&mut self) -> Option<&mut SharedRing> {
        self.ring.as_deref_mut().filter(|ring| ring.reads)
    }

    /// The ring, if data may be written to it before anything else.
    pub(crate) fn write_ring(&mut self) -> Option<&mut SharedRing> {
        let is_next = self.way == Way::Ring && self.queued() == 0 && !self.deaf;
        self.ring.as_deref_mut().filter(|_| is_next)
    }

    /// Takes memory to share with the client, whose descriptor goes with the next bytes.
    pub(crate) fn offer(&mut self, ring: SharedRing, file: OwnedFd) {
        self.ring = Some(Box::new(ring));
        self.hand_over = Some(file);
    }

    /// The client uses the ring: so does this side from here on.
    pub(crate) fn begin_ring(&mut self, pool: &mut Pool) {
        if let Some(ring) = &mut self.ring {
            ring.reads = true;
            self.turn(Way::Ring, &DaemonNote::RingBegin(RingBegin {}), pool);
        }
    }

    /// Sends what comes from here on through the pipe again, as soon as nothing waits that was to go there before: a
    /// client that does not read may not even have its ring's beginning yet.
    pub(crate) fn end_ring(&mut self) {
        self.turns_back = true;
    }

    /// Forgets the ring.
    pub(crate) fn drop_ring(&mut self) {
        self.ring = None;
        self.hand_over = None;
        self.goes_on = false;
    }

    /// Changes the way of what is queued from here on; `last` is the last that goes the old one.
    fn turn(&mut self, way: Way, last: &DaemonNote<'_>, pool: &mut Pool) {
        let mut frame = pool.take_scratch();
        encode_note(&mut frame, last);
        self.out.push(&frame, pool);
        pool.put_scratch(frame);
        self.before = std::mem::take(&mut self.out);
        self.way = way;
    }

    /// Whether everything that has come from the network is queued, as far as credit allows.
    pub(crate) fn is_level(&self) -> bool {
        self.busy == 0 && self.stalled.is_empty()
    }

    /// Whether requests wait until the client has read its answers.
    pub(crate) fn is_clogged(&self) -> bool {
        self.queued() >= PIPE_OUT_MAX
    }

    /// Reads once from the way by which the client's frames come.
    pub(crate) fn read(&mut self, pool: &mut Pool) -> Arrival {
        if !self.reads_ring() {
            return self.read_pipe(pool);
        }
        let may_read = self.readable && !self.ended && !self.goes_on;
        let has_ended = may_read && self.read_pipe(pool) == Arrival::End;
        match pass_bells(&mut self.reader) {
            Ok(goes_on) => self.goes_on = goes_on,
            Err(_) => return Arrival::Broken("what is no frame, beside the ring"),
        }
        let Some(ring) = &mut self.ring else { return Arrival::Nothing };
        if self.goes_on {
            ring.hurry();
        }
        self.ended |= has_ended;
        let ended = if has_ended { ring.end() } else { Ok(()) };
        let read = ended.and_then(|()| ring.read(pool));
        if ring.wakes_writer() {
            self.ring_bell();
        }
        match read {
            Ok(true) => Arrival::Bytes,
            // Who goes on through the pipe has ended the ring before.
            Ok(false) if self.goes_on => Arrival::Broken("frames beside the ring"),
            Ok(false) if self.ended => Arrival::End,
            Ok(false) => Arrival::Nothing,
            Err(BadMark) => Arrival::Broken("a mark of the ring that cannot be"),
        }
    }

    fn read_pipe(&mut self, pool: &mut Pool) -> Arrival {
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
    ///
    /// # Errors
    /// [`BadMark`] when the client has broken the rules of its ring.
    pub(crate) fn flush(&mut self, pool: &mut Pool) -> Result<(), BadMark> {
        self.write_before(pool)?;
        if self.before.is_empty() && std::mem::take(&mut self.turns_back) {
            self.turn(Way::Pipe, &DaemonNote::RingEnd(RingEnd {}), pool);
            self.write_before(pool)?;
        }
        if self.before.is_empty() && !self.out.is_empty() {
            let mut out = std::mem::take(&mut self.out);
            let done = self.write(self.way, &mut out, pool);
            self.out = out;
            done?;
        }
        if self.ring.as_mut().is_some_and(|ring| ring.wakes_reader()) {
            self.ring_bell();
        }
        if self.deaf {
            self.clear(pool);
        }
        Ok(())
    }

    fn write_before(&mut self, pool: &mut Pool) -> Result<(), BadMark> {
        let old = if self.way == Way::Ring { Way::Pipe } else { Way::Ring };
        let mut before = std::mem::take(&mut self.before);
        let done = self.write(old, &mut before, pool);
        self.before = before;
        done
    }

    fn write(&mut self, way: Way, queue: &mut ByteQueue, pool: &mut Pool) -> Result<(), BadMark> {
        match self.ring.as_mut().filter(|_| way == Way::Ring) {
            Some(ring) => ring.write(queue, pool),
            // A client that has given its ring back before it could have read its end gets the rest of it here.
            None => {
                self.write_pipe(queue, pool);
                Ok(())
            }
        }
    }

    fn write_pipe(&mut self, queue: &mut ByteQueue, pool: &mut Pool) {
        while self.writable && !queue.is_empty() && !self.deaf {
            match self.send(queue.unread()) {
                Ok(length) => {
                    self.writable = length == queue.len();
                    queue.consume(length, pool);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.deaf = true,
            }
        }
    }

    /// Writes to the pipe once, with the descriptor that is to be handed over, if there is one.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &self.hand_over else { return self.stream.write(bytes) };
        let (files, mut space) = ([file.as_fd()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        let sent =
            rustix::net::sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        self.hand_over = None;
        Ok(sent)
    }

    /// Wakes a client that sleeps until something changes in its ring.
    fn ring_bell(&mut self) {
        match (&self.stream).write(RING_WAKE) {
            Ok(length) if length == RING_WAKE.len() => {}
            // So much lies there unread that it is awake, or will be.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Half a frame: whoever reads it would never get the other half.
            Ok(_) | Err(_) => self.deaf = true,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use luasocketd_protocol::{ClientNote, Data, Ring};

    use super::*;
    use crate::core::Key;

    /// A pipe whose client's frames come through a ring, and the client's ends of both.
    fn with_ring(pool: &mut Pool) -> (Pipe, UnixStream, Ring) {
        let (own, client) = UnixStream::pair().unwrap();
        let mut pipe = Pipe::new(ClientId::from_parts(0, 1), own);
        let (shared, file) = SharedRing::create(Duration::ZERO).unwrap();
        let ring = Ring::open(&file).unwrap();
        pipe.offer(shared, file);
        pipe.begin_ring(pool);
        (pipe, client, ring)
    }

    fn frame(note: &ClientNote<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        encode_note(&mut frame, note);
        frame
    }

    #[test]
    fn what_comes_behind_the_end_of_a_ring_waits_for_that() {
        let mut pool = Pool::new(1 << 20);
        let (mut pipe, mut client, mut ring) = with_ring(&mut pool);
        let end = frame(&ClientNote::RingEnd(RingEnd {}));
        let data = frame(&ClientNote::Data(Data { socket: SocketId(1), bytes: b"next" }));
        ring.sender.write(&[&end]).unwrap();
        client.write_all(&[RING_WAKE, &data].concat()).unwrap();
        assert_eq!(pipe.read(&mut pool), Arrival::Bytes);
        assert_eq!(pipe.reader().next_frame(), Ok(Some(&end[..])));
        pipe.drop_ring();
        assert_eq!(pipe.reader().next_frame(), Ok(Some(&data[..])));
    }

    #[test]
    fn frames_beside_a_ring_that_has_not_ended_are_refused() {
        let mut pool = Pool::new(1 << 20);
        let (mut pipe, mut client, mut ring) = with_ring(&mut pool);
        let data = frame(&ClientNote::Data(Data { socket: SocketId(1), bytes: b"next" }));
        ring.sender.write(&[&data]).unwrap();
        client.write_all(&data).unwrap();
        assert_eq!(pipe.read(&mut pool), Arrival::Bytes);
        assert_eq!(pipe.reader().next_frame(), Ok(Some(&data[..])));
        assert_eq!(pipe.read(&mut pool), Arrival::Broken("frames beside the ring"));
    }
}
