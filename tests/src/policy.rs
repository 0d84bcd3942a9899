//! A policy file of a test's own, and the daemon that reads it.

use std::path::PathBuf;

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::daemon::Daemon;

/// A policy file in a directory of its own.
pub struct PolicyFile {
    directory: TempDir,
    path: PathBuf,
}

impl PolicyFile {
    /// A file with this text.
    pub fn new(text: &str) -> PolicyFile {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let path = directory.path().join("policy.toml");
        let file = PolicyFile { directory, path };
        file.write(text);
        file
    }

    /// A file with one profile, for whoever runs the tests.
    pub fn own(text: &str) -> PolicyFile {
        PolicyFile::new(&own_profile(text))
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("a temporary path is text")
    }

    /// Its directory, which goes with it.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A daemon with this policy.
    pub fn daemon(&self) -> Daemon {
        Daemon::with_args(&["--config", self.path()])
    }

    /// Replaces the text, and has the daemon read it.
    pub fn swap(&self, daemon: &Daemon, text: &str) {
        self.write(text);
        daemon.signal(Signal::HUP);
    }

    /// Replaces the text, and nobody is told.
    pub fn write(&self, text: &str) {
        std::fs::write(&self.path, text).expect("a file can be written");
    }
}

/// The text of a profile for whoever runs the tests.
pub fn own_profile(text: &str) -> String {
    format!("[[profile]]\nname = \"own\"\nuid = {}\n{text}\n", geteuid().as_raw())
}
