//! The pipe to the daemon: the descriptor, and the waiting on it.
//!
//! It decides nothing: what the bytes mean is the `Mux`'s business, how long to wait its callers'.
//! Invariants: a frame is never cut, whatever is waited for incoming frames are taken, and the state is
//! never borrowed while Lua may run.

use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use luasocketd_protocol::{
    Call, ClientNote, Code, DATA_HEADER, Failure, FrameReader, Hello, HelloReply, MAX_DATA, MAX_FRAME,
    RingBegin, RingEnd, SocketId, Sync, VERSION, data_header, plain_data_head,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::find::NoPipe;
use crate::limits::Until;
use crate::link::{Link, Stuck};
use crate::mux::{Mux, Reply, RingNews, Ticket};
use crate::stream::closed;
use crate::unsafe_fork::Birthplace;

/// How much longer than its limit a call waits for the daemon, which keeps the limit itself: its answer
/// says more than a silence, but a daemon that hangs must not hold the script.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// How long a call may wait that has no limit of its own and needs no network: options, names, `hello`.
pub(crate) const CONTROL_LIMIT: Duration = Duration::from_secs(5);

/// How long the end of a Lua state waits for the pipe to take what `send` had accepted.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// What came within this time before a call may be seen by the next one: looking costs a system call.
const FRESH: Duration = Duration::from_millis(1);

/// Reads from the pipe at one look; a flood must not keep a call from its own work.
const READS_AT_ONCE: usize = 4;

/// What a pipe has to do until it asks for memory to share: so many system calls, a KiB moved counted as one more. A
/// script that does less is done before it would pay.
const BUSY: u64 = 256;

/// How much more it has to do when it was refused, until it asks again.
const BUSY_AFTER_REFUSAL: u64 = 1 << 20;

/// How much is copied out of a ring at once: small frames come together, large data is not copied with them.
const PART: usize = 16 * 1024;

/// Data of this size goes from the ring to its socket in one copy.
const STRAIGHT_MIN: usize = 2 * 1024;

/// How long a call waits at the most until a host that watches its scripts is asked again.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Whoever runs the shim, and may have to end a wait.
pub(crate) trait Host {
    /// A signal came while a call waited, or it is time to ask a host that watches.
    ///
    /// # Errors
    /// When the host wants the call to end.
    fn on_signal(&self) -> Result<(), Interrupted>;

    /// Whether the host wants to be asked again and again while a call waits, signal or none.
    fn is_watching(&self) -> bool;
}

/// The host ended a wait; its error is ready to be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something happened: look again.
    Ready,
    /// The time is over.
    Timeout,
}

/// One pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: OwnedFd,
    /// The process that owns it; a forked child is another one.
    owner: Birthplace,
    state: RefCell<State>,
    /// When it was last read, the ring or the descriptor.
    looked: Cell<Instant>,
    /// When the descriptor itself was last read.
    heard: Cell<Instant>,
    /// The kernel takes no more at the moment.
    full: Cell<bool>,
}

#[derive(Debug)]
struct State {
    reader: FrameReader,
    ring_reader: FrameReader,
    link: Link,
    /// What was queued before frames were to go the other way: these bytes go the old one.
    turn: Option<usize>,
    /// What is left to do until the pipe counts as busy.
    idle: u64,
    mux: Mux,
}

impl Pipe {
    /// Says hello on a connection.
    ///
    /// # Errors
    /// When what answers is no daemon of this protocol, or nothing answers in time.
    pub(crate) fn open(
        host: &dyn Host,
        fd: OwnedFd,
        client: &str,
        lua: &str,
        limit: Duration,
    ) -> Result<Result<(Pipe, HelloReply), NoPipe>, Interrupted> {
        let state = State {
            reader: FrameReader::new(),
            ring_reader: FrameReader::new(),
            link: Link::default(),
            turn: None,
            idle: BUSY,
            mux: Mux::default(),
        };
        let (owner, now) = (Birthplace::here(), Instant::now());
        let pipe = Pipe {
            fd,
            owner,
            state: RefCell::new(state),
            looked: Cell::new(now),
            heard: Cell::new(now),
            full: Cell::new(false),
        };
        let hello = Call::Hello(Hello { version: VERSION, client, lua });
        let answer = pipe.call(host, &hello, Until::At(Instant::now() + limit))?;
        let failure = match answer {
            Ok(Reply::Hello(reply)) if reply.version == VERSION => return Ok(Ok((pipe, reply))),
            Ok(_) => return Ok(Err(NoPipe::Refused("it speaks another protocol".to_owned()))),
            Err(failure) => failure,
        };
        Ok(Err(match (failure.code, pipe.mux().death()) {
            (Code::Timeout, _) => NoPipe::Silent,
            (Code::Closed, Some(death)) => NoPipe::Refused(death.to_owned()),
            _ => NoPipe::Refused(failure.message),
        }))
    }

    /// The state of everything on this pipe. Not to be held while anything waits.
    pub(crate) fn mux(&self) -> RefMut<'_, Mux> {
        RefMut::map(self.state.borrow_mut(), |state| &mut state.mux)
    }

    /// Whether this process may use the pipe, and it lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.check_owner();
        !self.mux().is_dead()
    }

    /// A descriptor of one's own that becomes readable when frames have come.
    ///
    /// # Errors
    /// When the process has no more descriptors.
    pub(crate) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
    }

    /// Sends a request and waits for its answer. When the time is over before, the answer is
    /// [`Code::Timeout`], and what becomes of the request is the mux's business.
    pub(crate) fn call(
        &self,
        host: &dyn Host,
        call: &Call<'_>,
        until: Until,
    ) -> Result<Result<Reply, Failure>, Interrupted> {
        let ticket = match self.mux().request(call) {
            Ok(ticket) => ticket,
            Err(failure) => return Ok(Err(failure)),
        };
        let pending = Pending { pipe: self, ticket: Some(ticket) };
        pending.wait(host, until)
    }

    /// Sends a request whose answer is looked for later.
    ///
    /// # Errors
    /// As [`Mux::request`].
    pub(crate) fn start(&self, call: &Call<'_>) -> Result<Ticket, Failure> {
        let ticket = self.mux().request(call)?;
        self.flush();
        Ok(ticket)
    }

    /// Waits until everything that had come from the network by now is here.
    pub(crate) fn sync(&self, host: &dyn Host) -> Result<(), Interrupted> {
        let limit = Until::At(Instant::now() + GRACE);
        self.call(host, &Call::Sync(Sync {}), limit).map(drop)
    }

    /// Writes what can be written now of what waits.
    pub(crate) fn flush(&self) {
        if self.mux().unwritten().is_empty() {
            return;
        }
        self.check_owner();
        loop {
            let mut state = self.state.borrow_mut();
            if state.mux.unwritten().is_empty() {
                return;
            }
            match state.write_on(self.fd.as_fd()) {
                Ok(()) => {}
                Err(Stuck::Now) => return self.full.set(true),
                Err(stuck) => {
                    drop(state);
                    return self.on_stuck(stuck);
                }
            }
        }
    }

    /// Whether bytes wait to be written.
    pub(crate) fn is_writing(&self) -> bool {
        !self.mux().unwritten().is_empty()
    }

    /// Sends bytes of a connection, as many as credit and the pipe take now in one frame, with one write.
    pub(crate) fn send_data(&self, socket: SocketId, bytes: &[u8]) -> usize {
        self.check_owner();
        self.flush();
        let mut state = self.state.borrow_mut();
        let State { mux, link, idle, .. } = &mut *state;
        if !mux.unwritten().is_empty() {
            return 0;
        }
        let Some(stream) = mux.stream(socket) else { return 0 };
        let length = bytes.len().min(stream.credit()).min(MAX_DATA);
        if length == 0 || stream.is_broken() {
            return 0;
        }
        let payload = &bytes[..length];
        let header = data_header(socket, length as u32);
        match link.write(self.fd.as_fd(), [&header, payload]) {
            Ok(sent) => {
                // A frame is never cut: what has begun has to follow.
                stream.spend(length);
                if sent < DATA_HEADER {
                    mux.queue_rest(&header[sent..]);
                }
                if sent < DATA_HEADER + length {
                    mux.queue_rest(&payload[sent.saturating_sub(DATA_HEADER)..]);
                }
                *idle = idle.saturating_sub(work(sent));
                length
            }
            Err(Stuck::Now) => {
                self.full.set(true);
                0
            }
            Err(stuck) => {
                drop(state);
                self.on_stuck(stuck);
                0
            }
        }
    }

    /// Takes the frames that are here, without waiting.
    pub(crate) fn look(&self) {
        self.check_owner();
        // The ring says nothing of the daemon's death.
        self.take_frames(self.heard.get().elapsed() > FRESH);
    }

    /// Takes the frames that are here, unless that was done a moment ago.
    pub(crate) fn look_sometimes(&self) {
        if self.looked.get().elapsed() > FRESH {
            self.look();
        }
    }

    /// Takes the frames that are here, those in the pipe among them if they do not come that way alone.
    fn take_frames(&self, pipe_too: bool) {
        let polled = self.mux().is_polled();
        self.read_frames(pipe_too || polled);
        self.mux().wake_polled();
        self.flush();
        if polled {
            // Who waits on a descriptor sees the pipe alone: the daemon has to be told that it shall make it readable.
            for _ in 0..READS_AT_ONCE {
                if self.sleeps() {
                    return;
                }
                self.read_frames(true);
            }
        }
    }

    fn read_frames(&self, pipe_too: bool) {
        let now = Instant::now();
        self.looked.set(now);
        let mut pipe_too = pipe_too;
        for _ in 0..READS_AT_ONCE {
            let state = &mut *self.state.borrow_mut();
            if state.mux.is_dead() {
                return;
            }
            let by_ring = state.read_ring(self.fd.as_fd());
            if !pipe_too && state.link.reads_ring() {
                if by_ring {
                    continue;
                }
                return;
            }
            self.heard.set(now);
            pipe_too = state.read_pipe(self.fd.as_fd());
            if !by_ring && !pipe_too {
                return;
            }
        }
    }

    /// Writes what waits, then waits for a frame or for room to write.
    pub(crate) fn wait(&self, host: &dyn Host, until: Until) -> Result<Woken, Interrupted> {
        self.wait_with(host, until, &mut Vec::new())
    }

    /// As [`Pipe::wait`], and looks at the descriptors of others in `polls`, too.
    pub(crate) fn wait_with<'fd>(
        &'fd self,
        host: &dyn Host,
        until: Until,
        polls: &mut Vec<PollFd<'fd>>,
    ) -> Result<Woken, Interrupted> {
        self.check_owner();
        self.ask_when_busy();
        self.flush();
        if self.mux().is_dead() {
            return Ok(Woken::Ready);
        }
        let sleeps = self.sleeps();
        if !sleeps && polls.is_empty() {
            self.take_frames(false);
            return Ok(Woken::Ready);
        }
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, self.full.get() && !self.state.borrow().link.writes_ring());
        polls.push(PollFd::from_borrowed_fd(self.fd.as_fd(), wanted));
        let woken = wait_for(host, polls, if sleeps { until } else { Until::At(Instant::now()) });
        let events = polls.pop().map_or(PollFlags::empty(), |own| own.revents());
        if events.contains(PollFlags::OUT) {
            self.full.set(false);
            self.flush();
        }
        let has_frames = !(events - PollFlags::OUT).is_empty();
        if has_frames || !sleeps {
            self.take_frames(has_frames);
        }
        if sleeps { woken } else { woken.map(|_| Woken::Ready) }
    }

    /// Whether there is nothing for this side to do but wait; the daemon is told so then.
    fn sleeps(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let writes = !state.mux.unwritten().is_empty();
        match state.link.sleeps(writes) {
            Ok(sleeps) => sleeps,
            Err(_) => {
                state.die_of_mark();
                false
            }
        }
    }

    /// Asks for memory to share once the pipe has turned out to be busy.
    fn ask_when_busy(&self) {
        let mut state = self.state.borrow_mut();
        if state.idle == 0 {
            state.idle = u64::MAX;
            state.link.expect_file();
            state.mux.ask_ring();
        }
    }

    /// Ends the pipe: what `send` accepted is written, within bounds.
    pub(crate) fn farewell(&self) {
        let until = Instant::now() + FAREWELL_LIMIT;
        self.flush();
        while Instant::now() < until && !self.mux().unwritten().is_empty() {
            if self.wait(&Nobody, Until::At(until)).is_err() {
                return;
            }
        }
    }

    /// A child that was forked off must not write to its parent's pipe.
    fn check_owner(&self) {
        if !self.owner.is_here() {
            self.mux().die("the pipe belongs to the parent process");
        }
    }

    fn on_stuck(&self, stuck: Stuck) {
        match stuck {
            Stuck::Now => {}
            Stuck::Failed(errno) => {
                // The daemon's last words may still be there to be read.
                self.take_frames(true);
                self.mux().die(&format!("the pipe failed: {errno}"));
            }
            Stuck::BadMark => self.state.borrow_mut().die_of_mark(),
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl State {
    /// Writes once of what waits.
    fn write_on(&mut self, pipe: BorrowedFd<'_>) -> Result<(), Stuck> {
        let unwritten = self.mux.unwritten();
        let piece = &unwritten[..self.turn.unwrap_or(unwritten.len()).min(unwritten.len())];
        let written = self.link.write(pipe, [piece, &[]])?;
        self.mux.on_written(written);
        self.idle = self.idle.saturating_sub(work(written));
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
        match self.take_from_ring(pipe) {
            Ok(come) => come,
            Err(Stuck::Now) => false,
            Err(Stuck::Failed(errno)) => {
                self.mux.die(&format!("the pipe failed: {errno}"));
                false
            }
            Err(Stuck::BadMark) => {
                self.die_of_mark();
                false
            }
        }
    }

    fn take_from_ring(&mut self, pipe: BorrowedFd<'_>) -> Result<bool, Stuck> {
        let mut come = false;
        while self.take_data(pipe)? {
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
                while self.read_ring(pipe) {}
                self.mux.die("the daemon closed the pipe");
                false
            }
            Ok(length) => {
                self.reader.filled(length);
                self.idle = self.idle.saturating_sub(work(length));
                let by_ring = self.link.reads_ring();
                self.handle_frames(false);
                // A short read has emptied the pipe; the ring was not looked at before its beginning.
                length == room || by_ring != self.link.reads_ring()
            }
            Err(Stuck::Now) => false,
            Err(Stuck::Failed(errno)) => {
                self.mux.die(&format!("the pipe failed: {errno}"));
                false
            }
            Err(Stuck::BadMark) => {
                self.die_of_mark();
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
                self.idle = BUSY_AFTER_REFUSAL;
                true
            }
            RingNews::Granted if self.link.open_ring() => {
                self.mux.note(&ClientNote::RingBegin(RingBegin {}));
                self.turn = Some(self.mux.unwritten().len());
                true
            }
            RingNews::Granted => {
                self.mux.note(&ClientNote::RingEnd(RingEnd {}));
                self.idle = BUSY_AFTER_REFUSAL;
                true
            }
            RingNews::Begun => self.link.read_from_ring(true),
            RingNews::Ended => {
                self.mux.note(&ClientNote::RingEnd(RingEnd {}));
                self.turn = Some(self.mux.unwritten().len());
                self.idle = BUSY;
                self.link.read_from_ring(false)
            }
        };
        if !is_right {
            self.mux.die("the daemon sent the beginning or the end of a ring that is not there");
        }
    }

    fn die_of_mark(&mut self) {
        self.mux.die("the daemon sent a mark of the ring that cannot be");
    }
}

/// What bytes that one system call moves count for the pipe's being busy.
fn work(bytes: usize) -> u64 {
    1 + bytes as u64 / 1024
}

/// A request whose caller may be interrupted; then it is given up.
struct Pending<'a> {
    pipe: &'a Pipe,
    ticket: Option<Ticket>,
}

impl Pending<'_> {
    fn wait(mut self, host: &dyn Host, until: Until) -> Result<Result<Reply, Failure>, Interrupted> {
        let Some(ticket) = self.ticket else { return Ok(Err(closed())) };
        loop {
            let woken = self.pipe.wait(host, until)?;
            if let Some(answer) = self.pipe.mux().take_answer(ticket) {
                self.ticket = None;
                return Ok(answer);
            }
            if woken == Woken::Timeout {
                return Ok(Err(Failure::new(Code::Timeout, "the daemon did not answer in time")));
            }
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pipe.mux().abandon(ticket);
            self.pipe.flush();
        }
    }
}

/// Waits for descriptors.
pub(crate) fn wait_for(
    host: &dyn Host,
    polls: &mut [PollFd<'_>],
    until: Until,
) -> Result<Woken, Interrupted> {
    let left = until.remaining(Instant::now());
    let is_cut = host.is_watching() && left.is_none_or(|left| left > WATCH_INTERVAL);
    let timeout = if is_cut { Some(WATCH_INTERVAL) } else { left }.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(polls, timeout.as_ref()) {
        Ok(0) if is_cut => host.on_signal().map(|()| Woken::Ready),
        Ok(0) => Ok(Woken::Timeout),
        Ok(_) => Ok(Woken::Ready),
        Err(Errno::INTR) => host.on_signal().map(|()| Woken::Ready),
        // The kernel lacks memory for the call: as good as a signal, but it must not spin.
        Err(_) => {
            std::thread::sleep(Duration::from_millis(1));
            Ok(Woken::Ready)
        }
    }
}

/// The host of a wait that nobody may end.
struct Nobody;

impl Host for Nobody {
    fn on_signal(&self) -> Result<(), Interrupted> {
        Ok(())
    }

    fn is_watching(&self) -> bool {
        false
    }
}
