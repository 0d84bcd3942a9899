//! The pipe to the daemon: the descriptor, and the waiting on it.
//!
//! It decides nothing: what the bytes mean is the `Mux`'s business, how long to wait its callers'.
//! Invariants: a frame is never cut, whatever is waited for incoming frames are taken, and the state is
//! never borrowed while Lua may run.

use std::cell::{Cell, RefCell, RefMut};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use luasocketd_protocol::{
    Call, Code, DATA_HEADER, Failure, FrameReader, Hello, HelloReply, MAX_DATA, MAX_FRAME, SocketId, Sync,
    VERSION, data_header,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::find::NoPipe;
use crate::limits::Until;
use crate::mux::{Mux, Reply, Ticket};
use crate::stream::closed;

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
    owner: rustix::process::Pid,
    state: RefCell<State>,
    /// When it was last read.
    looked: Cell<Instant>,
    /// The kernel takes no more at the moment.
    full: Cell<bool>,
}

#[derive(Debug)]
struct State {
    reader: FrameReader,
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
        let state = RefCell::new(State { reader: FrameReader::new(), mux: Mux::default() });
        let owner = rustix::process::getpid();
        let pipe = Pipe { fd, owner, state, looked: Cell::new(Instant::now()), full: Cell::new(false) };
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
            let mut mux = self.mux();
            if mux.unwritten().is_empty() {
                return;
            }
            match rustix::net::send(&self.fd, mux.unwritten(), SendFlags::NOSIGNAL) {
                Ok(length) => mux.on_written(length),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return self.full.set(true),
                Err(errno) => {
                    drop(mux);
                    return self.on_write_error(errno);
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
        let mut mux = self.mux();
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
        let slices = [IoSlice::new(&header), IoSlice::new(payload)];
        let sent = loop {
            let mut control = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.fd, &slices, &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => break sent,
            }
        };
        match sent {
            Ok(sent) => {
                // A frame is never cut: what has begun has to follow.
                stream.spend(length);
                if sent < DATA_HEADER {
                    mux.queue_rest(&header[sent..]);
                }
                if sent < DATA_HEADER + length {
                    mux.queue_rest(&payload[sent.saturating_sub(DATA_HEADER)..]);
                }
                length
            }
            Err(Errno::AGAIN) => {
                self.full.set(true);
                0
            }
            Err(errno) => {
                drop(mux);
                self.on_write_error(errno);
                0
            }
        }
    }

    /// Takes the frames that are here, without waiting.
    pub(crate) fn look(&self) {
        self.check_owner();
        self.take_frames();
    }

    /// Takes the frames that are here, unless that was done a moment ago.
    pub(crate) fn look_sometimes(&self) {
        if self.looked.get().elapsed() > FRESH {
            self.look();
        }
    }

    fn take_frames(&self) {
        self.read_frames();
        self.mux().wake_polled();
        self.flush();
    }

    fn read_frames(&self) {
        self.looked.set(Instant::now());
        for _ in 0..READS_AT_ONCE {
            let state = &mut *self.state.borrow_mut();
            if state.mux.is_dead() {
                return;
            }
            let space = state.reader.space(MAX_FRAME);
            let room = space.len();
            match rustix::net::recv(&self.fd, space, RecvFlags::empty()) {
                Ok((_, 0)) => return state.mux.die("the daemon closed the pipe"),
                Ok((_, length)) => {
                    state.reader.filled(length);
                    state.handle_frames();
                    // A short read has emptied the pipe.
                    if length < room {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) => return state.mux.die(&format!("the pipe failed: {errno}")),
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
        self.flush();
        if self.mux().is_dead() {
            return Ok(Woken::Ready);
        }
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, self.full.get());
        polls.push(PollFd::from_borrowed_fd(self.fd.as_fd(), wanted));
        let woken = wait_for(host, polls, until);
        let events = polls.pop().map_or(PollFlags::empty(), |own| own.revents());
        if events.contains(PollFlags::OUT) {
            self.full.set(false);
            self.flush();
        }
        if !(events - PollFlags::OUT).is_empty() {
            self.take_frames();
        }
        woken
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
        if rustix::process::getpid() != self.owner {
            self.mux().die("the pipe belongs to the parent process");
        }
    }

    fn on_write_error(&self, errno: Errno) {
        // The daemon's last words may still be there to be read.
        self.look();
        self.mux().die(&format!("the pipe failed: {errno}"));
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl State {
    fn handle_frames(&mut self) {
        loop {
            let taken = match self.reader.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.mux.handle_frame(frame).map_err(|violation| violation.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = taken {
                return self.mux.die(&format!("the daemon sent {reason}"));
            }
        }
    }
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
