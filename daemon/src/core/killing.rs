//! What the operator ends, at once.

use luasocketd_protocol::{Acceptable, Code, DaemonNote, Failure, SocketError, SocketId};

use super::machine::Core;
use super::mark::Mark;
use super::slots::ClientId;
use super::socket::State;
use super::trail::End;

impl Core {
    /// Whether what the operator means is there.
    pub fn is_there(&self, mark: Mark) -> bool {
        match mark {
            Mark::Client(client) => self.clients.get(client).is_some(),
            Mark::Socket(socket) => {
                let state = self.sockets.get(socket).map(|socket| &socket.state);
                state.is_some_and(|state| !matches!(state, State::Reserved))
            }
        }
    }

    pub(crate) fn on_kill(&mut self, mark: Mark) {
        if !self.is_there(mark) {
            return;
        }
        match mark {
            Mark::Client(client) => self.kill_client(client),
            Mark::Socket(socket) => self.kill_socket(socket),
        }
    }

    /// Ends a client with all its sockets; nothing that they hold is delivered any more.
    fn kill_client(&mut self, client: ClientId) {
        // First, so that whoever closes the sockets knows that nobody waits for it.
        self.disconnect(client, killed().message);
        let of_client =
            |(id, socket): (SocketId, &super::socket::Socket)| (socket.client == client).then_some(id);
        let sockets: Vec<SocketId> = self.sockets.iter().filter_map(of_client).collect();
        for socket in sockets {
            self.end_records(socket, End::Killed, Some(&killed()));
            self.forget_socket(socket);
        }
    }

    /// Ends one socket: whoever waits for it, and whatever is done with it from here on, hears that it is closed.
    fn kill_socket(&mut self, id: SocketId) {
        self.cancel_socket_calls(id);
        self.end_records(id, End::Killed, Some(&killed()));
        let Some(socket) = self.sockets.get(id) else { return };
        let client = socket.client;
        match &socket.state {
            // The script is told, and closes what is left of it.
            State::Connected(_) => return self.break_socket(id, killed()),
            State::Datagrams(_) => {
                self.notify(client, DaemonNote::Error(SocketError { socket: id, failure: killed() }));
            }
            State::Listening { watched: true, .. } => {
                // Whoever waits for a connection there learns what has become of it by asking for one.
                self.notify(client, DaemonNote::Acceptable(Acceptable { socket: id }));
            }
            _ => {}
        }
        self.forget_socket(id);
    }
}

/// What a script is told of what the operator has ended; records have the reason `killed` for it.
fn killed() -> Failure {
    Failure::new(Code::Closed, "the operator has ended it")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use luasocketd_protocol::{Call, Family, Hello, Kind, Open};

    use super::super::action::{Action, Input};
    use super::super::client::Credentials;
    use super::super::machine::Config;
    use super::super::policy::Policy;
    use super::*;

    /// A core whose one client has sockets of these kinds.
    fn core(kinds: &[Kind]) -> (Core, ClientId, Vec<SocketId>) {
        let now = Instant::now();
        let policy = Policy::new(vec!["*".parse().unwrap()]);
        let mut core = Core::new(Config { policy, ..Config::default() }, now);
        let client = core.add_client(Credentials { uid: 0, gid: 0, pid: 1 }, now).unwrap();
        let hello = Hello { version: 1, client: "test", lua: "" };
        core.handle(Input::Request { client, request: 1, call: Call::Hello(hello) }, now);
        let mut sockets = Vec::new();
        for (request, kind) in (2..).zip(kinds) {
            let open = Open { kind: *kind, family: Family::Inet, window: 0 };
            core.handle(Input::Request { client, request, call: Call::Open(open) }, now);
            while let Some(action) = core.poll_action() {
                if let Action::Open { socket, .. } = action {
                    sockets.push(socket);
                    core.handle(Input::Opened { socket, result: Ok(()) }, now);
                }
            }
        }
        (core, client, sockets)
    }

    fn actions(core: &mut Core, mark: Mark) -> Vec<Action> {
        core.handle(Input::Kill { mark }, Instant::now());
        std::iter::from_fn(|| core.poll_action()).collect()
    }

    #[test]
    fn a_client_goes_with_its_sockets_and_holds_nothing_any_more() {
        let (mut core, client, sockets) = core(&[Kind::Tcp, Kind::Udp]);
        let done = actions(&mut core, Mark::Client(client));
        for socket in sockets {
            assert!(done.contains(&Action::Close { socket }), "{done:?}");
            assert!(!core.is_there(Mark::Socket(socket)));
        }
        let reason = killed().message;
        assert_eq!(done.first(), Some(&Action::Disconnect { client, reason }));
        core.handle(Input::ClientGone { client }, Instant::now());
        assert_eq!((core.census(), core.is_there(Mark::Client(client))), ((0, 0), false));
        assert_eq!(actions(&mut core, Mark::Client(client)), []);
    }

    #[test]
    fn a_socket_goes_alone_and_whoever_waits_for_datagrams_hears_of_it() {
        let (mut core, client, sockets) = core(&[Kind::Tcp, Kind::Udp]);
        let [tcp, udp] = sockets[..] else { panic!("{sockets:?}") };
        assert_eq!(actions(&mut core, Mark::Socket(tcp)), [Action::Close { socket: tcp }]);
        let note = DaemonNote::Error(SocketError { socket: udp, failure: killed() });
        let told = Action::Notify { client, note };
        assert_eq!(actions(&mut core, Mark::Socket(udp)), [told, Action::Close { socket: udp }]);
        assert_eq!(core.census(), (1, 0));
        assert_eq!(actions(&mut core, Mark::Socket(udp)), [], "a stale mark hits nobody");
    }

    #[test]
    fn who_waits_for_a_socket_is_answered() {
        let (mut core, client, _) = core(&[]);
        let open = Open { kind: Kind::Tcp, family: Family::Inet, window: 0 };
        core.handle(Input::Request { client, request: 9, call: Call::Open(open) }, Instant::now());
        let opened = std::iter::from_fn(|| core.poll_action()).find_map(|action| match action {
            Action::Open { socket, .. } => Some(socket),
            _ => None,
        });
        let socket = opened.unwrap();
        let done = actions(&mut core, Mark::Socket(socket));
        assert!(matches!(done[..], [Action::Fail { request: 9, .. }, Action::Close { .. }]), "{done:?}");
    }
}
