//! Where the daemon is, and a connection to it.
//!
//! The first place that is named wins: an inherited descriptor, a path, then the places where a daemon
//! usually listens. A place that was named on purpose and fails is an error, never passed over in
//! silence: the script would end up with another daemon, and another policy, than was meant for it.

mod raw;

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

/// The number of an inherited descriptor that is a pipe already.
pub(crate) const FD_VARIABLE: &str = "LUASOCKETD_FD";
/// The path of the daemon's socket.
pub(crate) const SOCKET_VARIABLE: &str = "LUASOCKETD_SOCKET";
const RUNTIME_VARIABLE: &str = "XDG_RUNTIME_DIR";
const RUNTIME_NAME: &str = "luasocketd.sock";
const SYSTEM_PATH: &str = "/run/luasocketd/luasocketd.sock";

/// How long to wait between attempts while the daemon has too many clients waiting.
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// How much the kernel may hold of a pipe in each direction. More halves the cost of bulk data; the kernel
/// gives less where its own limit is lower.
const KERNEL_BUFFER: usize = 1024 * 1024;

/// Why there is no pipe. The script reads these as the error of its call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoPipe {
    /// Nobody listens at any of the places.
    #[error(
        "luasocketd: no daemon at {tried}; start one with `luasocketd serve` or set {variable}",
        variable = SOCKET_VARIABLE
    )]
    Absent {
        /// Each path and why it failed.
        tried: String,
    },
    /// The inherited descriptor is none.
    #[error("luasocketd: {variable}={value}: {reason}; it must be the number of an inherited, connected pipe", variable = FD_VARIABLE)]
    Inherited {
        /// The variable's value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The one pipe that this state was given is gone.
    #[error("luasocketd: the pipe that was handed to this Lua state {0}, and there is no way to another one")]
    Spent(&'static str),
    /// Somebody listens, but does not say a word.
    #[error("luasocketd: the daemon does not answer; is it stopped?")]
    Silent,
    /// Something answers, but not as a daemon of this protocol.
    #[error("luasocketd: no pipe to the daemon: {0}")]
    Refused(String),
}

/// Where a Lua state gets its pipe from.
#[derive(Debug)]
pub(crate) enum Source {
    /// From the environment or the usual places.
    Environment,
    /// From the daemon that listens at a path.
    Path(PathBuf),
    /// A connected pipe, handed over by the host; it serves once.
    Handed(RefCell<Option<OwnedFd>>),
}

impl Source {
    /// A new connection, ready for `hello`.
    ///
    /// # Errors
    /// What was tried and why it failed.
    pub(crate) fn connect(&self, limit: Duration) -> Result<OwnedFd, NoPipe> {
        let fd = match self {
            Source::Handed(fd) => fd.take().ok_or(NoPipe::Spent("has ended"))?,
            Source::Path(path) => connect_first(std::slice::from_ref(path), limit)?,
            Source::Environment => match std::env::var_os(FD_VARIABLE) {
                Some(value) => inherited(&value)?,
                None => connect_first(&paths(&|name| std::env::var_os(name)), limit)?,
            },
        };
        prepare(&fd).map_err(|errno| NoPipe::Refused(text(errno)))?;
        Ok(fd)
    }
}

/// The paths to try, in order.
fn paths(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(path) = variable(SOCKET_VARIABLE) {
        return vec![path.into()];
    }
    let runtime = variable(RUNTIME_VARIABLE).map(|directory| Path::new(&directory).join(RUNTIME_NAME));
    runtime.into_iter().chain([SYSTEM_PATH.into()]).collect()
}

fn connect_first(paths: &[PathBuf], limit: Duration) -> Result<OwnedFd, NoPipe> {
    let deadline = Instant::now() + limit;
    let mut tried = Vec::new();
    for path in paths {
        match connect(path, deadline) {
            Ok(fd) => return Ok(fd),
            Err(errno) => tried.push(format!("{}: {}", path.display(), text(errno))),
        }
    }
    Err(NoPipe::Absent { tried: tried.join(", nor at ") })
}

fn connect(path: &Path, deadline: Instant) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    loop {
        match rustix::net::connect(&fd, &address) {
            Ok(()) => return Ok(fd),
            Err(Errno::INTR) => {}
            // The kernel's word for a full backlog.
            Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(BACKLOG_PAUSE),
            Err(Errno::AGAIN) => return Err(Errno::TIMEDOUT),
            Err(errno) => return Err(errno),
        }
    }
}

fn inherited(value: &OsString) -> Result<OwnedFd, NoPipe> {
    let shown = value.to_string_lossy().into_owned();
    let number = shown.parse().ok().filter(|&number: &i32| number >= 0);
    let taken = match number {
        Some(number) => raw::take_inherited(number),
        None => Err("is no descriptor number"),
    };
    taken.map_err(|reason| NoPipe::Inherited { value: shown, reason: reason.to_owned() })
}

/// Sets what every pipe needs. The descriptor must not leak to children: who holds it is the script.
fn prepare(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(fd, true)?;
    // A smaller buffer than wished for only costs speed.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(fd, KERNEL_BUFFER);
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(fd, KERNEL_BUFFER);
    Ok(())
}

fn text(errno: Errno) -> String {
    crate::text::strerror(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        paths(&variable).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_named_path_is_the_only_one() {
        assert_eq!(with(&[(SOCKET_VARIABLE, "/a/b"), (RUNTIME_VARIABLE, "/run/user/1")]), ["/a/b"]);
        assert_eq!(with(&[(SOCKET_VARIABLE, "")]), [""]);
    }

    #[test]
    fn without_a_name_the_usual_places_are_tried_in_turn() {
        assert_eq!(with(&[]), [SYSTEM_PATH]);
        assert_eq!(with(&[(RUNTIME_VARIABLE, "/run/user/1")]), ["/run/user/1/luasocketd.sock", SYSTEM_PATH]);
    }

    #[test]
    fn the_error_names_what_was_tried_and_what_to_do() {
        let paths = ["/nowhere/one".into(), "/nowhere/two".into()];
        let error = connect_first(&paths, Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            "luasocketd: no daemon at /nowhere/one: No such file or directory, nor at /nowhere/two: \
             No such file or directory; start one with `luasocketd serve` or set LUASOCKETD_SOCKET"
        );
    }

    #[test]
    fn an_inherited_descriptor_must_be_a_pipe() {
        let not_open = "is not open (a pipe serves one Lua state, whose children do not inherit it)";
        for (value, reason) in
            [("x", "is no descriptor number"), ("-1", "is no descriptor number"), ("1000000", not_open)]
        {
            let error = inherited(&value.into()).unwrap_err();
            assert_eq!(error, NoPipe::Inherited { value: value.into(), reason: reason.into() });
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file).to_string();
        assert!(inherited(&number.into()).unwrap_err().to_string().contains("is no local socket"));
    }
}
