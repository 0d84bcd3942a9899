//! From `bind` to a bound socket.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use luasocketd_protocol::{Bind, Bound, Failure, Family, Kind, SocketId};

use super::action::{Action, Reply};
use super::connecting::literal;
use super::judging::sieve;
use super::machine::{Core, shutting_down};
use super::numbers::errno;
use super::place::{Place, check_path};
use super::policy::{Verb, Verdict};
use super::recording::{Asked, Findings};
use super::requests::{bad_argument, check_name};
use super::slots::ClientId;
use super::socket::{BindPlan, Plan, State};
use super::trail::Matter;

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
        let kind = match bind.socket {
            Some(socket) => self.own(client, socket)?.kind,
            None => bind.kind,
        };
        if kind.is_datagram() {
            return self.bind_datagrams(client, request, kind, bind, now);
        }
        if bind.socket.is_none() {
            check_family(kind, bind.family)?;
        }
        let own = bind.socket.map(|socket| self.idle_for_bind(client, socket)).transpose()?;
        let family = if kind.is_local() {
            Family::Unix
        } else {
            own.as_ref().map_or(bind.family, |(family, _)| *family)
        };
        let asked = self.asked_to_bind(kind, &bind);
        let plan = BindPlan {
            host: bind.host.to_owned(),
            asked: asked.clone(),
            dual: family == Family::Dual && bind.host == "*",
            reuse_address: bind.reuse_address,
            own,
        };
        let (places, verdict) = self.places_to_bind(client, &bind, family, &asked)?;
        let timeout_ms = self.bounded(client, bind.timeout_ms);
        let socket = self.begin_on_idle(client, request, bind.socket, kind, family, timeout_ms, now)?;
        match places {
            Some(places) => self.bind_to(socket, request, plan, places),
            None => {
                let host = wildcard_host(bind.host, family);
                self.resolve_for(socket, request, host, bind.port, family, Plan::Bind(plan), verdict);
            }
        }
        Ok(None)
    }

    /// What a client asks for that binds a socket.
    pub(crate) fn asked_to_bind(&mut self, kind: Kind, bind: &Bind<'_>) -> Asked {
        let port = (!kind.is_local()).then_some(bind.port);
        self.asked(Matter::Listener, kind, bind.host, port)
    }

    /// Where a socket has to be bound, if that is known without the resolver; else what the policy says to asking
    /// it.
    pub(crate) fn places_to_bind(
        &mut self,
        client: ClientId,
        bind: &Bind<'_>,
        family: Family,
        asked: &Asked,
    ) -> Result<(Option<VecDeque<Place>>, Verdict), Failure> {
        let host = bind.host;
        if family == Family::Unix {
            // Without a name the system gives it an abstract one.
            if !host.is_empty() {
                check_path(host)?;
            }
            return Ok((Some([Place::Path(host.to_owned())].into()), Verdict::default()));
        }
        match bind_addresses(host, bind.port, family) {
            Some(addresses) => {
                Ok((Some(addresses.into_iter().map(Place::Net).collect()), Verdict::default()))
            }
            None => Ok((None, self.judge_lookup(client, Some(Verb::Listen), host, asked)?)),
        }
    }

    /// Keeps those places that the policy allows to take connections or datagrams on.
    ///
    /// # Errors
    /// When none is left.
    pub(crate) fn allowed_to_bind(
        &mut self,
        client: ClientId,
        host: &str,
        takes_ipv4: bool,
        places: VecDeque<Place>,
        asked: &Asked,
    ) -> Result<Findings, Failure> {
        let allowed = sieve(places, |place| {
            let verdict = self.try_place(client, Verb::Listen, host, place)?;
            match place {
                // Who takes IPv4 on every address of IPv6 listens on every address of IPv4, too.
                Place::Net(SocketAddr::V6(v6)) if takes_ipv4 && v6.ip().is_unspecified() => {
                    let v4 = Place::Net(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), v6.port()));
                    self.try_place(client, Verb::Listen, host, &v4)
                }
                _ => Ok(verdict),
            }
        });
        let found = allowed.map_err(|(places, refusal)| self.refuse_asked(client, asked, places, refusal))?;
        // Without a place to be tried the request would never end; the resolver's answer had one.
        if found.places.is_empty() { Err(Failure::os(errno::EINVAL)) } else { Ok(found) }
    }

    /// Whether a socket was told to take IPv4 on an IPv6 address.
    pub(crate) fn takes_ipv4(&self, socket: SocketId) -> bool {
        self.sockets.get(socket).is_some_and(|socket| socket.takes_ipv4)
    }

    /// What a socket that was made before has to be to be bound. Of one that is bound already the system says so,
    /// after the resolver's complaints.
    fn idle_for_bind(
        &mut self,
        client: ClientId,
        socket: SocketId,
    ) -> Result<(Family, Option<(String, Place)>), Failure> {
        match &self.own(client, socket)?.state {
            State::Idle { family, bound } => Ok((*family, bound.clone())),
            _ => Err(Failure::os(errno::EINVAL)),
        }
    }

    /// Tries to bind to the first of the addresses that the policy allows.
    pub(crate) fn bind_to(
        &mut self,
        socket: SocketId,
        request: u32,
        mut bind: BindPlan,
        places: VecDeque<Place>,
    ) {
        let Some(client) = self.sockets.get(socket).map(|socket| socket.client) else { return };
        let takes_ipv4 = self.takes_ipv4(socket);
        let judged = self.allowed_to_bind(client, &bind.host, takes_ipv4, places, &bind.asked);
        let (places, refusal) = match judged {
            Ok(found) => {
                // One socket for both families only where both are allowed.
                bind.dual &= found.places.iter().any(|place| place.family() == Family::Inet);
                (found.places.into(), None)
            }
            Err(refusal) => (VecDeque::new(), Some(refusal)),
        };
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        entry.state = State::Binding { request, bind, places };
        match refusal {
            None => self.bind_next(socket),
            Some(refusal) => self.fail_socket_call(socket, refusal),
        }
    }

    /// Has the system bind to the first of the places that are left.
    fn bind_next(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get(socket) else { return };
        let follow = self.follows_links(entry.client);
        let State::Binding { bind, places, .. } = &entry.state else { return };
        let Some(place) = places.front().cloned() else { return };
        let (kind, dual, reuse_address) = (entry.kind, bind.dual, bind.reuse_address);
        self.act(Action::Bind { socket, kind, place, follow, dual, reuse_address });
    }

    pub(crate) fn on_bound(&mut self, socket: SocketId, result: Result<Place, i32>) {
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        let client = entry.client;
        let (request, bind, places) = match &mut entry.state {
            State::Binding { request, bind, places } => (*request, bind, places),
            State::Datagrams(_) => return self.on_datagrams_bound(socket, result),
            _ => return,
        };
        match result {
            Ok(local) => {
                let bound = Some((std::mem::take(&mut bind.host), local.clone()));
                entry.state = State::Idle { family: local.family(), bound };
                self.reply(client, request, Reply::Bound(Bound { socket, local: local.into() }));
            }
            Err(errno) => {
                places.pop_front();
                match places.is_empty() {
                    false => self.bind_next(socket),
                    true => self.fail_socket_call(socket, Failure::os(errno)),
                }
            }
        }
    }
}

/// Whether a new socket of this kind can have the family.
pub(crate) fn check_family(kind: Kind, family: Family) -> Result<(), Failure> {
    match (family == Family::Unix) == kind.is_local() {
        true => Ok(()),
        false => Err(bad_argument("a local socket has the family unix, and no other one has")),
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
        Family::Unspec | Family::Inet | Family::Unix => [v4].into(),
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
pub(crate) fn wildcard_host(host: &str, family: Family) -> &str {
    match (host, family) {
        ("*", Family::Inet6 | Family::Dual) => "::",
        ("*", _) => "0.0.0.0",
        (host, _) => host,
    }
}
