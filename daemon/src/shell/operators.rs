//! The door for operators: one thread takes their connections, so that the loop never waits for one.

use std::io;
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

use super::asking::Asker;
use super::guests::{Guests, House, named};
use super::listener::PipeListener;
use crate::core::{Credentials, Further, Offence, Offenders};

/// Connections of each kind that are taken before the other kind has its turn: whoever floods the one keeps nobody from
/// the other.
const ACCEPTS_PER_ROUND: usize = 64;

/// How long no connection is taken after the system could give none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long the daemon's end waits for answers that are under way: whoever has asked for the end, say, shall hear
/// that it has come.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LAST_ANSWERS_TICK: Duration = Duration::from_millis(5);

const LISTENER: Token = Token(0);
const METRICS: Token = Token(1);
const END: Token = Token(2);

/// The thread that takes operators in. Dropping it ends it, and takes the socket's file away; who is being answered
/// gets his answer if he reads it at once.
#[derive(Debug)]
pub struct Operators {
    ended: Arc<AtomicBool>,
    /// How many are being answered.
    busy: Arc<AtomicUsize>,
    waker: Arc<Waker>,
    left: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Closes the door for operators, and leaves its socket to another daemon.
#[derive(Clone, Debug)]
pub struct Leave {
    ended: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Leave {
    /// Takes in nobody from here on; who is being answered gets his answer.
    ///
    /// # Errors
    /// When the thread cannot be told.
    pub fn leave(&self) -> io::Result<()> {
        self.left.store(true, Ordering::Release);
        self.ended.store(true, Ordering::Release);
        self.waker.wake()
    }
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
        let waker = Arc::new(Waker::new(poll.registry(), END)?);
        poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        let mut metrics = metrics.map(TcpListener::from_std);
        if let Some(metrics) = &mut metrics {
            poll.registry().register(metrics, METRICS, Interest::READABLE)?;
        }
        let (ended, left) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let guests = Guests::new(asker, house);
        let busy = guests.busy();
        let door = Door {
            poll,
            listener,
            metrics,
            guests,
            strangers: Offenders::default(),
            ended: Arc::clone(&ended),
            left: Arc::clone(&left),
            starved: false,
        };
        let thread = named("operators").spawn(move || door.watch())?;
        Ok(Operators { ended, busy, waker, left, thread: Some(thread) })
    }

    /// What closes the door before its time.
    pub fn leave(&self) -> Leave {
        let Operators { ended, left, waker, .. } = self;
        Leave { ended: Arc::clone(ended), left: Arc::clone(left), waker: Arc::clone(waker) }
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

/// Where operators come in.
struct Door {
    poll: Poll,
    listener: PipeListener,
    metrics: Option<TcpListener>,
    guests: Guests,
    /// Those who were refused.
    strangers: Offenders,
    ended: Arc<AtomicBool>,
    /// Whether another daemon goes on with the sockets.
    left: Arc<AtomicBool>,
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
                _ => {
                    let again = self.take_all();
                    let now = Instant::now();
                    for Further { who, what, times } in self.strangers.on_time(now) {
                        tracing::warn!(operator = %who, "{what} {times} more times");
                    }
                    let counts = self.strangers.next().map(|at| at.saturating_duration_since(now));
                    wait = again.into_iter().chain(counts).min();
                }
            }
        }
        if self.left.load(Ordering::Acquire) {
            self.listener.leave();
        }
    }

    /// Takes in some of those that wait; gives the time after which there may be more to do.
    fn take_all(&mut self) -> Option<Duration> {
        match self.take_operators().and_then(|more| Ok(more | self.take_fetchers()?)) {
            Ok(more) => {
                self.starved = false;
                more.then_some(Duration::ZERO)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.starved, true) {
                    tracing::warn!("no operators until that is over: {error}");
                }
                Some(ACCEPT_PAUSE)
            }
        }
    }

    /// Says whether more may wait.
    fn take_operators(&mut self) -> io::Result<bool> {
        for _ in 0..ACCEPTS_PER_ROUND {
            let Some(stream) = self.listener.accept()? else { return Ok(false) };
            let peer = peer(&stream)?;
            if is_welcome(peer.uid, rustix::process::geteuid().as_raw()) {
                self.guests.take_in(stream);
            } else if self.strangers.on_offence(peer.into(), Offence::Refused, Instant::now()) {
                tracing::warn!(operator = %peer, "refused: the admin socket is for its owner and root");
            }
        }
        Ok(true)
    }

    /// Says whether more may wait.
    fn take_fetchers(&self) -> io::Result<bool> {
        let Some(metrics) = &self.metrics else { return Ok(false) };
        for _ in 0..ACCEPTS_PER_ROUND {
            match metrics.accept() {
                Ok((stream, _)) => self.guests.take_fetcher(TcpStream::from(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // Whoever came has gone before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn peer(stream: &UnixStream) -> io::Result<Credentials> {
    let peer = getsockopt(stream, PeerCredentials)?;
    Ok(Credentials { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() })
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
}
