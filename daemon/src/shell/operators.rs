//! The threads that speak with operators, so that the loop never waits for one.
//!
//! One thread takes connections; each gets a thread of its own until it ends, so that somebody who says nothing
//! or reads nothing holds up nobody but himself.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::desk::{Asker, Question, Told};
use super::line::{Line, read_line};
use super::listener::PipeListener;
use super::metrics::serve_metrics;
use crate::admin::{Answer, Clients, LINE_MAX, Metrics, Reloaded, Request, Sockets, metrics};
use crate::core::policy::{Policy, TIMEOUT_MAX};
use crate::core::{Mark, Page};

/// Connections at once, of operators and of those that fetch metrics together: more than people who look at a
/// daemon, few enough that they cannot use up its descriptors.
const CONNECTIONS_MAX: usize = 32;

/// How long an operator may say nothing, and how long a started request may take to arrive.
const IDLE: Duration = Duration::from_secs(60);

/// How long an answer may take to be read.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How long no connection is taken after the system could give none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long the daemon's end waits for answers that are under way: whoever has asked for the end, say, shall hear
/// that it has come.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LAST_ANSWERS_TICK: Duration = Duration::from_millis(5);

/// What such a thread needs: lines and answers are on the heap.
const STACK_BYTES: usize = 256 * 1024;

const LISTENER: Token = Token(0);
const METRICS: Token = Token(1);
const END: Token = Token(2);

/// What only the program around the loop can do.
pub trait House: Send + Sync {
    /// Reads the policy file again, and tells the log.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    fn read_policy(&self) -> Result<Policy, String>;

    /// How long clients may go on in a daemon that ends, when nobody says.
    fn drain_timeout(&self) -> Duration;

    /// Tells the log, and whoever started it, that the daemon begins to end.
    fn on_drain(&self, clients: u64, sockets: u64);
}

/// The thread that takes operators in. Dropping it ends it, and takes the socket's file away; who is being answered
/// gets his answer if he reads it at once.
#[derive(Debug)]
pub struct Operators {
    ended: Arc<AtomicBool>,
    /// How many are being answered.
    busy: Arc<AtomicUsize>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Operators {
    /// Takes operators in from here on, and at `metrics` those that fetch metrics; what they ask is put to the loop at
    /// `asker`.
    ///
    /// # Errors
    /// When the system has no thread or no descriptors for it.
    pub fn start(
        mut listener: PipeListener,
        metrics: Option<std::net::TcpListener>,
        asker: Asker,
        house: Arc<dyn House>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), END)?;
        poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        let mut metrics = metrics.map(TcpListener::from_std);
        if let Some(metrics) = &mut metrics {
            poll.registry().register(metrics, METRICS, Interest::READABLE)?;
        }
        let ended = Arc::new(AtomicBool::new(false));
        let busy = Arc::default();
        let door = Door {
            poll,
            listener,
            metrics,
            guests: Guests { asker, house, crowd: Arc::default(), busy: Arc::clone(&busy) },
            ended: Arc::clone(&ended),
            starved: false,
        };
        let thread = named("operators").spawn(move || door.watch())?;
        Ok(Operators { ended, busy, waker, thread: Some(thread) })
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        match (self.waker.wake(), self.thread.take()) {
            (Ok(()), Some(thread)) => {
                if thread.join().is_err() {
                    tracing::error!("the operators' thread has panicked");
                }
            }
            (Err(error), _) => tracing::error!("cannot end the operators' thread: {error}"),
            (Ok(()), None) => {}
        }
        let until = Instant::now() + LAST_ANSWERS;
        while self.busy.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(LAST_ANSWERS_TICK);
        }
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES)
}

/// Where operators come in.
struct Door {
    poll: Poll,
    listener: PipeListener,
    metrics: Option<TcpListener>,
    guests: Guests,
    ended: Arc<AtomicBool>,
    /// Whether the log has been told that no connection can be taken.
    starved: bool,
}

impl Door {
    fn watch(mut self) {
        // Room for both sources.
        let mut events = Events::with_capacity(4);
        let mut wait = None;
        while !self.ended.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return tracing::error!("operators are not served any more: {error}");
                }
                _ => wait = self.take_all(),
            }
        }
    }

    /// Takes in those that wait; gives the time after which to try again if the system could not.
    fn take_all(&mut self) -> Option<Duration> {
        match self.take_operators().and_then(|()| self.take_fetchers()) {
            Ok(()) => {
                self.starved = false;
                None
            }
            Err(error) => {
                if !std::mem::replace(&mut self.starved, true) {
                    tracing::warn!("no operators until that is over: {error}");
                }
                Some(ACCEPT_PAUSE)
            }
        }
    }

    fn take_operators(&self) -> io::Result<()> {
        while let Some(stream) = self.listener.accept()? {
            self.guests.take_in(stream);
        }
        Ok(())
    }

    fn take_fetchers(&self) -> io::Result<()> {
        let Some(metrics) = &self.metrics else { return Ok(()) };
        loop {
            match metrics.accept() {
                Ok((stream, _)) => self.guests.take_fetcher(TcpStream::from(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Whoever came has gone before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What every connection's thread gets.
#[derive(Clone)]
struct Guests {
    asker: Asker,
    house: Arc<dyn House>,
    /// How many there are.
    crowd: Arc<AtomicUsize>,
    /// How many of them are being answered.
    busy: Arc<AtomicUsize>,
}

impl Guests {
    /// Serves a connection in a thread of its own, if it is the daemon's own user's or root's.
    fn take_in(&self, mut stream: UnixStream) {
        match peer_uid(&stream) {
            Ok(uid) if is_welcome(uid, rustix::process::geteuid().as_raw()) => {}
            Ok(uid) => return tracing::warn!(uid, "refused: the admin socket is for its owner and root"),
            Err(error) => return tracing::warn!("the kernel does not say who the operator is: {error}"),
        }
        let Some(seat) = Seat::take(&self.crowd) else {
            let answer = Answer::error(format!("{CONNECTIONS_MAX} operators are connected; end some"));
            // A short line fits the buffer of a new connection; whoever does not want it has gone.
            let _ = stream.write_all(answer.line().as_bytes());
            return;
        };
        self.seat("operator", seat, move |guest| guest.serve(stream));
    }

    /// Serves a connection that fetches metrics in a thread of its own.
    fn take_fetcher(&self, stream: TcpStream) {
        // It comes again.
        let Some(seat) = Seat::take(&self.crowd) else { return };
        self.seat("metrics", seat, move |guest| serve_metrics(stream, || guest.metrics()));
    }

    fn seat(&self, name: &str, seat: Seat, serve: impl FnOnce(&Guests) -> io::Result<()> + Send + 'static) {
        let guest = self.clone();
        let served = named(name).spawn(move || {
            let _seat = seat;
            if let Err(error) = serve(&guest) {
                tracing::debug!("an operator: {error}");
            }
        });
        if let Err(error) = served {
            tracing::warn!("no thread for an operator: {error}");
        }
    }

    /// Answers line after line.
    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let mut buffer = Vec::new();
        loop {
            let line = read_line(&mut stream, &mut buffer, LINE_MAX, Instant::now() + IDLE)?;
            let _busy = Busy::new(&self.busy);
            let answer = match line {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let answer = Answer::error(format!("a request is at most {LINE_MAX} bytes"));
                    return stream.write_all(answer.line().as_bytes());
                }
                Line::Whole(line) => match Request::parse(&line) {
                    Ok(request) => self.answer(request),
                    Err(error) => Answer::error(error),
                },
            };
            stream.write_all(answer.line().as_bytes())?;
        }
    }

    fn answer(&self, request: Request) -> Answer {
        let question = match request {
            Request::Ps { client: None, from } => Question::Clients { from },
            Request::Ps { client: Some(Mark::Client(id)), .. } => Question::Client(id),
            Request::Sockets { client: None, from } => Question::Sockets { of: None, from },
            Request::Sockets { client: Some(Mark::Client(id)), from } => {
                Question::Sockets { of: Some(id), from }
            }
            Request::Ps { client: Some(mark), .. } | Request::Sockets { client: Some(mark), .. } => {
                return Answer::error(format!("{mark} is no client"));
            }
            Request::Kill { id } => Question::Kill(id),
            Request::Stats {} => Question::Stats,
            Request::Metrics {} => {
                let text = self.metrics();
                return text.map_or_else(Answer::error, |text| Answer::Metrics(Metrics { text }));
            }
            Request::Reload { enforce_now } => return self.reload(enforce_now),
            Request::Drain { timeout_ms } => return self.drain(timeout_ms),
        };
        let what = request.subject();
        match self.asker.ask(question) {
            Ok(told) => answer(told, what),
            Err(silence) => Answer::error(silence),
        }
    }

    fn reload(&self, enforce_now: bool) -> Answer {
        let mut policy = match self.house.read_policy() {
            Ok(policy) => policy,
            Err(error) => return Answer::error(format!("the policy stays as it was: {error}")),
        };
        policy.enforce_now |= enforce_now;
        let profiles = policy.profiles().iter().map(|profile| profile.name.clone()).collect();
        match self.asker.ask(Question::SetPolicy(Box::new(policy))) {
            Ok(_) => Answer::Reloaded(Reloaded { profiles }),
            Err(silence) => Answer::error(silence),
        }
    }

    fn drain(&self, timeout_ms: Option<u64>) -> Answer {
        let timeout = timeout_ms.map_or(self.house.drain_timeout(), Duration::from_millis);
        if timeout > TIMEOUT_MAX {
            return Answer::error(format!("a time limit is at most {} ms", TIMEOUT_MAX.as_millis()));
        }
        // Before it is done: a daemon without clients is gone then.
        if let Ok(Told::Stats(stats)) = self.asker.ask(Question::Stats)
            && !stats.totals.draining
        {
            self.house.on_drain(stats.totals.clients, stats.totals.sockets);
        }
        match self.asker.ask(Question::Drain { timeout }) {
            Ok(told) => answer(told, None),
            Err(silence) => Answer::error(silence),
        }
    }

    /// The text for Prometheus.
    fn metrics(&self) -> Result<String, String> {
        match self.asker.ask(Question::Stats) {
            Ok(Told::Stats(stats)) => Ok(metrics::text(*stats)),
            Ok(_) => Err("the loop has answered something else".to_owned()),
            Err(silence) => Err(silence.to_string()),
        }
    }
}

/// What the loop has said, as an answer to a request about `what`.
fn answer(told: Told, what: Option<Mark>) -> Answer {
    match told {
        Told::Done => Answer::error("the loop has answered something else"),
        Told::NotThere => Answer::error(match what {
            Some(mark) => format!("{mark} is not there"),
            None => "it is not there".to_owned(),
        }),
        Told::Clients(Page { rows, next }) => Answer::Clients(Clients { clients: rows, next }),
        Told::Sockets(Page { rows, next }) => Answer::Sockets(Sockets { sockets: rows, next }),
        Told::Killed(killed) => Answer::Killed(killed),
        Told::Stats(stats) => Answer::Stats(stats),
        Told::Draining(draining) => Answer::Draining(draining),
    }
}

/// A seat among the connections; dropping it frees it.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(crowd: &Arc<AtomicUsize>) -> Option<Seat> {
        let more = |count| (count < CONNECTIONS_MAX).then_some(count + 1);
        crowd.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Seat(Arc::clone(crowd)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts one that is being answered, until it is dropped.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Busy(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

/// The mode of the file keeps others out already; a file system may not know modes.
fn is_welcome(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_are_welcome() {
        assert!(is_welcome(1000, 1000) && is_welcome(0, 1000) && is_welcome(0, 0));
        assert!(!is_welcome(1001, 1000) && !is_welcome(65534, 0));
    }

    #[test]
    fn seats_are_counted_and_come_back() {
        let crowd = Arc::default();
        let seats: Vec<_> = (0..CONNECTIONS_MAX).map(|_| Seat::take(&crowd).unwrap()).collect();
        assert!(Seat::take(&crowd).is_none());
        drop(seats);
        assert!(Seat::take(&crowd).is_some());
    }
}
