//! A script that measures itself: it warms up, says that it is ready, measures when it is told, and says what it found.

use std::process::Command;
use std::time::Duration;

use crate::child::Running;

/// How long a script may take beyond what it was told to: to connect a thousand sockets through a process each, say.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running script, ended when dropped.
pub struct Script {
    running: Running,
}

/// What a script has found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Operations done.
    pub operations: f64,
    /// Bytes moved.
    pub bytes: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Seconds of processor time that the script's process used meanwhile.
    pub cpu: f64,
}

impl Script {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// What it said instead.
    pub fn start(command: Command) -> Result<Script, String> {
        let mut script = Script::launch(command)?;
        script.wait()?;
        Ok(script)
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(command: Command) -> Result<Script, String> {
        Ok(Script { running: Running::start(command)? })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// What it said instead.
    pub fn wait(&mut self) -> Result<(), String> {
        match self.running.line(PATIENCE)?.as_str() {
            "ready" => Ok(()),
            line => Err(format!("the script said `{line}`, where `ready` was expected")),
        }
    }

    /// Tells it to go on.
    ///
    /// # Errors
    /// When it has gone.
    pub fn go(&mut self, word: &str) -> Result<(), String> {
        self.running.tell(word)
    }

    /// The line that it says when it is done, which is to begin with this word; what comes after that.
    ///
    /// # Errors
    /// What it said instead.
    pub fn answer(&mut self, word: &str) -> Result<Vec<f64>, String> {
        let line = self.running.line(PATIENCE)?;
        let mut words = line.split(' ');
        let numbers = |words: std::str::Split<'_, char>| words.map(|word| word.parse().ok()).collect();
        let found = if words.next() == Some(word) { numbers(words) } else { None };
        found.ok_or_else(|| format!("the script said `{line}`, where `{word}` was expected"))
    }

    /// Has it measure.
    ///
    /// # Errors
    /// What it said instead.
    pub fn measure(&mut self) -> Result<Found, String> {
        self.go("go")?;
        self.found()
    }

    /// What it has found, once it was told to measure.
    ///
    /// # Errors
    /// What it said instead.
    pub fn found(&mut self) -> Result<Found, String> {
        match self.answer("result")?.as_slice() {
            &[operations, bytes, seconds, cpu] if seconds > 0.0 => {
                Ok(Found { operations, bytes, seconds, cpu })
            }
            other => Err(format!("the script found {other:?}")),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it fails or does not end.
    pub fn finish(mut self) -> Result<(), String> {
        self.running.finish()
    }
}
