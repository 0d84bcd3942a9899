//! A client's ring, as the pipe has it: the same frames in another place.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_protocol::{
    BadMark, ClientNote, DATA_HEADER, Frame, FrameError, FrameReader, MAX_DATA, MAX_FRAME, Part, Ring,
    RingDirection, SocketId, data_header, plain_data_head,
};
use socket2::Socket;

use super::queue::{ByteQueue, Pool};
use super::unsafe_ring::send_parts;

/// How much is copied out of a ring at once: small frames come together, large ones are not copied (below).
const PART: usize = 16 * 1024;

/// Data of this size goes from the ring to its socket without a copy, by a system call of its own; smaller pieces are
/// collected for one call.
const STRAIGHT_MIN: usize = 8 * 1024;

/// The shell's half of a client's ring.
#[derive(Debug)]
pub(crate) struct SharedRing {
    ring: Ring,
    pub(crate) reader: FrameReader,
    /// The client's frames come here.
    pub(crate) reads: bool,
    /// Frames may wait here.
    ready: bool,
    /// How long it is looked at, once it is empty, before its reader goes to sleep: a script that sends again and again
    /// has written by then, and needs no system call to wake anybody.
    spin: Duration,
    /// Whether the client has asked for something, or sent a little, since it was looked at: then more is to come.
    eager: bool,
    /// Since when it has been empty, if that is known.
    quiet: Option<Instant>,
}

impl SharedRing {
    /// A ring that nobody uses yet, looked at for so long once it is empty, and the descriptor for the client.
    pub(crate) fn create(spin: Duration) -> io::Result<(Self, OwnedFd)> {
        let (ring, file) = Ring::create()?;
        let shared = SharedRing {
            spin,
            ring,
            reader: FrameReader::new(),
            reads: false,
            ready: true,
            eager: false,
            quiet: None,
        };
        Ok((shared, file))
    }

    /// Whether it has to be looked at without anybody asking for it.
    pub(crate) fn is_ready(&self) -> bool {
        self.reads && self.ready
    }

    /// The client has asked for something, or sent a little.
    pub(crate) fn note_eager(&mut self) {
        self.eager = true;
    }

    /// The client has said that something has changed.
    pub(crate) fn note_bell(&mut self) {
        (self.ready, self.quiet) = (true, None);
    }

    /// Takes what has been written, as far as one frame goes; whether there was anything.
    pub(crate) fn read(&mut self, pool: &mut Pool) -> Result<bool, BadMark> {
        let waiting = self.ring.receiver.waiting()?;
        if waiting == 0 || self.is_cut_large(waiting)? {
            let now = Instant::now();
            if !self.eager || now.duration_since(*self.quiet.get_or_insert(now)) >= self.spin {
                self.ready = !self.ring.receiver.sleeps(waiting)?;
                self.quiet = None;
            } else {
                // Whoever else has something to do on this processor goes first.
                thread::yield_now();
            }
            return Ok(false);
        }
        (self.quiet, self.eager) = (None, false);
        if self.reader.buffered() == 0 {
            self.reader.lend(pool.take());
            // A whole frame at the most: what follows may go to its socket without a copy.
            let part = waiting.min(PART);
            if self.ring.receiver.peek(&mut self.reader.space(part)[..part])? {
                let whole = self.reader.filled_whole(part);
                if whole > 0 {
                    self.ring.receiver.pass(whole)?;
                    return Ok(true);
                }
            }
        }
        let waiting = waiting.min(MAX_FRAME);
        let length = self.ring.receiver.read(&mut self.reader.space(waiting)[..waiting])?;
        self.reader.filled(length);
        Ok(true)
    }

    /// Whether the next frame is large data whose end is not here yet: it is waited for, as it fits the ring.
    fn is_cut_large(&self, waiting: usize) -> Result<bool, BadMark> {
        let mut head = [0; DATA_HEADER];
        if self.reader.buffered() > 0 || !self.ring.receiver.peek(&mut head)? {
            return Ok(false);
        }
        let is_cut = |(_, length): (SocketId, usize)| {
            (STRAIGHT_MIN..=MAX_DATA).contains(&length) && DATA_HEADER + length > waiting
        };
        Ok(plain_data_head(&head).is_some_and(is_cut))
    }

    /// The socket and the size of the `data` that comes next, if it is all here and large.
    pub(crate) fn large_data(&self) -> Result<Option<(SocketId, usize)>, BadMark> {
        let mut head = [0; DATA_HEADER];
        if !self.reads || self.reader.buffered() > 0 || !self.ring.receiver.peek(&mut head)? {
            return Ok(None);
        }
        let waiting = self.ring.receiver.waiting()?;
        let is_here = |(_, length): &(SocketId, usize)| {
            (STRAIGHT_MIN..=MAX_DATA).contains(length) && DATA_HEADER + length <= waiting
        };
        Ok(plain_data_head(&head).filter(is_here))
    }

    /// Sends the first `most` of its bytes to a socket; gives how many the system has taken. They stay in the ring.
    pub(crate) fn send_large(&self, io: &Socket, most: usize) -> io::Result<usize> {
        let parts = self.ring.receiver.parts(DATA_HEADER, DATA_HEADER + most).map_err(io::Error::other)?;
        send_parts(io, self.ring.receiver.memory(), parts)
    }

    /// Takes the large data of which `sent` bytes have gone; what has not goes to `queue`.
    pub(crate) fn pass_large(
        &mut self,
        sent: usize,
        length: usize,
        queue: &mut ByteQueue,
        pool: &mut Pool,
    ) -> Result<(), BadMark> {
        (self.quiet, self.eager) = (None, false);
        self.ring.receiver.pass(DATA_HEADER + sent)?;
        let left = length - sent;
        if left > 0 {
            let read = self.ring.receiver.read(queue.space(left, pool))?;
            queue.filled(read);
        }
        Ok(())
    }

    /// Receives once from a socket, at most `length` bytes; nothing where the ring has too little room for it.
    pub(crate) fn receive_large(
        &mut self,
        id: SocketId,
        length: usize,
        receive: impl FnOnce(&RingDirection, [Part; 2]) -> io::Result<Option<usize>>,
    ) -> Result<Option<io::Result<Option<usize>>>, BadMark> {
        let parts = self.ring.sender.gap(DATA_HEADER, DATA_HEADER + length)?;
        if parts.iter().map(|part| part.length).sum::<usize>() < length {
            return Ok(None);
        }
        let received = receive(self.ring.sender.memory(), parts);
        if let Ok(Some(bytes @ 1..)) = received {
            // No more than a frame's payload, which fits 32 bits.
            self.ring.sender.wrote(&data_header(id, bytes as u32), bytes)?;
        }
        Ok(Some(received))
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

    /// Whether the client sleeps until something is written, and has to be woken for what was.
    pub(crate) fn wakes_reader(&self) -> bool {
        self.ring.sender.takes_wake()
    }

    /// Whether the client sleeps until there is room, and has to be woken for what was read.
    pub(crate) fn wakes_writer(&self) -> bool {
        self.ring.receiver.takes_wake()
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
