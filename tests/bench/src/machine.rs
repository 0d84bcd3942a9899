//! The machine that was measured on: a number without it says nothing.

use std::fs;
use std::process::{Command, Stdio};

use crate::contender::{Contender, interpreter};
use crate::places::{self, Lua};

/// What a reader has to know of a machine and its programs.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// How many of them, as this process may use them.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The system and its version.
    pub kernel: String,
    /// How many processes wanted a processor within the last minute, before the start.
    pub load: f64,
    /// Programs and what they say of their version.
    pub versions: Vec<(String, String)>,
}

impl Machine {
    /// This one, before anything is measured.
    pub fn look(luas: &[Lua], contenders: &[Contender]) -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| first_number(&text)).unwrap_or(0.0);
        let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| first_number(&text));
        let uname = rustix::system::uname();
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            cores,
            memory: memory as u64 * 1024,
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            load: load.unwrap_or(0.0),
            versions: versions(luas, contenders),
        }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let gib = self.memory as f64 / f64::from(1 << 30);
        let cores = if self.cores == 1 { "core" } else { "cores" };
        format!(
            "{}, {} {cores}, {gib:.0} GiB, {}; load {:.2} before",
            self.processor, self.cores, self.kernel, self.load
        )
    }

    /// The versions in one line.
    pub fn programs(&self) -> String {
        let each = self.versions.iter().map(|(_, version)| version.as_str());
        each.collect::<Vec<_>>().join("; ")
    }
}

fn versions(luas: &[Lua], contenders: &[Contender]) -> Vec<(String, String)> {
    let mut versions = Vec::new();
    for lua in luas {
        let Ok(mut command) = interpreter(*lua) else { continue };
        command
            .arg("-e")
            .arg("io.stdout:write(jit and jit.version or _VERSION, ', ', require'socket'._VERSION)");
        versions.extend(first_line(command).map(|line| (lua.program().to_owned(), line)));
    }
    if let Ok(daemon) = places::daemon() {
        let mut command = Command::new(daemon);
        command.arg("--version");
        versions.extend(first_line(command).map(|line| ("luasocketd".to_owned(), line)));
    }
    for contender in contenders {
        let Some((name, option)) = contender.version_command() else { continue };
        let Some(path) = places::command(name) else { continue };
        if option.is_empty() {
            // It does not say its version, but Debian does.
            let mut command = Command::new("dpkg-query");
            command.args(["--show", "--showformat=${Package} ${Version}", name]);
            versions.extend(first_line(command).map(|line| (name.to_owned(), line)));
            continue;
        }
        let mut command = Command::new(path);
        command.arg(option);
        versions.extend(first_line(command).map(|line| (name.to_owned(), line)));
    }
    versions
}

/// The first line with a number in it, up to where more than the version is said.
fn first_line(mut command: Command) -> Option<String> {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("LUA") {
            command.env_remove(&variable);
        }
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()) && !line.contains("www."))?;
    let ends = [". Copyright", ".  Copyright", " on ", " 20"];
    let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
    Some(line[..end].trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}
