//! The end of a daemon whose place another one takes: its trail goes over, then its listening sockets.

use std::time::Duration;

use super::desk::{Asker, Question, Told};
use super::worker::Worker;
use crate::admin::Answer;
use crate::audit::Loan;
use crate::core::Input;

impl Asker {
    /// Has the loop give up its audit trail, if it keeps one.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub fn lend_trail(&self) -> Result<Option<Loan>, String> {
        match self.ask(Question::LendTrail) {
            Ok(Told::Lent(Some(loan))) => loan.wait().map(|()| Some(loan)),
            Ok(_) => Ok(None),
            Err(silence) => Err(silence.to_string()),
        }
    }

    /// Whether the loop begins nothing new any more.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn is_draining(&self) -> Result<bool, String> {
        match self.ask(Question::Stats) {
            Ok(Told::Said(Answer::Stats(stats))) => Ok(stats.totals.draining),
            Ok(_) => Err("the loop has answered something else".to_owned()),
            Err(silence) => Err(silence.to_string()),
        }
    }

    /// Has the loop take no new client. Those that it has are served for so long; then it drains for as long again.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn retire(&self, timeout: Duration) -> Result<(), String> {
        self.ask(Question::Retire { timeout }).map(|_| ()).map_err(|silence| silence.to_string())
    }
}

impl Worker {
    /// Leaves its listening sockets to another daemon.
    pub(crate) fn retire(&mut self, timeout: Duration) {
        for listener in self.stop_listening() {
            listener.leave();
        }
        self.handle(Input::Retire { timeout });
    }
}
