//! A client's ring, as the pipe has it: the same frames in another place.

use std::io;
use std::os::fd::OwnedFd;
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

/// After so many looks in a row that brought less than this, nothing of it a question, and nothing for the client to read
/// in between, the ring is let alone for a while: what the client sends meanwhile goes out together, and the two
/// processors need not pass the ring's words to and fro for each piece (measured: half as fast again).
const STREAM_MIN: u32 = 8;
const STREAM_PIECE: usize = 8 * 1024;
const GATHER: Duration = Duration::from_micros(10);

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
    /// Looks in a row that brought a little of a stream.
    stream: u32,
    /// It is let alone until then.
    later: Option<Instant>,
    /// Something was written since it was looked at.
    told: bool,
    /// Something was written since it was asked whether the client sleeps.
    wrote: bool,
    /// How many more bytes are taken out of it.
    left: usize,
}

/// What [`SharedRing::left`] is while its client has a pipe.
const NO_END: usize = usize::MAX;

/// Whether large data comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Large {
    /// It does not.
    No,
    /// It has not come whole.
    Cut,
    /// So many bytes for this socket.
    Here(SocketId, usize),
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
            stream: 0,
            later: None,
            told: false,
            wrote: false,
            left: NO_END,
        };
        Ok((shared, file))
    }

    /// Whether it has to be looked at without anybody asking for it.
    pub(crate) fn is_ready(&self) -> bool {
        self.reads && self.ready
    }

    /// The client has asked for something, or sent a little.
    pub(crate) fn note_eager(&mut self, asks: bool) {
        self.eager = true;
        if asks {
            (self.stream, self.later) = (0, None);
        }
    }

    /// The client has said that something has changed.
    pub(crate) fn note_bell(&mut self) {
        (self.ready, self.quiet) = (true, None);
    }

    /// Its end is there by now: it is not let alone any more.
    pub(crate) fn hurry(&mut self) {
        self.later = None;
    }

    /// Nothing more comes from this client but what it has written by now: its pipe has ended, and whoever else has the
    /// memory must not go on in its name.
    ///
    /// # Errors
    /// [`BadMark`] when the client has broken the rules of its ring, as everywhere below.
    pub(crate) fn end(&mut self) -> Result<(), BadMark> {
        self.left = self.waiting()?;
        Ok(())
    }

    /// Takes what has been written, as far as one frame goes; whether there was anything.
    pub(crate) fn read(&mut self, pool: &mut Pool) -> Result<bool, BadMark> {
        if self.gathers() {
            return Ok(false);
        }
        let waiting = self.waiting()?;
        if waiting == 0 || matches!(self.large()?, Large::Cut) {
            self.rest(waiting)?;
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
                    self.pass(whole)?;
                    self.note_piece(whole);
                    return Ok(true);
                }
            }
        }
        let waiting = waiting.min(MAX_FRAME);
        if !self.ring.receiver.peek(&mut self.reader.space(waiting)[..waiting])? {
            // So much was there a moment ago.
            return Err(BadMark);
        }
        self.reader.filled(waiting);
        self.pass(waiting)?;
        self.note_piece(waiting);
        Ok(true)
    }

    /// Whether it is let alone for a while.
    fn gathers(&mut self) -> bool {
        let is_early = self.later.is_some_and(|later| self.left == NO_END && Instant::now() < later);
        if !is_early {
            self.later = None;
        }
        is_early
    }

    /// A look has brought so many bytes.
    fn note_piece(&mut self, length: usize) {
        let streams = length < STREAM_PIECE && !std::mem::take(&mut self.told);
        self.stream = if streams { self.stream.saturating_add(1) } else { 0 };
        self.later = (self.stream >= STREAM_MIN).then(|| Instant::now() + GATHER);
    }

    /// Nothing is there to be read: looks again soon, or goes to sleep.
    fn rest(&mut self, waiting: usize) -> Result<(), BadMark> {
        let now = Instant::now();
        if !self.eager || now.duration_since(*self.quiet.get_or_insert(now)) >= self.spin {
            self.ready = !self.ring.receiver.sleeps(waiting)?;
            self.quiet = None;
        }
        Ok(())
    }

    fn waiting(&self) -> Result<usize, BadMark> {
        Ok(self.ring.receiver.waiting()?.min(self.left))
    }

    fn pass(&mut self, length: usize) -> Result<(), BadMark> {
        self.ring.receiver.pass(length)?;
        if self.left != NO_END {
            self.left = self.left.saturating_sub(length);
        }
        Ok(())
    }

    /// The large data that comes next, if it does. One whose end is not here yet is waited for, as it fits the ring.
    pub(crate) fn large(&self) -> Result<Large, BadMark> {
        let mut head = [0; DATA_HEADER];
        if self.reader.buffered() > 0 || !self.ring.receiver.peek(&mut head)? {
            return Ok(Large::No);
        }
        let waiting = self.waiting()?;
        Ok(match plain_data_head(&head) {
            Some((socket, length)) if (STRAIGHT_MIN..=MAX_DATA).contains(&length) => {
                if DATA_HEADER + length <= waiting { Large::Here(socket, length) } else { Large::Cut }
            }
            _ => Large::No,
        })
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
        self.pass(DATA_HEADER + sent)?;
        let left = length - sent;
        if left > 0 {
            if !self.ring.receiver.peek(queue.space(left, pool))? {
                return Err(BadMark);
            }
            queue.filled(left);
            self.pass(left)?;
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
            (self.wrote, self.told) = (true, true);
        }
        Ok(Some(received))
    }

    /// Writes what is queued, as far as there is room.
    pub(crate) fn write(&mut self, queue: &mut ByteQueue, pool: &mut Pool) -> Result<(), BadMark> {
        while !queue.is_empty() {
            let written = self.ring.sender.write(&[queue.unread()])?;
            queue.consume(written, pool);
            self.wrote |= written > 0;
            self.told |= written > 0;
            if written == 0 && self.ring.sender.sleeps()? {
                queue.trim();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the client sleeps until something is written, and has to be woken for what was since this was asked.
    pub(crate) fn wakes_reader(&mut self) -> bool {
        std::mem::take(&mut self.wrote) && self.ring.sender.takes_wake()
    }

    /// Whether the client sleeps until there is room, and has to be woken for what was read.
    pub(crate) fn wakes_writer(&self) -> bool {
        self.ring.receiver.takes_wake()
    }
}

/// Passes over what wakes a daemon on the pipe of a client whose frames come through its ring; whether another frame waits
/// behind that, which has its turn when the ring has ended.
pub(crate) fn pass_bells(reader: &mut FrameReader) -> Result<bool, FrameError> {
    while let Some(frame) = reader.next_frame()? {
        if let Frame::Notification { method, params } = Frame::parse(frame)?
            && let Ok(ClientNote::RingWake(_)) = ClientNote::parse(method, params)
        {
            continue;
        }
        let length = frame.len();
        reader.put_back(length);
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_documented_steps_have_these_sizes() {
        let documented = include_str!("../../../docs/data-plane.md");
        let seconds = crate::core::RING_IDLE.as_secs();
        let straight = format!("`data` of {} KiB and more", STRAIGHT_MIN / 1024);
        let rings = format!("{} rings in use", crate::core::RINGS_MAX);
        let stream =
            format!("after {STREAM_MIN} looks in a row that brought less than {} KiB", STREAM_PIECE / 1024);
        let gather = format!("alone for {} µs", GATHER.as_micros());
        for words in
            [stream, gather, straight, rings, format!("after {seconds} seconds in which nothing moved")]
        {
            assert!(documented.contains(&words), "docs/data-plane.md has no `{words}`");
        }
    }

    #[test]
    fn what_streams_is_gathered_until_somebody_asks() {
        let (mut ring, file) = SharedRing::create(Duration::from_secs(1)).unwrap();
        let (mut client, mut pool) = (Ring::open(&file).unwrap(), Pool::new(1 << 20));
        let small = [&data_header(SocketId(1), 4)[..], b"data"].concat();
        ring.reads = true;
        let mut look = |ring: &mut SharedRing, asks: bool| {
            client.sender.write(&[&small]).unwrap();
            let come = ring.read(&mut pool).unwrap();
            while let Some(frame) = ring.reader.next_frame().unwrap() {
                assert_eq!(frame, small);
            }
            ring.note_eager(asks);
            come
        };
        for _ in 0..STREAM_MIN {
            assert!(look(&mut ring, false));
        }
        let later = ring.later.unwrap();
        ring.later = Some(later + Duration::from_secs(60));
        assert!(!look(&mut ring, false) && ring.is_ready(), "it is let alone, and not forgotten");
        ring.later = Some(later);
        thread::sleep(GATHER);
        assert!(look(&mut ring, true) && ring.later.is_none(), "its answer is waited for");
        for _ in 0..2 * STREAM_MIN {
            assert!(look(&mut ring, false));
            let mut queue = ByteQueue::default();
            queue.push(&small, &mut Pool::new(1 << 20));
            ring.write(&mut queue, &mut Pool::new(1 << 20)).unwrap();
        }
        assert_eq!(ring.later, None, "who is answered waits for the answers");
        ring.later = Some(later + Duration::from_secs(60));
        assert!(!look(&mut ring, false));
        ring.end().unwrap();
        assert!(look(&mut ring, false), "what a client that has gone had written is taken");
    }

    #[test]
    fn behind_its_end_nothing_is_taken_that_was_not_there_before() {
        let (mut ring, file) = SharedRing::create(Duration::ZERO).unwrap();
        let (mut client, mut pool) = (Ring::open(&file).unwrap(), Pool::new(1 << 20));
        let small = [&data_header(SocketId(1), 4)[..], b"data"].concat();
        let large = [&data_header(SocketId(1), 30_000)[..], &[7; 30_000]].concat();
        ring.reads = true;
        for frame in [&small, &large, &small] {
            client.sender.write(&[frame]).unwrap();
        }
        ring.end().unwrap();
        for frame in [&small, &large] {
            client.sender.write(&[frame]).unwrap();
        }
        assert_eq!((ring.large(), ring.read(&mut pool)), (Ok(Large::No), Ok(true)));
        assert_eq!(ring.reader.next_frame(), Ok(Some(&small[..])));
        assert_eq!(ring.large(), Ok(Large::Here(SocketId(1), 30_000)));
        let mut queue = ByteQueue::default();
        ring.pass_large(4000, 30_000, &mut queue, &mut pool).unwrap();
        assert_eq!(queue.len(), 26_000);
        assert_eq!(ring.read(&mut pool), Ok(true));
        assert_eq!(ring.reader.next_frame(), Ok(Some(&small[..])));
        assert_eq!((ring.reader.buffered(), ring.read(&mut pool)), (0, Ok(false)));
    }
}
