//! Socket options: LuaSocket's names for what the system calls by level and number.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use libc::c_int;
use luasocketd_protocol::{OptionKind, OptionValue, SocketOption};
use socket2::Socket;

use super::unsafe_option::{int_option, linger, set_int_option, set_linger};

/// The system's level and number of an option that is one C int; none for those of other shapes.
const fn number(option: SocketOption) -> Option<(c_int, c_int)> {
    use SocketOption as O;
    Some(match option {
        O::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        O::ReuseAddr => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        O::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        O::DontRoute => (libc::SOL_SOCKET, libc::SO_DONTROUTE),
        O::Broadcast => (libc::SOL_SOCKET, libc::SO_BROADCAST),
        O::RecvBufferSize => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        O::SendBufferSize => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        O::Error => (libc::SOL_SOCKET, libc::SO_ERROR),
        O::TcpNoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        O::TcpKeepIdle => (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
        O::TcpKeepCnt => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        O::TcpKeepIntvl => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        O::TcpDeferAccept => (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        O::TcpFastOpen => (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
        O::TcpFastOpenConnect => (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT),
        O::IpMulticastTtl => (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
        O::IpMulticastLoop => (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
        O::Ipv6UnicastHops => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        O::Ipv6MulticastHops => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
        O::Ipv6MulticastLoop => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        O::Ipv6V6Only => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        O::Linger
        | O::BindToDevice
        | O::IpMulticastIf
        | O::IpAddMembership
        | O::IpDropMembership
        | O::Ipv6AddMembership
        | O::Ipv6DropMembership => return None,
    })
}

/// Reads an option.
pub(crate) fn option(socket: &Socket, option: SocketOption) -> io::Result<OptionValue> {
    if let Some((level, name)) = number(option) {
        let value = int_option(socket, level, name)?;
        return Ok(match option.kind() {
            OptionKind::Flag => OptionValue::Flag(value != 0),
            _ => OptionValue::Number(value),
        });
    }
    match option {
        SocketOption::Linger => {
            let (on, seconds) = linger(socket)?;
            Ok(OptionValue::Linger(on, u16::try_from(seconds).unwrap_or(u16::MAX)))
        }
        SocketOption::BindToDevice => {
            let device = socket.device()?.unwrap_or_default();
            Ok(OptionValue::Text(String::from_utf8_lossy(&device).into_owned()))
        }
        SocketOption::IpMulticastIf => Ok(OptionValue::Text(socket.multicast_if_v4()?.to_string())),
        _ => Err(refused()),
    }
}

/// Sets an option.
pub(crate) fn set_option(socket: &Socket, option: SocketOption, value: &OptionValue) -> io::Result<()> {
    match (option, value) {
        (_, OptionValue::Flag(flag)) => set_number(socket, option, c_int::from(*flag)),
        (_, OptionValue::Number(value)) => set_number(socket, option, *value),
        (SocketOption::Linger, OptionValue::Linger(on, seconds)) => {
            set_linger(socket, *on, (*seconds).into())
        }
        (SocketOption::BindToDevice, OptionValue::Text(device)) => {
            // The system wants no bytes for no device.
            socket.bind_device(Some(device.as_bytes()).filter(|device| !device.is_empty()))
        }
        (SocketOption::IpMulticastIf, OptionValue::Text(address)) => {
            socket.set_multicast_if_v4(&parsed(address)?)
        }
        (SocketOption::IpAddMembership, OptionValue::Group(group, interface)) => {
            socket.join_multicast_v4(&parsed(group)?, &parsed::<Ipv4Addr>(interface)?)
        }
        (SocketOption::IpDropMembership, OptionValue::Group(group, interface)) => {
            socket.leave_multicast_v4(&parsed(group)?, &parsed::<Ipv4Addr>(interface)?)
        }
        (SocketOption::Ipv6AddMembership, OptionValue::Group6(group, interface)) => {
            socket.join_multicast_v6(&parsed::<Ipv6Addr>(group)?, *interface)
        }
        (SocketOption::Ipv6DropMembership, OptionValue::Group6(group, interface)) => {
            socket.leave_multicast_v6(&parsed::<Ipv6Addr>(group)?, *interface)
        }
        _ => Err(refused()),
    }
}

fn set_number(socket: &Socket, option: SocketOption, value: c_int) -> io::Result<()> {
    let (level, name) = number(option).ok_or_else(refused)?;
    set_int_option(socket, level, name, value)
}

fn parsed<T: FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| refused())
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}
