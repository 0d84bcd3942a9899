//! What a host must be able to rely on: nothing of a Lua state outlives it but the bytes that `send`
//! accepted, and nothing that a script does harms its host.

#![allow(clippy::unwrap_used)] // what helps a test may fail as a test does

mod state;

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use luasocketd_shim::{Options, module, preload_with};
use luasocketd_tests::{Daemon, Peer};
use mlua::{Function, Lua, LuaOptions, StdLib, Table};

use state::{state, state_with, within};

/// A blocked call has to end within this time; without the fix it never does.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn many_states_in_many_threads() {
    let daemon = Daemon::start();
    let baseline = daemon.descriptors();
    let script = r#"
        local socket = require "socket"
        local server = assert(socket.bind("127.0.0.1", 0))
        local ip, port = server:getsockname()
        local client = assert(socket.connect(ip, port))
        local other = assert(server:accept())
        assert(client:send(("x"):rep(5000) .. "\n"))
        assert(#assert(other:receive()) == 5000)
        kept = {server, client, other}
    "#;
    let path = daemon.socket();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // All alive at once, and ended in another order than they were made in.
                let states: Vec<Lua> = (0..6).map(|_| state(path)).collect();
                states.iter().for_each(|lua| lua.load(script).exec().unwrap());
                states.into_iter().for_each(drop);
            });
        }
    });
    daemon.settle_to(baseline, Duration::from_secs(10));
}

#[test]
fn what_send_accepted_is_delivered_when_the_state_is_dropped() {
    let daemon = Daemon::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lua = state(daemon.socket());
    let script = r#"
        client = assert(require("socket").connect("127.0.0.1", ...))
        client:settimeout(0)
        local _, _, sent = client:send(("y"):rep(10000000))
        return sent
    "#;
    let sent: usize = lua.load(script).call(listener.local_addr().unwrap().port()).unwrap();
    drop(lua);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    assert!(sent > 0, "something was accepted");
    assert_eq!(bytes.len(), sent, "what was accepted is delivered");
}

#[test]
fn a_coroutine_that_required_the_modules_first_may_be_collected() {
    let daemon = Daemon::start();
    let lua = state(daemon.socket());
    let script = r#"
        local made = coroutine.wrap(function()
          local socket = require "socket"
          local server = assert(socket.bind("127.0.0.1", 0))
          local ip, port = server:getsockname()
          return {server, assert(socket.connect(ip, port))}
        end)()
        collectgarbage() collectgarbage()
        local other = assert(made[1]:accept())
        assert(made[2]:send("still here\n"))
        return (other:receive())
    "#;
    assert_eq!(lua.load(script).eval::<String>().unwrap(), "still here");
}

/// Every line of a connection comes once and in order, though Lua runs out of memory at any point of the
/// calls that read it.
#[test]
fn running_out_of_memory_loses_no_bytes_and_no_sockets() {
    const LINES: usize = 400;
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let baseline = daemon.descriptors();
    let lua = state(daemon.socket());
    let text: String = (0..LINES).map(|number| format!(r"{number}:{}\n", "z".repeat(number * 7))).collect();
    let script = r#"
        local port, text = ...
        local socket = require "socket"
        local client = assert(socket.connect("127.0.0.1", port))
        assert(client:send("say " .. text .. "\n"))
        local line, lost
        local function read() line = client:receive() end
        local function connect() lost = socket.connect("127.0.0.1", port) lost = nil end
        local function last() local it = line line = nil return it end
        return read, connect, last
    "#;
    let (read, connect, last): (Function, Function, Function) =
        lua.load(script).call((peer.port(), text)).unwrap();
    let mut random = 1_u32;
    let mut failures = 0;
    for number in 0..LINES {
        for attempt in 1.. {
            assert!(attempt < 1000, "line {number} never comes, whatever room it has");
            // A multiplicative generator is random enough to hit every allocation.
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Luau fetches whole pages of memory, so what has failed gets more room.
            let room = (random >> 16) as usize % (number * 40 + 4000 * attempt);
            lua.gc_collect().unwrap();
            let limited = lua.set_memory_limit(lua.used_memory() + room);
            assert!(limited.is_ok() || cfg!(feature = "luajit"), "{limited:?}");
            let done = read.call::<()>(()).and_then(|()| connect.call::<()>(()));
            // LuaJIT has no limit to set.
            let _ = lua.set_memory_limit(0);
            failures += usize::from(done.is_err());
            match last.call::<Option<mlua::LuaString>>(()).unwrap() {
                Some(line) => {
                    assert_eq!(line.to_string_lossy(), format!("{number}:{}", "z".repeat(number * 7)));
                    break;
                }
                None => assert!(matches!(done, Err(mlua::Error::MemoryError(_))), "{number}: {done:?}"),
            }
        }
    }
    assert!(failures > 0 || cfg!(feature = "luajit"), "the limit was never reached");
    lua.gc_collect().unwrap();
    lua.gc_collect().unwrap();
    // The pipe and the one connection.
    daemon.settle_to(baseline + 2, Duration::from_secs(10));
    drop((read, connect, last, lua));
    daemon.settle_to(baseline, Duration::from_secs(10));
}

/// The modules are made, or not; the state is usable after it, and the pipe that was handed over closes.
#[test]
fn running_out_of_memory_while_the_modules_are_made() {
    for room in (0..60_000).step_by(977) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(LIMIT)).unwrap();
        let lua = Lua::new();
        let limited = lua.set_memory_limit(lua.used_memory() + room);
        if cfg!(feature = "luajit") {
            // It has no limit to set.
            return;
        }
        limited.unwrap();
        let done = preload_with(&lua, Options::new().pipe(ours))
            .and_then(|()| lua.load(r#"require "socket" require "luasocketd.v1""#).exec());
        lua.set_memory_limit(0).unwrap();
        lua.load("assert(('x'):rep(1000))").exec().unwrap();
        drop(lua);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "with {room} bytes ({done:?}) the pipe is closed");
    }
}

#[test]
fn a_state_without_libraries_is_handed_the_module() {
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::new()).unwrap();
    preload_with(&lua, Options::new().path(daemon.socket())).unwrap();
    let socket: Table = module(&lua, "socket").unwrap();
    assert!(module(&lua, "socket.http").unwrap_err().to_string().contains("no module 'socket.http'"));
    lua.globals().set("socket", socket).unwrap();
    lua.globals().set("port", peer.port()).unwrap();
    let script = r#"
        local client = assert(socket.connect("127.0.0.1", port))
        assert(client:send("say three words here\n"))
        local source = socket.source("by-length", client, 11)
        return (source()) .. "|" .. tostring(socket.protect(function() socket.try(nil, "told") end)())
    "#;
    assert_eq!(lua.load(script).eval::<String>().unwrap(), "three words|nil");
}

/// Shutting down the pipe that was handed over ends whatever its script waits for, from any thread.
#[test]
fn a_host_ends_a_blocked_call_by_its_pipe() {
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let pipe = daemon.pipe();
    let switch = pipe.try_clone().unwrap();
    let port = peer.port();
    let blocked = std::thread::spawn(move || {
        within(LIMIT, "a blocked receive", move || {
            let lua = state_with(Options::new().pipe(pipe));
            let script = r#"
                local client = assert(require("socket").connect("127.0.0.1", ...))
                assert(client:send("hold \n"))
                return select(2, client:receive())
            "#;
            lua.load(script).call::<String>(port).unwrap()
        })
    });
    std::thread::sleep(Duration::from_millis(300));
    switch.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(blocked.join().unwrap(), Ok("closed".to_owned()));
}

/// A host that watches its scripts, with Luau's interrupt or a hook that counts, ends a call that waits.
#[test]
fn a_host_that_watches_ends_a_blocked_call() {
    let daemon = Daemon::start();
    let socket = daemon.socket().to_owned();
    for call in ["socket.sleep(1e6)", "server:accept()", "socket.select({server}, nil)"] {
        let socket = socket.clone();
        let ended = within(LIMIT, call, move || {
            let lua = state(&socket);
            let setup = r#"socket = require "socket"  server = assert(socket.bind("127.0.0.1", 0))"#;
            lua.load(setup).exec().unwrap();
            watch(&lua, Instant::now() + Duration::from_millis(200));
            lua.load(call).exec().unwrap_err().to_string()
        });
        assert!(ended.as_ref().is_ok_and(|text| text.contains("time is up")), "{call}: {ended:?}");
    }
}

/// Raises an error in the script when its time is up.
fn watch(lua: &Lua, end: Instant) {
    let look = move || match Instant::now() > end {
        true => Err(mlua::Error::runtime("time is up")),
        false => Ok(mlua::VmState::Continue),
    };
    #[cfg(feature = "luau")]
    lua.set_interrupt(move |_| look());
    #[cfg(not(feature = "luau"))]
    lua.set_hook(mlua::HookTriggers::new().every_nth_instruction(1000), move |_, _| look()).unwrap();
}

#[cfg(feature = "luau")]
mod luau {
    use super::*;

    #[test]
    fn a_sandboxed_script_has_the_modules() {
        let daemon = Daemon::start();
        let script = r#"
            local socket = require "socket"
            assert(socket == require "@socket" and socket == require "socket.core")
            local server = assert(socket.bind("127.0.0.1", 0))
            local ip, port = server:getsockname()
        local client = assert(socket.connect(ip, port))
            assert(typeof(client) == "tcp{client}", typeof(client))
            local _, err = pcall(client.send, client, {})
            return err
        "#;
        for before in [true, false] {
            let lua = Lua::new();
            if before {
                lua.sandbox(true).unwrap();
            }
            preload_with(&lua, Options::new().path(daemon.socket())).unwrap();
            lua.sandbox(true).unwrap();
            let error: String = lua.load(script).eval().unwrap();
            assert_eq!(error, "invalid argument #2 to 'send' (string expected, got table)");
            let thread = lua.create_thread(lua.load(script).into_function().unwrap()).unwrap();
            thread.sandbox().unwrap();
            thread.resume::<String>(()).unwrap();
        }
    }
}
