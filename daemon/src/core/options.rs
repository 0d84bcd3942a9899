//! Socket options, and what is asked about a socket: judged, and left to the system.

use std::net::{IpAddr, SocketAddr};

use luasocketd_protocol::{Failure, GetOption, Kind, OptionValue, SetOption, SocketId, SocketOption};

use super::action::{Action, Ask, Reply};
use super::holding::Held;
use super::machine::Core;
use super::numbers::errno;
use super::place::Place;
use super::policy::Verb;
use super::recording::Findings;
use super::requests::bad_argument;
use super::slots::ClientId;
use super::socket::{Socket, State};
use super::trail::{End, Matter};

/// Groups of one socket: three times what Linux lets a socket join unless its operator has changed that (20, the
/// sysctl igmp_max_memberships).
pub(crate) const GROUPS_MAX: usize = 64;

/// What setting an option changes for the policy, once the system has done it.
enum Effect {
    /// Datagrams that are sent to the group come, or come no more.
    Join(IpAddr),
    Leave(IpAddr),
    /// Whether an IPv6 address takes IPv4, too.
    TakeIpv4(bool),
    None,
}

impl Core {
    pub(crate) fn on_set_option(
        &mut self,
        client: ClientId,
        request: u32,
        set: SetOption,
    ) -> Result<Option<Reply>, Failure> {
        let entry = self.own(client, set.socket)?;
        check_option(&set, entry.kind)?;
        match effect(&set) {
            Effect::Join(_) if entry.groups.len() >= GROUPS_MAX => return Err(Failure::os(errno::ENOBUFS)),
            // Who joins a group takes datagrams that are sent to it.
            Effect::Join(group) => return self.join(client, request, set, group),
            // Before the system has done it, so that nothing that is asked meanwhile is judged by less.
            Effect::TakeIpv4(true) => entry.takes_ipv4 = true,
            Effect::TakeIpv4(false) | Effect::Leave(_) | Effect::None => {}
        }
        self.act(Action::SetOption { client, request, set });
        Ok(None)
    }

    /// Has a socket join a group, once that is recorded.
    fn join(
        &mut self,
        client: ClientId,
        request: u32,
        set: SetOption,
        group: IpAddr,
    ) -> Result<Option<Reply>, Failure> {
        let (socket, entry) = (set.socket, self.own(client, set.socket)?);
        let (host, place, kind) = (group.to_string(), entry.place_of(group), entry.kind);
        let asked = self.asked(Matter::Listener, kind, &host, None);
        let verdict = self.judge_place(client, Verb::Listen, &host, &place, &asked)?;
        let findings = Findings { places: vec![place], verdict, ..Findings::default() };
        self.record_socket(socket, asked, findings, Held::Option { client, request, set });
        Ok(None)
    }

    pub(crate) fn on_option_set(
        &mut self,
        client: ClientId,
        request: u32,
        set: &SetOption,
        result: Result<(), i32>,
    ) {
        match result {
            Ok(()) => {
                if let Ok(entry) = self.own(client, set.socket) {
                    entry.note_effect(effect(set));
                }
                if let Effect::Leave(group) = effect(set) {
                    self.end_one(set.socket, End::Closed, None, |open| open.is_group(group));
                }
                self.reply(client, request, Reply::Nil);
            }
            Err(errno) => {
                if let Effect::Join(group) = effect(set) {
                    let failure = Failure::os(errno);
                    self.end_one(set.socket, End::Failed, Some(&failure), |open| open.is_group(group));
                }
                self.fail(client, request, Failure::os(errno));
            }
        }
    }

    pub(crate) fn on_get_option(
        &mut self,
        client: ClientId,
        request: u32,
        get: &GetOption,
    ) -> Result<Option<Reply>, Failure> {
        let entry = self.own(client, get.socket)?;
        if !get.option.is_readable(entry.kind) {
            return Err(bad_argument(format!("option {} cannot be read on this socket", get.option.name())));
        }
        // Reading the error would take it from the attempt that waits for it.
        if get.option == SocketOption::Error && matches!(entry.state, State::Dialing { .. }) {
            return Ok(Some(Reply::Value(OptionValue::Number(0))));
        }
        self.ask(client, request, get.socket, Ask::GetOption(get.option))
    }

    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        request: u32,
        socket: SocketId,
        ask: Ask,
    ) -> Result<Option<Reply>, Failure> {
        self.own(client, socket)?;
        self.act(Action::Ask { client, request, socket, ask });
        Ok(None)
    }

    /// The first of a socket's groups that its client may not take datagrams of any more, and why.
    pub(crate) fn forbidden_group(&self, socket: &Socket) -> Option<Failure> {
        socket.groups.iter().find_map(|group| {
            let host = group.to_string();
            self.regret(socket.client, Verb::Listen, &host, &socket.place_of(*group))
        })
    }
}

impl Socket {
    /// A group as the place that its datagrams come to.
    fn place_of(&self, group: IpAddr) -> Place {
        let port = match &self.state {
            State::Datagrams(datagrams) => datagrams.port(),
            _ => 0,
        };
        Place::Net(SocketAddr::new(group, port))
    }

    fn note_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Join(group) => self.groups.push(group),
            // It may have joined on several interfaces, and leaves on one.
            Effect::Leave(group) => {
                if let Some(position) = self.groups.iter().position(|known| *known == group) {
                    self.groups.swap_remove(position);
                }
            }
            Effect::TakeIpv4(takes) => self.takes_ipv4 = takes,
            Effect::None => {}
        }
    }
}

fn effect(set: &SetOption) -> Effect {
    let group = match &set.value {
        OptionValue::Group(group, _) | OptionValue::Group6(group, _) => group.parse().ok(),
        _ => None,
    };
    match (set.option, group, &set.value) {
        (SocketOption::IpAddMembership | SocketOption::Ipv6AddMembership, Some(group), _) => {
            Effect::Join(group)
        }
        (SocketOption::IpDropMembership | SocketOption::Ipv6DropMembership, Some(group), _) => {
            Effect::Leave(group)
        }
        (SocketOption::Ipv6V6Only, _, OptionValue::Flag(only)) => Effect::TakeIpv4(!only),
        _ => Effect::None,
    }
}

fn check_option(set: &SetOption, kind: Kind) -> Result<(), Failure> {
    let SetOption { option, value, .. } = set;
    if !option.is_settable(kind) {
        return Err(bad_argument(format!("option {} cannot be set on this socket", option.name())));
    }
    if !value.is(option.kind()) {
        return Err(bad_argument(format!("option {} wants another kind of value", option.name())));
    }
    Ok(())
}
