//! The trail as an event loop sees it: records go in and are never waited for. All loops of a daemon have one together.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, process, thread};

use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

use super::chain::Point;
use super::entry::Process;
use super::housekeeper::House;
use super::item::Item;
use super::line::Batch;
use super::recover::Left;
use super::relay::{Loan, Shelf, take_over};
use super::render::{Run, interrupted};
use super::shared::Shared;
use super::store::Store;
use super::words::Own;
use super::writer::{Books, Reader, Writer};
use super::{Durability, Settings};
use crate::core::trail::{Record, TrailId};

/// How long the end of the daemon waits for the last records: a disk that takes longer has failed.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// How often the end of the daemon before this one is looked for.
const BEFORE_TICK: Duration = Duration::from_millis(10);

/// How many ends of what an earlier run has left open are written in one go.
const INTERRUPTED_BATCH: usize = 1000;

/// Why there is no trail.
#[derive(Debug, Error)]
pub enum TrailError {
    /// Something that is needed could not be done to a file.
    #[error("cannot {doing} {path}: {error}", path = path.display())]
    File {
        /// What.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The first lines of this run could not be written.
    #[error("{0}")]
    Store(String),
    /// Another daemon writes to this directory.
    #[error(
        "another daemon keeps its audit trail in {directory}: end that one, or give this one another `directory`",
        directory = directory.display()
    )]
    Taken {
        /// Which one.
        directory: PathBuf,
    },
    /// Others can change what is in the directory.
    #[error(
        "the directory {directory} of the audit trail can be written to by others: `chmod go-w {directory}`",
        directory = directory.display()
    )]
    Open {
        /// Which one.
        directory: PathBuf,
    },
    /// There can be no thread for it.
    #[error("cannot start a thread for the audit trail: {0}")]
    Thread(io::Error),
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// There is nothing to wait for: go on.
    Done,
    /// It is wanted on disk: [`Trail::take_outcomes`] will have its number.
    Pending,
    /// It is wanted and cannot be written, for this reason: what it is about must not happen.
    Refused(String),
}

/// What has become of a decision that was wanted on disk: it is there, or why not.
pub type Outcome = (TrailId, Result<(), String>);

/// How the trail does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailState {
    /// Records that are not written yet.
    pub queued: usize,
    /// How long the oldest of them has been waiting.
    pub lag: Duration,
    /// The number of the last line that is written.
    pub committed: u64,
    /// Why nothing can be written, while that is so.
    pub failing: Option<String>,
    /// Bytes written by this run of the daemon.
    pub bytes: u64,
    /// Lines written by this run.
    pub lines: u64,
    /// Records of this run that are lost for good.
    pub lost: u64,
}

/// The trail, with the thread that writes it. The first loop's, dropped, ends it in order, as with [`Trail::stop`].
#[derive(Debug)]
pub struct Trail {
    shared: Arc<Shared>,
    durability: Durability,
    items: Sender<Item>,
    outcomes: Receiver<Outcome>,
    /// Which loop's it is.
    index: usize,
    /// What takes in the records of the daemon before this one, until that has ended. The first loop's has it.
    before: Option<JoinHandle<()>>,
    has_ended: bool,
}

/// Where lines of the trail's own come from that no loop has to tell.
#[derive(Clone, Debug)]
pub struct Notes {
    shared: Arc<Shared>,
    items: Sender<Item>,
}

impl Trail {
    /// As [`Trail::start_for`], for one loop.
    ///
    /// # Errors
    /// [`TrailError`] says what cannot be done to which file.
    pub fn start(settings: &Settings, wake: impl Fn() + Send + 'static) -> Result<Trail, TrailError> {
        Ok(Trail::start_for(settings, wake, [])?.0)
    }

    /// Opens the trail, closes what an earlier run has left open, and starts to write. Each loop has a `wake`, which is
    /// called from another thread when there are outcomes for it, when the trail is not full any more, and when it
    /// begins to fail. The first loop's trail ends it for all.
    ///
    /// # Errors
    /// [`TrailError`] says what cannot be done to which file.
    pub fn start_for<W: Fn() + Send + 'static>(
        settings: &Settings,
        first: W,
        others: impl IntoIterator<Item = W>,
    ) -> Result<(Trail, Vec<Trail>), TrailError> {
        Trail::start_after(settings, false, first, others)
    }

    /// As [`Trail::start_for`]; `is_after` a daemon that has given this trail up and still has clients, what is open is its
    /// business until it ends, which [`Trail::hear`] of the first loop's tells.
    ///
    /// # Errors
    /// As [`Trail::start_for`].
    pub fn start_after<W: Fn() + Send + 'static>(
        settings: &Settings,
        is_after: bool,
        first: W,
        others: impl IntoIterator<Item = W>,
    ) -> Result<(Trail, Vec<Trail>), TrailError> {
        let (mut store, mut left) = Store::open(settings)?;
        let run = this_run();
        let shared = Arc::new(Shared::default());
        let mut books = Books::default();
        if is_after {
            let open = std::mem::take(&mut left.open).into_iter();
            books.inherited = open.map(|entry| (entry.event.id.clone(), entry)).collect();
        }
        begin(&mut store, &run, &left, &shared)?;
        let (items, received) = channel();
        let Settings { directory, keep, durability, .. } = settings.clone();
        let house = House { directory, keep, shared: Arc::clone(&shared), items: items.clone() };
        let mut readers = Vec::new();
        let mut trail = |wake| {
            let (outcomes, taken) = channel();
            let index = readers.len();
            readers.push(Reader { outcomes, wake });
            Trail {
                shared: Arc::clone(&shared),
                durability,
                items: items.clone(),
                outcomes: taken,
                index,
                before: None,
                // Only the first one ends it, and not before there is a thread for it.
                has_ended: true,
            }
        };
        let mut first = trail(first);
        let others = others.into_iter().map(trail).collect();
        let writer = Writer {
            housekeeper: Some(house.start().map_err(TrailError::Thread)?),
            house,
            store: Shelf::Here(store),
            run,
            shared: Arc::clone(&shared),
            items: received,
            readers,
            books,
        };
        let thread = thread::Builder::new().name("audit".into()).spawn(move || writer.run());
        thread.map_err(TrailError::Thread)?;
        first.has_ended = false;
        Ok((first, others))
    }

    /// Takes in what the daemon before this one records, until that ends.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn hear(&mut self, before: UnixStream) -> Result<(), TrailError> {
        let thread = take_over(before, Arc::clone(&self.shared), self.items.clone());
        self.before = Some(thread.map_err(TrailError::Thread)?);
        Ok(())
    }

    /// Gives the trail up to another daemon, as soon as what is queued is written; the records of all loops go there.
    pub fn lend(&self) -> Loan {
        let (loan, lend) = Loan::new();
        // Where the writer has ended, the loan says so.
        let _ = self.items.send(Item::Lend(lend));
        loan
    }

    /// Waits for the end of the daemon before this one, for so long at the most.
    pub fn await_before(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.before.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(BEFORE_TICK);
        }
    }

    /// Takes a record, with the time as it is now. `wanted` says that what it is about begins only when it is
    /// written: then that is to wait, or not to happen at all.
    pub fn append(&self, record: Record, wanted: bool) -> Appended {
        if wanted && let Some(reason) = self.shared.failing() {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return Appended::Refused(reason);
        }
        let waits = (wanted && self.durability == Durability::Strict).then_some(self.index);
        match self.send(Item::Record { record, waits, at: Timestamp::now() }) {
            true if waits.is_some() => Appended::Pending,
            false if wanted => Appended::Refused("the audit trail has ended".into()),
            true | false => Appended::Done,
        }
    }

    /// Where lines of its own come from.
    pub fn notes(&self) -> Notes {
        Notes { shared: Arc::clone(&self.shared), items: self.items.clone() }
    }

    /// What has become of decisions that were wanted, since the last time.
    pub fn take_outcomes(&self) -> Vec<Outcome> {
        self.outcomes.try_iter().collect()
    }

    /// Whether so much waits to be written that nothing new is to be begun.
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// How it does.
    pub fn state(&self) -> TrailState {
        self.shared.state()
    }

    /// Writes what is queued and ends, within a bounded time; gives the place where the trail ends.
    ///
    /// # Errors
    /// Why not all of it is written.
    pub fn stop(mut self) -> Result<Point, String> {
        self.finish()
    }

    fn send(&self, item: Item) -> bool {
        send(&self.shared, &self.items, item)
    }

    fn finish(&mut self) -> Result<Point, String> {
        self.has_ended = true;
        let (stop, end) = sync_channel(1);
        let gone = "the thread that writes the audit trail has ended before";
        self.items.send(Item::Stop(stop)).map_err(|_| gone.to_owned())?;
        end.recv_timeout(STOP_WAIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                format!("the last records of the audit trail were not written within {STOP_WAIT:?}")
            }
            RecvTimeoutError::Disconnected => gone.to_owned(),
        })?
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.has_ended
            && let Err(error) = self.finish()
        {
            tracing::error!("{error}");
        }
    }
}

impl Notes {
    /// Takes a line of the trail's own, with what it says to people.
    pub fn note(&self, own: Own, reason: impl Into<String>) {
        send(&self.shared, &self.items, Item::Own { own, reason: reason.into(), at: Timestamp::now() });
    }
}

/// Queues an item; says whether there is somebody to write it.
fn send(shared: &Shared, items: &Sender<Item>, item: Item) -> bool {
    shared.queued.fetch_add(1, Ordering::SeqCst);
    let is_sent = items.send(item).is_ok();
    if !is_sent {
        shared.queued.fetch_sub(1, Ordering::SeqCst);
        shared.lost.fetch_add(1, Ordering::Relaxed);
    }
    is_sent
}

/// Tells this run of the daemon from all others.
fn this_run() -> Run {
    let mut number = [0; 8];
    // Where the kernel has no random numbers yet the time has to do: it differs from run to run as well.
    let is_random =
        getrandom(&mut number, GetRandomFlags::NONBLOCK).is_ok_and(|length| length == number.len());
    if !is_random {
        number = Timestamp::now().as_microsecond().to_be_bytes();
    }
    let executable = std::env::current_exe().ok().map(|path| path.to_string_lossy().into_owned());
    Run {
        id: format!("{:016x}", u64::from_be_bytes(number)),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        process: Process { pid: process::id().cast_signed(), executable },
    }
}

/// Writes the first line of this run, and the ends of what an earlier one has left open.
fn begin(store: &mut Store, run: &Run, left: &Left, shared: &Shared) -> Result<(), TrailError> {
    let directory = store.settings.directory.display().to_string();
    for text in &left.amiss {
        tracing::error!("the audit trail in {directory} is not as it was left: {text}");
    }
    tracing::info!("the audit trail in {directory} goes on behind {}", store.point());
    let mut entries =
        left.open.iter().filter_map(|entry| interrupted(entry.clone(), Timestamp::now())).peekable();
    let mut started = run.own(Own::Started, &reason(left), Timestamp::now(), store.point().sequence + 1);
    started.luasocketd.gone = left.gone.map(Into::into);
    let mut started = Some(started);
    while started.is_some() || entries.peek().is_some() {
        let mut batch = Batch::after(store.point());
        started
            .take()
            .into_iter()
            .chain(entries.by_ref().take(INTERRUPTED_BATCH))
            .for_each(|entry| batch.push(entry));
        store.write(&batch, Timestamp::now()).map_err(TrailError::Store)?;
        shared.bytes.fetch_add(batch.bytes.len() as u64, Ordering::Relaxed);
        shared.lines.fetch_add(batch.lines, Ordering::Relaxed);
        shared.committed.store(batch.last.sequence, Ordering::Relaxed);
    }
    // From here on the disk has a head, be it an old one.
    store.flush().map_err(TrailError::Store)
}

/// What the first line says to people.
fn reason(left: &Left) -> String {
    let mut text = format!("luasocketd {} has started", env!("CARGO_PKG_VERSION"));
    if !left.open.is_empty() {
        text += &format!(
            "; {} that the daemon before it has left open are closed as interrupted",
            left.open.len()
        );
    }
    for amiss in &left.amiss {
        text += "; ";
        text += amiss;
    }
    text
}

#[cfg(test)]
mod tests;
