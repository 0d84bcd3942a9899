//! A served daemon for one test.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::build::program;
use crate::network::in_namespace;
use crate::process::{Job, Outcome, Running, wait_until};
use crate::trail::Trail;

/// How long a daemon may live; no test comes near.
const LIFETIME: Duration = Duration::from_secs(900);

/// `luasocketd serve` on a socket in a directory of its own; killed when dropped.
pub struct Daemon {
    running: Running,
    socket: PathBuf,
    directory: TempDir,
}

impl Daemon {
    /// A daemon that allows everything.
    pub fn start() -> Daemon {
        Daemon::with_args(&["--allow", "*"])
    }

    /// A daemon that allows nothing.
    pub fn deny_all() -> Daemon {
        Daemon::with_args(&[])
    }

    /// A daemon with these arguments after `serve --socket PATH`.
    pub fn with_args(args: &[&str]) -> Daemon {
        Daemon::launch(new_directory(), |socket| Daemon::job(socket).args(args))
    }

    /// A daemon that allows everything and may open only so many descriptors.
    pub fn with_descriptor_limit(limit: u32) -> Daemon {
        Daemon::launch(new_directory(), |socket| {
            let line = format!(r#"ulimit -n {limit}; exec "$0" serve --no-audit --socket "$1" --allow '*'"#);
            Job::new("sh").arg("-c").arg(line).arg(program()).arg(socket).limit(LIFETIME)
        })
    }

    /// A daemon that `job` starts, given the program and the path to listen on.
    pub fn launched(job: impl FnOnce(&Path, &Path) -> Job) -> Daemon {
        Daemon::launch(new_directory(), |socket| job(&program(), socket).limit(LIFETIME))
    }

    /// The job `luasocketd serve --socket PATH`, not started. Its trail is beside the socket, and nothing waits for
    /// the disk.
    pub fn job(socket: &Path) -> Job {
        Daemon::strict_job(socket).arg("--durability").arg("relaxed")
    }

    /// The same job, which has every decision on the disk before it does anything.
    fn strict_job(socket: &Path) -> Job {
        let job = Job::new(program()).arg("serve").arg("--socket").arg(socket).limit(LIFETIME);
        job.arg("--audit").arg(trail_beside(socket))
    }

    /// A daemon that allows everything and has every decision on the disk before it does anything.
    pub fn strict() -> Daemon {
        Daemon::launch(new_directory(), |socket| Daemon::strict_job(socket).args(["--allow", "*"]))
    }

    /// A new one of these on the path and with the trail of one that was killed.
    pub fn restart_strict(mut self) -> Daemon {
        if self.is_running() {
            self.kill();
        }
        let Daemon { directory, .. } = self;
        Daemon::launch(directory, |socket| Daemon::strict_job(socket).args(["--allow", "*"]))
    }

    /// A new daemon on the path of one that was killed.
    pub fn restart(mut self) -> Daemon {
        if self.is_running() {
            self.kill();
        }
        let Daemon { directory, .. } = self;
        Daemon::launch(directory, |socket| Daemon::job(socket).args(["--allow", "*"]))
    }

    fn launch(directory: TempDir, job: impl FnOnce(&Path) -> Job) -> Daemon {
        let socket = directory.path().join("daemon.sock");
        let mut running = job(&socket).start();
        let ready = running.line();
        assert_eq!(ready, format!("ready {}", socket.display()), "the ready line");
        Daemon { running, socket, directory }
    }

    /// Its trail.
    pub fn trail(&self) -> Trail {
        Trail::at(trail_beside(&self.socket))
    }

    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        wait_until("the killed daemon is gone", Duration::from_secs(5), || !self.running.is_running());
    }

    /// Waits until it ends by itself.
    pub fn finish(self) -> Outcome {
        self.running.finish()
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    /// One in namespaces of its own, whose resolver asks a server that takes questions and says nothing. The path of its
    /// pipe is in the common file system, so that scripts outside reach it.
    pub fn with_silent_name_server() -> Daemon {
        Daemon::launched(|program, socket| {
            let line = r#"
                set -e
                ip link set lo up
                echo 'nameserver 127.0.0.1' > "$2.resolv"
                echo 'options attempts:1 timeout:20' >> "$2.resolv"
                mount --bind "$2.resolv" /etc/resolv.conf
                python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
open(sys.argv[1], "w").close()
time.sleep(60)' "$2.silent" &
                until [ -e "$2.silent" ]; do sleep 0.05; done
                exec "$1" serve --no-audit --socket "$2" --allow '*'
            "#;
            in_namespace(line).arg(program).arg(socket)
        })
    }

    /// How many descriptors it has open, but for the files of its trail, of which the number changes by itself.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        let trail = trail_beside(&self.socket);
        let all = std::fs::read_dir(path).expect("the daemon runs").filter_map(Result::ok);
        all.filter(|fd| !std::fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(&trail))).count()
    }

    /// Waits until it has no more descriptors open than `baseline`.
    pub fn settle_to(&self, baseline: usize, limit: Duration) {
        wait_until("the daemon has closed what it held", limit, || self.descriptors() <= baseline);
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number of kB");
        kib * 1024
    }

    /// A bare connection to its pipe, with bounded reads and writes.
    pub fn pipe(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("the daemon listens");
        let limit = Some(Duration::from_secs(10));
        stream.set_read_timeout(limit).expect("a limit above zero is taken");
        stream.set_write_timeout(limit).expect("a limit above zero is taken");
        stream
    }

    /// The path where operators find it.
    pub fn admin(&self) -> PathBuf {
        self.directory.path().join("daemon.sock.admin")
    }

    /// The job `luasocketd COMMAND`, by an operator of this daemon.
    pub fn operator(&self, command: &str) -> Job {
        Job::new(program()).arg(command).arg("--admin").arg(self.admin())
    }

    /// What a command of an operator answers, as JSON.
    pub fn json(&self, command: &str, args: &[&str]) -> Value {
        let text = self.operator(command).arg("--json").args(args).run().success();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The directory of its socket.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn trail_beside(socket: &Path) -> PathBuf {
    socket.with_extension("audit")
}

fn new_directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be created")
}
