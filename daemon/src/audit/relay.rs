//! The trail goes over to another daemon of the same directory: only one process ever writes to the files.
//!
//! A daemon that a new one replaces still has connections, and their ends belong on record. It gives the files up; the
//! new one goes on in them, and writes what the old one sends it over a stream as well: numbered, chained and confirmed as
//! its own lines are. What the old one has left open when that stream ends is closed as interrupted.
//!
//! On the stream: whole lines of a batch, then an empty line; the answer is an empty line when they are written. The
//! numbers and hashes of these lines are not those that they get.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use super::Settings;
use super::chain::Point;
use super::entry::Entry;
use super::files::{Found, read_line};
use super::item::Item;
use super::line::{Batch, LINE_MAX};
use super::live::Standing;
use super::shared::Shared;
use super::store::Store;

/// How long the files may be without a writer: the time that a new daemon has to read the last of them, which is a
/// matter of a second or two.
pub(super) const LEND_WAIT: Duration = Duration::from_secs(60);

/// How long the daemon that has the files may take to write a batch; after that it has failed.
const RELAY_WAIT: Duration = Duration::from_secs(60);

/// How long whoever asks for the files waits until they are given up: as long as a write may take.
const GIVE_UP_WAIT: Duration = Duration::from_secs(10);

/// Records of the daemon before this one.
#[derive(Debug)]
pub(super) struct Inherited {
    pub(super) entries: Vec<Entry>,
    /// Whether it has ended.
    pub(super) is_last: bool,
    /// Is told when they are written.
    pub(super) written: SyncSender<()>,
}

/// What the writer gets of a loan.
#[derive(Debug)]
pub(super) struct Lend {
    /// Is told when the files are given up, or why they are not.
    pub(super) given_up: SyncSender<Result<(), String>>,
    /// The way to the daemon that has taken them; None, or an end, when it has not.
    pub(super) taken: Receiver<Option<UnixStream>>,
}

/// The trail while it goes over. Dropped, the trail goes back.
#[derive(Debug)]
pub struct Loan {
    given_up: Receiver<Result<(), String>>,
    taken: SyncSender<Option<UnixStream>>,
}

impl Loan {
    pub(super) fn new() -> (Loan, Lend) {
        let (told, given_up) = sync_channel(1);
        let (taken, decided) = sync_channel(1);
        (Loan { given_up, taken }, Lend { given_up: told, taken: decided })
    }

    /// Waits until the files are given up.
    ///
    /// # Errors
    /// Why they are not, for people.
    pub fn wait(&self) -> Result<(), String> {
        self.given_up.recv_timeout(GIVE_UP_WAIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("the audit trail was not given up within {GIVE_UP_WAIT:?}"),
            RecvTimeoutError::Disconnected => "the audit trail has ended".to_owned(),
        })?
    }

    /// Another daemon has the files, and this is the way to it.
    pub fn is_taken(self, way: UnixStream) {
        // Only a writer that has panicked does not take it.
        let _ = self.taken.send(Some(way));
    }
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Shelf {
    /// Into the files.
    Here(Store),
    /// Nowhere, for the moment.
    Nowhere(Settings, Point),
    /// To the daemon that has the files.
    There(Relay),
}

impl Shelf {
    /// The last line that counts as written; of those that are sent away, as this daemon has numbered them.
    pub(super) fn point(&self) -> Point {
        match self {
            Shelf::Here(store) => store.point(),
            Shelf::Nowhere(_, point) => *point,
            Shelf::There(relay) => relay.point,
        }
    }

    /// As [`Store::write`].
    pub(super) fn write(&mut self, batch: &Batch, at: Timestamp) -> Result<(), String> {
        match self {
            Shelf::Here(store) => store.write(batch, at),
            Shelf::Nowhere(..) => Err("its files were given up, and are not there again".to_owned()),
            Shelf::There(relay) => relay.write(batch),
        }
    }

    /// As [`Store::flush`].
    pub(super) fn flush(&mut self) -> Result<(), String> {
        match self {
            Shelf::Here(store) => store.flush(),
            Shelf::Nowhere(..) | Shelf::There(_) => Ok(()),
        }
    }

    /// As [`Store::is_behind`].
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Shelf::Here(store) if store.is_behind())
    }

    /// As [`Store::look`]; files that were given up are taken back first, if they can be.
    pub(super) fn look(&mut self) -> Result<Standing, String> {
        self.take_back()?;
        match self {
            Shelf::Here(store) => store.look(),
            Shelf::Nowhere(..) | Shelf::There(_) => Ok(Standing::Ours),
        }
    }

    /// As [`Store::go_on_in_empty`].
    pub(super) fn go_on_in_empty(&mut self, open: &[u8]) -> Result<Point, String> {
        match self {
            Shelf::Here(store) => store.go_on_in_empty(open),
            Shelf::Nowhere(..) | Shelf::There(_) => Ok(self.point()),
        }
    }

    /// As [`Store::is_due`].
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Shelf::Here(store) if store.is_due(now))
    }

    /// As [`Store::rotate`].
    pub(super) fn rotate(&mut self, open: &[u8]) -> Result<(), String> {
        match self {
            Shelf::Here(store) => store.rotate(open),
            Shelf::Nowhere(..) | Shelf::There(_) => Ok(()),
        }
    }

    /// Closes the files, so that another daemon can open them.
    pub(super) fn give_up(&mut self) {
        if let Shelf::Here(store) = self {
            *self = Shelf::Nowhere(store.settings.clone(), store.point());
        }
    }

    /// Opens the files again that were given up.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn take_back(&mut self) -> Result<(), String> {
        if let Shelf::Nowhere(settings, _) = self {
            let (store, _own) = Store::open(settings).map_err(|error| error.to_string())?;
            *self = Shelf::Here(store);
        }
        Ok(())
    }

    /// Sends lines away from here on.
    pub(super) fn go_on_through(&mut self, way: UnixStream) {
        *self = Shelf::There(Relay { way: Some(way), point: self.point() });
    }
}

/// The way to the daemon that has the files.
#[derive(Debug)]
pub(super) struct Relay {
    /// None once it has failed: what became of the lines that were sent last is not known, so none goes that way again.
    way: Option<UnixStream>,
    point: Point,
}

impl Relay {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        let gone = || "the daemon that writes it has ended".to_owned();
        let way = self.way.as_mut().ok_or_else(gone)?;
        if let Err(error) = send(way, &batch.bytes) {
            self.way = None;
            return Err(format!("{}: {error}", gone()));
        }
        self.point = batch.last;
        Ok(())
    }
}

fn send(way: &mut UnixStream, lines: &[u8]) -> io::Result<()> {
    way.set_read_timeout(Some(RELAY_WAIT))?;
    way.set_write_timeout(Some(RELAY_WAIT))?;
    way.write_all(lines)?;
    way.write_all(b"\n")?;
    let mut answer = [0];
    way.read_exact(&mut answer)
}

/// Has a thread take in what the daemon before this one records, until that ends.
///
/// # Errors
/// When there can be no thread.
pub(super) fn take_over(
    before: UnixStream,
    shared: Arc<Shared>,
    items: Sender<Item>,
) -> io::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name("audit-before".into());
    thread.spawn(move || {
        if let Err(error) = take_batches(&before, &shared, &items) {
            tracing::error!("the daemon before this one has ended without its last records: {error}");
        }
        let (written, done) = sync_channel(1);
        queue(Inherited { entries: Vec::new(), is_last: true, written }, &shared, &items);
        // Whatever comes of it, the thread has nothing else to do.
        let _ = done.recv_timeout(RELAY_WAIT);
    })
}

fn take_batches(before: &UnixStream, shared: &Shared, items: &Sender<Item>) -> io::Result<()> {
    before.set_read_timeout(None)?;
    let mut reader = BufReader::with_capacity(LINE_MAX, before);
    let (mut entries, mut line) = (Vec::new(), Vec::new());
    loop {
        match read_line(&mut reader as &mut dyn BufRead, &mut line)?.0 {
            Found::End if entries.is_empty() => return Ok(()),
            Found::End | Found::Partial | Found::TooLong => return Err(io::ErrorKind::UnexpectedEof.into()),
            Found::Line if line.is_empty() => {
                let (written, done) = sync_channel(1);
                let entries = std::mem::take(&mut entries);
                queue(Inherited { entries, is_last: false, written }, shared, items);
                // A trail that cannot be written keeps it, and the other side waits.
                if done.recv().is_err() {
                    return Ok(());
                }
                let mut answer = before;
                answer.write_all(b"\n")?;
            }
            Found::Line => entries.push(serde_json::from_slice::<Entry>(&line)?),
        }
    }
}

fn queue(inherited: Inherited, shared: &Shared, items: &Sender<Item>) {
    shared.queued.fetch_add(1, Ordering::SeqCst);
    if items.send(Item::Inherited { inherited, at: Timestamp::now() }).is_err() {
        shared.queued.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
