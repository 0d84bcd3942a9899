//! What the measured scripts talk to: threads of this process on free ports of loopback. None has more to do for a byte than the
//! kernel; that they are not what is measured shows where nothing lies between (LuaSocket in-process).
//!
//! | peer | what it does |
//! |---|---|
//! | `echo` | a thread for each connection sends back what comes |
//! | `crowd` | one thread sends back what comes on all of its connections |
//! | `sink` | reads up to a line's end, then says in a line how many bytes came |
//! | `source` | at `flow` sends lines of 64 bytes for as long as they are taken, at `give N` so many bytes, and closes |
//! | `visit` | sends back the first 64 bytes, waits for the end, and resets the connection: so no port has to wait |

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::event::epoll;
use rustix::fd::AsFd;
use socket2::SockRef;

/// The longest wait for a client to send or to take something; longer than any script waits for its line.
const PATIENCE: Duration = Duration::from_secs(300);
/// What is read or written at once.
const PIECE: usize = 1024 * 1024;
/// A line of the source, its end included.
const LINE: usize = 64;
/// How many visits can overlap; one client has one at a time, and the end of the last.
const VISITORS: usize = 4;
/// For threads that hold their buffers on the heap: there may be thousands.
const STACK: usize = 128 * 1024;
/// How many connections the crowd looks after in one turn.
const CROWD_TURN: usize = 256;

/// The kinds of peers, by the names that scripts know them by.
pub const NAMES: [&str; 5] = ["echo", "crowd", "sink", "source", "visit"];

/// The ports of running peers. Their threads end with the process.
pub struct Peers {
    ports: Vec<(&'static str, u16)>,
}

impl Peers {
    /// Starts one of each kind.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn start() -> io::Result<Peers> {
        let ports = NAMES.iter().map(|name| Ok((*name, start(name)?))).collect::<io::Result<_>>()?;
        Ok(Peers { ports })
    }

    /// All of them, with their ports.
    pub fn ports(&self) -> &[(&'static str, u16)] {
        &self.ports
    }

    /// How a script is told.
    pub fn words(&self) -> String {
        words(&self.ports)
    }
}

/// How a script is told about ports.
pub fn words(ports: &[(&'static str, u16)]) -> String {
    ports.iter().map(|(name, port)| format!("{name}={port}")).collect::<Vec<_>>().join(",")
}

fn start(name: &str) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // The standard library's queue is too short for a thousand clients that come at once.
    rustix::net::listen(&listener, 4096)?;
    let port = listener.local_addr()?.port();
    match name {
        "echo" => on_thread(move || accept_each(&listener, echo))?,
        "sink" => on_thread(move || accept_each(&listener, sink))?,
        "source" => on_thread(move || accept_each(&listener, source))?,
        "crowd" => on_thread(move || crowd(&listener))?,
        _ => {
            for _ in 0..VISITORS {
                let listener = listener.try_clone()?;
                on_thread(move || visits(&listener))?;
            }
        }
    }
    Ok(port)
}

fn on_thread<T>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<()> {
    let tell = || {
        // A client that goes away while it is served is no fault.
        if let Err(error) = work()
            && !is_departure(&error)
        {
            eprintln!("bench: a peer failed: {error}");
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(tell).map(drop)
}

fn is_departure(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof | WouldBlock)
}

fn accept_each(listener: &TcpListener, serve: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    loop {
        let stream = accept(listener)?;
        on_thread(move || serve(stream))?;
    }
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut total = 0u64;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        total += count as u64;
        // Nothing else that is sent here has a line's end.
        if buffer[count - 1] == b'\n' {
            stream.write_all(format!("{total}\n").as_bytes())?;
            total = 0;
        }
    }
}

fn source(mut stream: TcpStream) -> io::Result<()> {
    let order = line(&mut stream)?;
    let mut left = match order.split_once(' ') {
        Some(("give", count)) => count.parse().map_err(|_| io::Error::from(ErrorKind::InvalidData))?,
        _ => usize::MAX,
    };
    static LINES: [u8; PIECE] = lines();
    while left > 0 {
        let count = stream.write(&LINES[..left.min(PIECE)])?;
        if left == usize::MAX && count % LINE != 0 {
            // What was cut short goes on where it was cut.
            stream.write_all(&LINES[count % LINE..LINE])?;
        }
        if left != usize::MAX {
            left -= count;
        }
    }
    Ok(())
}

const fn lines() -> [u8; PIECE] {
    let mut bytes = [b'x'; PIECE];
    let mut end = LINE;
    while end <= PIECE {
        bytes[end - 1] = b'\n';
        end += LINE;
    }
    bytes
}

/// A short line, byte by byte.
fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(line);
        }
        line.push(char::from(byte[0]));
    }
}

fn visits(listener: &TcpListener) -> io::Result<()> {
    loop {
        let served = visit(accept(listener)?);
        if let Err(error) = served
            && !is_departure(&error)
        {
            return Err(error);
        }
    }
}

fn visit(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; 64];
    stream.read_exact(&mut message)?;
    stream.write_all(&message)?;
    while stream.read(&mut message)? > 0 {}
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Looks after all connections of a listener. It believes the descriptors: nothing else has them.
fn crowd(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = epoll::EventFlags::IN;
    // The listener's number; connections have theirs in the table, and one more.
    epoll::add(&events, listener.as_fd(), epoll::EventData::new_u64(0), readable)?;
    let mut members: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut ready = Vec::with_capacity(CROWD_TURN);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        ready.clear();
        match epoll::wait(&events, rustix::buffer::spare_capacity(&mut ready), None) {
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited.map(drop)?,
        }
        for event in &ready {
            let Some(place) = (event.data.u64() as usize).checked_sub(1) else {
                let stream = match listener.accept() {
                    Ok((stream, _)) => stream,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let place = free.pop().unwrap_or(members.len());
                let number = epoll::EventData::new_u64(place as u64 + 1);
                epoll::add(&events, stream.as_fd(), number, readable)?;
                members.resize_with(members.len().max(place + 1), || None);
                members[place] = Some(stream);
                continue;
            };
            let Some(mut stream) = members[place].as_ref() else { continue };
            // Messages are small and answers are waited for: what was read can be written.
            let served = match stream.read(&mut buffer) {
                Ok(count) if count > 0 => stream.write_all(&buffer[..count]).is_ok(),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
                Ok(_) => false,
            };
            if !served {
                members[place] = None;
                free.push(place);
            }
        }
    }
}
