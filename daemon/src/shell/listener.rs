//! The path on which clients find the daemon.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::UnixListener;
use rustix::fs::{FlockOperation, Mode};
use thiserror::Error;

/// Why the daemon cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another daemon is there.
    #[error("a daemon already listens on {}; stop it, or choose another path with {}", .0.display(), .1.option())]
    Busy(PathBuf, Callers),
    /// Something that is no socket is there.
    #[error("{} exists and is no socket; remove it, or choose another path with {}", .0.display(), .1.option())]
    NotASocket(PathBuf, Callers),
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

/// Who may connect to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Scripts: the daemon's user and its group.
    Clients,
    /// Operators: the daemon's user alone.
    Operators,
}

impl Callers {
    /// The bits of the mode that its file does not get.
    fn umask(self) -> Mode {
        Mode::from_raw_mode(match self {
            Callers::Clients => 0o117,
            Callers::Operators => 0o177,
        })
    }

    /// The option that chooses its path.
    fn option(self) -> &'static str {
        match self {
            Callers::Clients => "--socket",
            Callers::Operators => "--admin",
        }
    }
}

/// Whether files are this daemon's to remove: not before it has the place of the one that made them, and not after
/// another one has its own.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// From here on they are.
    pub fn stake(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn give_up(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A listening pipe. Its file goes with it.
#[derive(Debug)]
pub struct PipeListener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, to remove no other daemon's.
    identity: (u64, u64),
    /// Whether the files go with it.
    claim: Claim,
    /// Goes last, with its own file. None where somebody else has bound.
    lock: Option<Lock>,
}

impl PipeListener {
    /// Listens on `path`, whose file gets mode 0660, of operators 0600, under a lock on `path` with `.lock` at its
    /// end.
    ///
    /// A socket file that nobody listens on any more is replaced; a live daemon never is.
    ///
    /// # Errors
    /// [`ListenError`] when another daemon or another kind of file is there, or the system refuses.
    pub fn bind(path: &Path, callers: Callers) -> Result<Self, ListenError> {
        let lock = Lock::take(path, callers)?;
        remove_stale(path, callers)?;
        // The mode has to be right from the first moment, so it cannot be changed after the bind.
        let before = rustix::process::umask(callers.umask());
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let system = |doing| move |error| ListenError::System { doing, path: path.into(), error };
        let socket = bound.map_err(system("listen on"))?;
        let identity = identity(path).map_err(system("look at"))?;
        let claim = lock.claim.clone();
        Ok(PipeListener { socket, path: path.into(), identity, claim, lock: Some(lock) })
    }

    /// Goes on with a socket that listens already: with its lock it is a daemon's, whose files go with this one then, if
    /// it has the `claim`; without, it is that of a service manager, which has made the file and keeps it.
    ///
    /// # Errors
    /// When it is no socket with a path, or the system refuses.
    pub fn inherit(socket: OwnedFd, lock: Option<OwnedFd>, claim: &Claim) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixListener::from(socket);
        socket.set_nonblocking(true)?;
        let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
        let path = path.ok_or_else(|| io::Error::other("it has no path"))?;
        let claim = if lock.is_some() { claim.clone() } else { Claim::default() };
        let lock =
            lock.map(|file| Lock { path: Lock::beside(&path), claim: claim.clone(), file: file.into() });
        let identity = identity(&path)?;
        Ok(PipeListener { socket: UnixListener::from_std(socket), path, identity, claim, lock })
    }

    /// Copies of its descriptors, for whoever is to go on with it: the socket's, and the lock's if it has one.
    ///
    /// # Errors
    /// When the system has no descriptors for them.
    pub fn copies(&self) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        let lock = self.lock.as_ref().map(|lock| lock.file.try_clone()).transpose()?;
        Ok((self.socket.as_fd().try_clone_to_owned()?, lock.map(OwnedFd::from)))
    }

    /// Leaves its files behind: another process goes on with them.
    pub(crate) fn leave(&self) {
        self.claim.give_up();
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
        let is_ours = self.claim.is_held() && identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path, callers: Callers) -> Result<(), ListenError> {
    let system = |doing| move |error| ListenError::System { doing, path: path.into(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.into(), callers));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        // Somebody listens there without our lock: another program, or a daemon whose lock file was
        // removed.
        Ok(_) => Err(ListenError::Busy(path.into(), callers)),
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
    claim: Claim,
    /// Holds the lock; closing it lets go, unless another process has a copy.
    file: File,
}

impl Lock {
    fn take(socket: &Path, callers: Callers) -> Result<Self, ListenError> {
        let path = Lock::beside(socket);
        loop {
            let system = |doing| {
                let path = path.clone();
                move |error| ListenError::System { doing, path, error }
            };
            let file = open_lock(&path).map_err(system("open"))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(ListenError::Busy(socket.into(), callers)),
                Err(errno) => return Err(system("lock")(errno.into())),
            }
            // The last owner may have removed the file between our open and our lock.
            let ours = file.metadata().map(|found| (found.dev(), found.ino())).map_err(system("look at"))?;
            if identity(&path).is_ok_and(|found| found == ours) {
                let claim = Claim::default();
                claim.stake();
                return Ok(Lock { path, claim, file });
            }
        }
    }

    /// Where the lock of a socket is.
    fn beside(socket: &Path) -> PathBuf {
        let mut name = socket.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }
}

impl Drop for Lock {
    /// Removes the file while the lock is still held.
    fn drop(&mut self) {
        if self.claim.is_held()
            && let Err(error) = fs::remove_file(&self.path)
        {
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
        let first = PipeListener::bind(&path, Callers::Clients).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(matches!(PipeListener::bind(&path, Callers::Clients), Err(ListenError::Busy(..))));
        drop(first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // What a daemon that was killed leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        PipeListener::bind(&path, Callers::Clients).unwrap();
    }

    #[test]
    fn operators_have_their_path_for_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.admin");
        let _first = PipeListener::bind(&path, Callers::Operators).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let busy = PipeListener::bind(&path, Callers::Operators).unwrap_err().to_string();
        assert!(busy.contains("--admin"), "{busy}");
    }

    #[test]
    fn a_listener_without_our_lock_and_another_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(PipeListener::bind(&path, Callers::Clients), Err(ListenError::Busy(..))));
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(PipeListener::bind(&path, Callers::Clients), Err(ListenError::NotASocket(..))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the lock is left");
    }
}
