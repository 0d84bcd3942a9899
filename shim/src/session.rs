//! One Lua state's sockets, and the pipe they share.
//!
//! The calls that LuaSocket's faces are made of, without Lua: they wait, but never run Lua while the
//! session is borrowed, so a debug hook or a finalizer may use other sockets meanwhile. Invariant: a
//! socket belongs to the pipe it was made on; when that pipe dies it is closed, and new ones get a new
//! pipe.

mod connect;
mod datagram;
mod local;
mod lookup;
mod moving;
mod select;
mod socket;
mod transfer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use luasocketd_protocol::{
    Address, Call, ClientNote, Code, Direction, Failure, Family, GetOption, HelloReply, Kind, LocalName,
    OptionValue, PeerName, SetOption, Shutdown, SocketOption, Timeout,
};
use rustix::io::Errno;
use slab::Slab;

use crate::find::{NoPipe, Source};
use crate::limits::{Limits, Mode, Style, Until};
use crate::mux::Reply;
use crate::pipe::{CONTROL_LIMIT, GRACE, Host, Interrupted, Pipe};
use crate::stream::closed;

pub(crate) use connect::Place;
pub(crate) use datagram::Receiver;
use lookup::Found;
pub(crate) use lookup::FoundText;
pub(crate) use select::{Interest, NotOpen, Watched};
pub(crate) use socket::{Key, Statistics};
use socket::{Line, Socket, State};
pub(crate) use transfer::{Clock, Stopped};

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The daemon said no, or the time was over.
    Failed(Failure),
    /// There is no daemon to ask.
    NoPipe(NoPipe),
    /// The host ended the call; its error is ready to be raised.
    Interrupted,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Failed(failure)
    }
}

impl From<Interrupted> for Trouble {
    fn from(_: Interrupted) -> Self {
        Trouble::Interrupted
    }
}

impl Trouble {
    /// Whether closing what is garbage could help: Lua cannot see what its sockets cost the daemon.
    pub(crate) fn is_exhaustion(&self) -> bool {
        match self {
            Trouble::Failed(failure) => match failure.code {
                Code::Limit => true,
                Code::Os => [Errno::MFILE, Errno::NFILE].contains(&Errno::from_raw_os_error(failure.detail)),
                _ => false,
            },
            Trouble::NoPipe(_) | Trouble::Interrupted => false,
        }
    }
}

/// What a call gives.
pub(crate) type Outcome<T> = Result<T, Trouble>;

/// The sockets of one Lua state.
#[derive(Debug)]
pub(crate) struct Session {
    source: Source,
    /// The client name in `hello`.
    client: String,
    /// The Lua version in `hello`.
    lua: String,
    pipe: RefCell<Option<(Rc<Pipe>, HelloReply)>>,
    sockets: RefCell<Slab<Socket>>,
    /// The objects by the numbers that `getfd` has answered.
    by_descriptor: RefCell<HashMap<RawFd, Key>>,
    /// The answer to the last lookup, until Lua has copied it.
    found: RefCell<Found>,
}

impl Session {
    pub(crate) fn new(source: Source, client: String, lua: String) -> Self {
        Session {
            source,
            client,
            lua,
            pipe: RefCell::default(),
            sockets: RefCell::default(),
            by_descriptor: RefCell::default(),
            found: RefCell::default(),
        }
    }

    /// What the daemon said to `hello`, connecting to it if need be.
    pub(crate) fn daemon(&self, host: &dyn Host) -> Outcome<HelloReply> {
        self.pipe(host, Until::Forever)?;
        let pipe = self.pipe.borrow();
        pipe.as_ref().map(|(_, reply)| reply.clone()).ok_or_else(|| closed().into())
    }

    /// The pipe, made at the first call that needs it and again when its daemon has died.
    fn pipe(&self, host: &dyn Host, until: Until) -> Outcome<Rc<Pipe>> {
        if let Some((pipe, _)) = &*self.pipe.borrow() {
            // The daemon may have died, and another one come, while the script was busy elsewhere.
            pipe.look_sometimes();
            if pipe.is_alive() {
                return Ok(Rc::clone(pipe));
            }
        }
        // A daemon that is there answers at once; a short limit of the call's own must not hide one that
        // is only busy.
        let limit = until.remaining(Instant::now()).unwrap_or(CONTROL_LIMIT);
        let limit = limit.clamp(CONTROL_LIMIT / 10, CONTROL_LIMIT);
        let fd = self.source.connect(limit).map_err(Trouble::NoPipe)?;
        let opened = Pipe::open(host, fd, &self.client, &self.lua, limit)?;
        let (pipe, reply) = opened.map_err(|why| match why {
            NoPipe::Silent if limit < CONTROL_LIMIT => Trouble::Failed(connect::timeout()),
            why => Trouble::NoPipe(why),
        })?;
        let pipe = Rc::new(pipe);
        *self.pipe.borrow_mut() = Some((Rc::clone(&pipe), reply));
        Ok(pipe)
    }

    /// Makes an object without a socket.
    pub(crate) fn create(&self, kind: Kind, limits: Limits, family: Family) -> Key {
        self.insert(Socket::new(kind, limits, family))
    }

    fn insert(&self, socket: Socket) -> Key {
        Key(self.sockets.borrow_mut().insert(socket))
    }

    /// Forgets an object, and closes what it holds.
    pub(crate) fn remove(&self, key: Key) {
        self.close(key);
        self.sockets.borrow_mut().try_remove(key.0);
    }

    /// Closes an object's socket. What LuaSocket would have read by now can still be received.
    pub(crate) fn close(&self, key: Key) {
        let Some((state, duplicate)) = self.with(key, |socket| {
            socket.was_refused = false;
            (std::mem::replace(&mut socket.state, State::Closed), socket.duplicate.take())
        }) else {
            return;
        };
        if let Some(duplicate) = duplicate {
            self.by_descriptor.borrow_mut().remove(&duplicate.as_raw_fd());
        }
        let pipe = match state {
            State::Closed | State::Failed(_, None) => return,
            State::Connected(Line { pipe, id }) => {
                let left = pipe.mux().remove(id).map(|stream| stream.into_left());
                self.with(key, |socket| socket.left = left.unwrap_or_default());
                pipe
            }
            State::Idle(Line { pipe, id })
            | State::Listening(Line { pipe, id })
            | State::Failed(_, Some(Line { pipe, id })) => {
                pipe.mux().close(id);
                pipe
            }
            State::Connecting { pipe, ticket, own } => {
                pipe.mux().abandon(ticket);
                if let Some(id) = own {
                    pipe.mux().close(id);
                }
                pipe
            }
        };
        pipe.flush();
    }

    /// Ends one or both directions of a connection; nothing happens to an object without one.
    pub(crate) fn shutdown(&self, host: &dyn Host, key: Key, direction: Direction) -> Outcome<()> {
        self.settle(key);
        let Some(Line { pipe, id }) = self.connection(key) else { return Ok(()) };
        let call = Call::Shutdown(Shutdown { socket: id, direction });
        // The kernel's refusal would only say that the connection has ended already.
        let _refused = pipe.call(host, &call, control())?;
        if direction.ends_send()
            && let Some(stream) = pipe.mux().stream(id)
        {
            stream.end_sending();
        }
        Ok(())
    }

    /// The socket's own address.
    pub(crate) fn local_name(&self, host: &dyn Host, key: Key) -> Outcome<Address> {
        let Line { pipe, id } = self.line(key)?;
        expect_address(pipe.call(host, &Call::LocalName(LocalName { socket: id }), control())??)
    }

    /// The peer's address.
    pub(crate) fn peer_name(&self, host: &dyn Host, key: Key) -> Outcome<Address> {
        self.settle(key);
        if self.with(key, |socket| matches!(socket.state, State::Connecting { .. })) == Some(true) {
            return Err(Failure::os(Errno::NOTCONN.raw_os_error()).into());
        }
        let Line { pipe, id } = self.line(key)?;
        expect_address(pipe.call(host, &Call::PeerName(PeerName { socket: id }), control())??)
    }

    /// Sets an option.
    pub(crate) fn set_option(
        &self,
        host: &dyn Host,
        key: Key,
        option: SocketOption,
        value: OptionValue,
    ) -> Outcome<()> {
        let Line { pipe, id } = self.line(key)?;
        pipe.call(host, &Call::SetOption(SetOption { socket: id, option, value }), control())??;
        Ok(())
    }

    /// Reads an option.
    pub(crate) fn option(&self, host: &dyn Host, key: Key, option: SocketOption) -> Outcome<OptionValue> {
        let Line { pipe, id } = self.line(key)?;
        match pipe.call(host, &Call::GetOption(GetOption { socket: id, option }), control())?? {
            Reply::Option(value) => Ok(value),
            _ => Err(closed().into()),
        }
    }

    /// The error that waits on a socket and is cleared by asking, if there is one.
    pub(crate) fn take_error(&self, host: &dyn Host, key: Key) -> Outcome<Option<Failure>> {
        if let Some(pipe) = self.with(key, |socket| socket.state.pipe().cloned()).flatten() {
            pipe.look();
        }
        self.settle(key);
        if let Some(failure) = self.take_failure(key) {
            return Ok(Some(failure));
        }
        // A socket that LuaSocket would have by now, and nothing to tell of it.
        let has_none = self.with(key, |socket| match &socket.state {
            State::Connecting { .. } => true,
            State::Closed => socket.was_refused,
            _ => false,
        });
        if has_none == Some(true) {
            return Ok(None);
        }
        match self.option(host, key, SocketOption::Error)? {
            OptionValue::Number(errno) if errno != 0 => Ok(Some(Failure::os(errno))),
            _ => Ok(None),
        }
    }

    /// Sets one time limit.
    pub(crate) fn set_limit(&self, key: Key, mode: Mode, seconds: f64) {
        let changed = self.with(key, |socket| {
            let before = socket.limits.millis();
            socket.limits.set(mode, seconds);
            socket.limits.millis() != before
        });
        if changed == Some(true) {
            self.show_limits(key);
        }
    }

    /// An object's time limits.
    pub(crate) fn limits(&self, key: Key) -> Option<Limits> {
        self.with(key, |socket| socket.limits)
    }

    /// What kind of socket the object is for.
    pub(crate) fn kind(&self, key: Key) -> Kind {
        self.with(key, |socket| socket.kind).unwrap_or(Kind::Tcp)
    }

    /// The object's recorded family.
    pub(crate) fn family(&self, key: Key) -> Family {
        self.with(key, |socket| socket.family).unwrap_or(Family::Unspec)
    }

    /// Whether the object has no socket.
    pub(crate) fn is_closed(&self, key: Key) -> bool {
        self.with(key, |socket| matches!(socket.state, State::Closed)).unwrap_or(true)
    }

    /// Reads or changes an object's statistics.
    pub(crate) fn statistics<T>(&self, key: Key, read: impl FnOnce(&mut Statistics) -> T) -> Option<T> {
        self.with(key, |socket| read(&mut socket.statistics))
    }

    /// A descriptor number of the object's own, -1 when it has no socket. It is a duplicate of the pipe's
    /// descriptor: an event loop of others can wait for it to become readable, `dirty` says what came
    /// already, and the number leads back to the object.
    pub(crate) fn descriptor(&self, key: Key) -> RawFd {
        let known = self.with(key, |socket| socket.duplicate.as_ref().map(AsRawFd::as_raw_fd)).flatten();
        if let Some(number) = known {
            return number;
        }
        let Some(pipe) = self.with(key, |socket| socket.state.pipe().cloned()).flatten() else { return -1 };
        let Ok(duplicate) = pipe.duplicate() else { return -1 };
        let number = duplicate.as_raw_fd();
        self.by_descriptor.borrow_mut().insert(number, key);
        self.with(key, |socket| socket.duplicate = Some(duplicate));
        self.show_to_pollers(key);
        number
    }

    /// Sees to it that whoever waits on an object's descriptor is told of what comes, and of what is there.
    fn show_to_pollers(&self, key: Key) {
        let line =
            self.with(key, |socket| socket.duplicate.as_ref().and_then(|_| socket.state.line())).flatten();
        if let Some(Line { pipe, id }) = line {
            pipe.mux().poll(id);
            pipe.rouse();
        }
    }

    /// The object whose descriptor has this number.
    pub(crate) fn by_descriptor(&self, number: RawFd) -> Option<Key> {
        self.by_descriptor.borrow().get(&number).copied()
    }

    /// Tells the daemon the limits of a socket, for the operator to see.
    fn show_limits(&self, key: Key) {
        let Some((Some(Line { pipe, id }), limits)) =
            self.with(key, |socket| (socket.state.line(), socket.limits))
        else {
            return;
        };
        let (block_ms, total_ms) = limits.millis();
        pipe.mux().inform(&ClientNote::Timeout(Timeout { socket: id, block_ms, total_ms }));
    }

    /// How long a call on an object may take that begins now.
    fn time_for(&self, key: Key) -> CallTime {
        let limits = self.limits(key).unwrap_or(Limits::none(Style::PerCall));
        let now = Instant::now();
        let until = limits.until(now, now);
        match limits.is_instant() {
            true => CallTime { until, timeout_ms: Some(0), patience: control() },
            false => CallTime { until, timeout_ms: until.remaining_ms(now), patience: until.later(GRACE) },
        }
    }

    /// Looks at or changes an object.
    fn with<T>(&self, key: Key, change: impl FnOnce(&mut Socket) -> T) -> Option<T> {
        self.sockets.borrow_mut().get_mut(key.0).map(change)
    }

    /// The object's socket in the daemon.
    fn line(&self, key: Key) -> Outcome<Line> {
        self.settle(key);
        let line = self.with(key, |socket| socket.state.line()).flatten();
        line.ok_or_else(|| Failure::os(Errno::BADF.raw_os_error()).into())
    }

    /// The object's connection.
    fn connection(&self, key: Key) -> Option<Line> {
        self.with(key, |socket| match &socket.state {
            State::Connected(line) => Some(line.clone()),
            _ => None,
        })
        .flatten()
    }
}

impl Drop for Session {
    /// Bytes that `send` accepted are written, and the end of the pipe closes all its sockets.
    fn drop(&mut self) {
        if let Some((pipe, _)) = self.pipe.take() {
            pipe.farewell();
        }
    }
}

/// How long one call may take.
#[derive(Clone, Copy, Debug)]
struct CallTime {
    until: Until,
    /// What the daemon is told; an instant call is answered at once.
    timeout_ms: Option<u64>,
    /// How long its answer is waited for.
    patience: Until,
}

impl CallTime {
    /// What the daemon is told of a call that may have to look a name up: a numeric address needs no lookup, so an
    /// instant limit must not fail it.
    fn of_lookup(self) -> Option<u64> {
        self.timeout_ms.filter(|ms| *ms > 0)
    }
}

/// When a call ends that waits for nothing but the daemon.
fn control() -> Until {
    Until::At(Instant::now() + CONTROL_LIMIT)
}

fn expect_address(reply: Reply) -> Outcome<Address> {
    match reply {
        Reply::Address(address) => Ok(address),
        _ => Err(closed().into()),
    }
}
