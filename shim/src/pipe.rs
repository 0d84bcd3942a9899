//! The pipe to the daemon: the descriptor, and the waiting on it.
//!
//! It decides nothing: what the bytes mean is the `Mux`'s business, how long to wait its callers'.
//! Invariants: a frame is never cut, whatever is waited for incoming frames are taken, and the state is
//! never borrowed while Lua may run.

use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Call, Code, Failure, Hello, HelloReply, SocketId, Sync, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::find::NoPipe;
use crate::frames::{Frames, READS_AT_ONCE};
use crate::limits::Until;
use crate::link::Stuck;
use crate::mux::{Mux, Reply, Ticket};
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
    state: RefCell<Frames>,
    /// When it was last read, the ring or the descriptor.
    looked: Cell<Instant>,
    /// The same, as a clock says that costs less.
    tick: Cell<Tick>,
    /// When the descriptor itself was last read.
    heard: Cell<Instant>,
    /// The kernel takes no more at the moment.
    full: Cell<bool>,
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
        let (owner, now) = (Birthplace::here(), Instant::now());
        let pipe = Pipe {
            fd,
            owner,
            state: RefCell::default(),
            looked: Cell::new(now),
            tick: Cell::new(Tick::now()),
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
        RefMut::map(self.state.borrow_mut(), Frames::mux)
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
            if state.mux().unwritten().is_empty() {
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
        let sent = self.state.borrow_mut().send_data(self.fd.as_fd(), socket, bytes);
        match sent {
            Ok(length) => length,
            Err(Stuck::Now) => {
                self.full.set(true);
                0
            }
            Err(stuck) => {
                self.on_stuck(stuck);
                0
            }
        }
    }

    /// Sends bytes of a connection, if credit and the ring have room for all of them and what is here was looked at a
    /// moment ago; whether it did. Otherwise nothing was sent.
    pub(crate) fn send_at_once(&self, socket: SocketId, bytes: &[u8]) -> bool {
        if !self.owner.is_here() || self.tick.get() != Tick::now() {
            return false;
        }
        let mut state = self.state.borrow_mut();
        state.send_at_once(self.fd.as_fd(), socket, bytes).unwrap_or_else(|stuck| {
            state.on_stuck(stuck);
            false
        })
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
        if polled {
            self.rouse();
        } else {
            self.flush();
        }
    }

    /// Sees to it that who waits on a descriptor is woken by news that was taken from the pipe, and by what is to come.
    /// He sees the pipe alone, so the daemon has to be told that it shall make that readable.
    pub(crate) fn rouse(&self) {
        for _ in 0..READS_AT_ONCE {
            self.mux().wake_polled();
            self.flush();
            if self.state.borrow_mut().sleeps() {
                return;
            }
            self.read_frames(true);
        }
        // A daemon that goes on writing: what it writes next makes the pipe readable, and so does the answer.
        self.state.borrow_mut().sleeps_anyway();
        self.mux().wake_anyway();
        self.flush();
    }

    fn read_frames(&self, pipe_too: bool) {
        let now = Instant::now();
        self.looked.set(now);
        self.tick.set(Tick::now());
        if self.state.borrow_mut().read(self.fd.as_fd(), pipe_too) {
            self.heard.set(now);
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
        self.state.borrow_mut().ask_when_busy();
        self.flush();
        if self.mux().is_dead() {
            return Ok(Woken::Ready);
        }
        let began = Instant::now();
        if polls.is_empty() && self.finds_soon(began, until) {
            self.take_frames(false);
            return Ok(Woken::Ready);
        }
        let sleeps = self.state.borrow_mut().sleeps();
        if !sleeps && polls.is_empty() {
            self.take_frames(false);
            return Ok(Woken::Ready);
        }
        let mut wanted = PollFlags::IN;
        wanted.set(PollFlags::OUT, self.full.get() && !self.state.borrow().writes_ring());
        polls.push(PollFd::from_borrowed_fd(self.fd.as_fd(), wanted));
        let woken = wait_for(host, polls, if sleeps { until } else { Until::At(Instant::now()) });
        let events = polls.pop().map_or(PollFlags::empty(), |own| own.revents());
        if events.contains(PollFlags::OUT) {
            self.full.set(false);
            self.flush();
        }
        self.state.borrow_mut().spin.learn(began, Instant::now());
        let has_frames = !(events - PollFlags::OUT).is_empty();
        if has_frames || !sleeps {
            self.take_frames(has_frames);
        }
        if sleeps { woken } else { woken.map(|_| Woken::Ready) }
    }

    /// Looks at the ring for a while, if that is worth it; whether frames have come.
    fn finds_soon(&self, began: Instant, until: Until) -> bool {
        let ends = self.state.borrow().spin.ends(began, until);
        let mut now = began;
        while now < ends {
            if self.state.borrow().has_ringed() {
                return true;
            }
            // The daemon may need this very processor.
            thread::yield_now();
            now = Instant::now();
        }
        false
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
        if let Stuck::Failed(_) = stuck {
            // The daemon's last words may still be there to be read.
            self.take_frames(true);
        }
        self.state.borrow_mut().on_stuck(stuck);
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A moment of the system's coarse clock, which changes every few milliseconds and takes a quarter of the time to read
/// (CLOCK_MONOTONIC_COARSE of clock_gettime(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tick(i64, i64);

impl Tick {
    fn now() -> Tick {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        Tick(now.tv_sec, now.tv_nsec)
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
            thread::sleep(Duration::from_millis(1));
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
