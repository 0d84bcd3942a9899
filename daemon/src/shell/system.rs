//! The system calls on sockets, each with Linux' errno as its failure.

use std::io;
use std::net::SocketAddr;

use luasocketd_protocol::{Address, Direction, Family, Kind};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::path::{self, pin, place};
use crate::core::{Names, Place};

/// The system's number of a failure.
pub(crate) fn errno(error: &io::Error) -> i32 {
    // The standard library makes no failure without one here.
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// A new non-blocking socket that children do not inherit.
pub(crate) fn open(kind: Kind, family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::Inet | Family::Unspec => Domain::IPV4,
        Family::Inet6 | Family::Dual => Domain::IPV6,
        Family::Unix => Domain::UNIX,
    };
    let (kind, protocol) = match kind {
        Kind::Tcp => (Type::STREAM, Some(Protocol::TCP)),
        Kind::Udp => (Type::DGRAM, Some(Protocol::UDP)),
        Kind::UnixStream => (Type::STREAM, None),
        Kind::UnixDgram => (Type::DGRAM, None),
    };
    let socket = Socket::new(domain, kind.nonblocking().cloexec(), protocol)?;
    if domain == Domain::IPV6 {
        // As LuaSocket has it; `Dual` sockets take it back when they are bound.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

pub(crate) fn bind(
    socket: &Socket,
    place: &Place,
    follow: bool,
    dual: bool,
    reuse: bool,
) -> io::Result<Place> {
    if reuse {
        socket.set_reuse_address(true)?;
    }
    match place {
        Place::Net(address) => {
            if dual && address.is_ipv6() {
                socket.set_only_v6(false)?;
            }
            socket.bind(&(*address).into())?;
        }
        Place::Path(path) => path::bind(socket, path, follow)?,
    }
    local_name(socket)
}

/// Connects to a local socket, which succeeds or fails at once: with `EAGAIN` when its backlog is full.
pub(crate) fn connect_path(socket: &Socket, path: &str, follow: bool) -> io::Result<Names> {
    socket.connect(&pin(path, follow)?.address)?;
    Ok(Names { local: local_name(socket)?, peer: Place::Path(path.to_owned()) })
}

/// Starts to connect; `Ok(true)` when that needed no wait.
pub(crate) fn connect(socket: &Socket, address: SocketAddr) -> io::Result<bool> {
    match socket.connect(&address.into()) {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == libc::EINPROGRESS => Ok(false),
        Err(error) => Err(error),
    }
}

/// How a connect that was under way has ended; `Ok(None)` while it has not.
pub(crate) fn connect_outcome(socket: &Socket) -> io::Result<Option<Names>> {
    match socket.peer_addr() {
        Ok(peer) => Ok(Some(Names { local: local_name(socket)?, peer: place(&peer)? })),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            socket.take_error()?.map_or(Ok(None), Err)
        }
        Err(error) => Err(error),
    }
}

/// Takes one connection, if one waits.
pub(crate) fn accept(listener: &Socket) -> io::Result<Option<(Socket, Names)>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match rustix::net::acceptfrom_with(listener, flags) {
        Ok((socket, peer)) => {
            let socket = Socket::from(socket);
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(Place::Net);
            let peer = peer.map_or_else(|| peer_name(&socket), Ok)?;
            let local = local_name(&socket)?;
            Ok(Some((socket, Names { local, peer })))
        }
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a connection waits on a listening socket.
pub(crate) fn is_acceptable(listener: &Socket) -> io::Result<bool> {
    let mut polled = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::event::poll(&mut polled, Some(&zero))? > 0)
}

pub(crate) fn shutdown(socket: &Socket, direction: Direction) -> io::Result<()> {
    socket.shutdown(match direction {
        Direction::Receive => std::net::Shutdown::Read,
        Direction::Send => std::net::Shutdown::Write,
        Direction::Both => std::net::Shutdown::Both,
    })
}

pub(crate) fn local_name(socket: &Socket) -> io::Result<Place> {
    place(&socket.local_addr()?)
}

pub(crate) fn peer_name(socket: &Socket) -> io::Result<Place> {
    place(&socket.peer_addr()?)
}

/// Calls the scope of a link-local address by its interface's name, as getnameinfo(3) does.
pub(crate) fn name_scope(address: &mut Address) {
    let Some((ip, scope)) = address.host.split_once('%').filter(|_| address.family == Family::Inet6) else {
        return;
    };
    let name = scope.parse().ok().and_then(|index| {
        let any = Socket::new(Domain::IPV6, Type::DGRAM, None).ok()?;
        rustix::net::netdevice::index_to_name(any, index).ok()
    });
    if let Some(name) = name {
        address.host = format!("{ip}%{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_called_by_its_interface() {
        let mut address = Address { family: Family::Inet6, host: "fe80::1%1".into(), port: 1 };
        name_scope(&mut address);
        assert_eq!(address.host, "fe80::1%lo");
        address.host = "fe80::1%999999".into();
        name_scope(&mut address);
        assert_eq!(address.host, "fe80::1%999999", "what has no name keeps its number");
    }
}
