//! Where the loop is asked by other threads: a bounded queue of questions, each with a way back for its answer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use mio::Waker;
use thiserror::Error;

use super::system;
use super::worker::Worker;
use crate::admin::{Answer, Audit, Clients, Draining, Killed, Reloaded, Sockets, Stats};
use crate::audit::{Loan, Trail};
use crate::core::policy::Policy;
use crate::core::{ClientId, Input, Mark, Page, Place, SocketRow};

/// Questions that may wait: every operator's connection has at most one.
const QUESTIONS_MAX: usize = 64;

/// Questions answered in one turn, so that operators who ask for page after page cost clients no more than another
/// busy client does.
const QUESTIONS_PER_TURN: usize = 2;

/// How long whoever asks waits: a loop that takes longer is in trouble, and that is the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What the loop is asked. Each costs it a bounded time.
#[derive(Debug)]
pub(crate) enum Question {
    /// Put this policy in the place of the old one.
    SetPolicy(Box<Policy>),
    /// A page of clients.
    Clients { from: u32 },
    /// One client.
    Client(ClientId),
    /// A page of sockets.
    Sockets { of: Option<ClientId>, from: u32 },
    /// End this at once.
    Kill(Mark),
    /// The daemon in numbers.
    Stats,
    /// Begin nothing new.
    Drain { timeout: Duration },
    /// Lend the audit trail to another daemon.
    LendTrail,
    /// Take no new client: another daemon does.
    Retire { timeout: Duration },
}

/// What the loop says to it.
#[derive(Debug)]
pub(crate) enum Told {
    /// What the operator is told.
    Said(Answer),
    /// The trail, if there is one, as soon as it is given up.
    Lent(Option<Loan>),
    /// It is done.
    Done,
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

/// The side of whoever asks.
#[derive(Clone)]
pub struct Asker {
    questions: SyncSender<Asked>,
    waker: Arc<Waker>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker")
    }
}

impl Asker {
    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, question: Question) -> Result<Told, Silence> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.questions.try_send(Asked { question, answer }).map_err(|error| match error {
            TrySendError::Full(_) => Silence::Crowded,
            TrySendError::Disconnected(_) => Silence::Gone,
        })?;
        self.wake().map_err(|_| Silence::Gone)?;
        answered.recv_timeout(ANSWER_WAIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::Late,
            RecvTimeoutError::Disconnected => Silence::Gone,
        })
    }

    fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

#[derive(Debug)]
struct Asked {
    question: Question,
    answer: SyncSender<Told>,
}

/// The loop's side.
#[derive(Debug)]
pub(crate) struct Desk {
    questions: Receiver<Asked>,
    asker: Asker,
    /// Whether somebody may have asked.
    busy: bool,
}

impl Desk {
    /// A desk where nobody waits; `waker` is woken when somebody does.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let (sender, questions) = mpsc::sync_channel(QUESTIONS_MAX);
        Desk { questions, asker: Asker { questions: sender, waker }, busy: false }
    }

    pub(crate) fn asker(&self) -> Asker {
        self.asker.clone()
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
    /// Whether it has begun to end.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }

    /// Where another thread can ask this loop; it is answered from the next turn on.
    pub fn asker(&self) -> Asker {
        self.desk.asker()
    }

    /// Has nobody wait for an answer that does not come: the loop has ended.
    pub fn dismiss_operators(&mut self) {
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
            Question::SetPolicy(policy) => {
                let profiles = policy.profiles().iter().map(|profile| profile.name.clone()).collect();
                self.set_policy(*policy);
                Answer::Reloaded(Reloaded { profiles })
            }
            Question::Clients { from } => {
                let Page { rows, next } = self.core.client_page(from, now);
                Answer::Clients(Clients { clients: rows, next })
            }
            Question::Client(id) => match self.core.client_row(id, now) {
                Some(row) => Answer::Clients(Clients { clients: vec![row], next: None }),
                None => not_there(Mark::Client(id)),
            },
            Question::Sockets { of: Some(client), .. } if !self.core.is_there(Mark::Client(client)) => {
                not_there(Mark::Client(client))
            }
            Question::Sockets { of, from } => {
                let Page { mut rows, next } = self.core.socket_page(of, from, now);
                rows.iter_mut().for_each(|row| self.name(row));
                Answer::Sockets(Sockets { sockets: rows, next })
            }
            Question::Kill(mark) => match self.about(mark, now) {
                Some(killed) => {
                    self.handle(Input::Kill { mark });
                    Answer::Killed(Box::new(killed))
                }
                None => not_there(mark),
            },
            Question::Stats => Answer::Stats(Box::new(self.stats(now))),
            Question::Drain { timeout } => {
                let is_first = !self.is_draining();
                let (clients, sockets) = self.census();
                self.drain(timeout);
                // A time limit is at most a day.
                let timeout_ms = is_first.then_some(timeout.as_millis() as u64);
                Answer::Draining(Draining { timeout_ms, clients: clients as u64, sockets: sockets as u64 })
            }
            Question::LendTrail => return Told::Lent(self.trail.as_ref().map(Trail::lend)),
            Question::Retire { timeout } => {
                self.retire(timeout);
                return Told::Done;
            }
        })
    }

    /// What is there to be ended.
    fn about(&self, mark: Mark, now: Instant) -> Option<Killed> {
        let (client, socket) = match mark {
            Mark::Client(client) => (client, None),
            Mark::Socket(socket) => {
                let mut row = self.core.socket_row(socket, now)?;
                self.name(&mut row);
                (self.core.owner(socket)?, Some(row))
            }
        };
        let client = self.core.client_row(client, now);
        // A socket may still deliver for a client that has gone.
        (client.is_some() || socket.is_some()).then_some(Killed { killed: mark, client, socket })
    }

    /// Adds to a row what the system says of its socket.
    fn name(&self, row: &mut SocketRow) {
        let Mark::Socket(id) = row.id else { return };
        let Ok(io) = self.io(id) else { return };
        row.local = system::local_name(io).ok().and_then(|place| spelt(&place));
        row.peer = system::peer_name(io).ok().and_then(|place| spelt(&place));
    }

    fn stats(&self, now: Instant) -> Stats {
        let uptime = now.saturating_duration_since(self.started);
        Stats {
            daemon: concat!("luasocketd ", env!("CARGO_PKG_VERSION")).to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            totals: self.core.totals(),
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

fn not_there(mark: Mark) -> Answer {
    Answer::error(format!("{mark} is not there"))
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

    use mio::{Poll, Token};

    use super::*;

    #[test]
    fn who_waits_at_a_desk_that_closes_is_told_at_once() {
        let poll = Poll::new().unwrap();
        let mut desk = Desk::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let (asker, begun) = (desk.asker(), Instant::now());
        let waiting = thread::spawn(move || asker.ask(Question::Stats));
        let asked = loop {
            match desk.next() {
                Some(asked) => break asked,
                None => thread::yield_now(),
            }
        };
        let late = desk.asker();
        let later = thread::spawn(move || late.ask(Question::Stats));
        desk.close();
        assert!(matches!(later.join().unwrap(), Err(Silence::Gone)));
        assert!(matches!(desk.asker().ask(Question::Stats), Err(Silence::Gone)));
        // Who was being answered gets that answer.
        asked.answer.try_send(Told::Done).unwrap();
        assert!(matches!(waiting.join().unwrap(), Ok(Told::Done)));
        assert!(begun.elapsed() < ANSWER_WAIT);
    }
}
