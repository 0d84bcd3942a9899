//! A client's ring, as the pipe has it: the same frames in another place.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_protocol::{BadMark, ClientNote, Frame, FrameError, FrameReader, MAX_FRAME, Ring};

use super::queue::{ByteQueue, Pool};

/// How long an empty ring is looked at again and again before its reader goes to sleep. A script that sends again and
/// again has written by then, and needs no system call to wake anybody.
fn patience() -> Duration {
    static P: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();
    *P.get_or_init(|| {
        Duration::from_micros(std::env::var("SPIN").ok().and_then(|s| s.parse().ok()).unwrap_or(20))
    })
}

/// The shell's half of a client's ring.
#[derive(Debug)]
pub(crate) struct SharedRing {
    ring: Ring,
    pub(crate) reader: FrameReader,
    /// The client's frames come here.
    pub(crate) reads: bool,
    /// Frames may wait here.
    ready: bool,
    /// Since when it has been empty, if that is known.
    quiet: Option<Instant>,
}

impl SharedRing {
    /// A ring that nobody uses yet, and the descriptor for the client.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let (ring, file) = Ring::create()?;
        let shared = SharedRing { ring, reader: FrameReader::new(), reads: false, ready: true, quiet: None };
        Ok((shared, file))
    }

    /// Whether it has to be looked at without anybody asking for it.
    pub(crate) fn is_ready(&self) -> bool {
        self.reads && self.ready
    }

    /// The client has said that something has changed.
    pub(crate) fn note_bell(&mut self) {
        (self.ready, self.quiet) = (true, None);
    }

    /// Takes what has been written, as far as one frame goes; whether there was anything.
    pub(crate) fn read(&mut self, pool: &mut Pool) -> Result<bool, BadMark> {
        let waiting = self.ring.receiver.waiting()?.min(MAX_FRAME);
        if waiting == 0 {
            let now = Instant::now();
            if now.duration_since(*self.quiet.get_or_insert(now)) >= patience() {
                self.ready = !self.ring.receiver.sleeps()?;
                self.quiet = None;
            } else {
                // Whoever else has something to do on this processor goes first.
                thread::yield_now();
            }
            return Ok(false);
        }
        self.quiet = None;
        if self.reader.buffered() == 0 {
            self.reader.lend(pool.take());
        }
        let length = self.ring.receiver.read(&mut self.reader.space(waiting)[..waiting])?;
        self.reader.filled(length);
        Ok(true)
    }

    /// Writes what is queued, as far as there is room.
    pub(crate) fn write(&mut self, queue: &mut ByteQueue, pool: &mut Pool) -> Result<(), BadMark> {
        while !queue.is_empty() {
            let written = self.ring.sender.write(&[queue.unread()])?;
            queue.consume(written, pool);
            if written == 0 && self.ring.sender.sleeps()? {
                queue.trim();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the client sleeps, and has to be woken for what was done.
    pub(crate) fn takes_wake(&self) -> bool {
        // Both are asked: each is a word of its own.
        self.ring.sender.takes_wake() | self.ring.receiver.takes_wake()
    }
}

/// Passes over the frames on the pipe of a client whose frames come through its ring: there is only one that may come.
pub(crate) fn pass_bells(reader: &mut FrameReader) -> Result<(), FrameError> {
    while let Some(frame) = reader.next_frame()? {
        match Frame::parse(frame)? {
            Frame::Notification { method, params } => match ClientNote::parse(method, params)? {
                ClientNote::RingWake(_) => {}
                _ => return Err(FrameError::Malformed),
            },
            Frame::Request { .. } | Frame::Response { .. } => return Err(FrameError::Malformed),
        }
    }
    Ok(())
}
