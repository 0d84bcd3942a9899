//! Where a loop is asked by other threads: a bounded queue of questions, each with a way back for its answer.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::system;
use super::worker::Worker;
use crate::admin::{Answer, Audit, Killed, Stats};
use crate::audit::{Loan, Trail};
use crate::core::{ClientId, Input, Mark, Page, Place, Row, SocketRow};

/// Questions answered in one turn, so that operators who ask for page after page cost clients no more than another
/// busy client does.
const QUESTIONS_PER_TURN: usize = 2;

/// How long whoever asks waits: a loop that takes longer is in trouble, and that is the answer.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What a loop is asked, in its own numbers. Each costs it a bounded time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// A page of clients, `most` of them or fewer.
    Clients { from: u32, most: usize },
    /// One client.
    Client(ClientId),
    /// A page of sockets, likewise.
    Sockets { of: Option<ClientId>, from: u32, most: usize },
    /// End this at once.
    Kill(Mark),
    /// The loop in numbers.
    Stats,
    /// Lend the audit trail to another daemon.
    LendTrail,
    /// Have all loops take no new client: another daemon does. It is asked of the first loop.
    Retire { timeout: Duration },
}

/// What the loop says to it.
#[derive(Debug)]
pub(crate) enum Told {
    /// What the operator is told, in his numbers.
    Said(Answer),
    /// The trail, if there is one, as soon as it is given up.
    Lent(Option<Loan>),
    /// All loops are told, by the order of this number.
    Ordered(u64),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Silence {
    /// Too many wait already.
    #[error("the daemon has too many questions to answer; try again")]
    Crowded,
    /// The loop takes too long.
    #[error("the daemon's event loop has not answered within {} seconds", ANSWER_WAIT.as_secs())]
    Late,
    /// The loop has ended.
    #[error("the daemon is ending")]
    Gone,
}

/// A question with the way back for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) answer: SyncSender<Told>,
}

/// The loop's side.
#[derive(Debug)]
pub(crate) struct Desk {
    questions: Receiver<Asked>,
    /// Whether somebody may have asked.
    busy: bool,
}

impl Desk {
    /// A desk where nobody waits; the loop is woken when somebody does.
    pub(crate) fn new(questions: Receiver<Asked>) -> Self {
        Desk { questions, busy: false }
    }

    /// Notes that the loop was woken.
    pub(crate) fn note(&mut self) {
        self.busy = true;
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Nobody is answered any more: whoever waits, or asks from here on, hears at once that the daemon is ending.
    fn close(&mut self) {
        let (_, nobody) = mpsc::sync_channel(0);
        self.questions = nobody;
    }

    fn next(&mut self) -> Option<Asked> {
        let next = self.questions.try_recv().ok();
        self.busy &= next.is_some();
        next
    }
}

impl Worker {
    /// Has nobody wait for an answer that does not come: the loop has ended.
    pub(crate) fn dismiss_operators(&mut self) {
        self.desk.close();
    }

    /// Answers those that have asked, as many as a turn has room for.
    pub(crate) fn answer_operators(&mut self) {
        for _ in 0..QUESTIONS_PER_TURN {
            if !self.desk.is_busy() {
                return;
            }
            let Some(Asked { question, answer }) = self.desk.next() else { return };
            let told = self.tell_asker(question);
            // Whoever asked may have given up; there is room for the one answer.
            let _ = answer.try_send(told);
        }
    }

    fn tell_asker(&mut self, question: Question) -> Told {
        let now = Instant::now();
        Told::Said(match question {
            Question::Clients { from, most } => {
                Answer::Clients(self.lane.page(self.core.client_page(from, most, now)).into())
            }
            Question::Client(id) => match self.core.client_row(id, now) {
                Some(row) => {
                    let page = Page { rows: vec![row], next: None };
                    Answer::Clients(self.lane.page(page).into())
                }
                None => self.not_there(Mark::Client(id)),
            },
            Question::Sockets { of: Some(client), .. } if !self.core.is_there(Mark::Client(client)) => {
                self.not_there(Mark::Client(client))
            }
            Question::Sockets { of, from, most } => {
                let mut page = self.core.socket_page(of, from, most, now);
                page.rows.iter_mut().for_each(|row| self.name(row));
                Answer::Sockets(self.lane.page(page).into())
            }
            Question::Kill(mark) => match self.about(mark, now) {
                Some(killed) => {
                    self.handle(Input::Kill { mark });
                    Answer::Killed(Box::new(killed))
                }
                None => self.not_there(mark),
            },
            Question::Stats => Answer::Stats(Box::new(self.stats(now))),
            Question::LendTrail => return Told::Lent(self.trail.as_ref().map(Trail::lend)),
            Question::Retire { timeout } => return Told::Ordered(self.retire(timeout)),
        })
    }

    /// What is there to be ended, as the operator calls it.
    fn about(&self, mark: Mark, now: Instant) -> Option<Killed> {
        let (client, mut socket) = match mark {
            Mark::Client(client) => (client, None),
            Mark::Socket(socket) => {
                let mut row = self.core.socket_row(socket, now)?;
                self.name(&mut row);
                (self.core.owner(socket)?, Some(row))
            }
        };
        let mut client = self.core.client_row(client, now);
        client.iter_mut().for_each(|row| row.rename(self.lane));
        socket.iter_mut().for_each(|row| row.rename(self.lane));
        // A socket may still deliver for a client that has gone.
        let is_there = client.is_some() || socket.is_some();
        is_there.then(|| Killed { killed: self.lane.mark(mark), client, socket })
    }

    fn not_there(&self, mark: Mark) -> Answer {
        Answer::error(format!("{} is not there", self.lane.mark(mark)))
    }

    /// Adds to a row what the system says of its socket.
    fn name(&self, row: &mut SocketRow) {
        let Mark::Socket(id) = row.id else { return };
        let Ok(io) = self.io(id) else { return };
        row.local = system::local_name(io).ok().and_then(|place| spelt(&place));
        row.peer = system::peer_name(io).ok().and_then(|place| spelt(&place));
    }

    fn stats(&self, now: Instant) -> Stats {
        let uptime = now.saturating_duration_since(self.crew.started);
        Stats {
            daemon: concat!("luasocketd ", env!("CARGO_PKG_VERSION")).to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            totals: self.core.totals(),
            workers: 1,
            turn_times: self.turns.times(),
            audit: self.audit_gauge(),
        }
    }

    /// How the audit trail does, if one is kept.
    fn audit_gauge(&self) -> Option<Audit> {
        let state = self.trail.as_ref()?.state();
        Some(Audit {
            lag_ms: state.lag.as_millis() as u64,
            queued: state.queued as u64,
            failing: state.failing,
        })
    }
}

/// An address for people; nothing for the one that no socket has got.
fn spelt(place: &Place) -> Option<String> {
    match place {
        Place::Path(path) if path.is_empty() => None,
        Place::Net(address) if address.port() == 0 && address.ip().is_unspecified() => None,
        place => Some(place.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::signals::Signals;
    use super::*;
    use crate::core::Config;

    #[test]
    fn who_waits_at_a_desk_that_closes_is_told_at_once() {
        let mut worker = Worker::new(Config::default(), Signals::catch(&[]).unwrap()).unwrap();
        let (asker, begun) = (worker.asker(), Instant::now());
        let waiting = thread::spawn(move || asker.stats());
        let asked = loop {
            match worker.desk.next() {
                Some(asked) => break asked,
                None => thread::yield_now(),
            }
        };
        let late = worker.asker();
        let later = thread::spawn(move || late.stats());
        worker.dismiss_operators();
        assert_eq!(later.join().unwrap(), Err(Silence::Gone));
        assert_eq!(worker.asker().stats(), Err(Silence::Gone));
        // Who was being answered gets that answer.
        let stats = worker.stats(begun);
        asked.answer.try_send(Told::Said(Answer::Stats(Box::new(stats.clone())))).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(stats));
        assert!(begun.elapsed() < ANSWER_WAIT);
    }

    #[test]
    fn nobody_waits_for_loops_that_have_ended() {
        let mut worker = Worker::several(3, Config::default(), Signals::catch(&[]).unwrap()).unwrap();
        let (asker, begun) = (worker.asker(), Instant::now());
        let waiting = thread::spawn(move || while asker.stats().is_ok() {});
        worker.drain(Duration::ZERO);
        worker.run(|_, _| {}).unwrap();
        waiting.join().unwrap();
        assert!(begun.elapsed() < ANSWER_WAIT);
    }
}
