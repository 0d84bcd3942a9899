//! The other ends: threads on a port of loopback, each with one connection, that do as the order in its first line says.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use luasocketd_tests::network;
use socket2::SockRef;

use crate::arrival::Arrival;
use crate::pattern::{Hash, Lane};
use crate::plan::{Manner, Plan};
use crate::report::{PeerEnd, PeerReport};

/// The longest silence that a peer bears: a script may be stopped for a minute, and waits for 150 seconds itself.
const PATIENCE: Duration = Duration::from_secs(200);
/// How long a connection that was accepted may be unknown: its order comes at once, or its script was killed.
const UNKNOWN: Duration = Duration::from_secs(2);
/// How much is read or written at once.
const BUFFER: usize = 128 << 10;
/// The longest order.
const ORDER: usize = 200;

/// All peers of a run.
pub struct Peers {
    port: u16,
    board: Arc<Board>,
    is_stopped: Arc<AtomicBool>,
}

/// Who has come, and what it has seen when it is done.
#[derive(Default)]
struct Board {
    reports: Mutex<BTreeMap<u64, Option<PeerReport>>>,
    changed: Condvar,
}

impl Peers {
    /// Peers of which those that do not read wait so long.
    pub fn start(hold: Duration) -> Peers {
        let (listener, port) = network::listener();
        let (board, is_stopped) = (Arc::new(Board::default()), Arc::new(AtomicBool::new(false)));
        let (of_thread, flag) = (Arc::clone(&board), Arc::clone(&is_stopped));
        thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                if let Some(stream) = network::accept_within(&listener, Duration::from_millis(200)) {
                    let board = Arc::clone(&of_thread);
                    // A script that goes away early is no fault of the peer's.
                    thread::spawn(move || drop(serve(stream, &board, hold)));
                }
            }
        });
        Peers { port, board, is_stopped }
    }

    /// Where scripts find them.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a script has come with this stream, and nobody has asked yet what became of it.
    pub fn has_come(&self, stream: u64) -> bool {
        self.board.reports().contains_key(&stream)
    }

    /// What the peer of a stream has seen, as soon as it is done; nothing when nobody has come.
    pub fn report(&self, stream: u64) -> Option<PeerReport> {
        self.board.report(stream)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Board {
    fn reports(&self) -> MutexGuard<'_, BTreeMap<u64, Option<PeerReport>>> {
        // An entry is whole whoever panicked.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, stream: u64, report: Option<PeerReport>) {
        self.reports().insert(stream, report);
        self.changed.notify_all();
    }

    fn report(&self, stream: u64) -> Option<PeerReport> {
        let start = Instant::now();
        let mut reports = self.reports();
        loop {
            let limit = match reports.get(&stream) {
                Some(Some(_)) => return reports.remove(&stream).flatten(),
                Some(None) => 2 * PATIENCE,
                None => UNKNOWN,
            };
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return None;
            }
            reports = self.changed.wait_timeout(reports, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Carries out one order.
fn serve(mut stream: TcpStream, board: &Arc<Board>, hold: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let order = order(&mut stream)?;
    if let Some(port) = order.strip_prefix("dial ").and_then(|port| port.parse().ok()) {
        // A script may be gone before it is dialled.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        return serve(TcpStream::connect_timeout(&address, PATIENCE)?, board, hold);
    }
    let plan = Plan::from_order(&order).map_err(io::Error::other)?;
    board.put(plan.stream, None);
    let report = carry_out(stream, &plan, hold);
    board.put(plan.stream, Some(report));
    Ok(())
}

fn order(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < ORDER {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
        line.push(byte[0]);
    }
    Err(io::Error::other("the order does not end"))
}

fn carry_out(mut stream: TcpStream, plan: &Plan, hold: Duration) -> PeerReport {
    let mut arrival = Arrival::new(Lane::up(plan.stream));
    let (end, sent) = match plan.manner {
        Manner::Plain | Manner::HalfClose | Manner::Drip => {
            let sender = send_beside(&stream, plan);
            let end = read(&mut stream, &mut arrival, u64::MAX);
            if end != PeerEnd::Orderly {
                // Nothing more is to be said to it.
                let _ = stream.shutdown(Shutdown::Both);
            }
            let sent = sender.and_then(|sender| sender.join().ok()).unwrap_or_default();
            (end, sent)
        }
        Manner::Late => {
            thread::sleep(hold);
            let end = read(&mut stream, &mut arrival, u64::MAX);
            (end, send(&mut stream, plan, Duration::ZERO))
        }
        Manner::Reset => {
            let end = read(&mut stream, &mut arrival, plan.up / 2);
            (reset(&stream, end), Sent::default())
        }
        Manner::Never => {
            thread::sleep(hold);
            (reset(&stream, PeerEnd::Own), Sent::default())
        }
    };
    drop(stream);
    let (received, received_hash) = (arrival.length(), arrival.hash());
    let (runs, foreign) = arrival.end();
    PeerReport { runs, foreign, received, received_hash, sent: sent.count, sent_hash: sent.hash.value(), end }
}

/// What was sent.
#[derive(Default)]
struct Sent {
    count: u64,
    hash: Hash,
}

/// Sends in a thread of its own.
fn send_beside(stream: &TcpStream, plan: &Plan) -> Option<JoinHandle<Sent>> {
    let (mut stream, plan) = (stream.try_clone().ok()?, plan.clone());
    let pause = if plan.manner == Manner::Drip { Duration::from_secs(1) } else { Duration::ZERO };
    Some(thread::spawn(move || {
        let sent = send(&mut stream, &plan, pause);
        if plan.manner == Manner::HalfClose {
            // Its script may have gone.
            let _ = stream.shutdown(Shutdown::Write);
        }
        sent
    }))
}

fn send(stream: &mut TcpStream, plan: &Plan, pause: Duration) -> Sent {
    let (lane, mut sent) = (Lane::down(plan.stream), Sent::default());
    let piece = if pause.is_zero() { BUFFER as u64 } else { 1 };
    while sent.count < plan.down {
        thread::sleep(pause);
        let bytes = lane.bytes(sent.count, piece.min(plan.down - sent.count) as usize);
        sent.count += bytes.len() as u64;
        sent.hash.absorb(&bytes);
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    sent
}

fn read(stream: &mut TcpStream, arrival: &mut Arrival, limit: u64) -> PeerEnd {
    let mut buffer = vec![0; BUFFER];
    while arrival.length() < limit {
        match stream.read(&mut buffer) {
            Ok(0) => return PeerEnd::Orderly,
            Ok(count) => arrival.take(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return PeerEnd::Silence,
            Err(_) => return PeerEnd::Reset,
        }
    }
    PeerEnd::Own
}

/// Has the connection be reset when it is closed, unless it has ended already.
fn reset(stream: &TcpStream, end: PeerEnd) -> PeerEnd {
    if end == PeerEnd::Own {
        // What is gone cannot be reset.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    end
}
