//! The thread that compresses rotated files and removes those that are not to be kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::Point;
use super::files::{remove, rotated, rotated_path, sync_directory};
use super::item::Item;
use super::recover::last_of;
use super::rotation::Squeeze;
use super::shared::Shared;
use super::store::too_many;

/// How long the line that says what is removed may take to be written; after that the file stays until the next rotation.
const PRUNE_WAIT: Duration = Duration::from_secs(60);

/// How soon it notices while it waits that the daemon ends.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Asks for the line that says that the file with this last line is going to be removed; answers when it is written.
#[derive(Debug)]
pub(super) struct Prune {
    pub(super) last: Point,
    pub(super) written: SyncSender<()>,
}

/// What the thread is for, with which it can be started again.
#[derive(Clone, Debug)]
pub(super) struct House {
    pub(super) directory: PathBuf,
    pub(super) keep: Option<u64>,
    pub(super) shared: Arc<Shared>,
    pub(super) items: Sender<Item>,
}

impl House {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn start(&self) -> io::Result<Housekeeper> {
        let (shared, items) = (Arc::clone(&self.shared), self.items.clone());
        let prune = move |prune| {
            shared.queued.fetch_add(1, Ordering::SeqCst);
            // After the end of the writer nothing is removed, and nobody waits.
            let _ = items.send(Item::Prune { prune, at: Timestamp::now() });
        };
        Housekeeper::start(&self.directory, self.keep, prune)
    }
}

/// The thread, as the writer sees it.
#[derive(Debug)]
pub(super) struct Housekeeper {
    /// There as long as the thread is to work.
    jobs: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Housekeeper {
    /// Starts it with what is to be done already.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(
        directory: &Path,
        keep: Option<u64>,
        prune: impl Fn(Prune) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, received) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let (directory, over) = (directory.to_owned(), Arc::clone(&is_over));
        let work = Work { directory, keep, is_over: over };
        let thread = thread::Builder::new().name("audit-house".into());
        let thread = thread.spawn(move || work.run(&received, &prune))?;
        let housekeeper = Housekeeper { jobs: Some(jobs), thread: Some(thread), is_over };
        housekeeper.look();
        Ok(housekeeper)
    }

    /// There is a rotated file more.
    pub(super) fn look(&self) {
        // It ends before us only if it has panicked, and then the trail goes on without it.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(()));
    }
}

impl Drop for Housekeeper {
    /// Ends the thread after the piece of a file that it is at; the next start does the rest.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that compresses the files of the audit trail has panicked");
        }
    }
}

struct Work {
    directory: PathBuf,
    keep: Option<u64>,
    is_over: Arc<AtomicBool>,
}

impl Work {
    fn run(&self, jobs: &Receiver<()>, prune: &dyn Fn(Prune)) {
        while jobs.recv().is_ok() {
            match self.compress().and_then(|()| self.prune(prune)) {
                Ok(()) => {}
                Err(_) if self.is_over.load(Ordering::Relaxed) => return,
                Err(error) => {
                    let directory = self.directory.display();
                    tracing::warn!(
                        "cannot compress or remove rotated files of the audit trail in {directory}: {error}; \
                        trying again at the next rotation"
                    );
                }
            }
        }
    }

    fn compress(&self) -> io::Result<()> {
        for first in rotated(&self.directory)?
            .into_iter()
            .filter_map(|file| file.first.filter(|&first| file.path == rotated_path(&self.directory, first)))
        {
            for step in Squeeze::ALL {
                step.perform(&self.directory, first, &self.is_over)?;
            }
        }
        Ok(())
    }

    /// Removes what is not to be kept, each file after a line in the trail that says so: what comes first then is
    /// known to be the first by that line.
    fn prune(&self, prune: &dyn Fn(Prune)) -> io::Result<()> {
        let Some(keep) = self.keep else { return Ok(()) };
        for file in too_many(&self.directory, keep)? {
            let Some(last) = last_of(&file)? else {
                let text = format!("{} has no line that could be read, and stays", file.path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            let (written, wait) = sync_channel(1);
            prune(Prune { last, written });
            self.wait(&wait)?;
            remove(&file.path)?;
            sync_directory(&self.directory)?;
        }
        Ok(())
    }

    /// Waits until the line is written that says what is removed.
    fn wait(&self, written: &Receiver<()>) -> io::Result<()> {
        let begin = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) && begin.elapsed() < PRUNE_WAIT {
            match written.recv_timeout(LOOK_UP) {
                Ok(()) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the line that says what is removed was not written"))
    }
}
