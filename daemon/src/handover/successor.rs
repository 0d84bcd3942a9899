//! The old daemon's side.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use luasocketd::shell::{Asker, PipeListener};

use super::Way;
use super::inherited::{ADMIN, CLIENTS, LOCK, METRICS, WAY};
use crate::steward::Steward;

/// How long the end of a new daemon that has hung up is looked for: its exit says more than its silence.
const END_WAIT: Duration = Duration::from_secs(2);
const END_TICK: Duration = Duration::from_millis(20);

/// What a daemon leaves to the one that takes its place.
#[derive(Debug)]
pub struct Heritage {
    steward: Steward,
    descriptors: Vec<(String, OwnedFd)>,
    alive: Option<UnixStream>,
}

impl Heritage {
    /// Nothing yet.
    pub fn new(steward: Steward) -> Self {
        Heritage { steward, descriptors: Vec::new(), alive: None }
    }

    /// Adds a listener for clients.
    ///
    /// # Errors
    /// When the system has no descriptors.
    pub fn add_clients(&mut self, listener: &PipeListener) -> std::io::Result<()> {
        self.add(CLIENTS, listener)
    }

    /// Adds that for operators.
    ///
    /// # Errors
    /// When the system has no descriptors.
    pub fn add_admin(&mut self, listener: &PipeListener) -> std::io::Result<()> {
        self.add(ADMIN, listener)
    }

    /// Adds that for metrics.
    ///
    /// # Errors
    /// When the system has no descriptors.
    pub fn add_metrics(&mut self, listener: &TcpListener) -> std::io::Result<()> {
        self.descriptors.push((METRICS.to_owned(), listener.try_clone()?.into()));
        Ok(())
    }

    fn add(&mut self, name: &str, listener: &PipeListener) -> std::io::Result<()> {
        let (socket, lock) = listener.copies()?;
        self.descriptors.push((name.to_owned(), socket));
        self.descriptors.extend(lock.map(|lock| (LOCK.to_owned(), lock)));
        Ok(())
    }

    /// Starts the daemon that is on the disk, and waits until it serves. `tell` is called before that knows that its place
    /// is its own. After that nothing is left here to be given away.
    ///
    /// # Errors
    /// Why the old one goes on, for people.
    pub fn pass_on(&mut self, loops: &Asker, tell: impl FnOnce(u32)) -> Result<u32, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("cannot make a pipe: {error}"))?;
        self.descriptors.push((WAY.to_owned(), theirs.into()));
        let started = self.steward.start_successor(&self.descriptors);
        // Its end is known by this stream's, so no other copy may stay.
        self.descriptors.pop();
        let pid = started?;
        let mut way = Way::new(ours);
        self.hear(&mut way, &format!("prepared {pid}"))?;
        let loan = loops.lend_trail()?;
        way.say("go").map_err(|error| format!("the new daemon cannot be told: {error}"))?;
        self.hear(&mut way, "ready")?;
        // Its files go with a daemon that ends.
        if loops.is_draining() {
            return Err("the daemon is ending".to_owned());
        }
        tell(pid);
        way.say("yours").map_err(|error| format!("the new daemon cannot be told: {error}"))?;
        self.hear(&mut way, "mine")?;
        match loan {
            Some(loan) => loan.is_taken(way.stream),
            // Its end says when this daemon has ended.
            None => self.alive = Some(way.stream),
        }
        self.descriptors.clear();
        Ok(pid)
    }

    fn hear(&mut self, way: &mut Way, expected: &str) -> Result<(), String> {
        match way.hear() {
            Ok(Some(line)) if line == expected => Ok(()),
            Ok(Some(line)) => {
                let why = line.strip_prefix("failed ");
                Err(why.map_or_else(|| format!("the new daemon says `{line}`"), str::to_owned))
            }
            Ok(None) => Err(format!("the new daemon does not serve: {}", self.end())),
            Err(error) => Err(format!("the new daemon does not get ready: {error}")),
        }
    }

    /// How the new daemon has ended.
    fn end(&mut self) -> String {
        let until = Instant::now() + END_WAIT;
        loop {
            match self.steward.end_of_successor() {
                Ok(end) if end.starts_with("it runs") && Instant::now() < until => thread::sleep(END_TICK),
                Ok(end) | Err(end) => return end,
            }
        }
    }
}
