//! How far it has come, on standard error, for those who wait at a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use luasocketd::audit;

/// Nobody is told of what is done sooner.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells those who wait.
pub struct Progress {
    is_seen: bool,
    begun: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new() -> Self {
        Progress { is_seen: io::stderr().is_terminal(), begun: Instant::now(), last: None }
    }

    /// Shows how far it has come, not too often.
    pub fn show(&mut self, done: audit::Progress) {
        let now = Instant::now();
        let since = self.last.unwrap_or(self.begun);
        if !self.is_seen || (now.duration_since(since) < PATIENCE && !done.is_sorting) {
            return;
        }
        self.last = Some(now);
        let what = if done.is_sorting { "sorting" } else { "reading" };
        let seconds = now.duration_since(self.begun).as_secs_f64();
        let rate = done.lines as f64 / seconds.max(0.001);
        self.write(&format!("\r\x1b[Kindex: {what}, {} lines, {rate:.0} in a second", done.lines));
    }

    /// Takes it away again.
    pub fn clear(&self) {
        if self.last.is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut error = io::stderr().lock();
        // Whoever has closed it does not want to know.
        let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
    }
}
