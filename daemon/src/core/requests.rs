//! What clients say: each message is checked for who sent it and in which state, and handed on.

use std::rc::Rc;
use std::time::Instant;

use luasocketd_protocol::{
    Call, ClientNote, Code, Failure, Family, HOST_MAX, Hello, HelloReply, Kind, Open, PORT_MAX, SocketId,
    VERSION, Window,
};

use super::action::{Action, Ask, Reply};
use super::budget::Resource;
use super::calls::{client_gone, over_limit};
use super::client::{Phase, Subject};
use super::connecting::check_window;
use super::datagram::Datagrams;
use super::machine::{Core, shutting_down};
use super::numbers::eai;
use super::slots::ClientId;
use super::socket::{Socket, State};
use super::timers::Timer;

impl Core {
    pub(crate) fn on_request(&mut self, client: ClientId, request: u32, call: Call<'_>, now: Instant) {
        if !self.is_new_request(client, request) {
            return;
        }
        let Some(entry) = self.clients.get(client) else { return };
        let done = match (&entry.phase, call) {
            (&Phase::Greeting(deadline), Call::Hello(hello)) => {
                self.timers.cancel(deadline, Timer::Hello(client));
                self.on_hello(client, request, hello, now)
            }
            (Phase::Refused, _) => return,
            (Phase::Welcome { .. }, Call::Hello(_)) => return self.disconnect(client, "hello said twice"),
            (Phase::Greeting(_), _) => return self.disconnect(client, "no hello before the first request"),
            (Phase::Welcome { .. }, call) => self.on_call(client, request, call, now),
        };
        match done {
            Ok(Some(reply)) => self.reply(client, request, reply),
            Ok(None) => {}
            Err(failure) => self.fail(client, request, failure),
        }
    }

    /// Whether no unanswered request of the client has this number; a client that uses one twice is let
    /// go, as one of the two could not be told from the other.
    fn is_new_request(&mut self, client: ClientId, request: u32) -> bool {
        let is_known = self.clients.get(client).is_some_and(|client| client.calls.contains_key(&request));
        if is_known {
            self.disconnect(client, format!("request number {request} used twice"));
        }
        !is_known
    }

    /// Gives the reply where there is one at once.
    fn on_call(
        &mut self,
        client: ClientId,
        request: u32,
        call: Call<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        match call {
            Call::Hello(_) => Ok(None),
            Call::Open(open) => self.on_open(client, request, open, now),
            Call::Connect(connect) => self.on_connect(client, request, connect, now),
            Call::Bind(bind) => self.on_bind(client, request, bind, now),
            Call::Listen(listen) => self.on_listen(client, request, listen, now),
            Call::Accept(accept) => self.on_accept(client, request, accept, now),
            Call::SetPeer(set) => self.on_set_peer(client, request, set, now),
            Call::ClearPeer(clear) => self.on_clear_peer(client, request, clear.socket, now),
            Call::SendTo(send) => self.on_send_to(client, request, send, now),
            Call::Resolve(resolve) => self.on_resolve(client, request, resolve, now),
            Call::HostEntry(entry) => self.on_host_entry(client, request, entry, now),
            Call::NameInfo(info) => self.on_name_info(client, request, info, now),
            Call::SetOption(set) => self.on_set_option(client, request, set),
            Call::GetOption(get) => self.on_get_option(client, request, &get),
            Call::LocalName(name) => self.ask(client, request, name.socket, Ask::LocalName),
            Call::PeerName(name) => self.ask(client, request, name.socket, Ask::PeerName),
            Call::Shutdown(shutdown) => self.on_shutdown(client, shutdown),
            Call::Close(close) => {
                self.own(client, close.socket)?;
                self.on_close(client, close.socket, now);
                Ok(Some(Reply::Nil))
            }
            Call::Ring(_) => self.on_ring(client, request),
            Call::Sync(_) => {
                self.begin_call(client, request, Subject::Network, None, now)?;
                self.act(Action::Sync { client, request });
                Ok(None)
            }
        }
    }

    pub(crate) fn on_note(&mut self, client: ClientId, note: ClientNote<'_>, now: Instant) {
        match self.clients.get(client).map(|client| &client.phase) {
            None | Some(Phase::Refused) => return,
            Some(Phase::Greeting(_)) => {
                return self.disconnect(client, "no hello before the first notification");
            }
            Some(Phase::Welcome { .. }) => {}
        }
        match note {
            // Bytes are counted by `admit_data` alone.
            ClientNote::Data(_) => {}
            ClientNote::Window(window) => self.on_window(client, window),
            ClientNote::Close(close) => self.on_close(client, close.socket, now),
            ClientNote::Watch(watch) => self.on_watch(client, watch.socket),
            ClientNote::Timeout(timeout) => {
                if let Ok(socket) = self.own(client, timeout.socket) {
                    socket.timeout = Some(timeout);
                }
            }
            ClientNote::Cancel(cancel) => self.on_cancel(client, cancel.request, now),
            ClientNote::RingBegin(_) => self.on_ring_begin(client, now),
            ClientNote::RingEnd(_) => self.on_ring_end(client),
            // The shell looks at the ring whenever the pipe has something to say.
            ClientNote::RingWake(_) => {}
        }
    }

    fn on_hello(
        &mut self,
        client: ClientId,
        request: u32,
        hello: Hello<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        if self.draining.is_some() {
            self.fail(client, request, shutting_down());
            self.disconnect(client, "");
            return Ok(None);
        }
        let phase = Phase::welcome(&hello);
        if let Phase::Welcome { name, .. } = &phase
            && let Err(refusal) = self.admit(client, name, now)
        {
            self.fail(client, request, refusal.clone());
            self.disconnect(client, refusal.message);
            return Ok(None);
        }
        if let Some(entry) = self.clients.get_mut(client) {
            entry.phase = phase;
            entry.introduce();
        }
        let daemon = concat!("luasocketd ", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Some(Reply::Hello(HelloReply { version: VERSION, daemon })))
    }

    /// Answers a hello whose version is not spoken here, and lets the client go.
    pub fn refuse_version(&mut self, client: ClientId, request: u32, version: u64) {
        if !self.is_new_request(client, request) {
            return;
        }
        let text = format!("protocol version {version} is not spoken here, version {VERSION} is");
        self.fail(client, request, Failure::new(Code::Version, text.clone()));
        self.disconnect(client, text);
    }

    /// Answers a request that is not known.
    pub fn refuse_method(&mut self, client: ClientId, request: u32, method: &str) {
        if !self.is_new_request(client, request) {
            return;
        }
        match self.clients.get(client).map(|client| &client.phase) {
            Some(Phase::Welcome { .. }) => {
                let text = format!("no method `{}`", method.escape_default());
                self.fail(client, request, Failure::new(Code::UnknownMethod, text));
            }
            _ => self.disconnect(client, "no hello before the first request"),
        }
    }

    /// Stops listening to a client; says whether it was listened to before.
    pub(crate) fn refuse(&mut self, client: ClientId) -> bool {
        let Some(entry) = self.clients.get_mut(client) else { return false };
        let before = std::mem::replace(&mut entry.phase, Phase::Refused);
        if let Phase::Greeting(deadline) = before {
            self.timers.cancel(deadline, Timer::Hello(client));
        }
        before != Phase::Refused
    }

    fn on_open(
        &mut self,
        client: ClientId,
        request: u32,
        open: Open,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let Open { kind, family, window } = open;
        let fits = match family {
            Family::Inet | Family::Inet6 => !kind.is_local(),
            Family::Unix => kind.is_local(),
            Family::Unspec | Family::Dual => false,
        };
        if !fits {
            return Err(bad_argument("open wants the family inet or inet6, for a local socket unix"));
        }
        check_window(window)?;
        let socket = self.new_socket(client, kind, State::Opening { request, family, window })?;
        self.begin_socket_call(client, request, socket, None, now)?;
        self.act(Action::Open { socket, kind, family });
        Ok(None)
    }

    pub(crate) fn on_opened(&mut self, socket: SocketId, result: Result<(), i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Opening { request, family, window } = entry.state else { return };
        match result {
            Ok(()) => {
                let has_datagrams = entry.kind.is_datagram();
                entry.state = match has_datagrams {
                    true => State::Datagrams(Box::new(Datagrams::new(family, window))),
                    false => State::Idle { family, bound: None },
                };
                self.reply(client, request, Reply::Socket(socket));
                if has_datagrams {
                    self.act(Action::StartDatagrams { socket, client });
                }
            }
            Err(errno) => self.fail_socket_call(socket, Failure::os(errno)),
        }
    }

    pub(crate) fn on_synced(&mut self, client: ClientId, request: u32) {
        if self.waits_for(client, request, Subject::Network) {
            self.reply(client, request, Reply::Nil);
        }
    }

    fn on_window(&mut self, client: ClientId, window: Window) {
        let granted = match self.own(client, window.socket).map(|socket| &mut socket.state) {
            Ok(State::Connected(flow)) => flow.on_granted(window.bytes),
            Ok(State::Datagrams(datagrams)) => datagrams.on_granted(window.bytes),
            // The socket may have gone while the grant was on its way.
            _ => return,
        };
        match granted {
            Ok(()) => self.act(Action::Resume { socket: window.socket }),
            Err(overrun) => self.disconnect(client, overrun.to_string()),
        }
    }

    /// A socket that this client knows: it can only have guessed the number of one that is still being made.
    pub(crate) fn own(&mut self, client: ClientId, socket: SocketId) -> Result<&mut Socket, Failure> {
        let found = self.sockets.get_mut(socket).filter(|socket| socket.client == client);
        found
            .filter(|socket| match &socket.state {
                State::Closing { .. } | State::Reserved => false,
                State::Datagrams(datagrams) => !datagrams.is_being_made(),
                _ => true,
            })
            .ok_or_else(|| Failure::new(Code::UnknownSocket, format!("no socket {socket} of this client")))
    }

    /// Makes a socket, charged to its client.
    pub(crate) fn new_socket(
        &mut self,
        client: ClientId,
        kind: Kind,
        state: State,
    ) -> Result<SocketId, Failure> {
        if self.draining.is_some() {
            return Err(shutting_down());
        }
        let entry = self.clients.get_mut(client).ok_or_else(client_gone)?;
        let charge = entry.budget.charge(Resource::Sockets, 1).map_err(over_limit)?;
        let meter = Rc::clone(&entry.meter);
        let socket = Socket {
            client,
            kind,
            state,
            meter,
            resumes: None,
            takes_ipv4: false,
            groups: Vec::new(),
            admitted: Vec::new(),
            traffic: Default::default(),
            opens: Vec::new(),
            since: self.now,
            dialed: None,
            timeout: None,
            _charge: charge,
        };
        let id = self.sockets.insert(socket).ok_or_else(|| Failure::new(Code::Limit, "no socket slots"))?;
        entry.sockets.insert(id);
        self.tally.sockets += 1;
        Ok(id)
    }

    /// Keeps a request that waits for a socket; forgets the socket if there is no room for it.
    pub(crate) fn begin_socket_call(
        &mut self,
        client: ClientId,
        request: u32,
        socket: SocketId,
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<(), Failure> {
        self.begin_call(client, request, Subject::Socket(socket), timeout_ms, now)
            .inspect_err(|_| self.forget_socket(socket))
    }
}

/// Whether host and port are short enough to be names at all. What is not gets the resolver's answer to
/// such a name, without the resolver.
pub(crate) fn check_name(host: &str, port: &str) -> Result<(), Failure> {
    let unknown = |detail, message| Err(Failure { code: Code::Resolve, detail, message });
    if host.len() > HOST_MAX {
        return unknown(eai::NONAME, format!("a host name is at most {HOST_MAX} bytes long"));
    }
    if port.len() > PORT_MAX {
        return unknown(eai::SERVICE, format!("a port or service name is at most {PORT_MAX} bytes long"));
    }
    Ok(())
}

pub(crate) fn bad_argument(text: impl Into<String>) -> Failure {
    Failure::new(Code::BadArgument, text)
}
