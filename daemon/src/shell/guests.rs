//! Operators that are connected, and those that fetch metrics, each in a thread of its own: somebody who says nothing or
//! reads nothing holds up nobody but himself.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::asking::Asker;
use super::line::{Line, read_line};
use super::metrics::serve_metrics;
use crate::admin::{Answer, LINE_MAX, Metrics, Reloaded, Replaced, Request, metrics};
use crate::core::Mark;
use crate::core::policy::{Policy, TIMEOUT_MAX};

/// Operators at once: more than people who look at a daemon, few enough that they cannot use up its descriptors.
const OPERATORS_MAX: usize = 32;

/// Those at once that fetch metrics. Anybody on this machine can be one, so they take no operator's place.
const FETCHERS_MAX: usize = 8;

/// How long an operator may say nothing, and how long a started request may take to arrive.
const IDLE: Duration = Duration::from_secs(60);

/// How long an answer may take to be read.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// What such a thread needs: lines and answers are on the heap.
const STACK_BYTES: usize = 256 * 1024;

/// What only the program around the loop can do.
pub trait House: Send + Sync {
    /// Reads the policy file again, and tells the log.
    ///
    /// # Errors
    /// That the policy stays as it was, and what is wrong with the file, with file and line.
    fn read_policy(&self) -> Result<Policy, String>;

    /// How long clients may go on in a daemon that ends, when nobody says.
    fn drain_timeout(&self) -> Duration;

    /// Tells the log, and whoever started it, that the daemon begins to end.
    fn on_drain(&self, clients: u64, sockets: u64);

    /// Has a new process of this program take the place of this one; gives its number.
    ///
    /// # Errors
    /// Why this one stays, in words.
    fn replace(&self, loops: &Asker) -> Result<u32, String>;
}

/// What every connection's thread gets.
#[derive(Clone)]
pub(crate) struct Guests {
    asker: Asker,
    house: Arc<dyn House>,
    /// How many operators there are.
    operators: Arc<AtomicUsize>,
    /// How many there are that fetch metrics.
    fetchers: Arc<AtomicUsize>,
    /// How many of them are being answered.
    busy: Arc<AtomicUsize>,
}

impl Guests {
    /// Nobody yet.
    pub(crate) fn new(asker: Asker, house: Arc<dyn House>) -> Self {
        Guests { asker, house, operators: Arc::default(), fetchers: Arc::default(), busy: Arc::default() }
    }

    /// How many are being answered.
    pub(crate) fn busy(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.busy)
    }

    /// Serves an operator in a thread of his own.
    pub(crate) fn take_in(&self, mut stream: UnixStream) {
        let Some(seat) = Seat::take(&self.operators, OPERATORS_MAX) else {
            let answer = Answer::error(format!("{OPERATORS_MAX} operators are connected; end some"));
            // A short line fits the buffer of a new connection; whoever does not want it has gone.
            let _ = stream.write_all(answer.line().as_bytes());
            return;
        };
        self.seat("operator", seat, move |guest| guest.serve(stream));
    }

    /// Serves a connection that fetches metrics in a thread of its own.
    pub(crate) fn take_fetcher(&self, stream: TcpStream) {
        // It comes again.
        let Some(seat) = Seat::take(&self.fetchers, FETCHERS_MAX) else { return };
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
        let asker = &self.asker;
        match request {
            Request::Ps { client: None, from } => asker.clients(from),
            Request::Ps { client: Some(Mark::Client(id)), .. } => asker.client(id),
            Request::Sockets { client: None, from } => asker.sockets(from),
            Request::Sockets { client: Some(Mark::Client(id)), from } => asker.sockets_of(id, from),
            Request::Ps { client: Some(mark), .. } | Request::Sockets { client: Some(mark), .. } => {
                Answer::error(format!("{mark} is no client"))
            }
            Request::Kill { id } => asker.kill(id),
            Request::Stats {} => answer(asker.stats(), |stats| Answer::Stats(Box::new(stats))),
            Request::Metrics {} => {
                self.metrics().map_or_else(Answer::error, |text| Answer::Metrics(Metrics { text }))
            }
            Request::Reload { enforce_now } => self.reload(enforce_now),
            Request::Drain { timeout_ms } => self.drain(timeout_ms),
            Request::Replace {} => {
                let before = std::process::id();
                answer(self.house.replace(asker), |pid| Answer::Replaced(Replaced { pid, before }))
            }
        }
    }

    fn reload(&self, enforce_now: bool) -> Answer {
        let mut policy = match self.house.read_policy() {
            Ok(policy) => policy,
            Err(error) => return Answer::error(error),
        };
        policy.enforce_now |= enforce_now;
        let profiles = policy.profiles().iter().map(|profile| profile.name.clone()).collect();
        answer(self.asker.set_policy(policy), |()| Answer::Reloaded(Reloaded { profiles }))
    }

    fn drain(&self, timeout_ms: Option<u64>) -> Answer {
        let timeout = timeout_ms.map_or(self.house.drain_timeout(), Duration::from_millis);
        if timeout > TIMEOUT_MAX {
            return Answer::error(format!("a time limit is at most {} ms", TIMEOUT_MAX.as_millis()));
        }
        // Before it is done: a daemon without clients is gone then.
        if !self.asker.is_draining() {
            let (clients, sockets) = self.asker.census();
            self.house.on_drain(clients as u64, sockets as u64);
        }
        answer(self.asker.drain(timeout), Answer::Draining)
    }

    /// The text for Prometheus.
    fn metrics(&self) -> Result<String, String> {
        self.asker.stats().map(metrics::text).map_err(|silence| silence.to_string())
    }
}

/// What came of something, as an answer.
fn answer<T>(told: Result<T, impl ToString>, words: impl FnOnce(T) -> Answer) -> Answer {
    told.map_or_else(Answer::error, words)
}

/// A seat among the connections; dropping it frees it.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(crowd: &Arc<AtomicUsize>, most: usize) -> Option<Seat> {
        let more = |count| (count < most).then_some(count + 1);
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

pub(crate) fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_and_come_back() {
        let crowd = Arc::default();
        let seats: Vec<_> = (0..3).map(|_| Seat::take(&crowd, 3).unwrap()).collect();
        assert!(Seat::take(&crowd, 3).is_none());
        drop(seats);
        assert!(Seat::take(&crowd, 3).is_some());
    }
}
