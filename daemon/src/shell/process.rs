//! What the system tells of a client's process.

use std::fs;

/// The program that a process runs, as long as that can be seen; a process that has ended, or lives where the
/// daemon cannot look, has none. The file may have been removed since: then the kernel says so behind its name
/// (proc_pid_exe(5)).
pub(crate) fn executable(pid: i32) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(link.to_string_lossy().into_owned())
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
}
