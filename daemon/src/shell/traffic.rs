//! The bytes on their way: from a client's pipe to its sockets, and from the network to its pipe.

use std::io;
use std::time::{Duration, Instant};

use luasocketd_protocol::{
    Call, ClientNote, Code, DATA_HEADER, Data, Failure, Frame, FrameError, SocketId, data_header, decode,
    plain_data,
};

use super::pipe::{Arrival, DATA_OUT_MAX, Pipe};
use super::process::executable;
use super::queue::ByteQueue;
use super::sharing::Large;
use super::socket::{Phase, Stall};
use super::system::errno;
use super::unsafe_ring::receive_parts;
use super::worker::{Work, Worker};
use crate::core::{Admission, ClientId, Input, Offence};

/// What a client may have done in one turn of the loop, where it may have so much of the round: 256 calls, or the data
/// frames of one full read. A flood of calls then costs every other client well under a millisecond a turn.
const TURN_COST: u32 = 4096;
const CALL_COST: u32 = 16;
/// Making and binding a socket costs far more where many ports are taken: Linux looks for a free one for over
/// a millisecond then (measured with 10,000 bound sockets). A flood of such calls gets 16 a turn.
const SOCKET_COST: u32 = 256;
const DATA_COST: u32 = 1;
/// Large data takes the time of a system call and of up to a whole frame's bytes: a turn moves a megabyte or two.
const LARGE_COST: u32 = 512;

/// How long a unit of cost is taken to be: a call takes some microseconds. What it was in truth is measured, and charged.
const COST: Duration = Duration::from_nanos(250);

/// How much of its turn a client has used.
#[derive(Debug)]
struct Turn {
    most: u32,
    spent: u32,
    /// Whether the client has asked for something, or sent a little: then more is to come soon.
    brings_more: bool,
    /// Whether it has asked for something.
    asks: bool,
}

impl Turn {
    fn spend(&mut self, cost: u32) {
        self.spent += cost;
    }

    fn is_over(&self) -> bool {
        self.spent >= self.most
    }
}

impl Worker {
    /// Does what a client has said, and reads once more from it, as far as its turn goes, which may take about so long.
    pub(crate) fn serve_client(&mut self, id: ClientId, most: Duration) {
        let most = u32::try_from(most.as_nanos() / COST.as_nanos()).unwrap_or(u32::MAX);
        let mut turn =
            Turn { most: most.clamp(CALL_COST, TURN_COST), spent: 0, brings_more: false, asks: false };
        // Frames that waited for their turn, or for room for their answers, come before those that are
        // not read yet.
        self.serve_frames(id, &mut turn);
        let Some(pipe) = self.pipes.get_mut(id) else { return };
        if pipe.waits_for_trail {
            return;
        }
        if !pipe.is_clogged() && pipe.reads_ring() {
            self.send_large_data(id, &mut turn);
        }
        let Some(pipe) = self.pipes.get_mut(id) else { return };
        if pipe.has_more() && !pipe.is_clogged() && !turn.is_over() {
            match pipe.read(&mut self.pool) {
                Arrival::Nothing => self.spins |= pipe.spins(),
                Arrival::Bytes => self.serve_frames(id, &mut turn),
                Arrival::End => self.drop_client(id),
                Arrival::Broken(reason) => self.break_client(id, reason),
            }
        }
        let Some(pipe) = self.pipes.get_mut(id) else { return };
        if let Some(buffer) = pipe.reader().reclaim() {
            self.pool.put(buffer);
        }
        let may_go_on = !pipe.is_clogged() && !pipe.waits_for_trail;
        if may_go_on && (pipe.has_more() || turn.is_over()) {
            self.schedule(Work::Client(id));
        }
    }

    /// Handles the whole frames that have arrived, as long as the turn lasts and there is room for
    /// answers; then sends what they brought.
    fn serve_frames(&mut self, id: ClientId, turn: &mut Turn) {
        // Once in a turn, which bounds what comes of it.
        let is_held_up = self.is_trail_full();
        let Some(pipe) = self.pipes.get_mut(id) else { return };
        if pipe.reader().buffered() == 0 {
            return;
        }
        // The reader is taken out so that a frame can be looked at while the worker acts on it.
        let by_ring = pipe.reads_ring();
        pipe.waits_for_trail = false;
        let mut reader = std::mem::take(pipe.reader());
        let mut touched = std::mem::take(&mut self.touched);
        let outcome = loop {
            let ends = |pipe: &Pipe| pipe.is_clogged() || pipe.reads_ring() != by_ring;
            if turn.is_over() || self.pipes.get(id).is_none_or(ends) {
                break Ok(());
            }
            match reader.next_frame() {
                Ok(Some(frame)) if is_held_up && is_decided(frame) => {
                    let length = frame.len();
                    reader.put_back(length);
                    self.wait_for_trail(id);
                    break Ok(());
                }
                Ok(Some(frame)) => {
                    if let Err(error) = self.serve_frame(id, frame, turn, &mut touched) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let left = reader.buffered();
        let mut outcome = outcome;
        if let Some(pipe) = self.pipes.get_mut(id) {
            // What has come behind the ring's end may be all that comes.
            let goes_on = by_ring && !pipe.reads_ring();
            if by_ring && !pipe.reads_ring() && left > 0 {
                // Nothing comes through a ring behind its end.
                outcome = Err(FrameError::Malformed);
            }
            pipe.put_reader(reader, by_ring);
            if turn.brings_more
                && let Some(ring) = pipe.read_ring()
            {
                ring.note_eager(turn.asks);
            }
            if goes_on {
                self.schedule(Work::Client(id));
            }
        }
        for socket in touched.drain(..) {
            self.send_to_peer(socket);
        }
        self.touched = touched;
        if let Err(error) = outcome {
            self.break_client(id, &error.to_string());
        }
    }

    fn serve_frame(
        &mut self,
        id: ClientId,
        frame: &[u8],
        turn: &mut Turn,
        touched: &mut Vec<SocketId>,
    ) -> Result<(), FrameError> {
        if let Some(data) = plain_data(frame) {
            turn.spend(DATA_COST);
            turn.brings_more = true;
            self.queue_data(id, data, touched);
            return Ok(());
        }
        let frame = Frame::parse(frame)?;
        // Grants follow what was received, and announce nothing.
        turn.brings_more |= !matches!(frame, Frame::Notification { method: "window", .. });
        if let Frame::Notification { method: "data", params } = frame {
            turn.spend(DATA_COST);
            self.queue_data(id, decode(params)?, touched);
            return Ok(());
        }
        // What was sent before a request, or before a close, happens before it: on another socket of the same
        // script the order could be seen.
        if matches!(frame, Frame::Request { .. } | Frame::Notification { method: "close", .. }) {
            for socket in touched.drain(..) {
                self.send_to_peer(socket);
            }
        }
        turn.asks |= matches!(frame, Frame::Request { .. });
        if matches!(frame, Frame::Request { .. }) && self.pipes.get(id).is_some_and(|pipe| pipe.gone) {
            turn.spend(DATA_COST);
            return Ok(());
        }
        turn.spend(match frame {
            Frame::Request { method: "open" | "bind" | "connect" | "set-peer", .. } => SOCKET_COST,
            _ => CALL_COST,
        });
        match frame {
            Frame::Notification { method, params } => {
                let note = ClientNote::parse(method, params)?;
                self.handle(Input::Note { client: id, note });
            }
            Frame::Request { id: request, method: "hello", params } => {
                match Call::parse_hello("hello", params) {
                    Ok(hello) => {
                        // Not before: a process that has been given its pipe becomes the interpreter later.
                        self.note_executable(id);
                        self.handle(Input::Request { client: id, request, call: Call::Hello(hello) });
                    }
                    Err(FrameError::Version(version)) => {
                        self.core.refuse_version(id, request, version);
                        self.perform_actions();
                    }
                    Err(error) => return Err(error),
                }
            }
            Frame::Request { id: request, method, params } => match Call::parse(method, params) {
                Ok(call) => self.handle(Input::Request { client: id, request, call }),
                Err(FrameError::UnknownMethod) => {
                    self.core.refuse_method(id, request, method);
                    self.perform_actions();
                }
                Err(error) => return Err(error),
            },
            Frame::Response { .. } => return Err(FrameError::Malformed),
        }
        Ok(())
    }

    fn note_executable(&mut self, id: ClientId) {
        if let Some(program) = self.core.credentials(id).and_then(|who| executable(who.pid)) {
            self.core.note_executable(id, program);
        }
    }

    /// Puts a client's bytes into the queue of their socket.
    fn queue_data(&mut self, client: ClientId, data: Data<'_>, touched: &mut Vec<SocketId>) {
        if !self.admit(client, data.socket, data.bytes.len()) {
            return;
        }
        let Some(socket) = self.sockets.get_mut(data.socket) else { return };
        socket.out.push(data.bytes, &mut self.socket_pool);
        if touched.last() != Some(&data.socket) {
            touched.push(data.socket);
        }
    }

    /// Whether a client's bytes are taken; one that may not send them is let go.
    fn admit(&mut self, client: ClientId, socket: SocketId, length: usize) -> bool {
        match self.core.admit_data(client, socket, length) {
            Admission::Take => return true,
            Admission::Ignore => {}
            Admission::Overrun => self.break_client(client, "more data than was granted"),
            Admission::NoHello => self.break_client(client, "no hello before the first data"),
        }
        false
    }

    /// Sends large data that comes next in a client's ring to its sockets, without a copy.
    fn send_large_data(&mut self, id: ClientId, turn: &mut Turn) {
        while !turn.is_over() {
            let Some(ring) = self.pipes.get_mut(id).and_then(Pipe::read_ring) else { return };
            let (socket, length) = match ring.large() {
                Ok(Large::Here(socket, length)) => (socket, length),
                Ok(Large::No | Large::Cut) => return,
                Err(bad) => return self.break_client(id, &bad.to_string()),
            };
            turn.spend(LARGE_COST);
            let is_taken = self.admit(id, socket, length);
            let now = Instant::now();
            let credit = if is_taken { self.core.write_credit(socket, now) } else { 0 };
            let Some(ring) = self.pipes.get_mut(id).and_then(Pipe::read_ring) else { return };
            let mut entry = self.sockets.get_mut(socket).filter(|_| is_taken);
            let mut sent = Ok(0);
            if let Some(entry) = &mut entry
                && credit > 0
            {
                sent = entry.send_with(length.min(credit), |io, most| ring.send_large(io, most));
            }
            let mut nowhere = ByteQueue::default();
            let queue = entry.as_mut().map_or(&mut nowhere, |entry| &mut entry.out);
            let taken = *sent.as_ref().unwrap_or(&0);
            let passed = ring.pass_large(taken, length, queue, &mut self.socket_pool);
            if let Some(entry) = entry {
                if let Err(error) = &sent {
                    entry.fail_write(errno(error), &mut self.socket_pool);
                }
                if sent.is_err() || entry.writable && !entry.out.is_empty() {
                    self.schedule(Work::Socket(socket));
                }
            }
            if taken > 0 {
                self.core.on_written(socket, taken, now);
            }
            self.perform_actions();
            if let Err(bad) = passed {
                return self.break_client(id, &bad.to_string());
            }
        }
    }

    /// Moves bytes on a socket in both directions, as far as its turn goes.
    pub(crate) fn serve_socket(&mut self, id: SocketId) {
        match self.sockets.get(id).map(|socket| (socket.phase, socket.cut_off)) {
            Some((Phase::Datagrams(_), _)) => return self.receive_datagrams(id),
            // Nothing is left to be read that could say so.
            Some((Phase::Sending, true)) => return self.fail_socket(id, &io::ErrorKind::BrokenPipe.into()),
            _ => {}
        }
        self.send_to_peer(id);
        self.receive_from_peer(id);
    }

    /// Sends what waits for the peer.
    pub(crate) fn send_to_peer(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !matches!(socket.phase, Phase::Flowing(_) | Phase::Sending) {
            return;
        }
        let (now, has_bytes) = (Instant::now(), !socket.out.is_empty());
        let credit = if has_bytes { self.core.write_credit(id, now) } else { 0 };
        if has_bytes && credit == 0 {
            // The core wakes the socket when its client may go on, or has ended it.
            return self.perform_actions();
        }
        match socket.flush(&mut self.socket_pool, credit) {
            Ok(sent) => {
                socket.finish();
                if socket.writable && !socket.out.is_empty() {
                    self.schedule(Work::Socket(id));
                }
                if sent > 0 {
                    self.core.on_written(id, sent, now);
                    self.perform_actions();
                }
            }
            Err(error) => {
                socket.fail_write(errno(&error), &mut self.socket_pool);
                self.receive_from_peer(id);
            }
        }
    }

    /// Receives once, straight into the queue of the client's pipe.
    fn receive_from_peer(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Phase::Flowing(client) = socket.phase else {
            return self.notice_failure(id);
        };
        if !socket.readable {
            return;
        }
        let Some(pipe) = self.pipes.get_mut(client) else { return self.notice_failure(id) };
        let now = Instant::now();
        let credit = self.core.push_credit(id, now);
        if credit == 0 {
            // The core wakes the socket when credit comes, or has ended it. A connection that has failed waits
            // for none: its client may be waiting for the news.
            self.perform_actions();
            return self.notice_failure(id);
        }
        let room = DATA_OUT_MAX.saturating_sub(pipe.queued() + DATA_HEADER);
        let others_wait = !pipe.stalled.is_empty() && !matches!(socket.stall, Stall::Called(_));
        if room == 0 || others_wait {
            if socket.stall != Stall::Waiting {
                socket.stall = Stall::Waiting;
                pipe.stalled.push_back(id);
            }
            return;
        }
        socket.stall = Stall::No;
        let length = credit.min(room).min(socket.receive_size());
        let straight = pipe.write_ring().map(|ring| {
            ring.receive_large(id, length, |memory, parts| {
                socket.receive_with(length, |io| receive_parts(io, memory, parts))
            })
        });
        let received = match straight {
            Some(Ok(Some(received))) => received,
            Some(Err(bad)) => return self.break_client(client, &bad.to_string()),
            Some(Ok(None)) | None => {
                let space = pipe.out.space(DATA_HEADER + length, &mut self.pool);
                let received = socket.receive(&mut space[DATA_HEADER..]);
                if let Ok(Some(bytes @ 1..)) = received {
                    // No more than a frame's payload, which fits 32 bits.
                    space[..DATA_HEADER].copy_from_slice(&data_header(id, bytes as u32));
                    pipe.out.filled(DATA_HEADER + bytes);
                }
                received
            }
        };
        match received {
            Ok(None) => self.notice_failure(id),
            Ok(Some(0)) => {
                socket.readable = false;
                socket.phase = Phase::Sending;
                let is_cut_off = socket.cut_off;
                self.handle(Input::PeerEnded { socket: id });
                match is_cut_off {
                    true => self.fail_socket(id, &io::ErrorKind::BrokenPipe.into()),
                    false => self.notice_failure(id),
                }
            }
            Ok(Some(received)) => {
                if !std::mem::replace(&mut pipe.dirty, true) {
                    self.dirty.push(client);
                }
                self.core.on_pushed(id, received, now);
                if socket.readable {
                    self.schedule(Work::Socket(id));
                }
            }
            Err(error) => self.fail_socket(id, &error),
        }
    }

    /// Reports a failed write once everything that came before it has been read.
    fn notice_failure(&mut self, id: SocketId) {
        if let Some(errno) = self.sockets.get_mut(id).and_then(|socket| socket.write_error.take()) {
            self.fail_socket(id, &io::Error::from_raw_os_error(errno));
        }
    }

    fn fail_socket(&mut self, id: SocketId, error: &io::Error) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.phase = Phase::Quiet;
            socket.out.clear(&mut self.socket_pool);
        }
        self.handle(Input::Failed { socket: id, failure: connection_failure(error) });
    }

    /// Says why a client that broke the protocol is let go, and lets it go.
    pub(crate) fn break_client(&mut self, id: ClientId, reason: &str) {
        self.complain(id, Offence::Disconnected, format_args!("disconnected: {reason}"));
        self.drop_client(id);
    }

    /// Forgets a client's pipe; the core decides what becomes of its sockets.
    pub(crate) fn drop_client(&mut self, id: ClientId) {
        let Some(mut pipe) = self.pipes.remove(id) else { return };
        if let Err(error) = self.poll.registry().deregister(pipe.stream()) {
            tracing::error!("cannot deregister a pipe: {error}");
        }
        pipe.clear(&mut self.pool);
        self.count_offences(id);
        tracing::debug!(client = %self.core.describe_client(id), "gone");
        let flow = std::mem::take(&mut pipe.flow);
        self.clear(|worker| worker.handle(Input::ClientGone { client: id }));
        self.orphan(flow);
    }

    /// Feeds the core and does what it says.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.core.handle(input, Instant::now());
        self.perform_actions();
    }
}

/// Whether something has to be recorded before what a frame asks for is done. What cannot be read is refused without.
fn is_decided(frame: &[u8]) -> bool {
    let Ok(Frame::Request { method, params, .. }) = Frame::parse(frame) else { return false };
    let Ok(call) = Call::parse(method, params) else { return false };
    match call {
        Call::Connect(_)
        | Call::Bind(_)
        | Call::Listen(_)
        | Call::Accept(_)
        | Call::SetPeer(_)
        | Call::SendTo(_)
        | Call::SetOption(_)
        | Call::Resolve(_)
        | Call::HostEntry(_)
        | Call::NameInfo(_) => true,
        Call::Hello(_)
        | Call::Open(_)
        | Call::ClearPeer(_)
        | Call::GetOption(_)
        | Call::LocalName(_)
        | Call::PeerName(_)
        | Call::Shutdown(_)
        | Call::Close(_)
        | Call::Sync(_)
        | Call::Ring(_) => false,
    }
}

/// What a client is told about a connection that has failed: LuaSocket knows one word for all the ways
/// in which a peer can end it.
fn connection_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset => {
            Failure::new(Code::Closed, format!("the peer has ended the connection: {error}"))
        }
        _ => Failure::os(errno(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_a_close_and_a_lost_route_is_not() {
        for errno in [32, 103, 104] {
            assert_eq!(connection_failure(&io::Error::from_raw_os_error(errno)).code, Code::Closed);
        }
        assert_eq!(connection_failure(&io::Error::from_raw_os_error(113)), Failure::os(113));
    }
}
