//! From `bind` to a bound socket.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use luasocketd_protocol::{Bind, Bound, Failure, Family, SocketId};

use super::action::{Action, Reply};
use super::client::Subject;
use super::connecting::literal;
use super::machine::{Core, shutting_down};
use super::policy::Verb;
use super::requests::{check_name, errno};
use super::slots::ClientId;
use super::socket::{BindPlan, Plan, State};

impl Core {
    pub(crate) fn on_bind(
        &mut self,
        client: ClientId,
        request: u32,
        bind: Bind<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(bind.host, bind.port)?;
        if self.draining.is_some() {
            return Err(shutting_down());
        }
        let own = bind.socket.map(|socket| self.unbound(client, socket)).transpose()?;
        let family = own.unwrap_or(bind.family);
        let plan = BindPlan {
            host: bind.host.to_owned(),
            dual: family == Family::Dual && bind.host == "*",
            reuse_address: bind.reuse_address,
            own,
        };
        let addresses = bind_addresses(bind.host, bind.port, family);
        if addresses.is_none() {
            self.judge_lookup(client, Some(Verb::Listen), bind.host)?;
        }
        let timeout_ms = self.bounded(client, bind.timeout_ms);
        let socket = match bind.socket {
            Some(socket) => {
                self.begin_call(client, request, Subject::Socket(socket), timeout_ms, now)?;
                socket
            }
            None => {
                let socket = self.new_socket(client, State::Idle { family, bound: None })?;
                self.begin_socket_call(client, request, socket, timeout_ms, now)?;
                socket
            }
        };
        match addresses {
            Some(addresses) => self.bind_to(socket, request, plan, addresses),
            None => {
                let host = wildcard_host(bind.host, family);
                self.resolve_for(socket, request, host, bind.port, family, Plan::Bind(plan));
            }
        }
        Ok(None)
    }

    /// The family of a socket that is not bound yet.
    fn unbound(&mut self, client: ClientId, socket: SocketId) -> Result<Family, Failure> {
        match &self.own(client, socket)?.state {
            State::Idle { family, bound: None } => Ok(*family),
            _ => Err(Failure::os(errno::EINVAL)),
        }
    }

    /// Tries to bind to the first of the addresses that the policy allows.
    pub(crate) fn bind_to(
        &mut self,
        socket: SocketId,
        request: u32,
        bind: BindPlan,
        addresses: VecDeque<SocketAddr>,
    ) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        let addresses: Vec<SocketAddr> = addresses.into();
        let judged = self.judge_addresses(client, Verb::Listen, &bind.host, &addresses);
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let allowed = judged.as_deref().unwrap_or_default().to_vec();
        let (first, dual, reuse_address) = (allowed.first().copied(), bind.dual, bind.reuse_address);
        entry.state = State::Binding { request, bind, addresses: allowed.into() };
        match (first, judged) {
            (Some(address), _) => self.act(Action::Bind { socket, address, dual, reuse_address }),
            (None, Err(refusal)) => self.fail_socket_call(socket, refusal),
            // The resolver's answer had an address, or this is not reached.
            (None, Ok(_)) => self.fail_socket_call(socket, Failure::os(errno::EINVAL)),
        }
    }

    pub(crate) fn on_bound(&mut self, socket: SocketId, result: Result<SocketAddr, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let State::Binding { request, bind, addresses } = &mut entry.state else { return };
        let request = *request;
        match result {
            Ok(local) => {
                let bound = Some((std::mem::take(&mut bind.host), local));
                entry.state = State::Idle { family: Family::of(local.ip()), bound };
                self.reply(client, request, Reply::Bound(Bound { socket, local: local.into() }));
            }
            Err(errno) => {
                addresses.pop_front();
                let (next, dual, reuse_address) = (addresses.front().copied(), bind.dual, bind.reuse_address);
                match next {
                    Some(address) => self.act(Action::Bind { socket, address, dual, reuse_address }),
                    None => self.fail_socket_call(socket, Failure::os(errno)),
                }
            }
        }
    }
}

/// The addresses to bind to, when no resolver is needed.
fn bind_addresses(host: &str, port: &str, family: Family) -> Option<VecDeque<SocketAddr>> {
    if host != "*" {
        return literal(host, port, family).map(|address| [address].into());
    }
    let port = wildcard_port(port)?;
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    Some(match family {
        Family::Unspec | Family::Inet => [v4].into(),
        Family::Inet6 => [v6].into(),
        // A machine without IPv6 still has all of its addresses bound.
        Family::Dual => [v6, v4].into(),
    })
}

/// A port that needs no resolver.
fn wildcard_port(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
}

/// What the resolver knows `"*"` as.
fn wildcard_host(host: &str, family: Family) -> &str {
    match (host, family) {
        ("*", Family::Inet6 | Family::Dual) => "::",
        ("*", _) => "0.0.0.0",
        (host, _) => host,
    }
}
