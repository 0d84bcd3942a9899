//! Sending and receiving: between the script's strings and the pipe's credit.

use std::rc::Rc;
use std::time::Instant;

use luasocketd_protocol::Failure;
use rustix::io::Errno;

use super::Session;
use super::socket::{Key, Line, State};
use crate::limits::{Limits, Style};
use crate::pattern::{Pattern, Piece, Scan};
use crate::pipe::{Host, Interrupted, Pipe, Woken};
use crate::stream::{End, Stream};

/// Why a transfer ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// A time limit passed.
    Timeout,
    /// The peer has ended its direction, or the script has closed the object.
    Eof,
    /// The connection failed.
    Failed(Failure),
}

/// What a receive found. The bytes stay where they are until [`Session::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Which of the unread bytes.
    pub(crate) piece: Piece,
    /// Why the pattern stayed incomplete, if it did.
    pub(crate) stopped: Option<Stopped>,
}

/// When a call began to wait, for calls that are made of several steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock(Option<Instant>);

impl Session {
    /// Looks for a pattern among the bytes of an object, waiting for more within its limits.
    pub(crate) fn receive(
        &self,
        host: &dyn Host,
        key: Key,
        pattern: Pattern,
        clock: &mut Clock,
    ) -> Result<Received, Interrupted> {
        let mut patience = self.patience(key, clock);
        let line = match self.connected(host, key, &mut patience)? {
            Ok(line) => line,
            Err(stopped) => {
                let stopped = self.at_the_beginning(key).unwrap_or(stopped);
                return Ok(self.receive_left(key, pattern, stopped));
            }
        };
        line.pipe.mux().look_at(line.id);
        let mut scan = Scan::new(pattern);
        let mut come = 0;
        loop {
            let found = match line.pipe.mux().stream(line.id) {
                Some(stream) => look_for(stream, &mut scan),
                None => return Ok(self.receive_left(key, pattern, Stopped::Eof)),
            };
            let (unread, due) = match found {
                Ok(received) => return Ok(received),
                Err(wanting) => wanting,
            };
            if unread.length != come {
                come = unread.length;
                patience.on_progress();
            }
            line.pipe.mux().grant(line.id, due);
            if patience.wait(host, &line.pipe)? == Woken::Timeout {
                return Ok(Received { piece: unread, stopped: Some(Stopped::Timeout) });
            }
        }
    }

    /// Gives the unread bytes of an object, or of its first datagram, to `read`.
    pub(crate) fn with_unread<T>(&self, key: Key, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match self.connection(key) {
            Some(line) => line.pipe.mux().stream(line.id).map(|stream| read(stream.unread())),
            None if self.kind(key).is_datagram() => self.with_letter(key, |letter| read(&letter.bytes)),
            None => self.with(key, |socket| read(socket.left.unread())),
        }
    }

    /// Gives the answer to a pattern to `read`, if it is here as it is wanted; and how many bytes [`Session::commit`] has
    /// to take.
    pub(crate) fn glance<T>(
        &self,
        key: Key,
        pattern: Pattern,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<(T, usize)> {
        let sockets = self.sockets.borrow();
        let State::Connected(line) = &sockets.get(key.0)?.state else { return None };
        let mut mux = line.pipe.mux();
        mux.look_at(line.id);
        let stream = mux.stream(line.id)?;
        let (length, take) = whole_answer(stream.unread(), pattern)?;
        let answer = read(&stream.unread()[..length])?;
        stream.peek();
        Some((answer, take))
    }

    /// Drops bytes, or the datagram, that the script has got now, so that the daemon may send more.
    pub(crate) fn commit(&self, key: Key, take: usize) {
        let mut sockets = self.sockets.borrow_mut();
        if let Some(socket) = sockets.get_mut(key.0)
            && let State::Connected(line) = &socket.state
        {
            socket.statistics.received += take as u64;
            let mut mux = line.pipe.mux();
            let due = mux.consume(line.id, take);
            if due > 0 {
                mux.grant(line.id, due);
                drop(mux);
                line.pipe.flush();
            }
            return;
        }
        drop(sockets);
        if let Some(line) = self.idle(key).filter(|_| self.kind(key).is_datagram()) {
            return self.drop_letter(&line);
        }
        self.with(key, |socket| {
            socket.statistics.received += take as u64;
            socket.left.consume(take)
        });
    }

    /// Whether something is there that was not received yet.
    pub(crate) fn is_dirty(&self, key: Key) -> bool {
        if let Some(Line { pipe, id }) = self.idle(key) {
            return pipe.mux().mailbox(id).is_some_and(|mailbox| mailbox.is_readable());
        }
        self.with_unread(key, |unread| !unread.is_empty()).unwrap_or(false)
    }

    /// Whether LuaSocket would have bytes in a buffer of its own, which its `select` reports first.
    pub(crate) fn is_pulled(&self, key: Key) -> bool {
        match self.connection(key) {
            Some(line) => line.pipe.mux().stream(line.id).is_some_and(|stream| stream.is_pulled()),
            // A kernel hands datagrams over one by one.
            None if self.kind(key).is_datagram() => false,
            None => self.is_dirty(key),
        }
    }

    /// Sends bytes within the object's limits. What is counted as accepted has been written to the pipe or,
    /// where the limit passed, will be before anything else is.
    pub(crate) fn send(
        &self,
        host: &dyn Host,
        key: Key,
        bytes: &[u8],
        clock: &mut Clock,
    ) -> Result<(usize, Option<Stopped>), Interrupted> {
        if bytes.is_empty() {
            return Ok((0, None));
        }
        let mut patience = self.patience(key, clock);
        let (accepted, stopped) = match self.connected(host, key, &mut patience)? {
            Ok(line) => send_all(host, &line, bytes, &mut patience)?,
            Err(stopped) => (0, Some(stopped)),
        };
        self.with(key, |socket| socket.statistics.sent += accepted as u64);
        Ok((accepted, stopped))
    }

    /// Sends bytes that go out as a whole and at once; whether they did. Otherwise nothing was sent.
    pub(crate) fn send_at_once(&self, key: Key, bytes: &[u8]) -> bool {
        let mut sockets = self.sockets.borrow_mut();
        let Some(socket) = sockets.get_mut(key.0) else { return false };
        let State::Connected(line) = &socket.state else { return false };
        let is_sent = line.pipe.send_at_once(line.id, bytes);
        if is_sent {
            socket.statistics.sent += bytes.len() as u64;
        }
        is_sent
    }

    /// The object's connection, once a pending connect has succeeded.
    fn connected(
        &self,
        host: &dyn Host,
        key: Key,
        patience: &mut Patience<'_>,
    ) -> Result<Result<Line, Stopped>, Interrupted> {
        loop {
            let pipe = match self.with(key, |socket| match &socket.state {
                State::Connected(line) => Ok(line.clone()),
                State::Connecting { pipe, .. } => Err(Some(Rc::clone(pipe))),
                _ => Err(None),
            }) {
                Some(Ok(line)) => return Ok(Ok(line)),
                Some(Err(Some(pipe))) => pipe,
                Some(Err(None)) | None => {
                    return Ok(Err(self.take_failure(key).map_or(Stopped::Eof, Stopped::Failed)));
                }
            };
            self.settle(key);
            let pending = self.with(key, |socket| matches!(socket.state, State::Connecting { .. }));
            if pending == Some(true) && patience.wait(host, &pipe)? == Woken::Timeout {
                return Ok(Err(Stopped::Timeout));
            }
        }
    }

    pub(super) fn patience<'a>(&self, key: Key, clock: &'a mut Clock) -> Patience<'a> {
        let limits = self.limits(key).unwrap_or(Limits::none(Style::PerCall));
        Patience { limits, clock, progressed: None, asked: Asked::No }
    }

    /// What receiving on a socket that never had an address to connect to ends with.
    fn at_the_beginning(&self, key: Key) -> Option<Stopped> {
        let is_new =
            self.with(key, |socket| matches!(socket.state, State::Idle(_)) && !socket.was_refused)?;
        is_new.then(|| Stopped::Failed(Failure::os(Errno::NOTCONN.raw_os_error())))
    }

    /// Looks for a pattern in what a closed object has left.
    fn receive_left(&self, key: Key, pattern: Pattern, stopped: Stopped) -> Received {
        let received = self.with(key, |socket| {
            let unread = socket.left.unread();
            let mut scan = Scan::new(pattern);
            match scan.advance(unread) {
                Some(piece) => Received { piece, stopped: None },
                None => Received { piece: scan.partial(unread), stopped: Some(stopped.clone()) },
            }
        });
        received.unwrap_or(Received { piece: Scan::new(pattern).partial(&[]), stopped: Some(stopped) })
    }
}

/// Looks for a pattern in what came. Where more is wanted: what came, and the grant that is due, since a
/// pattern may want more than the window holds.
fn look_for(stream: &mut Stream, scan: &mut Scan) -> Result<Received, (Piece, u32)> {
    if let Some(piece) = scan.advance(stream.unread()) {
        stream.peek();
        return Ok(Received { piece, stopped: None });
    }
    let piece = scan.partial(stream.unread());
    match stream.take_receive_end() {
        Some(End::Eof) => Ok(Received { piece, stopped: Some(Stopped::Eof) }),
        Some(End::Broken(failure)) => Ok(Received { piece, stopped: Some(Stopped::Failed(failure)) }),
        None => Err((piece, stream.claim())),
    }
}

/// How many of the unread bytes are the answer to a pattern, and how many it takes, where no byte has to be left out.
fn whole_answer(unread: &[u8], pattern: Pattern) -> Option<(usize, usize)> {
    match pattern {
        Pattern::Line(_) => {
            let end = memchr::memchr2(b'\n', b'\r', unread)?;
            (unread[end] == b'\n').then_some((end, end + 1))
        }
        Pattern::Count(count) => {
            let count = usize::try_from(count).ok().filter(|count| *count <= unread.len())?;
            Some((count, count))
        }
        Pattern::All | Pattern::Word | Pattern::Peek => None,
    }
}

fn send_all(
    host: &dyn Host,
    line: &Line,
    bytes: &[u8],
    patience: &mut Patience<'_>,
) -> Result<(usize, Option<Stopped>), Interrupted> {
    let Line { pipe, id } = line;
    pipe.look_sometimes();
    let mut accepted = 0;
    // The last round only waits until the rest of the last frame is written.
    while accepted < bytes.len() || pipe.is_writing() {
        let ended = match pipe.mux().stream(*id) {
            Some(stream) => stream.take_send_end().map(Stopped::Failed),
            None => Some(Stopped::Eof),
        };
        if ended.is_some() {
            return Ok((accepted, ended));
        }
        let taken = pipe.send_data(*id, &bytes[accepted..]);
        accepted += taken;
        if taken > 0 {
            patience.on_progress();
        } else if patience.wait(host, pipe)? == Woken::Timeout {
            return Ok((accepted, Some(Stopped::Timeout)));
        }
    }
    Ok((accepted, None))
}

/// How long a call still waits.
pub(super) struct Patience<'a> {
    limits: Limits,
    clock: &'a mut Clock,
    /// When this stretch of waiting began.
    progressed: Option<Instant>,
    asked: Asked,
}

/// How far a call has gone that must not wait.
#[derive(Clone, Copy)]
enum Asked {
    No,
    /// It has looked at what is in the pipe.
    Pipe,
    /// It has asked the daemon for what is there.
    Daemon,
}

impl Patience<'_> {
    /// The next wait begins a new stretch.
    fn on_progress(&mut self) {
        self.progressed = None;
    }

    /// Waits for something to happen; without time left, looks once for what is there already.
    pub(super) fn wait(&mut self, host: &dyn Host, pipe: &Pipe) -> Result<Woken, Interrupted> {
        let now = Instant::now();
        let started = *self.clock.0.get_or_insert(now);
        let progressed = *self.progressed.get_or_insert(now);
        let until = self.limits.until(started, progressed);
        if !until.is_over(now) {
            return pipe.wait(host, until);
        }
        match self.asked {
            Asked::No => {
                pipe.look();
                self.asked = Asked::Pipe;
            }
            Asked::Pipe => {
                pipe.sync(host)?;
                self.asked = Asked::Daemon;
            }
            Asked::Daemon => return Ok(Woken::Timeout),
        }
        Ok(Woken::Ready)
    }
}
