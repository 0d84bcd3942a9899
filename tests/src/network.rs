//! Ports and connections of the test's own side. Everything is on loopback and every wait is bounded.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::process::{Job, Running, wait_until};

/// The longest wait for a peer to come, to send or to read.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a network of its own, with mounts of its own: `prepare` is the shell script that makes it and becomes
/// the command; its parameters are the arguments that are added.
pub fn in_namespace(prepare: &str) -> Job {
    // Mounts in a user namespace of its own never reach the others, whatever their propagation.
    let words =
        ["--map-root-user", "--mount", "--propagation", "unchanged", "--net", "sh", "-c", prepare, "sh"];
    Job::new("unshare").args(words)
}

/// A listening socket on a free port.
pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port can be bound");
    let port = listener.local_addr().expect("a bound socket has a name").port();
    (listener, port)
}

/// A server that is told its port, once it listens there.
pub fn served(job: impl Fn(u16) -> Job) -> (Running, u16) {
    // A port that was free a moment ago may be taken by another test: then the next one is tried.
    for _ in 0..5 {
        let (listener, port) = listener();
        drop(listener);
        let mut running = job(port).start();
        let mut listens = false;
        wait_until("the server listens or has ended", Duration::from_secs(20), || {
            listens = running.is_running() && TcpStream::connect(("127.0.0.1", port)).is_ok();
            listens || !running.is_running()
        });
        if listens {
            return (running, port);
        }
    }
    panic!("no server starts: {}", job(0).shell_line())
}

/// The next connection, with bounded reads and writes.
pub fn accept(listener: &TcpListener) -> TcpStream {
    accept_within(listener, PATIENCE).unwrap_or_else(|| panic!("nobody connected within {PATIENCE:?}"))
}

/// The next connection, if one comes in time.
pub fn accept_within(listener: &TcpListener, limit: Duration) -> Option<TcpStream> {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    let deadline = Instant::now() + limit;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("a stream can be blocking");
                return Some(bounded(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    return None;
                }
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("cannot accept: {error}"),
        }
    }
}

/// A connection to a port of this machine, with bounded reads and writes.
pub fn connect(port: u16) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    bounded(TcpStream::connect_timeout(&address, PATIENCE).expect("the port listens"))
}

/// Accepts one connection and reads it to its end, in a thread.
pub fn read_one(listener: TcpListener) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        accept(&listener).read_to_end(&mut bytes).expect("the peer ends in time and without a reset");
        bytes
    })
}

/// A port that refuses connections for as long as the value lives: it is taken, but nobody listens.
pub struct RefusedPort(Socket);

impl RefusedPort {
    /// Takes a free port.
    pub fn take() -> RefusedPort {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port can be bound");
        RefusedPort(socket)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        let name = self.0.local_addr().expect("a bound socket has a name");
        name.as_socket().expect("a TCP socket has a port").port()
    }
}

/// A listener that never accepts and whose queue is full: who connects waits.
pub struct SilentPort {
    listener: Socket,
    _waiting: Vec<Socket>,
}

impl SilentPort {
    /// Takes a free port and fills its queue.
    pub fn take() -> SilentPort {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port can be bound");
        listener.listen(0).expect("a bound socket can listen");
        let name = listener.local_addr().expect("a bound socket has a name");
        let knock = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
            socket.set_nonblocking(true).expect("a socket can be non-blocking");
            // In progress or queued: either way it takes a place.
            let _ = socket.connect(&name);
            socket
        };
        let waiting = (0..4).map(|_| knock()).collect();
        SilentPort { listener, _waiting: waiting }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        let name = self.listener.local_addr().expect("a bound socket has a name");
        name.as_socket().expect("a TCP socket has a port").port()
    }
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero is taken");
    stream.set_write_timeout(Some(PATIENCE)).expect("a limit above zero is taken");
    stream
}
