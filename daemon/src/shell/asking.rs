//! The side of whoever asks: what is asked of those loops that it concerns, and what they say made one answer.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TrySendError};
use std::time::{Duration, Instant};

use super::crew::Crew;
use super::desk::{ANSWER_WAIT, Asked, Question, Silence, Told};
use super::worker::Worker;
use crate::admin::{Answer, Draining, Stats};
use crate::core::policy::Policy;
use crate::core::{ClientId, Lane, Mark, Page, Row, join};

/// What is said of an answer to another question, which no loop gives.
pub(crate) const OTHER: &str = "the loop has answered something else";

/// Where another thread can ask a daemon's loops.
#[derive(Clone, Debug)]
pub struct Asker(Arc<Crew>);

impl Worker {
    /// Where another thread can ask all loops; each answers from its next turn on.
    pub fn asker(&self) -> Asker {
        Asker(Arc::clone(&self.crew))
    }
}

impl Asker {
    /// A page of clients.
    pub(crate) fn clients(&self, from: u32) -> Answer {
        let question = |lane: Lane| Question::Clients { from: lane.from(from), most: lane.rows() };
        let page = |answer| match answer {
            Answer::Clients(clients) => Some(Page::from(clients)),
            _ => None,
        };
        self.ask_for_page(question, page).map_or_else(Answer::error, |page| Answer::Clients(page.into()))
    }

    /// One client.
    pub(crate) fn client(&self, id: ClientId) -> Answer {
        let (lane, id) = Lane::locate(id, self.0.len());
        said(self.ask(lane, Question::Client(id)))
    }

    /// A page of all sockets.
    pub(crate) fn sockets(&self, from: u32) -> Answer {
        let question = |lane: Lane| Question::Sockets { of: None, from: lane.from(from), most: lane.rows() };
        let page = |answer| match answer {
            Answer::Sockets(sockets) => Some(Page::from(sockets)),
            _ => None,
        };
        self.ask_for_page(question, page).map_or_else(Answer::error, |page| Answer::Sockets(page.into()))
    }

    /// A page of one client's sockets.
    pub(crate) fn sockets_of(&self, id: ClientId, from: u32) -> Answer {
        let (lane, id) = Lane::locate(id, self.0.len());
        said(self.ask(lane, Question::Sockets { of: Some(id), from: lane.from(from), most: lane.rows() }))
    }

    /// Ends a client or a socket.
    pub(crate) fn kill(&self, mark: Mark) -> Answer {
        let (lane, mark) = Lane::locate_mark(mark, self.0.len());
        said(self.ask(lane, Question::Kill(mark)))
    }

    /// The daemon in numbers.
    pub(crate) fn stats(&self) -> Result<Stats, Silence> {
        let each = self.ask_all(|_| Question::Stats)?.into_iter().filter_map(|answer| match answer {
            Answer::Stats(stats) => Some(*stats),
            _ => None,
        });
        each.reduce(Stats::and).ok_or(Silence::Gone)
    }

    /// Puts a policy in the place of the old one; it is in force everywhere then.
    pub(crate) fn set_policy(&self, policy: Policy) -> Result<(), Silence> {
        let number = self.0.set_policy(policy);
        self.wait(number)
    }

    /// How many clients and sockets there are.
    pub(crate) fn census(&self) -> (usize, usize) {
        self.0.census()
    }

    /// Whether the daemon has begun to end.
    pub fn is_draining(&self) -> bool {
        self.0.orders.is_draining()
    }

    /// Has the daemon begin nothing new, and end after `timeout` at the latest.
    pub(crate) fn drain(&self, timeout: Duration) -> Result<Draining, Silence> {
        let (clients, sockets) = self.census();
        let (number, is_first) = self.0.drain(Instant::now() + timeout);
        self.wait(number)?;
        // A time limit is at most a day.
        let timeout_ms = is_first.then_some(timeout.as_millis() as u64);
        Ok(Draining { timeout_ms, clients: clients as u64, sockets: sockets as u64 })
    }

    /// Asks one loop, and waits for its answer.
    fn ask(&self, lane: Lane, question: Question) -> Result<Told, Silence> {
        answer(&self.put(lane, question)?, Instant::now() + ANSWER_WAIT)
    }

    /// Asks the first loop, and waits for its answer.
    pub(crate) fn ask_first(&self, question: Question) -> Result<Told, Silence> {
        self.ask(Lane::first(self.0.len()), question)
    }

    /// Asks every loop, and waits for the answers of all.
    fn ask_all(&self, question: impl Fn(Lane) -> Question) -> Result<Vec<Answer>, Silence> {
        let until = Instant::now() + ANSWER_WAIT;
        let put = |lane| self.put(lane, question(lane));
        let answers: Vec<Receiver<Told>> = self.0.lanes().map(put).collect::<Result<_, _>>()?;
        answers.iter().map(|answered| answer(answered, until).map(|told| said(Ok(told)))).collect()
    }

    /// Asks every loop for its part of a page, and makes one of them.
    fn ask_for_page<T: Row>(
        &self,
        question: impl Fn(Lane) -> Question,
        page: impl Fn(Answer) -> Option<Page<T>>,
    ) -> Result<Page<T>, Silence> {
        Ok(join(self.ask_all(question)?.into_iter().filter_map(page)))
    }

    /// Waits until all loops have carried out the order of this number.
    pub(crate) fn wait(&self, number: u64) -> Result<(), Silence> {
        self.0.orders.wait(number, ANSWER_WAIT)
    }

    fn put(&self, lane: Lane, question: Question) -> Result<Receiver<Told>, Silence> {
        let (answer, answered) = mpsc::sync_channel(1);
        let asked = self.0.ask(lane.index(), Asked { question, answer });
        asked.map(|()| answered).map_err(|error| match error {
            TrySendError::Full(_) => Silence::Crowded,
            TrySendError::Disconnected(_) => Silence::Gone,
        })
    }
}

fn answer(answered: &Receiver<Told>, until: Instant) -> Result<Told, Silence> {
    answered.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(|error| match error {
        RecvTimeoutError::Timeout => Silence::Late,
        RecvTimeoutError::Disconnected => Silence::Gone,
    })
}

/// What an operator is told of what a loop has said, or of its silence.
fn said(told: Result<Told, Silence>) -> Answer {
    match told {
        Ok(Told::Said(answer)) => answer,
        Ok(Told::Lent(_) | Told::Ordered(_)) => Answer::error(OTHER),
        Err(silence) => Answer::error(silence),
    }
}
