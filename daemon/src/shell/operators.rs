//! The threads that speak with operators, so that the loop never waits for one.
//!
//! One thread takes connections; each gets a thread of its own until it ends, so that somebody who says nothing
//! or reads nothing holds up nobody but himself.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::desk::{Counter, Question, Told};
use super::line::{Line, read_line};
use super::listener::PipeListener;
use crate::admin::{Answer, LINE_MAX, Reloaded, Request};
use crate::core::policy::Policy;

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
const END: Token = Token(1);

/// What only the program around the loop can do.
pub trait House: Send + Sync {
    /// Reads the policy file again, and tells the log.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    fn read_policy(&self) -> Result<Policy, String>;
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
    /// Takes operators in from here on; what they ask is put to the loop at `counter`.
    ///
    /// # Errors
    /// When the system has no thread or no descriptors for it.
    pub fn start(mut listener: PipeListener, counter: Counter, house: Arc<dyn House>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), END)?;
        poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        let ended = Arc::new(AtomicBool::new(false));
        let busy = Arc::default();
        let door = Door {
            poll,
            listener,
            guests: Guests { counter, house, crowd: Arc::default(), busy: Arc::clone(&busy) },
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
        loop {
            match self.listener.accept() {
                Ok(None) => return None,
                Ok(Some(stream)) => {
                    self.starved = false;
                    self.guests.take_in(stream);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.starved, true) {
                        tracing::warn!("no operators until that is over: {error}");
                    }
                    return Some(ACCEPT_PAUSE);
                }
            }
        }
    }
}

/// What every connection's thread gets.
#[derive(Clone)]
struct Guests {
    counter: Counter,
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
        let guest = self.clone();
        let served = named("operator").spawn(move || {
            let _seat = seat;
            if let Err(error) = guest.serve(stream) {
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
        match request {
            Request::Reload { enforce_now } => self.reload(enforce_now),
        }
    }

    fn reload(&self, enforce_now: bool) -> Answer {
        let mut policy = match self.house.read_policy() {
            Ok(policy) => policy,
            Err(error) => return Answer::error(format!("the policy stays as it was: {error}")),
        };
        policy.enforce_now |= enforce_now;
        let profiles = policy.profiles().iter().map(|profile| profile.name.clone()).collect();
        match self.counter.ask(Question::SetPolicy(Box::new(policy))) {
            Ok(Told::Done) => Answer::Reloaded(Reloaded { profiles }),
            Err(silence) => Answer::error(silence.to_string()),
        }
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
