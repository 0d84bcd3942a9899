//! What the system tells of a client's process.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Whom a daemon asks that may not look itself: one that is confined by Landlock sees no process that is not.
/// There is one for the process, as the confinement is, and it is asked once for each client.
static WITNESS: OnceLock<Mutex<UnixStream>> = OnceLock::new();

/// How long an answer may take, which the loop waits for: a witness that has nothing to do needs some microseconds.
const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// The longest path that the kernel tells of a program.
const PATH_MAX: usize = 4096;

/// From here on `witness` is asked for the programs of processes that cannot be looked at from here. It gets a number in
/// four bytes, and answers with the length of the path in two bytes, 0 for none, and the path.
pub fn set_witness(witness: UnixStream) {
    // A second one is not needed: the first has the same sight.
    let _ = WITNESS.set(Mutex::new(witness));
}

/// The program that a process runs, as long as that can be seen; a process that has ended, or lives where the
/// daemon cannot look, has none. The file may have been removed since: then the kernel says so behind its name
/// (proc_pid_exe(5)).
pub(crate) fn executable(pid: i32) -> Option<String> {
    let link = look(pid).or_else(|| ask(pid))?;
    Some(link.to_string_lossy().into_owned())
}

fn look(pid: i32) -> Option<OsString> {
    Some(fs::read_link(format!("/proc/{pid}/exe")).ok()?.into_os_string())
}

fn ask(pid: i32) -> Option<OsString> {
    let mut witness = WITNESS.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let path = exchange(&mut witness, pid);
    if path.is_err() {
        // An answer that comes too late would be taken for the next one.
        let _ = witness.shutdown(Shutdown::Both);
    }
    let path = path.ok()?;
    (!path.is_empty()).then(|| OsString::from_vec(path))
}

fn exchange(witness: &mut UnixStream, pid: i32) -> io::Result<Vec<u8>> {
    witness.set_read_timeout(Some(ANSWER_WAIT))?;
    witness.write_all(&pid.to_ne_bytes())?;
    let mut length = [0; 2];
    witness.read_exact(&mut length)?;
    let mut path = vec![0; usize::from(u16::from_ne_bytes(length)).min(PATH_MAX)];
    witness.read_exact(&mut path)?;
    Ok(path)
}

/// Answers one question of a daemon that may not look itself; says whether it is still there.
///
/// # Errors
/// The system's.
pub fn bear_witness(daemon: &mut UnixStream) -> io::Result<bool> {
    let mut pid = [0; 4];
    match daemon.read_exact(&mut pid) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let path = look(i32::from_ne_bytes(pid)).unwrap_or_default().into_vec();
    let path = &path[..path.len().min(PATH_MAX)];
    daemon.write_all(&(path.len() as u16).to_ne_bytes())?;
    daemon.write_all(path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_program_is_seen_and_nobodys_is_not() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(executable(std::process::id() as i32), Some(own.to_string_lossy().into_owned()));
        assert_eq!(executable(0), None);
    }

    #[test]
    fn a_witness_says_what_it_sees() {
        let (mut daemon, mut witness) = UnixStream::pair().unwrap();
        let ask = |pid: u32, daemon: &mut UnixStream, witness: &mut UnixStream| {
            daemon.write_all(&(pid as i32).to_ne_bytes()).unwrap();
            assert!(bear_witness(witness).unwrap());
            let mut length = [0; 2];
            daemon.read_exact(&mut length).unwrap();
            let mut path = vec![0; u16::from_ne_bytes(length).into()];
            daemon.read_exact(&mut path).unwrap();
            String::from_utf8(path).unwrap()
        };
        let own = std::env::current_exe().unwrap();
        assert_eq!(ask(std::process::id(), &mut daemon, &mut witness), own.to_str().unwrap());
        assert_eq!(ask(0, &mut daemon, &mut witness), "");
        drop(daemon);
        assert!(!bear_witness(&mut witness).unwrap());
    }
}
