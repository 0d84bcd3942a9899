//! What must not be left behind when somebody interrupts the benchmark: guards do not run then.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

/// What there is now.
struct Left {
    groups: BTreeSet<i32>,
    directories: BTreeSet<PathBuf>,
}

static LEFT: Mutex<Left> = Mutex::new(Left { groups: BTreeSet::new(), directories: BTreeSet::new() });

fn left() -> MutexGuard<'static, Left> {
    // Sets are whole whoever panicked.
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on an interruption ends what was started, too.
///
/// # Errors
/// When signals cannot be waited for.
pub fn watch() -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot wait for signals: {error}");
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let wait = move || {
        let Some(signal) = signals.forever().next() else { return };
        // It is not given back: nothing is started any more.
        let left = left();
        for group in left.groups.iter().filter_map(|group| Pid::from_raw(*group)) {
            // Gone is what it should be.
            let _ = kill_process_group(group, Signal::KILL);
        }
        for directory in &left.directories {
            // What cannot be removed is small and in the directory for such things.
            let _ = std::fs::remove_dir_all(directory);
        }
        std::process::exit(128 + signal);
    };
    thread::Builder::new().spawn(wait).map(drop).map_err(failed)
}

/// Starts a child that leads a process group, and remembers it.
///
/// # Errors
/// Why it cannot be started.
pub fn start(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let mut left = left();
    let child = start()?;
    left.groups.insert(Pid::from_child(&child).as_raw_nonzero().get());
    Ok(child)
}

/// A child has gone, and its group with it.
pub fn forget(child: &Child) {
    left().groups.remove(&Pid::from_child(child).as_raw_nonzero().get());
}

/// A temporary directory, remembered.
///
/// # Errors
/// Why there is none.
pub fn directory() -> Result<TempDir, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    left().directories.insert(directory.path().to_owned());
    Ok(directory)
}
