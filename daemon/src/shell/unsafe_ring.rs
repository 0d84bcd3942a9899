//! A socket's bytes straight out of a client's ring, and into it: sendmsg(2) and recvmsg(2) on memory of which no
//! reference may be made.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use libc::{c_int, iovec, msghdr};
use luasocketd_protocol::{Part, RingDirection};

/// Sends what lies in these parts.
///
/// # Errors
/// What sendmsg(2) says.
pub(crate) fn send_parts(
    socket: &impl AsRawFd,
    memory: &RingDirection,
    parts: [Part; 2],
) -> io::Result<usize> {
    let mut pieces = pieces(memory, parts);
    let message = message(&mut pieces);
    // SAFETY: the message's pieces are parts of the ring, which is mapped as long as `memory` is there; the system
    // reads them. What the client writes there meanwhile goes out as it is found.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    checked(sent)
}

/// Receives into these parts.
///
/// # Errors
/// What recvmsg(2) says.
pub(crate) fn receive_parts(
    socket: &impl AsRawFd,
    memory: &RingDirection,
    parts: [Part; 2],
) -> io::Result<usize> {
    let mut pieces = pieces(memory, parts);
    let mut message = message(&mut pieces);
    let flags: c_int = 0;
    // SAFETY: as in `send_parts`; the system writes to them, and nothing in this process refers to them.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    checked(received)
}

fn pieces(memory: &RingDirection, parts: [Part; 2]) -> [iovec; 2] {
    parts.map(|part| iovec { iov_base: memory.place(part.at, part.length).cast(), iov_len: part.length })
}

fn message(pieces: &mut [iovec; 2]) -> msghdr {
    // SAFETY: all zeros are a message without anything.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len() as _;
    message
}

fn checked(length: isize) -> io::Result<usize> {
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use luasocketd_protocol::{RING_SIZE, Ring};

    use super::*;

    #[test]
    fn bytes_go_from_a_ring_to_a_socket_and_from_a_socket_to_a_ring() {
        let (mut daemon, file) = Ring::create().unwrap();
        let mut client = Ring::open(&file).unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        // Around the end of the ring, too.
        for round in 0..40u8 {
            let bytes = vec![round; RING_SIZE as usize / 7];
            client.sender.write(&[b"head", &bytes]).unwrap();
            let mut got = vec![0; bytes.len()];
            let sent = std::thread::scope(|scope| {
                let reader = scope.spawn(|| far.read_exact(&mut got));
                let mut sent = 0;
                while sent < bytes.len() {
                    let parts = daemon.receiver.parts(4 + sent, 4 + bytes.len()).unwrap();
                    sent += send_parts(&near, daemon.receiver.memory(), parts).unwrap();
                }
                reader.join().unwrap().unwrap();
                sent
            });
            daemon.receiver.pass(4 + sent).unwrap();
            assert_eq!(got, bytes);
            far.write_all(&bytes[..1000]).unwrap();
            let parts = daemon.sender.gap(4, 4 + 5000).unwrap();
            let received = receive_parts(&near, daemon.sender.memory(), parts).unwrap();
            daemon.sender.wrote(b"back", received).unwrap();
            let mut got = vec![0; 4 + received];
            assert_eq!(client.receiver.read(&mut got), Ok(1004));
            assert_eq!((&got[..4], &got[4..]), (&b"back"[..], &bytes[..1000]));
        }
        near.flush().unwrap();
    }
}
