//! What an event loop of others must be able to rely on: the descriptor that `getfd` answers becomes readable when
//! there is something to read, whichever way the daemon's frames come.

#![allow(clippy::unwrap_used)] // what helps a test may fail as a test does

mod state;

use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use luasocketd_tests::{Daemon, Peer};
use mlua::{Function, Lua};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use state::{state, within};

/// Far beyond any delay of a busy machine, and below the time after which a ring is given back.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// All of a test's rounds take a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Two connections to an echo, on a pipe that is so busy that it has a ring by then.
const CONNECTIONS: &str = r#"
    local socket = require "socket"
    local function echo()
        local connection = assert(socket.connect("127.0.0.1", port))
        assert(connection:setoption("tcp-nodelay", true))
        assert(connection:send("echo\n"))
        return connection
    end
    one, other = echo(), echo()
    for _ = 1, 600 do
        assert(one:send("x\n"))
        assert(one:receive() == "x")
    end
"#;

fn connections(daemon: &Daemon, peer: &Peer) -> Lua {
    let lua = state(daemon.socket());
    lua.globals().set("port", peer.port()).unwrap();
    lua.load(CONNECTIONS).exec().unwrap();
    lua
}

fn is_readable(descriptor: RawFd) -> bool {
    // SAFETY: it belongs to a connection that lives as long as the test's state.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut polls = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    poll(&mut polls, Some(&PATIENCE)).unwrap() > 0
}

#[test]
fn a_descriptor_that_is_asked_for_late_tells_what_comes() {
    let (daemon, peer) = (Daemon::start(), Peer::start());
    for _ in 0..20 {
        let lua = connections(&daemon, &peer);
        let descriptor: RawFd = lua.load(r#"one:send("y\n") return one:getfd()"#).eval().unwrap();
        assert!(is_readable(descriptor));
        let receive = lua.load(r#"one:settimeout(0) return (one:receive())"#).into_function().unwrap();
        while receive.call::<Option<String>>(()).unwrap().is_none() {
            assert!(is_readable(descriptor));
        }
    }
}

#[test]
fn a_descriptor_tells_what_a_call_on_another_socket_took_from_the_ring() {
    within(LIMIT, "a wait on a descriptor", || {
        let (daemon, peer) = (Daemon::start(), Peer::start());
        let lua = connections(&daemon, &peer);
        let descriptor: RawFd =
            lua.load("one:settimeout(0) other:settimeout(0) return other:getfd()").eval().unwrap();
        let ask: Function = lua
            .load(r#"assert(other:send("z\n")) for _ = 1, ... do one:receive() end"#)
            .into_function()
            .unwrap();
        let receive: Function = lua.load("return (other:receive())").into_function().unwrap();
        for round in 0..4_000 {
            ask.call::<()>(round % 40).unwrap();
            let mut looks = 0;
            loop {
                assert!(is_readable(descriptor), "round {round}, after {looks} looks");
                if receive.call::<Option<String>>(()).unwrap().is_some() {
                    break;
                }
                looks += 1;
            }
        }
    })
    .unwrap();
}
