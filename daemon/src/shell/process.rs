//! What the system tells of a client's process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Whom a daemon asks that may not look itself: one that is confined by Landlock sees no process that is not.
/// There is one for the process, as the confinement is, and it is asked once for each client, by one loop at a time.
static WITNESS: OnceLock<Mutex<UnixDatagram>> = OnceLock::new();

/// How long an answer may take, which the loop waits for: a witness that has nothing to do needs some microseconds. A
/// client whose program is not known by then is served all the same.
const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// The bytes of a process' number, with which a question and its answer begin.
const NUMBER_BYTES: usize = size_of::<i32>();

/// The longest answer: the kernel tells of no longer path.
const ANSWER_MAX: usize = NUMBER_BYTES + 4096;

/// From here on `witness` is asked for the programs of processes that cannot be looked at from here. It gets a number, and
/// answers with that number and the path, which is empty for none.
///
/// # Errors
/// The system's.
pub fn set_witness(witness: UnixDatagram) -> io::Result<()> {
    witness.set_read_timeout(Some(ANSWER_WAIT))?;
    // A second one is not needed: the first has the same sight.
    let _ = WITNESS.set(Mutex::new(witness));
    Ok(())
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
    let witness = WITNESS.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    witness.send(&pid.to_ne_bytes()).ok()?;
    let until = Instant::now() + ANSWER_WAIT;
    let mut answer = vec![0; ANSWER_MAX];
    while Instant::now() < until {
        let length = witness.recv(&mut answer).ok()?;
        let (number, path) = answer[..length].split_at_checked(NUMBER_BYTES)?;
        // Else it comes too late, for an earlier question.
        if number == pid.to_ne_bytes() {
            return (!path.is_empty()).then(|| OsString::from_vec(path.to_vec()));
        }
    }
    None
}

/// Answers one question of a daemon that may not look itself.
///
/// # Errors
/// The system's.
pub fn bear_witness(daemon: &UnixDatagram) -> io::Result<()> {
    let mut number = [0; NUMBER_BYTES];
    if daemon.recv(&mut number)? == NUMBER_BYTES {
        let path = look(i32::from_ne_bytes(number)).unwrap_or_default().into_vec();
        let mut answer = [&number[..], &path].concat();
        answer.truncate(ANSWER_MAX);
        daemon.send(&answer)?;
    }
    Ok(())
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
        let (daemon, witness) = UnixDatagram::pair().unwrap();
        let ask = |pid: i32| {
            daemon.send(&pid.to_ne_bytes()).unwrap();
            bear_witness(&witness).unwrap();
            let mut answer = [0; ANSWER_MAX];
            let length = daemon.recv(&mut answer).unwrap();
            assert_eq!(answer[..NUMBER_BYTES], pid.to_ne_bytes());
            String::from_utf8(answer[NUMBER_BYTES..length].to_vec()).unwrap()
        };
        let own = std::env::current_exe().unwrap();
        assert_eq!(ask(std::process::id() as i32), own.to_str().unwrap());
        assert_eq!(ask(0), "");
    }
}
