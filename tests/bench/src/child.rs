//! Child processes: ended by their guard with all that they started, their lines read with a limit, their time counted.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::left;

/// How long a child may take to end by itself before it is killed.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(5);
/// What is kept of what a child says on standard error.
const COMPLAINT: u64 = 4096;

/// A running child in a process group of its own; dropping it kills the group.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    complaint: Receiver<String>,
    name: String,
    // Its number is nobody else's until it is waited for, and a group's as long as it has members: after that nothing is sent to it.
    is_reaped: bool,
}

impl Running {
    /// Starts a command without inherited settings of Lua or luasocketd.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub fn start(mut command: Command) -> Result<Running, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        for (variable, _) in std::env::vars_os() {
            // What the caller has set stays.
            let is_set = command.get_envs().any(|(set, _)| set == variable);
            let name = variable.to_string_lossy();
            if (name.starts_with("LUA") || name == "NOTIFY_SOCKET") && !is_set {
                command.env_remove(&variable);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            left::start(|| command.spawn()).map_err(|error| format!("cannot start {name}: {error}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Whatever fails from here on, the guard ends it.
        let (send_line, lines) = mpsc::channel();
        let (send_complaint, complaint) = mpsc::channel();
        let running = Running { child, stdin, lines, complaint, name, is_reaped: false };
        small_thread(move || {
            let lines = BufReader::new(stdout?).lines().map_while(Result::ok);
            // Who no longer listens wants no more.
            lines.map(|line| send_line.send(line)).find(Result::is_err).map(drop)
        })?;
        small_thread(move || {
            let mut stderr = stderr?;
            let mut text = Vec::new();
            // As far as it can be read; the rest is read so that the child does not wait.
            let _ = stderr.by_ref().take(COMPLAINT).read_to_end(&mut text);
            let _ = send_complaint.send(String::from_utf8_lossy(&text).trim().to_owned());
            io::copy(&mut stderr, &mut io::sink()).ok().map(drop)
        })?;
        Ok(running)
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// When it ends instead, or takes longer: what it said on standard error.
    pub fn line(&mut self, limit: Duration) -> Result<String, String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.failed(&format!("said nothing for {} s", limit.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("ended too early")),
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it has gone: what it said on standard error.
    pub fn tell(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("standard input was closed")?;
        let told = stdin.write_all(format!("{line}\n").as_bytes());
        told.map_err(|error| self.failed(&format!("does not listen: {error}")))
    }

    /// Ends its input and waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not, or with a failure.
    pub fn finish(&mut self) -> Result<(), String> {
        self.stdin = None;
        self.gone()?;
        match self.end() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.failed(&format!("ended with {status}"))),
            Err(error) => Err(format!("{} cannot be waited for: {error}", self.name)),
        }
    }

    /// Interrupts it, as a keyboard does, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not.
    pub fn interrupt(&mut self) -> Result<(), String> {
        // Gone is what it should be.
        if self.is_running() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        }
        self.gone()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !self.is_reaped && matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), how), Ok(None))
    }

    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of processor time that its group has used, those included that have ended and were waited for.
    pub fn cpu(&self) -> f64 {
        let ticks: u64 = group(self.pid()).map(|stat| stat.ticks).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Waits until it has ended by itself.
    fn gone(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + LAST_WAIT;
        while self.is_running() {
            if Instant::now() > deadline {
                return Err(self.failed("does not end"));
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Ends it and what it has left behind; how it ended.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if !self.is_reaped {
            // Gone is what it should be.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            left::forget(&self.child);
            self.is_reaped = true;
        }
        self.child.wait()
    }

    /// What is wrong with it, and what it said of that on standard error. It is ended.
    fn failed(&mut self, what: &str) -> String {
        // How it ended says less than what it said.
        let _ = self.end();
        let said = self.complaint.recv_timeout(LAST_WAIT).unwrap_or_default();
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{} {what}{colon}{said}", self.name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        if self.is_running() {
            // In order first: some have children elsewhere, or files.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + LAST_WAIT;
            while self.is_running() && Instant::now() < deadline {
                thread::sleep(TICK);
            }
        }
        // It was ours to wait for.
        let _ = self.end();
    }
}

/// A thread for a pipe, of which there may be thousands.
fn small_thread(work: impl FnOnce() -> Option<()> + Send + 'static) -> Result<(), String> {
    let started = thread::Builder::new().stack_size(64 * 1024).spawn(work);
    started.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}

/// What /proc/PID/stat says of a process, as far as it is used here: proc_pid_stat(5).
struct Stat {
    group: u32,
    ticks: u64,
}

fn group(pid: u32) -> impl Iterator<Item = Stat> {
    let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(|number| stat(&fs::read_to_string(format!("/proc/{number}/stat")).ok()?)).filter(
        // Its children have its group, unless they leave it; none of those used here does.
        move |stat| stat.group == pid,
    )
}

fn stat(text: &str) -> Option<Stat> {
    // The name may have anything in it, also parentheses.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    // From utime to cstime.
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat { group: fields.get(2)?.parse().ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_whatever_the_name() {
        let text = "7 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7";
        let stat = stat(text).unwrap();
        assert_eq!((stat.group, stat.ticks), (42, 100));
        assert!(super::stat("7 (a").is_none());
    }

    #[test]
    fn what_a_child_said_is_in_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; read line; echo $line; echo oops >&2; exit 3"]);
        let mut child = Running::start(command).unwrap();
        assert_eq!(child.line(LAST_WAIT).as_deref(), Ok("one"));
        child.tell("two").unwrap();
        assert_eq!(child.line(LAST_WAIT).as_deref(), Ok("two"));
        let error = child.line(LAST_WAIT).unwrap_err();
        assert!(error.ends_with("ended too early: oops"), "{error}");
    }
}
