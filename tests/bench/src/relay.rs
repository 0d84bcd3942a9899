//! The relays that a user would pick instead, each started as its manual says for this one job.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::Running;
use crate::peers::Peers;
use crate::places;

/// How long one may take until it listens.
const START: Duration = Duration::from_secs(10);
/// How often it is looked after.
const TICK: Duration = Duration::from_millis(20);
/// How often one is started anew, when somebody else has taken its port meanwhile.
const ATTEMPTS: usize = 3;

/// A running relay.
pub struct Relay {
    /// The port where it speaks SOCKS5, if it does.
    pub proxy: Option<u16>,
    /// Else a port for each peer.
    pub doors: Option<Vec<(&'static str, u16)>>,
    /// Its processes.
    pub running: Vec<Running>,
}

/// Starts a relay, with its files in a directory of its own.
pub type Start = fn(&Peers, &Path) -> Result<Relay, String>;

/// dante's server.
pub fn dante(_peers: &Peers, directory: &Path) -> Result<Relay, String> {
    let program = installed("danted", "dante-server")?;
    proxy(|port| {
        // As root it wants to be somebody else when it serves.
        let users = if rustix::process::geteuid().is_root() {
            "user.privileged: root\nuser.unprivileged: nobody\n"
        } else {
            ""
        };
        let settings = format!(
            "logoutput: /dev/null\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\n\
             clientmethod: none\nsocksmethod: none\n{users}\
             client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
             socks pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}\n"
        );
        let path = directory.join("danted.conf");
        write(&path, &settings)?;
        let mut command = Command::new(&program);
        command.arg("-f").arg(path).arg("-p").arg(directory.join("danted.pid"));
        Ok(command)
    })
}

/// microsocks.
pub fn microsocks(_peers: &Peers, _directory: &Path) -> Result<Relay, String> {
    let program = installed("microsocks", "microsocks")?;
    proxy(|port| {
        let mut command = Command::new(&program);
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        Ok(command)
    })
}

/// haproxy in TCP mode: one process, a door for each peer.
pub fn haproxy(peers: &Peers, directory: &Path) -> Result<Relay, String> {
    let program = installed("haproxy", "haproxy")?;
    attempt(|| {
        let doors = doors(peers)?;
        let mut settings = "global\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 10s\n  \
                            timeout client 300s\n  timeout server 300s\n"
            .to_owned();
        for ((name, port), (_, door)) in peers.ports().iter().zip(&doors) {
            settings.push_str(&format!(
                "listen {name}\n  bind 127.0.0.1:{door}\n  server peer 127.0.0.1:{port}\n"
            ));
        }
        let path = directory.join("haproxy.cfg");
        write(&path, &settings)?;
        let mut command = Command::new(&program);
        // In the foreground, quiet.
        command.args(["-db", "-q", "-f"]).arg(path);
        let running = vec![listening(command, doors[0].1)?];
        Ok(Relay { proxy: None, doors: Some(doors), running })
    })
}

/// socat: a process for each door, and one more for each connection.
pub fn socat(peers: &Peers, _directory: &Path) -> Result<Relay, String> {
    let program = installed("socat", "socat")?;
    attempt(|| {
        let doors = doors(peers)?;
        let start = |((_, port), (_, door)): (&(&str, u16), &(&str, u16))| {
            let mut command = Command::new(&program);
            command.arg(format!("TCP-LISTEN:{door},bind=127.0.0.1,fork,backlog=1024,reuseaddr"));
            command.arg(format!("TCP:127.0.0.1:{port}"));
            listening(command, *door)
        };
        let running = peers.ports().iter().zip(&doors).map(start).collect::<Result<_, String>>()?;
        Ok(Relay { proxy: None, doors: Some(doors), running })
    })
}

fn installed(name: &str, package: &str) -> Result<std::path::PathBuf, String> {
    places::command(name)
        .ok_or_else(|| format!("{name} is not installed (Debian: apt-get install {package})"))
}

fn proxy(command: impl Fn(u16) -> Result<Command, String>) -> Result<Relay, String> {
    attempt(|| {
        let port = free_port()?;
        let running = vec![listening(command(port)?, port)?];
        Ok(Relay { proxy: Some(port), doors: None, running })
    })
}

/// A port that is free now may be taken when the relay wants it.
fn attempt(start: impl Fn() -> Result<Relay, String>) -> Result<Relay, String> {
    (1..ATTEMPTS).find_map(|_| start().ok()).map_or_else(start, Ok)
}

fn doors(peers: &Peers) -> Result<Vec<(&'static str, u16)>, String> {
    peers.ports().iter().map(|(name, _)| Ok((*name, free_port()?))).collect()
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let name = listener.and_then(|listener| listener.local_addr());
    name.map(|name| name.port()).map_err(|error| format!("there is no free port: {error}"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Starts a server and waits until it listens.
fn listening(command: Command, port: u16) -> Result<Running, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut running = Running::start(command)?;
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(running);
        }
        if !running.is_running() {
            // It has said why, if it has said anything.
            return Err(running.line(TICK * 50).err().unwrap_or_else(|| format!("{name} ends at once")));
        }
        thread::sleep(TICK);
    }
    Err(format!("{name} does not listen within {} s", START.as_secs()))
}
