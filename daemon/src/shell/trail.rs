//! The audit trail, between the core, which says what to record, and the thread that writes it.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Kind, SocketId};

use super::unsafe_option::segments;
use super::worker::{Work, Worker};
use crate::audit::{Appended, Settings, Trail, TrailError};
use crate::core::trail::{Ended, Record};
use crate::core::{ClientId, Input};

impl Worker {
    /// Keeps a trail from here on, for all loops: nothing that is asked for is done then before its decision is recorded.
    /// Before the first client comes, and the other loops begin.
    ///
    /// # Errors
    /// When the trail cannot be kept.
    pub fn keep_trail(&mut self, settings: &Settings) -> Result<(), TrailError> {
        self.keep_trail_after(settings, false)
    }

    /// As [`Worker::keep_trail`]; `is_after` a daemon that still has clients, which [`Worker::hear`] follows.
    ///
    /// # Errors
    /// As [`Worker::keep_trail`].
    pub fn keep_trail_after(&mut self, settings: &Settings, is_after: bool) -> Result<(), TrailError> {
        let wake = |index| {
            let waker = self.crew.waker(index);
            move || {
                if let Err(error) = waker.wake() {
                    tracing::error!("cannot wake the loop for the trail: {error}");
                }
            }
        };
        let others = (1..self.crew.len()).map(wake);
        let (first, others) = Trail::start_after(settings, is_after, wake(0), others)?;
        self.crew.keep_notes(first.notes(), self.core.policy());
        self.others.keep_trails(others);
        self.keep(first);
        Ok(())
    }

    pub(crate) fn keep(&mut self, trail: Trail) {
        self.trail = Some(trail);
        self.core.keep_trail();
    }

    /// Records what the daemon before this one says, until that ends; nothing where no trail is kept. For all loops, by the
    /// first one.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn hear(&mut self, before: UnixStream) -> Result<(), TrailError> {
        self.trail.as_mut().map_or(Ok(()), |trail| trail.hear(before))
    }

    /// Waits for the daemon before this one, which records through this one, for so long at the most.
    pub fn await_before(&self, limit: Duration) {
        if let Some(trail) = &self.trail {
            trail.await_before(limit);
        }
    }

    /// Ends everything that the trail follows on this loop.
    pub(crate) fn end_records(&mut self) {
        self.core.end_trail(Instant::now());
        self.perform_actions();
    }

    /// Ends everything that the trail follows, and the trail; the operator is told where it ends. The other loops have
    /// ended.
    pub fn end_trail(&mut self) {
        self.end_records();
        match self.trail.take().map(Trail::stop) {
            None => {}
            Some(Ok(point)) => tracing::info!("the audit trail ends at {point}"),
            Some(Err(error)) => tracing::error!("the audit trail lacks its last records: {error}"),
        }
    }

    pub(crate) fn append(&mut self, mut record: Record, socket: Option<SocketId>, wanted: bool) {
        let id = match &mut record {
            Record::Decided(decided) => decided.id,
            Record::Ended(ended) => {
                self.count_segments(ended, socket);
                ended.decided.id
            }
        };
        let Some(trail) = &self.trail else { return };
        match trail.append(record, wanted) {
            Appended::Done if wanted => self.feed(Input::Recorded { id, result: Ok(()) }),
            Appended::Refused(reason) => self.feed(Input::Recorded { id, result: Err(reason) }),
            Appended::Done | Appended::Pending => {}
        }
    }

    /// Adds what only the system has counted.
    fn count_segments(&self, ended: &mut Ended, socket: Option<SocketId>) {
        if ended.decided.kind != Kind::Tcp || ended.peer.is_none() {
            return;
        }
        // Of a socket that has gone meanwhile nothing is known.
        let counted = socket.and_then(|id| self.io(id).ok()).and_then(|io| segments(io).ok());
        if let Some([sent, received]) = counted {
            ended.sent.packets = Some(sent.into());
            ended.received.packets = Some(received.into());
        }
    }

    /// Tells the core what the thread has done since the last time.
    pub(crate) fn take_recorded(&mut self) {
        let Some(trail) = &self.trail else { return };
        let is_full = trail.is_full();
        for (id, result) in trail.take_outcomes() {
            self.handle(Input::Recorded { id, result });
        }
        if self.held_up && !is_full {
            self.held_up = false;
            let waiting = self.pipes.iter().filter(|pipe| pipe.waits_for_trail).map(|pipe| pipe.id);
            waiting.collect::<Vec<_>>().into_iter().for_each(|client| self.schedule(Work::Client(client)));
        }
    }

    /// Whether no more can be written than what waits already.
    pub(crate) fn is_trail_full(&self) -> bool {
        self.trail.as_ref().is_some_and(Trail::is_full)
    }

    /// A client has to wait until more can be written; whatever needs no record goes on.
    pub(crate) fn wait_for_trail(&mut self, client: ClientId) {
        self.held_up = true;
        if let Some(pipe) = self.pipes.get_mut(client) {
            pipe.waits_for_trail = true;
        }
    }
}
