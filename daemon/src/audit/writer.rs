//! The thread that writes: it takes what is queued, writes all of it in one go, and says so.
//!
//! While nothing can be written it refuses what waits for its record, keeps the records of what has happened anyway,
//! and tries again from time to time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::Point;
use super::entry::Entry;
use super::housekeeper::{House, Housekeeper};
use super::item::Item;
use super::line::Batch;
use super::live::Standing;
use super::relay::{Inherited, Lend, Shelf};
use super::render::Run;
use super::shared::Shared;
use super::store::open_lines;
use super::trail::Outcome;
use super::words::Own;
use crate::core::trail::{Decided, Ended, Record, TrailId};

/// The most bytes of one write: what a disk takes at once, and a thousand records that wait are in one or two.
const BATCH_BYTES: usize = 1 << 20;

/// The most items that are taken off the queue before what was taken is written.
const BATCH_ITEMS: usize = 4096;

/// How often a trail that cannot be written is tried again: soon enough for somebody who has just made room.
const RETRY: Duration = Duration::from_secs(1);

/// The most records that are kept while nothing can be written, those of the newest are lost then: about as many as
/// clients have open at once, each of some hundred bytes. A test has fewer.
const KEPT_MAX: usize = if cfg!(test) { 100 } else { 65_536 };

/// How much later than the file the disk may be where it is not waited for.
const FLUSH: Duration = Duration::from_secs(1);

/// How often a trail to which nothing is written is looked at: whether its file is there, and not too old.
const IDLE: Duration = Duration::from_secs(30);

/// How long the trail goes on in its old file when that could not be rotated.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// What ends the taking of records for a while, or for good.
enum Order {
    Lend(Lend),
    Stop(SyncSender<Result<Point, String>>),
}

/// A loop that waits for what it has decided.
#[derive(Debug)]
pub(super) struct Reader<W: Fn()> {
    pub(super) outcomes: Sender<Outcome>,
    pub(super) wake: W,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer<W: Fn()> {
    /// Before the store, whose lock says that nobody works on the files any more. None while another daemon has them.
    pub(super) housekeeper: Option<Housekeeper>,
    pub(super) house: House,
    pub(super) store: Shelf,
    pub(super) run: Run,
    pub(super) shared: Arc<Shared>,
    pub(super) items: Receiver<Item>,
    pub(super) readers: Vec<Reader<W>>,
    pub(super) books: Books,
}

/// What the writer has in hand.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Taken off the queue, and not written.
    kept: VecDeque<Item>,
    /// Decisions that have no end yet.
    open: HashMap<TrailId, Open>,
    /// Those of the daemon before this one, which has not ended yet, by their ids in the trail.
    pub(super) inherited: HashMap<String, Entry>,
    pub(super) trouble: Option<Trouble>,
    flush_at: Option<Instant>,
    rotate_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    decided: Arc<Decided>,
    at: Timestamp,
    is_written: bool,
}

/// Nothing can be written.
#[derive(Debug)]
pub(super) struct Trouble {
    since: Instant,
    retry_at: Instant,
    pub(super) reason: String,
    refused: u64,
    lost: u64,
    /// The last line of a file that has gone.
    gone: Option<Point>,
}

impl<W: Fn()> Writer<W> {
    /// Writes until the daemon ends.
    pub(super) fn run(mut self) {
        loop {
            let order = self.take();
            self.write_what_is_due();
            self.keep_house();
            self.shared.set_oldest(self.books.kept.front().map(Item::at));
            match order {
                None => {}
                Some(Order::Lend(lend)) => self.lend(lend),
                Some(Order::Stop(stop)) => {
                    let end = self.end();
                    // Whoever is told that it has ended may begin the next one at once.
                    drop(self);
                    // Nobody waits any more where this took too long.
                    let _ = stop.send(end);
                    return;
                }
            }
        }
    }

    /// Takes what is queued, after waiting for it if there is nothing else to do.
    fn take(&mut self) -> Option<Order> {
        let now = Instant::now();
        let first = match self.next_time(now) {
            Some(time) => self.items.recv_timeout(time.saturating_duration_since(now)).ok(),
            None => self.items.try_recv().ok(),
        };
        let mut next = first;
        let mut taken = 0;
        while let Some(item) = next {
            match item {
                Item::Stop(stop) => return Some(Order::Stop(stop)),
                Item::Lend(lend) => return Some(Order::Lend(lend)),
                item => self.keep(item),
            }
            taken += 1;
            next = if taken < BATCH_ITEMS { self.items.try_recv().ok() } else { None };
        }
        None
    }

    /// When something is to be done that no item brings; `None` for at once.
    fn next_time(&self, now: Instant) -> Option<Instant> {
        match &self.books.trouble {
            Some(trouble) => Some(trouble.retry_at),
            None if !self.books.kept.is_empty() => None,
            None => Some(self.books.flush_at.unwrap_or(now + IDLE)),
        }
    }

    fn keep(&mut self, item: Item) {
        if let Item::Record { record: Record::Decided(decided), at, .. } = &item
            && decided.refusal.is_none()
        {
            let open = Open { decided: Arc::clone(decided), at: *at, is_written: false };
            self.books.open.insert(decided.id, open);
        }
        if self.books.kept.is_empty() {
            self.shared.set_oldest(Some(item.at()));
        }
        self.books.kept.push_back(item);
        if let Some(trouble) = &self.books.trouble {
            let reason = trouble.reason.clone();
            self.shelve_newest(&reason);
        }
    }

    /// Refuses the item that came last or, when there are too many, loses it.
    fn shelve_newest(&mut self, reason: &str) {
        let Some(item) = self.books.kept.back() else { return };
        let waiting = item.waiting();
        if waiting.is_none() && self.books.kept.len() <= KEPT_MAX {
            return;
        }
        let item = self.books.kept.pop_back();
        if let Some(Item::Record { record: Record::Decided(decided), .. }) = &item {
            self.books.open.remove(&decided.id);
        }
        if let Some(trouble) = &mut self.books.trouble {
            match waiting {
                Some(_) => trouble.refused += 1,
                None => trouble.lost += 1,
            }
        }
        match waiting {
            Some(whose) => self.answer(whose, Err(reason.to_owned())),
            None => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.finish(1);
        if let Some((reader, _)) = waiting {
            self.wake(|index| index == reader);
        }
    }

    fn write_what_is_due(&mut self) {
        match &self.books.trouble {
            Some(trouble) if trouble.retry_at > Instant::now() => return,
            Some(_) => {
                if let Err(reason) = self.find_file() {
                    return self.fail(reason);
                }
            }
            None => {}
        }
        // At most as often as there are items, as each turn writes one at least.
        while !self.books.kept.is_empty() || self.books.trouble.is_some() {
            if let Err(reason) = self.write_batch() {
                return self.fail(reason);
            }
        }
    }

    /// Sees that there is a file to go on in.
    fn find_file(&mut self) -> Result<(), String> {
        if self.store.look()? == Standing::Ours {
            return Ok(());
        }
        let open = self.open_lines();
        let gone = self.store.go_on_in_empty(&open)?;
        if let Some(trouble) = &mut self.books.trouble {
            trouble.gone = Some(gone);
        }
        Ok(())
    }

    /// Writes what is kept, as much as goes into one write.
    fn write_batch(&mut self) -> Result<(), String> {
        let now = Timestamp::now();
        let mut batch = Batch::after(self.store.point());
        if let Some(trouble) = &mut self.books.trouble {
            trouble.refused += self.shared.refused.swap(0, Ordering::Relaxed);
            let mut entry = self.run.own(Own::Resumed, &trouble.tell(), now, batch.next_sequence());
            entry.luasocketd.lost = Some(trouble.lost);
            entry.luasocketd.gone = trouble.gone.map(Into::into);
            batch.push(entry);
        }
        let mut count = 0;
        for item in &self.books.kept {
            if batch.bytes.len() >= BATCH_BYTES {
                break;
            }
            self.render(item, &mut batch);
            count += 1;
        }
        self.store.write(&batch, now)?;
        self.on_written(&batch, count);
        Ok(())
    }

    fn render(&self, item: &Item, batch: &mut Batch) {
        match item {
            Item::Record { record: Record::Decided(decided), at, .. } => {
                batch.push(self.run.decided(decided, *at));
            }
            Item::Record { record: Record::Ended(ended), at, .. } => {
                let start = match self.books.open.get(&ended.decided.id) {
                    Some(open) => open.at,
                    None => {
                        // Its decision was refused or lost while nothing could be written. No end is without one.
                        let start = before(*at, ended);
                        batch.push(self.run.decided(&ended.decided, start));
                        start
                    }
                };
                batch.push(self.run.ended(ended, start, *at));
            }
            Item::Own { own, reason, at } => {
                batch.push(self.run.own(*own, reason, *at, batch.next_sequence()));
            }
            Item::Prune { prune, at } => {
                let reason = format!("the file that ends with line {} is removed", prune.last.sequence);
                let mut entry = self.run.own(Own::Pruned, &reason, *at, batch.next_sequence());
                entry.luasocketd.gone = Some(prune.last.into());
                batch.push(entry);
            }
            Item::Inherited { inherited, .. } => {
                inherited.entries.iter().for_each(|entry| batch.push(entry.clone()));
                if inherited.is_last {
                    self.interrupt_inherited(&inherited.entries, batch);
                }
            }
            Item::Lend(_) | Item::Stop(_) => {}
        }
    }

    /// The first `count` items that are kept are written.
    fn on_written(&mut self, batch: &Batch, count: usize) {
        let shared = &self.shared;
        shared.committed.store(self.store.point().sequence, Ordering::Relaxed);
        shared.bytes.fetch_add(batch.bytes.len() as u64, Ordering::Relaxed);
        shared.lines.fetch_add(batch.lines, Ordering::Relaxed);
        let trouble = self.books.trouble.take();
        if let Some(trouble) = &trouble {
            shared.set_failing(None);
            tracing::info!("the audit trail is written again: {}", trouble.tell());
        }
        let mut waited_for = vec![trouble.is_some(); self.readers.len()];
        let written: Vec<Item> = self.books.kept.drain(..count).collect();
        for item in written {
            if let Some(whose @ (reader, _)) = item.waiting() {
                self.answer(whose, Ok(()));
                waited_for[reader] = true;
            }
            match item {
                Item::Record { record: Record::Decided(decided), .. } => {
                    if let Some(open) = self.books.open.get_mut(&decided.id) {
                        open.is_written = true;
                    }
                }
                Item::Record { record: Record::Ended(ended), .. } => {
                    self.books.open.remove(&ended.decided.id);
                }
                // Who asked may have given up; then the file stays, and the line is one too many.
                Item::Prune { prune, .. } => drop(prune.written.try_send(())),
                Item::Inherited { inherited, .. } => self.books.on_inherited(inherited),
                Item::Own { .. } | Item::Lend(_) | Item::Stop(_) => {}
            }
        }
        let has_room = self.finish(count);
        self.wake(|index| has_room || waited_for[index]);
    }

    /// Nothing can be written: refuses whoever waits, and tells the operator if that is news.
    pub(super) fn fail(&mut self, reason: String) {
        let now = Instant::now();
        self.shared.set_failing(Some(&reason));
        let retry_at = now + RETRY;
        match &mut self.books.trouble {
            Some(trouble) => (trouble.retry_at, trouble.reason) = (retry_at, reason.clone()),
            None => {
                tracing::error!(
                    "the audit trail cannot be written, so nothing new is let through: {reason}; trying again every \
                    {RETRY:?}"
                );
                let reason = reason.clone();
                let trouble = Trouble { since: now, retry_at, reason, refused: 0, lost: 0, gone: None };
                self.books.trouble = Some(trouble);
            }
        }
        for item in std::mem::take(&mut self.books.kept) {
            self.books.kept.push_back(item);
            self.shelve_newest(&reason);
        }
        self.wake(|_| true);
    }

    fn keep_house(&mut self) {
        if self.books.trouble.is_some() {
            return;
        }
        let now = Instant::now();
        if self.store.is_behind() && *self.books.flush_at.get_or_insert(now + FLUSH) <= now {
            self.books.flush_at = None;
            if let Err(reason) = self.store.flush() {
                return self.fail(reason);
            }
        }
        match self.store.look() {
            Ok(Standing::Ours) => {}
            Ok(Standing::Empty) => {
                return self.fail("its file was emptied or replaced by an empty one".into());
            }
            Err(reason) => return self.fail(reason),
        }
        if self.store.is_due(Timestamp::now()) && self.books.rotate_at.is_none_or(|at| at <= now) {
            self.rotate(now);
        }
    }

    fn rotate(&mut self, now: Instant) {
        let open = self.open_lines();
        match self.store.rotate(&open) {
            Ok(()) => {
                self.books.rotate_at = None;
                tracing::info!("the audit trail is rotated behind {}", self.store.point());
                self.housekeeper.iter().for_each(Housekeeper::look);
            }
            Err(error) => {
                self.books.rotate_at = Some(now + ROTATE_AGAIN);
                tracing::warn!("{error}; it goes on in the old file, and is tried again in {ROTATE_AGAIN:?}");
            }
        }
    }

    /// The lines of the decisions that are written and have no end.
    fn open_lines(&self) -> Vec<u8> {
        let written = self.books.open.values().filter(|open| open.is_written);
        let own = written.map(|open| self.run.decided(&open.decided, open.at));
        open_lines(own.chain(self.books.inherited.values().cloned()))
    }

    /// Writes all that is queued and the last line.
    fn end(&mut self) -> Result<Point, String> {
        while let Ok(item) = self.items.try_recv() {
            self.keep(item);
        }
        if !self.books.inherited.is_empty() {
            let (written, _) = sync_channel(1);
            let inherited = Inherited { entries: Vec::new(), is_last: true, written };
            self.keep(Item::Inherited { inherited, at: Timestamp::now() });
            self.shared.queued.fetch_add(1, Ordering::SeqCst);
        }
        self.keep(Item::Own {
            own: Own::Ended,
            reason: "luasocketd ends in order".into(),
            at: Timestamp::now(),
        });
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        if let Some(trouble) = &mut self.books.trouble {
            trouble.retry_at = Instant::now();
        }
        self.write_what_is_due();
        if let Some(trouble) = &self.books.trouble {
            let kept = self.books.kept.len();
            return Err(format!(
                "{kept} records of the audit trail could not be written: {}",
                trouble.reason
            ));
        }
        self.store.flush()?;
        tracing::info!("the audit trail ends at {}", self.store.point());
        Ok(self.store.point())
    }

    fn answer(&self, (reader, id): (usize, TrailId), outcome: Result<(), String>) {
        // Who does not take it has ended with the daemon.
        let _ = self.readers[reader].outcomes.send((id, outcome));
    }

    /// Wakes those loops that there is something for.
    fn wake(&self, is_meant: impl Fn(usize) -> bool) {
        let meant = self.readers.iter().enumerate().filter(|(index, _)| is_meant(*index));
        meant.for_each(|(_, reader)| (reader.wake)());
    }

    /// So many items are done with; says whether somebody waits for the room.
    fn finish(&self, count: usize) -> bool {
        self.shared.finish(count)
    }
}

impl<W: Fn()> Drop for Writer<W> {
    /// Whoever still waits is refused, whatever has ended the thread.
    fn drop(&mut self) {
        let reason = "the audit trail has ended";
        self.shared.set_failing(Some(reason));
        let queued: Vec<Item> = self.books.kept.drain(..).chain(self.items.try_iter()).collect();
        for whose in queued.iter().filter_map(Item::waiting) {
            self.answer(whose, Err(reason.to_owned()));
        }
        self.finish(queued.len());
        self.wake(|_| true);
    }
}

impl Trouble {
    fn tell(&self) -> String {
        format!(
            "it could not be written for {} s ({}); {} decisions were refused meanwhile, and {} records lost",
            self.since.elapsed().as_secs(),
            self.reason,
            self.refused,
            self.lost
        )
    }
}

/// When something was decided that has ended at `at`.
fn before(at: Timestamp, ended: &Ended) -> Timestamp {
    at.checked_sub(ended.lasted).unwrap_or(at)
}
