//! What a test needs to look at a jail from outside: a user, a place that he can reach, somebody outside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::build::{copy_program, module_dir, program, repository};
use crate::process::Job;

/// `nobody` and its group.
const NOBODY: u32 = 65534;

/// Who runs the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the test.
    Current,
    /// An ordinary user, where root runs the test.
    Nobody,
}

impl User {
    /// Those that can be tried: root and an ordinary one, or just the ordinary one that there is.
    pub fn all() -> &'static [User] {
        if rustix::process::geteuid().is_root() { &[User::Current, User::Nobody] } else { &[User::Current] }
    }

    /// A command that this user runs.
    pub fn job(self, program: impl AsRef<Path>) -> Job {
        match self {
            User::Current => Job::new(program.as_ref()),
            User::Nobody => Job::new("setpriv").args(self.words()).arg(program.as_ref()),
        }
    }

    /// What goes before a command's words so that this user runs it.
    pub fn prefix(self) -> String {
        match self {
            User::Current => String::new(),
            User::Nobody => format!("setpriv {} ", self.words().join(" ")),
        }
    }

    fn words(self) -> [String; 3] {
        [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]
    }

    fn owns(self, path: &Path) {
        if self == User::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root can give files away");
        }
    }
}

/// A directory with the program, the modules and the programs of `tests/jail`, which every user can reach: the
/// repository may lie where only its owner can.
pub struct Stage {
    user: User,
    directory: TempDir,
}

impl Stage {
    /// Puts everything in place.
    pub fn new(user: User) -> Stage {
        let directory = TempDir::new().expect("a temporary directory");
        let stage = Stage { user, directory };
        for place in ["bin", "lua", "home"] {
            fs::create_dir(stage.path(place)).expect("a directory can be made");
        }
        for place in [".", "bin", "lua"] {
            open_up(&stage.path(place), 0o755);
        }
        user.owns(&stage.path("home"));
        place(&program(), &stage.program());
        for version in ["5.1", "5.2", "5.3", "5.4", "5.5"] {
            copy_all(&module_dir(version), &stage.path("lua").join(version));
        }
        for script in ["attempts.lua", "attempts.py"] {
            place(&repository("tests/jail").join(script), &stage.path(script));
        }
        stage.compile("attempts");
        stage
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.path("bin/luasocketd")
    }

    /// A path in the directory. What is in `home` is the user's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Compiles a program of `tests/jail` to its name without the ending.
    pub fn compile(&self, name: &str) -> PathBuf {
        let (source, to) = (repository("tests/jail").join(format!("{name}.c")), self.path(name));
        let done = Command::new("cc").arg("-o").arg(&to).arg(&source).status().expect("cc runs");
        assert!(done.success(), "cannot compile {}", source.display());
        to
    }

    /// `luasocketd WORDS`, run by the user.
    pub fn luasocketd(&self, words: &[&str]) -> Job {
        self.settle(self.user.job(self.program()).args(words))
    }

    /// Gives a job the environment of this place.
    pub fn settle(&self, job: Job) -> Job {
        // Nothing that the user cannot reach.
        job.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("home"))
            .env("TMPDIR", "/tmp")
    }

    /// A program that would run as somebody else.
    pub fn set_uid_helper(&self) -> PathBuf {
        let path = self.path("helper");
        copy_program(&self.path("attempts"), &path);
        if rustix::process::geteuid().is_root() {
            let owner = if self.user == User::Nobody { 0 } else { NOBODY };
            chown(&path, Some(owner), None).expect("root can give files away");
        }
        open_up(&path, 0o4755);
        path
    }

    /// A file that the user may change.
    pub fn file(&self) -> PathBuf {
        let path = self.path("home/file");
        fs::write(&path, "text").expect("a file can be written");
        self.user.owns(&path);
        path
    }
}

/// A process of the user that is in no jail, and holds a socket.
pub struct Outsider {
    child: Child,
    _peer: UnixStream,
}

impl Outsider {
    /// Starts one. Its standard input is the socket.
    pub fn start(user: User) -> Outsider {
        let (theirs, ours) = UnixStream::pair().expect("a pair can be made");
        let line = format!("exec {}sleep 600", user.prefix());
        let child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .spawn()
            .expect("sh runs");
        Outsider { child, _peer: ours }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not been ended.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process has this text in its command line.
pub fn somebody_says(text: &str) -> bool {
    let all = fs::read_dir("/proc").expect("/proc can be read").flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(text))
}

fn place(from: &Path, to: &Path) {
    // Cheaper, where both are on one file system and the directory above the source lets others through.
    if fs::hard_link(from, to).is_err() {
        copy_program(from, to);
    }
}

fn open_up(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions can be set");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory can be made");
    open_up(to, 0o755);
    let entries = fs::read_dir(from)
        .unwrap_or_else(|error| panic!("{}: {error}; run: cargo xtask test", from.display()));
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            let link = fs::read_link(entry.path()).expect("a link can be read");
            std::os::unix::fs::symlink(link, &target).expect("a link can be made");
        } else {
            place(&entry.path(), &target);
        }
    }
}
