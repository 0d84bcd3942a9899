//! The side of whoever asks: what is asked of those loops that it concerns, and what they say made one answer.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TrySendError};
use std::time::{Duration, Instant};

use super::crew::Crew;
use super::desk::{ANSWER_WAIT, Asked, Question, Silence, Told};
use super::worker::Worker;
use crate::admin::{Draining, Killed, Stats};
use crate::core::policy::Policy;
use crate::core::{ClientId, ClientRow, Lane, Mark, Page, Row, SocketRow, join};

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
    pub(crate) fn clients(&self, from: u32) -> Result<Page<ClientRow>, Silence> {
        let told = self.ask_all(|lane| Question::Clients { from: lane.from(from), most: lane.rows() })?;
        let pages = told.into_iter().filter_map(|(lane, told)| match told {
            Told::Clients(page) => Some(lane.page(page)),
            _ => None,
        });
        Ok(join(pages))
    }

    /// One client, if it is there.
    pub(crate) fn client(&self, id: ClientId) -> Result<Option<ClientRow>, Silence> {
        let (lane, id) = Lane::locate(id, self.0.len());
        match self.ask(lane, Question::Client(id))? {
            Told::Clients(page) => Ok(lane.page(page).rows.pop()),
            _ => Ok(None),
        }
    }

    /// A page of all sockets.
    pub(crate) fn sockets(&self, from: u32) -> Result<Page<SocketRow>, Silence> {
        let question = |lane: Lane| Question::Sockets { of: None, from: lane.from(from), most: lane.rows() };
        let told = self.ask_all(question)?;
        let pages = told.into_iter().filter_map(|(lane, told)| match told {
            Told::Sockets(page) => Some(lane.page(page)),
            _ => None,
        });
        Ok(join(pages))
    }

    /// A page of one client's sockets, if it is there.
    pub(crate) fn sockets_of(&self, id: ClientId, from: u32) -> Result<Option<Page<SocketRow>>, Silence> {
        let (lane, id) = Lane::locate(id, self.0.len());
        let question = Question::Sockets { of: Some(id), from: lane.from(from), most: lane.rows() };
        match self.ask(lane, question)? {
            Told::Sockets(page) => Ok(Some(lane.page(page))),
            _ => Ok(None),
        }
    }

    /// Ends a client or a socket, and gives it as it was, if it is there.
    pub(crate) fn kill(&self, mark: Mark) -> Result<Option<Killed>, Silence> {
        let (lane, local) = Lane::locate_mark(mark, self.0.len());
        match self.ask(lane, Question::Kill(local))? {
            Told::Killed(mut killed) => {
                killed.killed = mark;
                killed.client.iter_mut().for_each(|row| row.rename(lane));
                killed.socket.iter_mut().for_each(|row| row.rename(lane));
                Ok(Some(*killed))
            }
            _ => Ok(None),
        }
    }

    /// The daemon in numbers.
    pub(crate) fn stats(&self) -> Result<Stats, Silence> {
        let told = self.ask_all(|_| Question::Stats)?;
        let each = told.into_iter().filter_map(|(_, told)| match told {
            Told::Stats(stats) => Some(*stats),
            _ => None,
        });
        each.reduce(Stats::and).ok_or(Silence::Gone)
    }

    /// Puts a policy in the place of the old one; it is in force everywhere then.
    pub(crate) fn set_policy(&self, policy: Policy) -> Result<(), Silence> {
        let number = self.0.set_policy(policy);
        self.0.orders.wait(number, ANSWER_WAIT)
    }

    /// How many clients and sockets there are.
    pub(crate) fn census(&self) -> (usize, usize) {
        self.0.census()
    }

    /// Whether the daemon has begun to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.orders.is_draining()
    }

    /// Has the daemon begin nothing new, and end after `timeout` at the latest.
    pub(crate) fn drain(&self, timeout: Duration) -> Result<Draining, Silence> {
        let (clients, sockets) = self.census();
        let (number, is_first) = self.0.drain(Instant::now() + timeout);
        self.0.orders.wait(number, ANSWER_WAIT)?;
        // A time limit is at most a day.
        let timeout_ms = is_first.then_some(timeout.as_millis() as u64);
        Ok(Draining { timeout_ms, clients: clients as u64, sockets: sockets as u64 })
    }

    /// Asks one loop, and waits for its answer.
    fn ask(&self, lane: Lane, question: Question) -> Result<Told, Silence> {
        answer(&self.put(lane, question)?, Instant::now() + ANSWER_WAIT)
    }

    /// Asks every loop, and waits for the answers of all.
    fn ask_all(&self, question: impl Fn(Lane) -> Question) -> Result<Vec<(Lane, Told)>, Silence> {
        let until = Instant::now() + ANSWER_WAIT;
        let put = |lane| Ok((lane, self.put(lane, question(lane))?));
        let answers: Vec<(Lane, Receiver<Told>)> = self.0.lanes().map(put).collect::<Result<_, _>>()?;
        answers.iter().map(|(lane, answered)| Ok((*lane, answer(answered, until)?))).collect()
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
