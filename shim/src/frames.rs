//! The frames of a pipe, in both directions, whichever way they go: through the pipe or through the ring beside it.
//!
//! It never waits. What the frames mean is the `Mux`'s business, when to look and how long to wait the `Pipe`'s.
//! Invariants: a frame is never cut, and whatever a daemon does, a look ends after a bounded number of steps.

use std::os::fd::BorrowedFd;

use luasocketd_protocol::{
    ClientNote, DATA_HEADER, FrameReader, MAX_DATA, MAX_FRAME, RING_SIZE, RingBegin, RingEnd, SocketId,
    data_header, plain_data_head,
};

use crate::link::{Link, Stuck};
use crate::mux::{Mux, RingNews};
use crate::spin::Spin;

/// Reads from the pipe at one look; a flood must not keep a call from its own work.
pub(crate) const READS_AT_ONCE: usize = 4;

/// What a pipe has to do until it asks for memory to share: so many system calls, a KiB moved counted as one more. A
/// script that does less is done before it would pay.
const BUSY: u64 = 256;

/// How much more it has to do when it was refused, until it asks again.
const BUSY_AFTER_REFUSAL: u64 = 1 << 20;

/// How much is copied out of a ring at once: small frames come together, large data is not copied with them.
const PART: usize = 16 * 1024;

/// Data of this size goes from the ring to its socket in one copy.
const STRAIGHT_MIN: usize = 2 * 1024;

/// Pieces of data that are taken straight from a ring at one look: as many as a full one can hold, so that a daemon
/// which writes without end does not hold a call beyond its time.
const STRAIGHT_AT_ONCE: usize = RING_SIZE as usize / STRAIGHT_MIN;

/// Everything that is on its way between a Lua state and its daemon.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: FrameReader,
    ring_reader: FrameReader,
    link: Link,
    /// What was queued before frames were to go the other way: these bytes go the old one.
    turn: Option<usize>,
    /// What is left to do until the pipe counts as busy.
    idle: u64,
    /// How a wait begins.
    pub(crate) spin: Spin,
    mux: Mux,
}

impl Default for Frames {
    fn default() -> Self {
        Frames {
            reader: FrameReader::new(),
            ring_reader: FrameReader::new(),
            link: Link::default(),
            turn: None,
            idle: BUSY,
            spin: Spin::default(),
            mux: Mux::default(),
        }
    }
}

impl Frames {
    /// What the frames are about.
    pub(crate) fn mux(&mut self) -> &mut Mux {
        &mut self.mux
    }

    /// Whether frames are written to the ring.
    pub(crate) fn writes_ring(&self) -> bool {
        self.link.writes_ring()
    }

    /// Whether frames wait in the ring.
    pub(crate) fn has_ringed(&self) -> bool {
        self.link.waiting().is_ok_and(|waiting| waiting > 0)
    }

    /// Asks for memory to share once the pipe has turned out to be busy.
    pub(crate) fn ask_when_busy(&mut self) {
        if self.idle == 0 {
            self.idle = u64::MAX;
            self.link.expect_file(true);
            self.mux.ask_ring();
        }
    }

    /// Whether there is nothing for this side to do but wait; the daemon is told so then.
    pub(crate) fn sleeps(&mut self) -> bool {
        let writes = !self.mux.unwritten().is_empty();
        self.link.sleeps(writes).unwrap_or_else(|stuck| {
            self.on_stuck(stuck);
            false
        })
    }

    /// Tells the daemon that this side waits for more than what is here.
    pub(crate) fn sleeps_anyway(&mut self) {
        if let Err(stuck) = self.link.sleeps_anyway() {
            self.on_stuck(stuck);
        }
    }

    /// Sends bytes of a connection, as many as credit and the way take now in one frame, with one write; nothing
    /// while other frames wait.
    pub(crate) fn send_data(
        &mut self,
        pipe: BorrowedFd<'_>,
        socket: SocketId,
        bytes: &[u8],
    ) -> Result<usize, Stuck> {
        if !self.mux.unwritten().is_empty() {
            return Ok(0);
        }
        let Some(stream) = self.mux.stream(socket) else { return Ok(0) };
        let length = bytes.len().min(stream.credit()).min(MAX_DATA);
        if length == 0 || stream.is_broken() {
            return Ok(0);
        }
        let payload = &bytes[..length];
        let header = data_header(socket, length as u32);
        let sent = self.link.write(pipe, [&header, payload])?;
        // A frame is never cut: what has begun has to follow.
        stream.spend(length);
        if sent < DATA_HEADER {
            self.mux.queue_rest(&header[sent..]);
        }
        if sent < DATA_HEADER + length {
            self.mux.queue_rest(&payload[sent.saturating_sub(DATA_HEADER)..]);
        }
        self.count(sent);
        Ok(length)
    }

    /// Sends bytes of a connection through the ring as one frame, if credit and the ring have room for all of it and
    /// nothing waits before it; whether it did.
    pub(crate) fn send_at_once(
        &mut self,
        pipe: BorrowedFd<'_>,
        socket: SocketId,
        bytes: &[u8],
    ) -> Result<bool, Stuck> {
        if !self.link.writes_ring() || !self.mux.unwritten().is_empty() {
            return Ok(false);
        }
        let Some(stream) = self.mux.stream(socket) else { return Ok(false) };
        if bytes.is_empty() || bytes.len() > stream.credit().min(MAX_DATA) || stream.has_send_end() {
            return Ok(false);
        }
        let header = data_header(socket, bytes.len() as u32);
        let is_written = self.link.write_whole(pipe, [&header, bytes])?;
        if is_written {
            stream.spend(bytes.len());
        }
        Ok(is_written)
    }

    /// Takes the frames that are here, those in the pipe among them if they do not come that way alone; whether the pipe
    /// was looked at.
    pub(crate) fn read(&mut self, pipe: BorrowedFd<'_>, pipe_too: bool) -> bool {
        let (mut pipe_too, mut heard) = (pipe_too, false);
        for _ in 0..READS_AT_ONCE {
            if self.mux.is_dead() {
                break;
            }
            let by_ring = self.read_ring(pipe);
            if pipe_too || !self.link.reads_ring() {
                heard = true;
                pipe_too = self.read_pipe(pipe);
            }
            if !by_ring && !pipe_too {
                break;
            }
        }
        heard
    }

    /// What becomes of a way that is stuck.
    pub(crate) fn on_stuck(&mut self, stuck: Stuck) {
        match stuck {
            Stuck::Now => {}
            Stuck::Failed(errno) => self.mux.die(&format!("the pipe failed: {errno}")),
            Stuck::BadMark => self.mux.die("the daemon sent a mark of the ring that cannot be"),
        }
    }

    /// Writes once of what waits.
    ///
    /// # Errors
    /// Why nothing more goes.
    pub(crate) fn write_on(&mut self, pipe: BorrowedFd<'_>) -> Result<(), Stuck> {
        let unwritten = self.mux.unwritten();
        let piece = &unwritten[..self.turn.unwrap_or(unwritten.len()).min(unwritten.len())];
        let written = self.link.write(pipe, [piece, &[]])?;
        self.mux.on_written(written);
        self.count(written);
        if let Some(left) = &mut self.turn {
            *left -= written;
            if *left == 0 {
                self.turn = None;
                self.link.turn_writing();
            }
        }
        Ok(())
    }

    /// Takes frames out of the ring; whether there were any bytes.
    fn read_ring(&mut self, pipe: BorrowedFd<'_>) -> bool {
        if !self.link.reads_ring() {
            return false;
        }
        self.take_from_ring(pipe).unwrap_or_else(|stuck| {
            self.on_stuck(stuck);
            false
        })
    }

    /// Takes all that is in the ring. A look takes one piece of it at the least, but for those of a daemon that goes on
    /// writing.
    fn drain_ring(&mut self, pipe: BorrowedFd<'_>) {
        for _ in 0..STRAIGHT_AT_ONCE {
            if !self.read_ring(pipe) {
                break;
            }
        }
    }

    fn take_from_ring(&mut self, pipe: BorrowedFd<'_>) -> Result<bool, Stuck> {
        let mut come = false;
        for _ in 0..STRAIGHT_AT_ONCE {
            if !self.take_data(pipe)? {
                break;
            }
            come = true;
        }
        let waiting = self.link.waiting()?;
        if waiting == 0 || self.mux.is_dead() {
            return Ok(come);
        }
        if self.ring_reader.buffered() == 0 {
            // Whole frames alone: data behind them goes to its socket without another copy.
            let part = waiting.min(PART);
            if self.link.peek_ring(&mut self.ring_reader.space(part)[..part])? {
                let whole = self.ring_reader.filled_whole(part);
                if whole > 0 {
                    self.link.pass_ring(pipe, whole)?;
                    self.handle_frames(true);
                    return Ok(true);
                }
            }
        }
        let waiting = waiting.min(MAX_FRAME);
        let length = self.link.read_ring(pipe, &mut self.ring_reader.space(waiting)[..waiting])?;
        self.ring_reader.filled(length);
        self.handle_frames(true);
        Ok(true)
    }

    /// Takes data that comes next, if it is all here, straight to its socket.
    fn take_data(&mut self, pipe: BorrowedFd<'_>) -> Result<bool, Stuck> {
        let mut head = [0; DATA_HEADER];
        if self.ring_reader.buffered() > 0 || self.mux.is_dead() || !self.link.peek_ring(&mut head)? {
            return Ok(false);
        }
        let Some((socket, length)) = plain_data_head(&head).filter(|(_, length)| *length >= STRAIGHT_MIN)
        else {
            return Ok(false);
        };
        if length > MAX_DATA || DATA_HEADER + length > self.link.waiting()? {
            return Ok(false);
        }
        self.link.pass_ring(pipe, DATA_HEADER)?;
        let link = &mut self.link;
        match self.mux.take_data(socket, length, |room| link.read_ring(pipe, room)) {
            Ok(Some(read)) => read.map(|_| ())?,
            // What has crossed the end of its socket.
            Ok(None) => self.link.pass_ring(pipe, length)?,
            Err(violation) => self.mux.die(&format!("the daemon sent {violation}")),
        }
        Ok(true)
    }

    /// Takes frames out of the pipe; whether there may be more.
    fn read_pipe(&mut self, pipe: BorrowedFd<'_>) -> bool {
        let space = self.reader.space(MAX_FRAME);
        let room = space.len();
        match self.link.read_pipe(pipe, space) {
            Ok(0) => {
                // What is in the ring came before the end.
                self.drain_ring(pipe);
                self.mux.die("the daemon closed the pipe");
                false
            }
            Ok(length) => {
                self.reader.filled(length);
                if self.link.reads_ring() {
                    // A daemon that goes on through the pipe has ended the ring before: what is in it comes first.
                    self.drain_ring(pipe);
                }
                self.count(length);
                let by_ring = self.link.reads_ring();
                self.handle_frames(false);
                // A short read has emptied the pipe; the ring was not looked at before its beginning.
                length == room || by_ring != self.link.reads_ring()
            }
            Err(stuck) => {
                self.on_stuck(stuck);
                false
            }
        }
    }

    fn handle_frames(&mut self, by_ring: bool) {
        loop {
            let reader = if by_ring { &mut self.ring_reader } else { &mut self.reader };
            let taken = match reader.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.mux.handle_frame(frame).map_err(|violation| violation.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = taken {
                return self.mux.die(&format!("the daemon sent {reason}"));
            }
            if let Some(news) = self.mux.take_ring_news() {
                self.on_ring_news(news);
            }
        }
    }

    fn on_ring_news(&mut self, news: RingNews) {
        let is_right = match news {
            RingNews::Refused => {
                self.link.expect_file(false);
                self.idle = BUSY_AFTER_REFUSAL;
                true
            }
            RingNews::Granted(spin_us) if self.link.open_ring() => {
                self.spin = Spin::allowed(spin_us);
                self.mux.note(&ClientNote::RingBegin(RingBegin {}));
                self.turn = Some(self.mux.unwritten().len());
                true
            }
            RingNews::Granted(_) => {
                self.mux.note(&ClientNote::RingEnd(RingEnd {}));
                self.idle = BUSY_AFTER_REFUSAL;
                true
            }
            RingNews::Begun => self.link.read_from_ring(true),
            RingNews::Ended => {
                self.mux.note(&ClientNote::RingEnd(RingEnd {}));
                self.turn = Some(self.mux.unwritten().len());
                self.idle = BUSY;
                self.spin = Spin::default();
                self.link.read_from_ring(false)
            }
        };
        if !is_right {
            self.mux.die("the daemon sent the beginning or the end of a ring that is not there");
        }
    }

    /// Counts what one system call has moved towards the pipe's being busy.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.idle = self.idle.saturating_sub(1 + bytes as u64 / 1024);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use luasocketd_protocol::{
        Address, Call, Connect, DaemonNote, Endpoint, Family, Hello, HelloReply, RING_SIZE, Ring, VERSION,
        encode_note, encode_reply,
    };

    use super::*;
    use crate::mux::Reply;

    #[test]
    fn a_pipe_asks_when_it_is_as_busy_as_documented() {
        let documented = include_str!("../../docs/data-plane.md");
        assert!(documented.contains(&format!("after {BUSY} system calls on the pipe")));
        let mut frames = Frames::default();
        for _ in 1..BUSY {
            frames.count(1);
            frames.ask_when_busy();
            assert!(frames.mux().unwritten().is_empty());
        }
        frames.count(1);
        frames.ask_when_busy();
        let asked = frames.mux().unwritten().len();
        assert!(asked > 0);
        frames.count(usize::MAX);
        frames.ask_when_busy();
        assert_eq!(frames.mux().unwritten().len(), asked, "once");
    }

    #[test]
    fn what_is_in_a_ring_comes_before_what_goes_on_through_the_pipe() {
        let (own, daemon) = UnixStream::pair().unwrap();
        let (mut ring, file) = Ring::create().unwrap();
        let link = Link::with_ring(Ring::open(&file).unwrap());
        let mut frames = Frames { link, ..Frames::default() };
        let answer = |id, name: &str| {
            let mut frame = Vec::new();
            encode_reply(&mut frame, id, &HelloReply { version: VERSION, daemon: name.into() });
            frame
        };
        let hello = Call::Hello(Hello { version: VERSION, client: "", lua: "" });
        let tickets = [(); 2].map(|()| frames.mux().request(&hello).unwrap());
        let mut end = Vec::new();
        encode_note(&mut end, &DaemonNote::RingEnd(RingEnd {}));
        ring.sender.write(&[&[answer(0, "ring"), end].concat()]).unwrap();
        (&daemon).write_all(&answer(0, "too late")).unwrap();
        (&daemon).write_all(&answer(1, "pipe")).unwrap();
        frames.read_pipe(own.as_fd());
        let names = tickets.map(|ticket| match frames.mux().take_answer(ticket) {
            Some(Ok(Reply::Hello(hello))) => hello.daemon,
            other => panic!("{other:?}"),
        });
        assert_eq!(names, ["ring", "pipe"]);
        assert!(!frames.link.reads_ring());
    }

    #[test]
    fn bytes_go_out_at_once_as_a_whole_or_not_at_all() {
        let (own, _daemon) = UnixStream::pair().unwrap();
        let (mut ring, file) = Ring::create().unwrap();
        let link = Link::with_ring(Ring::open(&file).unwrap());
        let mut frames = Frames { link, ..Frames::default() };
        let socket = connected(&mut frames, 10);
        let send =
            |frames: &mut Frames, bytes: &[u8]| frames.send_at_once(own.as_fd(), socket, bytes).unwrap();
        assert!(!send(&mut frames, b"12345678901"), "more than there is credit for");
        assert!(!send(&mut frames, b""));
        assert!(send(&mut frames, b"1234567"));
        assert!(!send(&mut frames, b"1234"), "credit is spent");
        frames.mux().queue_rest(b"the rest of a frame");
        assert!(!send(&mut frames, b"1"), "what waits goes first");
        frames.mux().on_written(19);
        frames.mux().stream(socket).unwrap().end_sending();
        assert!(!send(&mut frames, b"1"), "nothing follows an end");
        let mut got = [0; DATA_HEADER + 8];
        assert_eq!(ring.receiver.read(&mut got).unwrap(), DATA_HEADER + 7);
        assert_eq!(got[..DATA_HEADER + 7], [&data_header(socket, 7)[..], b"1234567"].concat());
    }

    #[test]
    fn nothing_goes_out_at_once_without_a_ring_or_room_in_it() {
        let (own, _daemon) = UnixStream::pair().unwrap();
        let mut frames = Frames::default();
        let socket = connected(&mut frames, RING_SIZE);
        assert!(!frames.send_at_once(own.as_fd(), socket, b"1").unwrap());
        let (_ring, file) = Ring::create().unwrap();
        let mut link = Link::with_ring(Ring::open(&file).unwrap());
        let rest = DATA_HEADER + 1;
        assert_eq!(
            link.write(own.as_fd(), [&vec![0; RING_SIZE as usize - rest], b""]).unwrap(),
            RING_SIZE as usize - rest
        );
        frames.link = link;
        assert!(!frames.send_at_once(own.as_fd(), socket, b"12").unwrap());
        assert_eq!(frames.mux().stream(socket).unwrap().credit(), RING_SIZE as usize, "no credit is spent");
        assert!(frames.send_at_once(own.as_fd(), socket, b"1").unwrap());
    }

    /// A connection that may send so many bytes.
    fn connected(frames: &mut Frames, window: u32) -> SocketId {
        let socket = SocketId::new(2, 1);
        let address = Address { family: Family::Inet, host: "127.0.0.1".into(), port: 1 };
        let call =
            Connect { socket: None, host: "h", port: "1", family: Family::Inet, timeout_ms: None, window: 0 };
        frames.mux().request(&Call::Connect(call)).unwrap();
        let asked = frames.mux().unwritten().len();
        frames.mux().on_written(asked);
        let mut reply = Vec::new();
        encode_reply(&mut reply, 0, &Endpoint { socket, window, local: address.clone(), peer: address });
        frames.mux().handle_frame(&reply).unwrap();
        socket
    }
}
