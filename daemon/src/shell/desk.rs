//! Where the loop is asked by other threads: a bounded queue of questions, each with a way back for its answer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use mio::Waker;
use thiserror::Error;

use super::worker::Worker;
use crate::core::policy::Policy;

/// Questions that may wait: every operator's connection has at most one.
const QUESTIONS_MAX: usize = 64;

/// Questions answered in one turn: one takes about as long as a client's turn may.
const QUESTIONS_PER_TURN: usize = 4;

/// How long whoever asks waits: a loop that takes longer is in trouble, and that is the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What the loop is asked. Each costs it a bounded time.
#[derive(Debug)]
pub(crate) enum Question {
    /// Put this policy in the place of the old one.
    SetPolicy(Box<Policy>),
}

/// What the loop says to it.
#[derive(Debug)]
pub(crate) enum Told {
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
pub struct Counter {
    questions: SyncSender<Asked>,
    waker: Arc<Waker>,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counter")
    }
}

impl Counter {
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
    counter: Counter,
    /// Whether somebody may have asked.
    busy: bool,
}

impl Desk {
    /// A desk where nobody waits; `waker` is woken when somebody does.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let (sender, questions) = mpsc::sync_channel(QUESTIONS_MAX);
        Desk { questions, counter: Counter { questions: sender, waker }, busy: false }
    }

    pub(crate) fn counter(&self) -> Counter {
        self.counter.clone()
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
        match question {
            Question::SetPolicy(policy) => {
                self.set_policy(*policy);
                Told::Done
            }
        }
    }
}
