//! A daemon to be measured.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::Running;
use crate::places::{self, Lua};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// A running `luasocketd serve`, ended when dropped.
pub struct Served {
    running: Running,
    socket: PathBuf,
}

impl Served {
    /// One that listens in a directory, with these arguments.
    ///
    /// # Errors
    /// When it is not built or does not start.
    pub fn start(directory: &Path, args: &[&str]) -> Result<Served, String> {
        Served::start_under(Vec::new(), directory, args)
    }

    /// The same, as the argument of another command, which becomes it.
    ///
    /// # Errors
    /// As of [`Served::start`].
    pub fn start_under(wrapper: Vec<String>, directory: &Path, args: &[&str]) -> Result<Served, String> {
        let socket = directory.join("daemon.sock");
        let mut words = wrapper.into_iter().map(OsString::from).chain([places::daemon()?.into()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("serve").arg("--socket").arg(&socket).args(args);
        let mut running = Running::start(command)?;
        let line = running.line(START)?;
        if line != format!("ready {}", socket.display()) {
            return Err(format!("the daemon said `{line}`, where `ready` was expected"));
        }
        Ok(Served { running, socket })
    }

    /// Has a command use it.
    ///
    /// # Errors
    /// When the module is not built.
    pub fn enter(&self, command: &mut Command, lua: Lua) -> Result<(), String> {
        command.envs(places::module_variables(lua)?).env("LUASOCKETD_SOCKET", &self.socket);
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Seconds of processor time that it has used so far.
    pub fn cpu(&self) -> f64 {
        self.running.cpu()
    }

    /// Its memory, in bytes: what is its own and its share of what others have, too (Pss).
    ///
    /// # Errors
    /// When the system does not say.
    pub fn memory(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/smaps_rollup", self.pid());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("{path} has no Pss"))
    }
}
