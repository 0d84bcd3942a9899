//! The system calls on sockets, each with Linux' errno as its failure.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use luasocketd_protocol::{Direction, Family, OptionValue, TcpOption};
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::core::Names;

/// `EIO`, for the failures that carry no errno; the standard library makes none of them here.
const EIO: i32 = 5;

/// `EINVAL`.
const EINVAL: i32 = 22;

/// `EINPROGRESS`.
pub(crate) const EINPROGRESS: i32 = 115;

pub(crate) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(EIO)
}

/// A new non-blocking TCP socket that children do not inherit.
pub(crate) fn open(family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::Inet | Family::Unspec => Domain::IPV4,
        Family::Inet6 | Family::Dual => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        // As LuaSocket has it; `Dual` sockets take it back when they are bound.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

pub(crate) fn bind(socket: &Socket, address: SocketAddr, dual: bool, reuse: bool) -> io::Result<SocketAddr> {
    if reuse {
        socket.set_reuse_address(true)?;
    }
    if dual && address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    local_name(socket)
}

/// Starts to connect; `Ok(true)` when that needed no wait.
pub(crate) fn connect(socket: &Socket, address: SocketAddr) -> io::Result<bool> {
    match socket.connect(&address.into()) {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == EINPROGRESS => Ok(false),
        Err(error) => Err(error),
    }
}

/// How a connect that was under way has ended; `Ok(None)` while it has not.
pub(crate) fn connect_outcome(socket: &Socket) -> io::Result<Option<Names>> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(peer) => Ok(Some(Names { local: local_name(socket)?, peer: inet(peer)? })),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes one connection, if one waits.
pub(crate) fn accept(listener: &Socket) -> io::Result<Option<(Socket, Names)>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match rustix::net::acceptfrom_with(listener, flags) {
        Ok((socket, peer)) => {
            let socket = Socket::from(socket);
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
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

pub(crate) fn local_name(socket: &Socket) -> io::Result<SocketAddr> {
    inet(socket.local_addr()?)
}

pub(crate) fn peer_name(socket: &Socket) -> io::Result<SocketAddr> {
    inet(socket.peer_addr()?)
}

fn inet(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::from_raw_os_error(EINVAL))
}

pub(crate) fn option(socket: &Socket, option: TcpOption) -> io::Result<OptionValue> {
    let flag = |value: io::Result<bool>| value.map(OptionValue::Flag);
    let number = |value: io::Result<usize>| value.map(|value| OptionValue::Number(value as i32));
    let seconds = |value: rustix::io::Result<Duration>| {
        value.map(|value| OptionValue::Number(value.as_secs() as i32)).map_err(io::Error::from)
    };
    match option {
        TcpOption::KeepAlive => flag(socket.keepalive()),
        TcpOption::ReuseAddr => flag(socket.reuse_address()),
        TcpOption::ReusePort => flag(socket.reuse_port()),
        TcpOption::TcpNoDelay => flag(socket.tcp_nodelay()),
        TcpOption::Ipv6V6Only => flag(socket.only_v6()),
        TcpOption::TcpKeepIdle => seconds(sockopt::tcp_keepidle(socket)),
        TcpOption::TcpKeepIntvl => seconds(sockopt::tcp_keepintvl(socket)),
        TcpOption::TcpKeepCnt => Ok(OptionValue::Number(sockopt::tcp_keepcnt(socket)? as i32)),
        TcpOption::RecvBufferSize => number(socket.recv_buffer_size()),
        TcpOption::SendBufferSize => number(socket.send_buffer_size()),
        TcpOption::Linger => {
            let linger = socket.linger()?;
            let seconds = linger.map_or(0, |time| time.as_secs()).min(u16::MAX.into()) as u16;
            Ok(OptionValue::Linger(linger.is_some(), seconds))
        }
        TcpOption::Error => Ok(OptionValue::Number(socket.take_error()?.map_or(0, |error| errno(&error)))),
    }
}

pub(crate) fn set_option(socket: &Socket, option: TcpOption, value: OptionValue) -> io::Result<()> {
    let refused = || io::Error::from_raw_os_error(EINVAL);
    let seconds = |value: i32| u64::try_from(value).map(Duration::from_secs).map_err(|_| refused());
    // The system takes any number for a buffer and cuts it to its own bounds; so do negative ones.
    let bytes = |value: i32| usize::try_from(value).unwrap_or(0);
    match (option, value) {
        (TcpOption::KeepAlive, OptionValue::Flag(on)) => socket.set_keepalive(on),
        (TcpOption::ReuseAddr, OptionValue::Flag(on)) => socket.set_reuse_address(on),
        (TcpOption::ReusePort, OptionValue::Flag(on)) => socket.set_reuse_port(on),
        (TcpOption::TcpNoDelay, OptionValue::Flag(on)) => socket.set_tcp_nodelay(on),
        (TcpOption::Ipv6V6Only, OptionValue::Flag(on)) => socket.set_only_v6(on),
        (TcpOption::TcpKeepIdle, OptionValue::Number(value)) => {
            Ok(sockopt::set_tcp_keepidle(socket, seconds(value)?)?)
        }
        (TcpOption::TcpKeepIntvl, OptionValue::Number(value)) => {
            Ok(sockopt::set_tcp_keepintvl(socket, seconds(value)?)?)
        }
        (TcpOption::TcpKeepCnt, OptionValue::Number(value)) => {
            Ok(sockopt::set_tcp_keepcnt(socket, u32::try_from(value).map_err(|_| refused())?)?)
        }
        (TcpOption::RecvBufferSize, OptionValue::Number(value)) => socket.set_recv_buffer_size(bytes(value)),
        (TcpOption::SendBufferSize, OptionValue::Number(value)) => socket.set_send_buffer_size(bytes(value)),
        (TcpOption::Linger, OptionValue::Linger(on, seconds)) => {
            SockRef::from(socket).set_linger(on.then(|| Duration::from_secs(seconds.into())))
        }
        _ => Err(refused()),
    }
}
