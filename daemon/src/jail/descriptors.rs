//! What is left open: the standard descriptors and the pipe.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// Closes everything but 0, 1, 2 and `pipe`: whatever our own parent had open without knowing of us. Only for
/// a process that owns no other descriptor yet.
///
/// # Errors
/// When `/proc` does not say what is open.
pub fn close_others(pipe: Option<RawFd>) -> io::Result<()> {
    let listed: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2 && Some(*number) != pipe)
        .collect();
    for number in listed {
        match nix::unistd::close(number) {
            // The list's own descriptor was in the list, too.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether nothing can be reached through the standard descriptors but what they are connected to.
///
/// # Errors
/// Which of them could be sent elsewhere.
pub fn check_standard(unix: bool) -> Result<(), String> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for standard in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        if let Some(problem) = problem(standard, unix) {
            return Err(format!(
                "descriptor {} is {problem}, which reaches more than one peer; connect it to a file, a pipe \
                 or a connected stream",
                standard.as_raw_fd()
            ));
        }
    }
    Ok(())
}

fn problem(standard: BorrowedFd<'_>, unix: bool) -> Option<&'static str> {
    let family = match sockopt::socket_domain(standard) {
        Ok(family) => family,
        // No socket, or nothing at all.
        Err(_) => return None,
    };
    match sockopt::socket_type(standard) {
        Ok(SocketType::STREAM | SocketType::SEQPACKET) => {}
        // `sendmsg` takes an address in memory, where no filter can see it.
        Ok(_) | Err(_) => return Some("a datagram socket"),
    }
    if sockopt::socket_acceptconn(standard).unwrap_or(true) {
        return Some("a listening socket");
    }
    if rustix::net::getpeername(standard).is_err() {
        return Some("a socket without a peer");
    }
    // With local sockets `connect` is allowed, and would take a socket of another family to another peer.
    (unix && family != AddressFamily::UNIX).then_some("a network socket, and --unix was given")
}
