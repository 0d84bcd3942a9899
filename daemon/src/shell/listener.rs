//! The path on which clients find the daemon.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::fs::{FlockOperation, Mode};
use thiserror::Error;

/// Why the daemon cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another daemon is there.
    #[error("a daemon already listens on {}; stop it, or choose another path with --socket", .0.display())]
    Busy(PathBuf),
    /// Something that is no socket is there.
    #[error("{} exists and is no socket; remove it, or choose another path with --socket", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot {doing} {}: {error}", path.display())]
    System {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A listening pipe. Its file goes with it.
#[derive(Debug)]
pub struct PipeListener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, to remove no other daemon's.
    identity: (u64, u64),
    /// Goes last, with its own file.
    _lock: Lock,
}

impl PipeListener {
    /// Listens on `path`, whose file gets mode 0660, under a lock on `path` with `.lock` at its end.
    ///
    /// A socket file that nobody listens on any more is replaced; a live daemon never is.
    ///
    /// # Errors
    /// [`ListenError`] when another daemon or another kind of file is there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let lock = Lock::take(path)?;
        remove_stale(path)?;
        // The mode has to be right from the first moment, so it cannot be changed after the bind.
        let before = rustix::process::umask(Mode::from_raw_mode(0o117));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let system = |doing| move |error| ListenError::System { doing, path: path.into(), error };
        let socket = bound.map_err(system("listen on"))?;
        let identity = identity(path).map_err(system("look at"))?;
        Ok(PipeListener { socket, path: path.into(), identity, _lock: lock })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn source(&mut self) -> &mut UnixListener {
        &mut self.socket
    }

    /// The next client, if one waits.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((stream, _)) => Ok(Some(UnixStream::from(OwnedFd::from(stream)))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for PipeListener {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let system = |doing| move |error| ListenError::System { doing, path: path.into(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(path.into())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        // Somebody listens there without our lock: another program, or a daemon whose lock file was
        // removed.
        Ok(_) => Err(ListenError::Busy(path.into())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(system("remove the stale socket"))
        }
        Err(error) => Err(system("find out who listens on")(error)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// The lock of a path: a file beside it, locked for as long as the daemon lives.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    /// Holds the lock; closing it lets go.
    _file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, ListenError> {
        let mut name = socket.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            let system = |doing| {
                let path = path.clone();
                move |error| ListenError::System { doing, path, error }
            };
            let file = open_lock(&path).map_err(system("open"))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(ListenError::Busy(socket.into())),
                Err(errno) => return Err(system("lock")(errno.into())),
            }
            // The last owner may have removed the file between our open and our lock.
            let ours = file.metadata().map(|found| (found.dev(), found.ino())).map_err(system("look at"))?;
            if identity(&path).is_ok_and(|found| found == ours) {
                return Ok(Lock { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    /// Removes the file while the lock is still held.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_daemon_is_not_displaced_and_a_stale_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let first = PipeListener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(matches!(PipeListener::bind(&path), Err(ListenError::Busy(_))));
        drop(first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // What a daemon that was killed leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        PipeListener::bind(&path).unwrap();
    }

    #[test]
    fn a_listener_without_our_lock_and_another_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(PipeListener::bind(&path), Err(ListenError::Busy(_))));
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(PipeListener::bind(&path), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the lock is left");
    }
}
