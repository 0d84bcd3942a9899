//! The writer while its files go to another daemon, and come from one.

use jiff::Timestamp;

use super::entry::Entry;
use super::line::Batch;
use super::relay::{Inherited, LEND_WAIT, Lend};
use super::render::interrupted;
use super::words::{DENIED, Half, half};
use super::writer::{Books, Writer};

impl<W: Fn()> Writer<W> {
    /// Gives the files up to another daemon, and goes on through it, or takes them back.
    pub(super) fn lend(&mut self, lend: Lend) {
        let given_up = match &self.books.trouble {
            Some(trouble) => Err(trouble.reason.clone()),
            None => self.store.flush(),
        };
        let is_given_up = given_up.is_ok();
        if is_given_up {
            self.housekeeper = None;
            self.store.give_up();
        }
        if lend.given_up.send(given_up).is_err() || !is_given_up {
            return self.take_back(is_given_up);
        }
        match lend.taken.recv_timeout(LEND_WAIT) {
            Ok(Some(way)) => self.store.go_on_through(way),
            Ok(None) | Err(_) => self.take_back(true),
        }
    }

    fn take_back(&mut self, is_given_up: bool) {
        if !is_given_up {
            return;
        }
        if let Err(error) = self.store.take_back() {
            return self.fail(error);
        }
        match self.house.start() {
            Ok(housekeeper) => self.housekeeper = Some(housekeeper),
            Err(error) => tracing::warn!("files of the audit trail are not compressed any more: {error}"),
        }
    }

    /// Ends what the daemon before this one has left open, without those that it ends with its last `entries`.
    pub(super) fn interrupt_inherited(&self, entries: &[Entry], batch: &mut Batch) {
        let ended = |id: &str| entries.iter().any(|entry| entry.event.id == id);
        let left = self.books.inherited.iter().filter(|(id, _)| !ended(id));
        left.filter_map(|(_, entry)| interrupted(entry.clone(), Timestamp::now()))
            .for_each(|entry| batch.push(entry));
    }
}

impl Books {
    /// What the daemon before this one has recorded is written.
    pub(super) fn on_inherited(&mut self, inherited: Inherited) {
        for entry in inherited.entries {
            match half(&entry.event.action) {
                Some(Half::Decided) if !entry.event.types.iter().any(|kind| kind == DENIED) => {
                    self.inherited.insert(entry.event.id.clone(), entry);
                }
                Some(Half::Ended) => drop(self.inherited.remove(&entry.event.id)),
                Some(Half::Decided) | None => {}
            }
        }
        if inherited.is_last {
            self.inherited.clear();
        }
        // It may have gone meanwhile.
        let _ = inherited.written.try_send(());
    }
}
