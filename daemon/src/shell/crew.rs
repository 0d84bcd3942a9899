//! Several event loops that are one daemon.
//!
//! Each loop is a thread with a core of its own. A client with all its sockets stays on the loop that it came to, so nothing on
//! the way of its bytes is shared. The first loop is the daemon's main thread: it listens, and hands each new client to the loop
//! that has the fewest; it hears signals; and it ends last. (If all loops listened they would all be woken for each client, and
//! whoever is idle first would take most of them.) What operators ask is asked of the loops that it concerns, and what they say is
//! made one answer. What is for all loops stands in [`Orders`].
//!
//! Invariant: no loop goes on without the others. One that ends before all are drained, be it by a panic, ends all.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::{Poll, Waker};

use super::arrivals::Arrival;
use super::complaints::Complaints;
use super::desk::Asked;
use super::orders::Orders;
use super::resolver::Resolver;
use super::tokens::Source;
use crate::audit::{Notes, Own};
use crate::core::Lane;
use crate::core::policy::Policy;

/// Clients that may wait to be taken in by one loop, as many as come to a listener in one turn: with more than that a loop
/// is not the one that has the least to do.
const ARRIVALS_MAX: usize = 64;

/// Questions that may wait for one loop: every operator's connection has at most one.
const QUESTIONS_MAX: usize = 64;

/// All loops, as each of them knows them.
#[derive(Debug)]
pub(crate) struct Crew {
    mates: Vec<Mate>,
    pub(crate) orders: Orders,
    pub(crate) complaints: Complaints,
    /// Where the trail is told what is no loop's alone, if one is kept.
    notes: OnceLock<Notes>,
    /// How many loops have nothing left to do, and will have nothing any more.
    drained: AtomicUsize,
    pub(crate) started: Instant,
}

/// One loop, as the others know it.
#[derive(Debug)]
struct Mate {
    waker: Arc<Waker>,
    questions: SyncSender<Asked>,
    arrivals: SyncSender<Arrival>,
    gauge: Gauge,
}

/// What a loop tells the others of itself, once in a turn. On a line of the processor's cache of its own, as loops write
/// theirs all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Gauge {
    clients: AtomicUsize,
    sockets: AtomicUsize,
    /// Clients that wait for it to take them in.
    arriving: AtomicUsize,
}

/// A loop's place, which a thread can be given to make its loop there.
#[derive(Debug)]
pub(crate) struct Berth {
    pub(crate) lane: Lane,
    pub(crate) poll: Poll,
    pub(crate) questions: Receiver<Asked>,
    pub(crate) arrivals: Receiver<Arrival>,
    pub(crate) resolver: Resolver,
    pub(crate) crew: Arc<Crew>,
}

impl Crew {
    /// The places of so many loops, which judge by `policy`: that of the first one, and of the others.
    ///
    /// # Errors
    /// When the system has no descriptors for them.
    pub(crate) fn gather(loops: usize, policy: &Policy) -> io::Result<(Berth, Vec<Berth>)> {
        let (mut mates, mut places) = (Vec::new(), Vec::new());
        for lane in Lane::all(loops) {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), Source::Threads.token())?);
            let (questions, asked) = mpsc::sync_channel(QUESTIONS_MAX);
            let (arrivals, arrived) = mpsc::sync_channel(ARRIVALS_MAX);
            mates.push(Mate { waker, questions, arrivals, gauge: Gauge::default() });
            places.push((lane, poll, asked, arrived));
        }
        let resolvers = Resolver::for_loops(mates.iter().map(|mate| Arc::clone(&mate.waker)).collect());
        let crew = Arc::new(Crew {
            orders: Orders::new(mates.len(), policy.clone()),
            mates,
            complaints: Complaints::new(),
            notes: OnceLock::new(),
            drained: AtomicUsize::new(0),
            started: Instant::now(),
        });
        let berth = |((lane, poll, questions, arrivals), resolver)| {
            let crew = Arc::clone(&crew);
            Berth { lane, poll, questions, arrivals, resolver, crew }
        };
        let mut berths = places.into_iter().zip(resolvers).map(berth);
        let first = berths.next().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((first, berths.collect()))
    }

    /// All loops.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane> {
        Lane::all(self.mates.len())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.mates.len()
    }

    /// What wakes a loop.
    pub(crate) fn waker(&self, index: usize) -> Arc<Waker> {
        Arc::clone(&self.mates[index].waker)
    }

    /// Wakes a loop.
    pub(crate) fn wake(&self, index: usize) {
        if let Err(error) = self.mates[index].waker.wake() {
            tracing::error!("cannot wake an event loop: {error}");
        }
    }

    /// Wakes all of them.
    pub(crate) fn wake_all(&self) {
        (0..self.mates.len()).for_each(|index| self.wake(index));
    }

    /// Puts a question to a loop.
    pub(crate) fn ask(&self, index: usize, asked: Asked) -> Result<(), TrySendError<Asked>> {
        self.mates[index].questions.try_send(asked)?;
        self.wake(index);
        Ok(())
    }

    /// Has all judge by `policy` from here on; gives the order's number.
    pub(crate) fn set_policy(&self, policy: Policy) -> u64 {
        let number = self.orders.set_policy(policy, |policy| self.note_policy(policy));
        self.wake_all();
        number
    }

    /// Has all begin nothing new, and end at `until` at the latest. As [`Orders::drain`].
    pub(crate) fn drain(&self, until: Instant) -> (u64, bool) {
        let order = self.orders.drain(until);
        self.wake_all();
        order
    }

    /// Has all serve whom they have for so long, and then drain. As [`Orders::retire`].
    pub(crate) fn retire(&self, timeout: Duration) -> u64 {
        let number = self.orders.retire(timeout);
        self.wake_all();
        number
    }

    /// Has all end at once.
    pub(crate) fn stop(&self) {
        self.orders.stop();
        self.wake_all();
    }

    /// Tells a trail from here on which policy is in force.
    pub(crate) fn keep_notes(&self, notes: Notes, policy: &Policy) {
        // There is one trail.
        let _ = self.notes.set(notes);
        self.note_policy(policy);
    }

    fn note_policy(&self, policy: &Policy) {
        let names: Vec<String> =
            policy.profiles().iter().map(|profile| format!("`{}`", profile.name)).collect();
        if let Some(notes) = self.notes.get() {
            notes.note(Own::PolicyLoaded, format!("profiles: {}", names.join(", ")));
        }
    }

    /// Gives a new client to the loop that has the fewest; back to the first one where that has no more than others.
    pub(crate) fn hand_over(&self, mut arrival: Arrival) -> Option<Arrival> {
        let mut order: Vec<usize> = (0..self.mates.len()).collect();
        order.sort_by_key(|index| self.mates[*index].gauge.load());
        for index in order.into_iter().take_while(|index| *index > 0) {
            let Mate { arrivals, gauge, .. } = &self.mates[index];
            gauge.arriving.fetch_add(1, Ordering::AcqRel);
            arrival = match arrivals.try_send(arrival) {
                Ok(()) => {
                    self.wake(index);
                    return None;
                }
                Err(TrySendError::Full(arrival) | TrySendError::Disconnected(arrival)) => arrival,
            };
            gauge.arriving.fetch_sub(1, Ordering::AcqRel);
        }
        Some(arrival)
    }

    /// Notes that a loop has dealt with a client that was handed to it.
    pub(crate) fn on_arrived(&self, index: usize) {
        self.mates[index].gauge.arriving.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes how many clients and sockets a loop has.
    pub(crate) fn count(&self, index: usize, (clients, sockets): (usize, usize)) {
        let gauge = &self.mates[index].gauge;
        gauge.clients.store(clients, Ordering::Release);
        gauge.sockets.store(sockets, Ordering::Release);
    }

    /// How many clients and sockets all of them have, as they said after their last turns.
    pub(crate) fn census(&self) -> (usize, usize) {
        self.mates.iter().fold((0, 0), |(clients, sockets), Mate { gauge, .. }| {
            (clients + gauge.load(), sockets + gauge.sockets.load(Ordering::Acquire))
        })
    }

    /// Notes that a loop is drained.
    pub(crate) fn on_drained(&self) {
        self.drained.fetch_add(1, Ordering::AcqRel);
        if self.is_drained() {
            self.wake_all();
        }
    }

    /// Whether all of them are.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) == self.mates.len()
    }
}

impl Gauge {
    fn load(&self) -> usize {
        self.clients.load(Ordering::Acquire) + self.arriving.load(Ordering::Acquire)
    }
}

/// Ends all loops when it is dropped, unless all are drained: a loop holds it for as long as it goes.
#[derive(Debug)]
pub(crate) struct Bond(pub(crate) Arc<Crew>);

impl Drop for Bond {
    fn drop(&mut self) {
        if !self.0.is_drained() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::core::{Credentials, Identity};

    fn arrival() -> Arrival {
        let (stream, _) = UnixStream::pair().unwrap();
        Arrival { stream, identity: Identity::from(Credentials { uid: 1, gid: 1, pid: 1 }) }
    }

    #[test]
    fn a_client_goes_where_the_fewest_are() {
        let (first, others) = Crew::gather(3, &Policy::default()).unwrap();
        let crew = &first.crew;
        assert!(crew.hand_over(arrival()).is_some(), "the first one takes it when all have as many");
        crew.count(0, (1, 0));
        assert!(crew.hand_over(arrival()).is_none() && crew.hand_over(arrival()).is_none());
        for berth in &others {
            assert!(berth.arrivals.try_recv().is_ok() && berth.arrivals.try_recv().is_err());
        }
        assert!(crew.hand_over(arrival()).is_some(), "those that are handed over are counted");
        crew.on_arrived(2);
        assert!(crew.hand_over(arrival()).is_none() && others[1].arrivals.try_recv().is_ok());
        assert_eq!(crew.census(), (3, 0));
    }

    #[test]
    fn a_loop_that_takes_nobody_in_is_passed_over() {
        let (first, others) = Crew::gather(2, &Policy::default()).unwrap();
        first.crew.count(0, (1000, 0));
        let handed = (0..2 * ARRIVALS_MAX).filter(|_| first.crew.hand_over(arrival()).is_none()).count();
        assert_eq!((handed, first.crew.census()), (ARRIVALS_MAX, (1000 + ARRIVALS_MAX, 0)));
        drop(others);
        assert!(first.crew.hand_over(arrival()).is_some());
    }

    #[test]
    fn a_loop_that_ends_by_itself_ends_all() {
        let (first, _others) = Crew::gather(2, &Policy::default()).unwrap();
        drop(Bond(Arc::clone(&first.crew)));
        assert!(first.crew.orders.news(0).unwrap().stop);
        let (first, _others) = Crew::gather(2, &Policy::default()).unwrap();
        (0..2).for_each(|_| first.crew.on_drained());
        drop(Bond(Arc::clone(&first.crew)));
        assert!(first.crew.orders.news(0).is_none());
    }
}
