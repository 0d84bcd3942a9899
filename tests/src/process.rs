//! Child processes with a time limit and captured output.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;

/// The limit of a job that names no other: far above what any of them needs.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);
/// How long a child may take for its next line.
const LINE_LIMIT: Duration = Duration::from_secs(30);
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(5);

/// A command to be run, with everything that is needed to repeat it by hand.
pub struct Job {
    command: Command,
    script: Option<NamedTempFile>,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Job {
    /// A command without inherited Lua or luasocketd settings.
    pub fn new(program: impl AsRef<OsStr>) -> Job {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("LUA") || name_text == "NOTIFY_SOCKET" {
                command.env_remove(&name);
            }
        }
        Job { command, script: None, stdin: Vec::new(), limit: DEFAULT_LIMIT }
    }

    /// A command to which keyboard signals mean what they usually mean: whoever runs the tests in the background may
    /// have them ignored, and a shell cannot take that back.
    pub fn unignored(program: impl AsRef<OsStr>) -> Job {
        Job::new("env").arg("--default-signal=INT,QUIT").arg(program)
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Job {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Job {
        self.command.args(args);
        self
    }

    /// Adds the path of a file with this text as an argument. The file goes with the job; a failure shows it.
    pub fn script(mut self, text: &str) -> Job {
        let mut file =
            tempfile::Builder::new().suffix(".lua").tempfile().expect("a temporary file can be created");
        file.write_all(text.as_bytes()).expect("a temporary file can be written");
        self.command.arg(file.path());
        self.script = Some(file);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Job {
        self.command.env(name, value);
        self
    }

    /// Bytes for its standard input, which ends after them.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Job {
        self.stdin = bytes.into();
        self
    }

    /// Replaces the time limit.
    pub fn limit(mut self, limit: Duration) -> Job {
        self.limit = limit;
        self
    }

    /// The shell line that repeats it.
    pub fn shell_line(&self) -> String {
        let env = self
            .command
            .get_envs()
            .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args()).map(quoted);
        env.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Starts it, in a process group of its own so that its guard can end all of it.
    pub fn start(mut self) -> Running {
        let shell_line = self.shell_line();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            self.command.spawn().unwrap_or_else(|error| panic!("cannot start `{shell_line}`: {error}"));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let bytes = self.stdin;
        // A child that does not read its input must not block the test.
        thread::spawn(move || stdin.write_all(&bytes));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        let started = Instant::now();
        Running { child, stdout, stderr, script: self.script, shell_line, limit: self.limit, started }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }
}

/// A child that runs; dropping it kills it and what it started.
pub struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
    script: Option<NamedTempFile>,
    shell_line: String,
    limit: Duration,
    started: Instant,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it (not its children) a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid_of(&self.child), signal).expect("the child is there until it is waited for");
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// The next line that it prints, without its end; panics when none comes in time.
    pub fn line(&mut self) -> String {
        match self.stdout.line(Instant::now() + LINE_LIMIT) {
            Some(line) => line,
            None => {
                let line = self.shell_line.clone();
                let text = String::from_utf8_lossy(&self.stdout.bytes).into_owned();
                self.kill();
                let errors = String::from_utf8_lossy(&self.stderr.rest()).into_owned();
                panic!("no further line from `{line}`\nstdout rest: {text}\nstderr: {errors}")
            }
        }
    }

    /// Waits for its end; past the limit it is killed and the test fails.
    pub fn finish(self) -> Outcome {
        let limit = self.limit;
        let outcome = self.finish_or_kill();
        assert!(!outcome.timed_out, "not done after {limit:?}\n{outcome}");
        outcome
    }

    /// Waits for its end, or kills it past the limit.
    pub fn finish_or_kill(mut self) -> Outcome {
        let deadline = self.started + self.limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if Instant::now() > deadline {
                self.kill();
                return self.outcome(ExitStatus::from_raw(Signal::KILL.as_raw()), true);
            }
            thread::sleep(TICK);
        };
        self.outcome(status, false)
    }

    fn outcome(&mut self, status: ExitStatus, timed_out: bool) -> Outcome {
        Outcome {
            status,
            timed_out,
            stdout: self.stdout.rest(),
            stderr: self.stderr.rest(),
            took: self.started.elapsed(),
            script: self.script.as_ref().and_then(|file| std::fs::read_to_string(file.path()).ok()),
            shell_line: self.shell_line.clone(),
        }
    }

    fn kill(&mut self) {
        if self.is_running() {
            let _ = kill_process_group(pid_of(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a job ended.
pub struct Outcome {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// What it printed (without the lines that [`Running::line`] took).
    pub stdout: Vec<u8>,
    /// What it printed as errors.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
    /// The script that it was given as text, which is gone from the disk.
    pub script: Option<String>,
    /// The shell line that repeats it.
    pub shell_line: String,
}

impl Outcome {
    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its errors as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics unless it ended with code 0; gives its output.
    pub fn success(&self) -> String {
        assert!(self.status.success(), "{self}");
        self.text()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let limit = 8192; // the end of a long output says enough
        let tail =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(limit)..]).into_owned();
        write!(
            f,
            "{}{} after {:?}\nrepeat: {}\nstdout: {}\nstderr: {}",
            self.status,
            if self.timed_out { " (its time was up)" } else { "" },
            self.took,
            self.shell_line,
            tail(&self.stdout),
            tail(&self.stderr)
        )?;
        self.script
            .as_ref()
            .map_or(Ok(()), |text| write!(f, "\nthe script, which was a temporary file:\n{text}"))
    }
}

/// Waits until `check` holds; panics with `what` when it does not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !check() {
        assert!(Instant::now() < deadline, "not so after {limit:?}: {what}");
        thread::sleep(TICK);
    }
}

/// A child's output, read by a thread of its own so that the child never blocks on it.
struct Output {
    pieces: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Output {
    fn line(&mut self, deadline: Instant) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.bytes.extend(self.pieces.recv_timeout(left).ok()?);
        }
    }

    /// Everything up to the end. A process that outlives its parent may hold the pipe: do not wait for it.
    fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(2);
        while let Ok(piece) = self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.bytes.extend(piece);
        }
        std::mem::take(&mut self.bytes)
    }
}

fn collect(mut source: impl Read + Send + 'static) -> Output {
    let (sender, pieces) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    Output { pieces, bytes: Vec::new() }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn quoted(word: &OsStr) -> String {
    let word = OsString::from(word).to_string_lossy().into_owned();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
