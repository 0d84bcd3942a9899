//! What is under way, on standard error: one line that changes on a terminal, a line each half minute elsewhere.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::tally::Tally;

/// How often the line changes on a terminal.
const OFTEN: Duration = Duration::from_millis(500);
/// How often there is a line elsewhere.
const SELDOM: Duration = Duration::from_secs(30);

/// How far the run is.
pub struct Progress {
    start: Instant,
    run: Duration,
    is_shown: bool,
    said: Cell<Instant>,
    complaints: Cell<usize>,
}

impl Progress {
    /// For a run of this length.
    pub fn new(run: Duration) -> Progress {
        let now = Instant::now();
        Progress {
            start: now,
            run,
            is_shown: io::stderr().is_terminal(),
            said: Cell::new(now),
            complaints: Cell::new(0),
        }
    }

    /// Shows it, if it is time; what is wrong is said at once.
    pub fn show(&self, tally: &Tally) {
        for complaint in tally.complaints.iter().skip(self.complaints.get()) {
            self.end();
            eprintln!("soak: {}", complaint.lines().next().unwrap_or_default());
        }
        self.complaints.set(tally.complaints.len());
        let every = if self.is_shown { OFTEN } else { SELDOM };
        if self.said.get().elapsed() < every {
            return;
        }
        self.said.set(Instant::now());
        let line = line(self.start.elapsed(), self.run, tally);
        if self.is_shown {
            eprint!("\r\x1b[K{line}");
            // A line that is not shown is no loss.
            let _ = io::stderr().flush();
        } else {
            eprintln!("soak: {line}");
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(gone: Duration, run: Duration, tally: &Tally) -> String {
    let faults: u64 = tally.faults.values().sum();
    format!(
        "{:4} of {} s  {} processes, {} streams, {:.1} GB checked, {faults} faults, {} complaints",
        gone.as_secs(),
        run.as_secs(),
        tally.processes + tally.short_processes,
        tally.streams,
        tally.checked as f64 / 1e9,
        tally.complaint_count
    )
}
