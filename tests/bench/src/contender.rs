//! Who is measured: LuaSocket in-process, luasocketd, and LuaSocket through the relays that the machine has.

use std::fmt;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::child::Running;
use crate::peers::{Peers, words};
use crate::places::{self, Lua};
use crate::relay;
use crate::script::Script;
use crate::served::Served;

/// Somebody who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Contender {
    /// Stock LuaSocket in the script's own process: what all others are compared with.
    Luasocket,
    /// A daemon without an audit trail.
    Luasocketd,
    /// A daemon that has every record on the disk before it does anything.
    LuasocketdAudit,
    /// LuaSocket through danted, a SOCKS5 proxy.
    Dante,
    /// LuaSocket through microsocks, a SOCKS5 proxy.
    Microsocks,
    /// LuaSocket through haproxy in TCP mode.
    Haproxy,
    /// LuaSocket through socat, a process for each connection.
    Socat,
}

impl Contender {
    /// Those of the table; with its trail the daemon is measured when it is asked for.
    pub const USUAL: [Contender; 6] = [
        Contender::Luasocket,
        Contender::Luasocketd,
        Contender::Dante,
        Contender::Microsocks,
        Contender::Haproxy,
        Contender::Socat,
    ];

    /// Its name on the command line, in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Luasocket => "luasocket",
            Contender::Luasocketd => "luasocketd",
            Contender::LuasocketdAudit => "luasocketd-audit",
            Contender::Dante => "dante",
            Contender::Microsocks => "microsocks",
            Contender::Haproxy => "haproxy",
            Contender::Socat => "socat",
        }
    }

    /// Whether it is the daemon of this project.
    pub fn is_ours(self) -> bool {
        matches!(self, Contender::Luasocketd | Contender::LuasocketdAudit)
    }

    /// Whether it is what a user would pick instead.
    pub fn is_relay(self) -> bool {
        self.relay().is_some()
    }

    /// Its program and how that says its version, if it has one.
    pub fn version_command(self) -> Option<(&'static str, &'static str)> {
        match self {
            Contender::Luasocket | Contender::Luasocketd | Contender::LuasocketdAudit => None,
            Contender::Dante => Some(("danted", "-v")),
            Contender::Microsocks => Some(("microsocks", "")),
            Contender::Haproxy => Some(("haproxy", "-v")),
            Contender::Socat => Some(("socat", "-V")),
        }
    }

    fn relay(self) -> Option<relay::Start> {
        match self {
            Contender::Luasocket | Contender::Luasocketd | Contender::LuasocketdAudit => None,
            Contender::Dante => Some(relay::dante),
            Contender::Microsocks => Some(relay::microsocks),
            Contender::Haproxy => Some(relay::haproxy),
            Contender::Socat => Some(relay::socat),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// A contender that is ready to be measured; what it has started ends with it.
pub struct Ready {
    /// Who.
    pub contender: Contender,
    way: String,
    ports: String,
    between: Between,
}

/// What lies between the script and its peers.
enum Between {
    Nothing,
    Daemon(Served),
    Relay(Vec<Running>),
}

impl Ready {
    /// Starts it, with its files in a directory of its own.
    ///
    /// # Errors
    /// What is missing or does not start.
    pub fn start(contender: Contender, peers: &Peers, directory: &Path) -> Result<Ready, String> {
        let own = directory.join(contender.name());
        std::fs::create_dir_all(&own).map_err(|error| format!("cannot make {}: {error}", own.display()))?;
        let (way, ports, between) = match (contender, contender.relay()) {
            (_, Some(start)) => {
                let relay = start(peers, &own)?;
                let way = relay.proxy.map_or("direct".to_owned(), |port| format!("socks:{port}"));
                let ports = relay.doors.as_deref().map_or_else(|| peers.words(), words);
                (way, ports, Between::Relay(relay.running))
            }
            (Contender::Luasocketd, _) => daemon(peers, &own, &["--no-audit"])?,
            (Contender::LuasocketdAudit, _) => {
                let trail = own.join("trail").display().to_string();
                daemon(peers, &own, &["--audit", &trail, "--durability", "strict"])?
            }
            _ => ("direct".to_owned(), peers.words(), Between::Nothing),
        };
        Ok(Ready { contender, way, ports, between })
    }

    /// The script of a row, started and warmed up.
    ///
    /// # Errors
    /// What went wrong, with what the script said.
    pub fn script(&self, lua: Lua, row: &str, seconds: f64, warm_up: f64) -> Result<Script, String> {
        let mut command = interpreter(lua)?;
        if let Between::Daemon(served) = &self.between {
            served.enter(&mut command, lua)?;
        }
        command.arg(places::script("bench.lua")).args([row, &self.way]);
        command.args([seconds.to_string(), warm_up.to_string()]).arg(&self.ports);
        Script::start(command)
    }

    /// Seconds of processor time that what lies between has used so far.
    pub fn cpu(&self) -> f64 {
        match &self.between {
            Between::Nothing => 0.0,
            Between::Daemon(served) => served.cpu(),
            Between::Relay(running) => running.iter().map(Running::cpu).sum(),
        }
    }
}

fn daemon(peers: &Peers, directory: &Path, args: &[&str]) -> Result<(String, String, Between), String> {
    let served = Served::start(directory, &[args, &["--allow", "*"]].concat())?;
    Ok(("ours".to_owned(), peers.words(), Between::Daemon(served)))
}

/// A stock interpreter, without arguments yet.
///
/// # Errors
/// How to install it.
pub fn interpreter(lua: Lua) -> Result<Command, String> {
    let name = lua.program();
    let path = places::command(name)
        .ok_or_else(|| format!("{name} is missing; run: apt-get install {name} lua-socket"))?;
    Ok(Command::new(path))
}
