//! Where a loop is asked by other threads: a bounded queue of questions, each with a way back for its answer.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::system;
use super::worker::Worker;
use crate::admin::{Audit, Killed, Stats};
use crate::core::{ClientId, ClientRow, Input, Mark, Page, Place, SocketRow};

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
}

/// What the loop says to it.
#[derive(Debug)]
pub(crate) enum Told {
    /// What the operator means is not there.
    NotThere,
    /// Clients.
    Clients(Page<ClientRow>),
    /// Sockets.
    Sockets(Page<SocketRow>),
    /// It has ended.
    Killed(Box<Killed>),
    /// Numbers.
    Stats(Box<Stats>),
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

    fn next(&mut self) -> Option<Asked> {
        let next = self.questions.try_recv().ok();
        self.busy &= next.is_some();
        next
    }
}

impl Worker {
    /// Answers those that have asked, as many as a turn has room for.
    pub(crate) fn answer_operators(&mut self) {
        for _ in 0..QUESTIONS_PER_TURN {
            if !self.desk.is_busy() {
                return;
            }
            let Some(Asked { question, answer }) = self.desk.next() else { return };
            let told = self.tell_operator(question);
            // Whoever asked may have given up; there is room for the one answer.
            let _ = answer.try_send(told);
        }
    }

    fn tell_operator(&mut self, question: Question) -> Told {
        let now = Instant::now();
        match question {
            Question::Clients { from, most } => Told::Clients(self.core.client_page(from, most, now)),
            Question::Client(id) => match self.core.client_row(id, now) {
                Some(row) => Told::Clients(Page { rows: vec![row], next: None }),
                None => Told::NotThere,
            },
            Question::Sockets { of: Some(client), .. } if !self.core.is_there(Mark::Client(client)) => {
                Told::NotThere
            }
            Question::Sockets { of, from, most } => {
                let mut page = self.core.socket_page(of, from, most, now);
                page.rows.iter_mut().for_each(|row| self.name(row));
                Told::Sockets(page)
            }
            Question::Kill(mark) => match self.about(mark, now) {
                Some(killed) => {
                    self.handle(Input::Kill { mark });
                    Told::Killed(Box::new(killed))
                }
                None => Told::NotThere,
            },
            Question::Stats => Told::Stats(Box::new(self.stats(now))),
        }
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
