//! Idle connections, and who holds their other ends: a process for some thousand, as one may have no more descriptors.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::Bench;
use crate::child::Running;
use crate::limits;
use crate::script::Script;
use crate::served::Served;

/// How many connections one client process has, and one process at their other ends: well below the ports that there are for one
/// destination, and below the sockets that a client may have.
const EACH: usize = 5000;
/// Descriptors that a process has for other things.
const OTHERS: usize = 200;
/// How long a holder may take to start.
const START: Duration = Duration::from_secs(20);

/// How many connections one process can hold of those that are wanted.
pub fn possible(wanted: usize) -> usize {
    let limit = usize::try_from(limits::descriptors()).unwrap_or(usize::MAX);
    wanted.min(limit.saturating_sub(OTHERS))
}

/// Idle connections through a daemon; they end when this is dropped.
pub struct Idle {
    // The clients go first, so that the daemon has something to close.
    _clients: Vec<Script>,
    _holders: Vec<Running>,
}

impl Idle {
    /// Opens so many.
    ///
    /// # Errors
    /// What went wrong, with what the process said.
    pub fn open(bench: &Bench, served: &Served, count: usize) -> Result<Idle, String> {
        let each = possible(EACH);
        let (mut clients, mut holders) = (Vec::new(), Vec::new());
        let mut left = count;
        while left > 0 {
            let part = left.min(each);
            let (holder, port) = holder()?;
            holders.push(holder);
            clients.push(bench.script(Some(served), "idle.lua", &[part.to_string(), port.to_string()])?);
            left -= part;
        }
        clients.iter_mut().try_for_each(Script::wait)?;
        Ok(Idle { _clients: clients, _holders: holders })
    }
}

fn holder() -> Result<(Running, u16), String> {
    let own = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let mut command = Command::new(own);
    command.arg("__hold");
    let mut running = Running::start(command)?;
    let line = running.line(START)?;
    let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
    Ok((running, port.ok_or_else(|| format!("a holder said `{line}`"))?))
}

/// Takes connections and keeps them until standard input ends.
///
/// # Errors
/// Whatever the system refuses.
pub fn hold() -> Result<bool, String> {
    let failed = |error: io::Error| format!("cannot hold connections: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    rustix::net::listen(&listener, 4096).map_err(|error| failed(error.into()))?;
    println!("port {}", listener.local_addr().map_err(failed)?.port());
    thread::spawn(move || {
        let mut held = Vec::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => held.push(stream),
                Err(error) => {
                    eprintln!("bench: {}", failed(error));
                    std::process::exit(1);
                }
            }
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).map_err(failed)?;
    Ok(true)
}
