//! What is under way, on standard error: one line that changes on a terminal, a line for each row elsewhere.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

/// How far the work is.
pub struct Progress {
    steps: usize,
    done: Cell<usize>,
    is_shown: bool,
}

impl Progress {
    /// For so many steps.
    pub fn new(steps: usize) -> Progress {
        Progress { steps, done: Cell::new(0), is_shown: io::stderr().is_terminal() }
    }

    /// Shows which row begins.
    pub fn row(&self, what: &str) {
        if !self.is_shown {
            eprintln!("bench: {what}");
        }
    }

    /// Shows what begins.
    pub fn step(&self, what: &str) {
        self.done.set(self.done.get() + 1);
        self.say(what);
    }

    /// Shows what goes on between steps.
    pub fn say(&self, what: &str) {
        if self.is_shown {
            let percent = (self.done.get().saturating_sub(1) * 100).checked_div(self.steps).unwrap_or(0);
            eprint!("\r\x1b[K{percent:3} %  {what}");
            // A line that is not shown is no loss.
            let _ = io::stderr().flush();
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
