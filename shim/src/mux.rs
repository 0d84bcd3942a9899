//! Everything that goes on between one Lua state and its daemon: requests under way, connections,
//! listening sockets, and the bytes that wait to be written.
//!
//! Pure: frames in, bytes out; `pipe` does the I/O. Invariants: nothing the daemon sends makes it hold
//! more than credit and requests allow, an answer to a call that was given up is undone or kept for the
//! next call, never lost, and after its death every call is answered with `closed`.

mod id_hash;
mod streams;
mod want;

use std::collections::{HashMap, HashSet, VecDeque};

use luasocketd_protocol::{
    AskRing, Call, Cancel, ClientNote, Close, Code, DaemonNote, Endpoint, Failure, Frame, FrameError,
    Overrun, SocketId, Sync, Watch, Window, encode_note, encode_request, plain_data,
};
use thiserror::Error;

use crate::buffer::KEPT_ROOM;
use crate::mailbox::Mailbox;
use crate::stream::{Stream, closed};
use id_hash::IdHash;
use streams::Streams;
use want::Want;

pub(crate) use want::Reply;

/// Requests under way on one pipe; a script whose calls time out at a daemon that hangs ends here.
const REQUESTS_MAX: usize = 4096;

/// Bytes waiting to be written above which notes that only inform are left out.
const INFORM_MAX: usize = 16 * 1024;

/// The most memory that is kept for the next large answer: a window grows to half of it.
const SPARE_MAX: usize = 2 * 1024 * 1024;

/// The daemon broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Violation {
    /// Bytes that are no message for a client.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More bytes or credit than the rules of the window allow.
    #[error(transparent)]
    Overrun(#[from] Overrun),
    /// A message of a client.
    #[error("a request from the daemon")]
    Request,
}

/// How often one piece of news makes the pipe readable for those who wait on a descriptor. An event loop calls
/// back everybody who was woken, and each call takes what the pipe holds, so that the one whom it concerns may have
/// to be woken again; but somebody who does not care for his news must not keep the loop from its sleep.
const WAKES_MAX: u16 = 10_000;

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u32);

#[derive(Debug)]
struct Request {
    want: Want,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Answered(Result<Reply, Failure>),
    /// Nobody waits for the answer any more.
    Abandoned,
}

/// What the daemon has said about memory to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingNews {
    /// There is some, which may be looked at for so many microseconds before a wait.
    Granted(u32),
    /// There is none.
    Refused,
    /// Its frames come through the ring from here on.
    Begun,
    /// Its frames come through the pipe again, and so shall ours.
    Ended,
}

/// A listening socket.
#[derive(Debug, Default)]
struct Listener {
    /// Accepted for a call that had given up; the next one gets them.
    queue: VecDeque<Endpoint>,
    watched: bool,
    acceptable: bool,
}

/// One pipe's state.
#[derive(Debug, Default)]
pub(crate) struct Mux {
    out: Vec<u8>,
    written: usize,
    next_request: u32,
    requests: HashMap<u32, Request, IdHash>,
    streams: Streams,
    mailboxes: HashMap<SocketId, Mailbox, IdHash>,
    listeners: HashMap<SocketId, Listener, IdHash>,
    /// Sockets whose descriptor an event loop of others may be waiting on.
    polled: HashSet<SocketId, IdHash>,
    /// Those of them of which news has come that no call has looked at, and how often that may still wake.
    news: HashMap<SocketId, u16, IdHash>,
    /// The request whose answer will make the pipe readable for them.
    wake: Option<Ticket>,
    /// Whether a listening socket was begun to be watched since that was last asked.
    new_watch: bool,
    /// What was said about memory to share, and nobody has looked at.
    ring_news: Option<RingNews>,
    /// Memory that a socket has used for a large answer, for the next one.
    spare: Vec<u8>,
    dead: Option<String>,
}

impl Mux {
    /// Bytes that wait to be written.
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Says that the first `length` of them were written.
    pub(crate) fn on_written(&mut self, length: usize) {
        self.written += length;
        if self.written >= self.out.len() {
            self.written = 0;
            self.out.clear();
        }
    }

    /// Queues the rest of a frame whose start was written.
    pub(crate) fn queue_rest(&mut self, rest: &[u8]) {
        self.out.extend_from_slice(rest);
    }

    /// Queues a request.
    ///
    /// # Errors
    /// `closed` after the pipe's death, `limit` when too many requests are under way.
    pub(crate) fn request(&mut self, call: &Call<'_>) -> Result<Ticket, Failure> {
        if self.is_dead() {
            return Err(closed());
        }
        if self.requests.len() >= REQUESTS_MAX {
            return Err(Failure::new(Code::Limit, "too many calls under way"));
        }
        while self.requests.contains_key(&self.next_request) {
            self.next_request = self.next_request.wrapping_add(1);
        }
        let id = self.next_request;
        self.next_request = id.wrapping_add(1);
        self.requests.insert(id, Request { want: Want::of(call), state: State::Waiting });
        encode_request(&mut self.out, id, call);
        Ok(Ticket(id))
    }

    /// Asks for memory to share; the answer is news.
    pub(crate) fn ask_ring(&mut self) {
        // Where there are too many requests it is no time for one more.
        let _asked = self.request(&Call::Ring(AskRing {}));
    }

    /// What the daemon has said about memory to share since that was last asked.
    pub(crate) fn take_ring_news(&mut self) -> Option<RingNews> {
        self.ring_news.take()
    }

    /// Whether somebody waits on the descriptor of a socket.
    pub(crate) fn is_polled(&self) -> bool {
        !self.polled.is_empty()
    }

    /// Queues a notification; none after the pipe's death.
    pub(crate) fn note(&mut self, note: &ClientNote<'_>) {
        if !self.is_dead() {
            encode_note(&mut self.out, note);
        }
    }

    /// Queues a notification that the daemon can do without.
    pub(crate) fn inform(&mut self, note: &ClientNote<'_>) {
        if self.unwritten().len() < INFORM_MAX {
            self.note(note);
        }
    }

    /// The answer, if it is there, without taking it.
    pub(crate) fn peek_answer(&self, ticket: Ticket) -> Option<&Result<Reply, Failure>> {
        match &self.requests.get(&ticket.0)?.state {
            State::Answered(answer) => Some(answer),
            State::Waiting | State::Abandoned => None,
        }
    }

    /// Takes the answer, once it is there.
    pub(crate) fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Reply, Failure>> {
        self.peek_answer(ticket)?;
        match self.requests.remove(&ticket.0)?.state {
            State::Answered(answer) => Some(answer),
            State::Waiting | State::Abandoned => None,
        }
    }

    /// Gives a request up; what came of it is kept for the next call or undone.
    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        let Some(Request { want, state }) = self.requests.remove(&ticket.0) else { return };
        match state {
            State::Answered(answer) => self.settle(want, answer),
            State::Waiting | State::Abandoned => {
                self.requests.insert(ticket.0, Request { want, state: State::Abandoned });
                if want.may_last() {
                    self.note(&ClientNote::Cancel(Cancel { request: ticket.0 }));
                }
            }
        }
    }

    /// Takes so many bytes of data for a socket, which `read` puts into the room that it is given; `None` for one that has
    /// gone.
    ///
    /// # Errors
    /// When they are more than was granted.
    pub(crate) fn take_data<T>(
        &mut self,
        socket: SocketId,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<Option<T>, Violation> {
        if !self.polled.is_empty() && self.polled.contains(&socket) {
            self.news.insert(socket, WAKES_MAX);
        }
        let Some(stream) = self.streams.get_mut(socket) else { return Ok(None) };
        if length > KEPT_ROOM && !stream.buffer().has_room() {
            stream.buffer().lend(std::mem::take(&mut self.spare));
        }
        Ok(Some(stream.take_data(length, read)?))
    }

    /// Drops bytes that the script has got now; gives the grant that is due.
    pub(crate) fn consume(&mut self, socket: SocketId, length: usize) -> u32 {
        let Some(stream) = self.streams.get_mut(socket) else { return 0 };
        let due = stream.consume(length);
        if let Some(room) = stream.buffer().give_room()
            && (self.spare.len()..=SPARE_MAX).contains(&room.len())
        {
            self.spare = room;
        }
        due
    }

    /// The connection `id`.
    pub(crate) fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        self.streams.get_mut(id)
    }

    /// The datagrams of the socket `id`.
    pub(crate) fn mailbox(&mut self, id: SocketId) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&id)
    }

    /// Bytes that came for the script and are still here, with what each datagram costs besides.
    #[cfg(fuzzing)]
    pub(crate) fn held(&self) -> usize {
        let datagrams = self.mailboxes.values().flat_map(Mailbox::letters);
        let datagrams = datagrams.map(|letter| letter.bytes.len() + luasocketd_protocol::DATAGRAM_OVERHEAD);
        self.streams.all().map(|stream| stream.unread().len()).sum::<usize>() + datagrams.sum::<usize>()
    }

    /// Queues a grant of credit, if it is one.
    pub(crate) fn grant(&mut self, socket: SocketId, bytes: u32) {
        if bytes > 0 {
            self.note(&ClientNote::Window(Window { socket, bytes }));
        }
    }

    /// Starts to treat `id` as a listening socket.
    pub(crate) fn listen(&mut self, id: SocketId) {
        self.listeners.entry(id).or_default();
    }

    /// A connection that was accepted for an earlier call.
    pub(crate) fn take_accepted(&mut self, listener: SocketId) -> Option<Endpoint> {
        let listener = self.listeners.get_mut(&listener)?;
        listener.acceptable = false;
        listener.queue.pop_front()
    }

    /// Forgets that a connection waited: it was that which was accepted, as far as is known.
    pub(crate) fn doubt_acceptable(&mut self, listener: SocketId) {
        if let Some(listener) = self.listeners.get_mut(&listener) {
            listener.acceptable = false;
        }
    }

    /// Whether an accept would not wait, as far as is known; asks the daemon to tell when it would not.
    pub(crate) fn watch(&mut self, id: SocketId) -> bool {
        let dead = self.is_dead();
        let Some(listener) = self.listeners.get_mut(&id) else { return false };
        if dead || listener.acceptable || !listener.queue.is_empty() {
            return true;
        }
        if !std::mem::replace(&mut listener.watched, true) {
            self.new_watch = true;
            self.note(&ClientNote::Watch(Watch { socket: id }));
        }
        false
    }

    /// Whether a listening socket was begun to be watched since the last time that this was asked: then it is
    /// not known yet whether a connection waits.
    pub(crate) fn take_new_watch(&mut self) -> bool {
        std::mem::take(&mut self.new_watch)
    }

    /// Closes a socket; gives the connection that it was.
    pub(crate) fn remove(&mut self, socket: SocketId) -> Option<Stream> {
        self.note(&ClientNote::Close(Close { socket }));
        if let Some(listener) = self.listeners.remove(&socket) {
            for endpoint in listener.queue {
                self.close(endpoint.socket);
            }
        }
        self.mailboxes.remove(&socket);
        self.polled.remove(&socket);
        self.news.remove(&socket);
        self.streams.remove(socket)
    }

    /// Closes a socket for good.
    pub(crate) fn close(&mut self, socket: SocketId) {
        drop(self.remove(socket));
    }

    /// Why the pipe is dead, if it is.
    pub(crate) fn death(&self) -> Option<&str> {
        self.dead.as_deref()
    }

    /// Whether the pipe is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    /// The pipe has ended: every call is answered, every connection is closed.
    pub(crate) fn die(&mut self, reason: &str) {
        self.dead.get_or_insert_with(|| reason.to_owned());
        self.out = Vec::new();
        self.written = 0;
        self.requests.retain(|_, request| !matches!(request.state, State::Abandoned));
        for request in self.requests.values_mut() {
            if matches!(request.state, State::Waiting) {
                request.state = State::Answered(Err(closed()));
            }
        }
        for stream in self.streams.all_mut() {
            stream.on_broken(closed());
        }
        for mailbox in self.mailboxes.values_mut() {
            mailbox.on_death();
        }
    }

    /// Takes one frame from the daemon. What is said about sockets and requests that are gone is ignored:
    /// it may have crossed the news.
    ///
    /// # Errors
    /// When the daemon breaks the protocol; then the pipe has to end.
    pub(crate) fn handle_frame(&mut self, frame: &[u8]) -> Result<(), Violation> {
        if let Some(data) = plain_data(frame) {
            return self.on_note(DaemonNote::Data(data));
        }
        match Frame::parse(frame)? {
            Frame::Request { .. } => Err(Violation::Request),
            Frame::Response { id, outcome } => self.on_response(id, outcome),
            Frame::Notification { method, params } => self.on_note(DaemonNote::parse(method, params)?),
        }
    }

    /// Notes that somebody waits on the descriptor of a socket. What is there already is news, too.
    pub(crate) fn poll(&mut self, id: SocketId) {
        if self.polled.insert(id) {
            self.news.insert(id, WAKES_MAX);
        }
        self.watch(id);
    }

    /// A call looks at a socket: what has come of it is no news any more.
    pub(crate) fn look_at(&mut self, id: SocketId) {
        if !self.news.is_empty() {
            self.news.remove(&id);
        }
    }

    /// Makes sure that the pipe becomes readable once more if there is news of a socket whose descriptor is
    /// waited on: it was taken from the pipe, maybe by a call on another socket, and the descriptors of all of
    /// them show nothing but the pipe.
    pub(crate) fn wake_polled(&mut self) {
        if self.news.is_empty() || self.wake.is_some_and(|wake| self.requests.contains_key(&wake.0)) {
            return;
        }
        self.news.retain(|_, wakes| {
            *wakes -= 1;
            *wakes > 0
        });
        self.wake_anyway();
    }

    /// Makes the pipe readable once more, by an answer, whatever it is.
    pub(crate) fn wake_anyway(&mut self) {
        self.wake = self.request(&Call::Sync(Sync {})).ok();
        if let Some(wake) = self.wake {
            self.abandon(wake);
        }
    }

    fn on_note(&mut self, note: DaemonNote<'_>) -> Result<(), Violation> {
        if !self.polled.is_empty()
            && let Some(subject) = subject(&note).filter(|subject| self.polled.contains(subject))
        {
            self.news.insert(subject, WAKES_MAX);
        }
        match note {
            DaemonNote::Data(data) => {
                if let Some(stream) = self.streams.get_mut(data.socket) {
                    stream.on_data(data.bytes)?;
                }
            }
            DaemonNote::Window(window) => {
                if let Some(stream) = self.streams.get_mut(window.socket) {
                    stream.on_window(window.bytes)?;
                }
            }
            DaemonNote::Eof(eof) => {
                if let Some(stream) = self.streams.get_mut(eof.socket) {
                    stream.on_eof();
                }
            }
            DaemonNote::Broken(broken) => {
                if let Some(stream) = self.streams.get_mut(broken.socket) {
                    stream.on_broken(broken.failure);
                }
            }
            DaemonNote::Acceptable(acceptable) => {
                if let Some(listener) = self.listeners.get_mut(&acceptable.socket) {
                    listener.acceptable = true;
                    listener.watched = false;
                }
            }
            DaemonNote::Datagram(datagram) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&datagram.socket) {
                    mailbox.on_datagram(datagram)?;
                }
            }
            DaemonNote::RingBegin(_) => self.ring_news = Some(RingNews::Begun),
            DaemonNote::RingEnd(_) => self.ring_news = Some(RingNews::Ended),
            // Whoever was woken looks at the ring.
            DaemonNote::RingWake(_) => {}
            DaemonNote::Error(error) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&error.socket) {
                    mailbox.on_error(error.failure);
                }
            }
        }
        Ok(())
    }

    fn on_response(&mut self, id: u32, outcome: Result<&[u8], Failure>) -> Result<(), Violation> {
        let Some(want) = self.requests.get(&id).map(|request| request.want) else { return Ok(()) };
        let answer = match outcome {
            Ok(result) => Ok(want.decode(result)?),
            Err(failure) => Err(failure),
        };
        let Some(Request { state, .. }) = self.requests.remove(&id) else { return Ok(()) };
        if matches!(want, Want::Ring) {
            self.ring_news = Some(match answer {
                Ok(Reply::Ring(grant)) => RingNews::Granted(grant.spin_us),
                Ok(_) | Err(_) => RingNews::Refused,
            });
            return Ok(());
        }
        // From here on data may come for it, in this same read.
        if let (Ok(reply), Some(window)) = (&answer, want.window()) {
            self.expect(reply, window);
        }
        match state {
            State::Abandoned => self.settle(want, answer),
            State::Waiting => {
                self.requests.insert(id, Request { want, state: State::Answered(answer) });
            }
            State::Answered(_) => {
                self.requests.insert(id, Request { want, state });
            }
        }
        Ok(())
    }

    /// Gets ready for what will come for a socket that was made, under the credit that it was granted.
    fn expect(&mut self, reply: &Reply, window: u32) {
        let socket = match reply {
            Reply::Endpoint(endpoint) => {
                self.streams.insert(endpoint.socket, Stream::new(endpoint.window, window));
                return;
            }
            Reply::Socket(socket) => *socket,
            Reply::Bound(bound) => bound.socket,
            Reply::Peer(peer) => peer.socket,
            _ => return,
        };
        self.mailboxes.insert(socket, Mailbox::new(window));
    }

    /// What becomes of an answer that nobody waits for.
    fn settle(&mut self, want: Want, answer: Result<Reply, Failure>) {
        match (want, answer) {
            (Want::Accept { listener, .. }, Ok(Reply::Endpoint(endpoint))) => {
                match self.listeners.get_mut(&listener) {
                    Some(listener) => listener.queue.push_back(endpoint),
                    None => self.close(endpoint.socket),
                }
            }
            (_, Ok(Reply::Endpoint(endpoint))) => self.close(endpoint.socket),
            (Want::Bound { new: true, .. }, Ok(Reply::Bound(bound))) => self.close(bound.socket),
            (Want::Peer { new: true, .. }, Ok(Reply::Peer(peer))) => self.close(peer.socket),
            (_, Ok(Reply::Socket(socket))) => self.close(socket),
            _ => {}
        }
    }
}

/// The socket that a notification is about, if it is about one.
fn subject(note: &DaemonNote<'_>) -> Option<SocketId> {
    Some(match note {
        DaemonNote::Data(data) => data.socket,
        DaemonNote::Window(window) => window.socket,
        DaemonNote::Eof(eof) => eof.socket,
        DaemonNote::Broken(broken) => broken.socket,
        DaemonNote::Acceptable(acceptable) => acceptable.socket,
        DaemonNote::Datagram(datagram) => datagram.socket,
        DaemonNote::Error(error) => error.socket,
        DaemonNote::RingBegin(_) | DaemonNote::RingEnd(_) | DaemonNote::RingWake(_) => return None,
    })
}

#[cfg(test)]
mod tests;
