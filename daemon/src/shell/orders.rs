//! What all loops of a daemon are told to do, whatever they are about: to judge by another policy, to end.
//!
//! An order stands until every loop has carried it out. It needs no room in a queue, so no loop can miss it, and whatever
//! comes between, all of them follow the same ones in the end. Whoever gives one wakes the loops; there is a lock, which a loop
//! takes only when it has been woken and there is something new.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Silence;
use crate::core::policy::Policy;

/// What stands.
#[derive(Debug)]
pub(crate) struct Orders {
    /// How many there were; also in the book, for whoever holds it.
    given: AtomicU64,
    book: Mutex<Book>,
    carried_out: Condvar,
}

#[derive(Debug)]
struct Book {
    given: u64,
    policy: Policy,
    /// The number of the order that has brought the policy, and of the others that stand.
    since: Since,
    /// When the daemon ends at the latest.
    until: Option<Instant>,
    /// How long the daemon serves whom it has, and then drains, once another one has taken its place.
    retiring: Option<Retiring>,
    /// How far each loop has come.
    done: Vec<u64>,
    /// Whether nobody carries out anything any more.
    has_ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Retiring {
    timeout: Duration,
    /// When it begins to drain.
    over: Instant,
}

/// Orders by their numbers, which begin at 1; 0 for one that was not given.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    policy: u64,
    retire: u64,
    drain: u64,
    stop: u64,
}

/// What is new for a loop.
#[derive(Debug)]
pub(crate) struct News {
    /// How far it has come when it has done all this.
    pub(crate) number: u64,
    /// Judge by this.
    pub(crate) policy: Option<Policy>,
    /// Serve whom there is for so long, and then drain for as long again.
    pub(crate) retire: Option<Duration>,
    /// Begin nothing new, and end then at the latest.
    pub(crate) drain: Option<Instant>,
    /// End at once.
    pub(crate) stop: bool,
}

impl Orders {
    /// None yet, for so many loops, which judge by `policy`.
    pub(crate) fn new(loops: usize, policy: Policy) -> Self {
        let book = Book {
            given: 0,
            policy,
            since: Since::default(),
            until: None,
            retiring: None,
            done: vec![0; loops],
            has_ended: false,
        };
        Orders { given: AtomicU64::new(0), book: Mutex::new(book), carried_out: Condvar::new() }
    }

    /// Has all judge by `policy` from here on; `note` is told it before any of them does. Gives the order's number.
    pub(crate) fn set_policy(&self, mut policy: Policy, note: impl FnOnce(&Policy)) -> u64 {
        let mut book = self.lock();
        policy.succeed(&book.policy);
        // What a loop has not seen yet that should have ended something is not forgotten.
        let is_pending = book.done.iter().any(|done| *done < book.since.policy);
        policy.enforce_now |= is_pending && book.policy.enforce_now;
        note(&policy);
        book.policy = policy;
        let number = self.next(&mut book);
        book.since.policy = number;
        number
    }

    /// Has all serve whom they have for `timeout`, and then drain for as long again. Gives the order's number; there is one
    /// of its kind, the first one.
    pub(crate) fn retire(&self, timeout: Duration) -> u64 {
        let mut book = self.lock();
        if book.retiring.is_some() {
            return book.since.retire;
        }
        book.retiring = Some(Retiring { timeout, over: Instant::now() + timeout });
        let number = self.next(&mut book);
        book.since.retire = number;
        number
    }

    /// Has all begin nothing new, and end at `until` at the latest. Gives the order's number, and whether they did not do so
    /// before: else the time that they have stays.
    pub(crate) fn drain(&self, until: Instant) -> (u64, bool) {
        let mut book = self.lock();
        if book.until.is_some() {
            return (book.since.drain, false);
        }
        if book.has_retired() {
            return (book.since.retire, false);
        }
        book.until = Some(until);
        let number = self.next(&mut book);
        book.since.drain = number;
        (number, true)
    }

    /// Has all end at once.
    pub(crate) fn stop(&self) {
        let mut book = self.lock();
        let number = self.next(&mut book);
        book.since.stop = number;
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn is_draining(&self) -> bool {
        let book = self.lock();
        book.until.is_some() || book.has_retired() || book.since.stop > 0
    }

    /// What is new for a loop that has come as far as `seen`.
    pub(crate) fn news(&self, seen: u64) -> Option<News> {
        if self.given.load(Ordering::Acquire) == seen {
            return None;
        }
        let book = self.lock();
        Some(News {
            number: book.given,
            policy: (book.since.policy > seen).then(|| book.policy.clone()),
            retire: book.retiring.filter(|_| book.since.retire > seen).map(|retiring| retiring.timeout),
            drain: book.until.filter(|_| book.since.drain > seen),
            stop: book.since.stop > seen,
        })
    }

    /// Notes how far a loop has come.
    pub(crate) fn done(&self, index: usize, number: u64) {
        self.lock().done[index] = number;
        self.carried_out.notify_all();
    }

    /// Notes that no order is carried out any more.
    pub(crate) fn end(&self) {
        self.lock().has_ended = true;
        self.carried_out.notify_all();
    }

    /// Waits until all loops have carried out the order of this number.
    pub(crate) fn wait(&self, number: u64, limit: Duration) -> Result<(), Silence> {
        let is_open = |book: &mut Book| book.done.iter().any(|done| *done < number) && !book.has_ended;
        let waited = self.carried_out.wait_timeout_while(self.lock(), limit, is_open);
        let (book, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if book.done.iter().all(|done| *done >= number) {
            return Ok(());
        }
        Err(if waited.timed_out() { Silence::Late } else { Silence::Gone })
    }

    fn next(&self, book: &mut Book) -> u64 {
        book.given += 1;
        self.given.store(book.given, Ordering::Release);
        book.given
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // The book is whole between any two statements that hold the lock.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether the time is over in which a daemon without its place still serves.
    fn has_retired(&self) -> bool {
        self.retiring.is_some_and(|retiring| retiring.over <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn named(enforce_now: bool) -> Policy {
        let mut policy = Policy::new(Vec::new());
        policy.enforce_now = enforce_now;
        policy
    }

    #[test]
    fn an_order_is_carried_out_when_every_loop_has() {
        let orders = Orders::new(2, Policy::default());
        assert!(orders.news(0).is_none());
        let number = orders.set_policy(named(false), |_| {});
        let news = orders.news(0).unwrap();
        assert_eq!((news.number, news.policy.is_some(), news.drain, news.stop), (number, true, None, false));
        orders.done(0, number);
        assert_eq!(orders.wait(number, SHORT), Err(Silence::Late));
        orders.done(1, number);
        assert_eq!(orders.wait(number, SHORT), Ok(()));
        assert!(orders.news(number).is_none());
    }

    #[test]
    fn a_loop_that_was_busy_finds_all_that_stands() {
        let orders = Orders::new(2, Policy::default());
        let until = Instant::now() + SHORT;
        orders.set_policy(named(true), |_| {});
        orders.done(0, 1);
        orders.set_policy(named(false), |policy| assert!(policy.enforce_now, "one loop has not done so"));
        assert_eq!(orders.drain(until), (3, true));
        assert_eq!(orders.drain(until + SHORT), (3, false));
        let news = orders.news(1).unwrap();
        assert_eq!((news.number, news.policy.is_some(), news.drain), (3, true, Some(until)));
        [0, 1].into_iter().for_each(|index| orders.done(index, 3));
        orders.set_policy(named(false), |policy| assert!(!policy.enforce_now));
        let news = orders.news(3).unwrap();
        assert_eq!((news.policy.is_some(), news.drain, news.stop), (true, None, false));
        orders.stop();
        assert!(orders.news(4).unwrap().stop);
    }

    #[test]
    fn a_daemon_that_another_one_has_replaced_drains_later() {
        let orders = Orders::new(1, Policy::default());
        assert_eq!((orders.retire(LONG), orders.retire(SHORT)), (1, 1));
        let news = orders.news(0).unwrap();
        assert_eq!((news.retire, news.drain, orders.is_draining()), (Some(LONG), None, false));
        assert!(orders.news(1).is_none());
        assert_eq!(orders.drain(Instant::now()), (2, true), "it can be told to do so before");
        assert_eq!(orders.news(1).unwrap().retire, None);
    }

    #[test]
    fn the_end_of_that_time_is_a_drain_like_another() {
        let orders = Orders::new(1, Policy::default());
        orders.retire(Duration::ZERO);
        assert!(orders.is_draining());
        assert_eq!(orders.drain(Instant::now()), (1, false));
        assert!(orders.news(1).is_none());
    }

    #[test]
    fn whoever_waits_hears_of_the_end() {
        let orders = Orders::new(1, Policy::default());
        orders.stop();
        orders.end();
        assert_eq!(orders.wait(1, SHORT), Err(Silence::Gone));
        orders.done(0, 1);
        assert_eq!(orders.wait(1, SHORT), Ok(()), "it was carried out before");
    }
}
