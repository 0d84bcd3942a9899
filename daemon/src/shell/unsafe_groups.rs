//! The supplementary groups of whoever is at the other end of a pipe: `SO_PEERGROUPS`, for which no crate here
//! has a safe call.
//!
//! The kernel has noted them when the client connected, as it notes user and group. `/proc/PID/status` would
//! say what the process that has the number now has now, which is another question.

#![allow(unsafe_code, reason = "getsockopt(2) with an array whose length only the kernel knows")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// Room for as many groups as nearly everybody has; the kernel says how many more it needs.
const GROUPS_FIRST: usize = 32;

/// The most groups that a process can have (`NGROUPS_MAX` of Linux).
const GROUPS_MAX: usize = 65_536;

/// The groups, in the kernel's order.
///
/// # Errors
/// What the kernel says, of a socket that has no peer for instance.
pub(crate) fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; GROUPS_FIRST];
    loop {
        match read_groups(socket, &mut groups) {
            (Ok(()), count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            (Err(error), count)
                if error.raw_os_error() == Some(libc::ERANGE)
                    && (groups.len()..=GROUPS_MAX).contains(&count) =>
            {
                // One more than asked for, so that each turn has more room than the last.
                groups.resize(count + 1, 0);
            }
            (Err(error), _) => return Err(error),
        }
    }
}

/// Fills `groups`; gives how many there are, also when there is too little room for them.
fn read_groups(socket: &impl AsFd, groups: &mut [libc::gid_t]) -> (io::Result<()>, usize) {
    // It is at most `GROUPS_MAX` times four bytes.
    let mut length = size_of_val(groups) as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the buffer is valid for `length` bytes
    // and its elements are plain numbers; the kernel writes at most `length` bytes to it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &mut length,
        )
    };
    let result = if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    (result, length as usize / size_of::<libc::gid_t>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_to_oneself_has_ones_own_groups() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut own: Vec<u32> = nix_groups();
        let mut found = peer_groups(&ours).unwrap();
        own.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, own);
        // The kernel says how much room it needs.
        let (result, count) = read_groups(&ours, &mut []);
        assert_eq!(count, own.len());
        assert_eq!(result.is_ok(), own.is_empty());
    }

    fn nix_groups() -> Vec<u32> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        line.split_whitespace().map(|gid| gid.parse().unwrap()).collect()
    }
}
