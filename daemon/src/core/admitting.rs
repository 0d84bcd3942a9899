//! Who is let in, with which profile, and what a new policy changes for those that are there.

use std::sync::Arc;
use std::time::Instant;

use luasocketd_protocol::{Code, Failure, SocketId};

use super::calls::client_gone;
use super::client::Phase;
use super::judging::act_at;
use super::machine::Core;
use super::place::Place;
use super::policy::{Crowd, Policy, Profile, Subject, Verb};
use super::slots::ClientId;
use super::socket::{Admitted, State};

impl Core {
    /// Gives a client the profile that is for it.
    ///
    /// # Errors
    /// [`Code::Denied`] when no profile is for it or several are, [`Code::Limit`] when as many clients as
    /// may have the profile have it already, or as many as one user may have.
    pub(crate) fn admit(&mut self, client: ClientId, name: &str, now: Instant) -> Result<(), Failure> {
        let profile = self.profile_for(client, name)?;
        let entry = self.clients.get_mut(client).ok_or_else(client_gone)?;
        let seat = entry.account.join().map_err(|limit| {
            Failure::new(Code::Limit, format!("the limit of {limit} clients at once of one user is reached"))
        })?;
        entry.user_seat = Some(seat);
        if let Some(limit) = profile.rates.clients {
            let Some(seat) = profile.crowd.join(limit) else {
                let name = &profile.name;
                let text = format!("the limit of {limit} clients at once of the profile `{name}` is reached");
                return Err(Failure::new(Code::Limit, text));
            };
            if let Some(entry) = self.clients.get_mut(client) {
                entry.seat = Some(seat);
            }
        }
        self.give_profile(client, Some(profile), now);
        Ok(())
    }

    fn profile_for(&self, client: ClientId, name: &str) -> Result<Arc<Profile>, Failure> {
        let entry = self.clients.get(client).ok_or_else(client_gone)?;
        let subject = Subject {
            uid: entry.credentials.uid,
            gid: entry.credentials.gid,
            groups: &entry.groups,
            client: name,
            socket: entry.socket.as_deref(),
        };
        match self.config.policy.choose(&subject) {
            Ok(profile) => Ok(Arc::clone(profile)),
            Err(unfit) => Err(Failure::new(Code::Denied, unfit.to_string())),
        }
    }

    fn give_profile(&mut self, client: ClientId, profile: Option<Arc<Profile>>, now: Instant) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        if let Some(profile) = &profile {
            entry.budget.set_limits(profile.limits(&self.config.limits));
            entry.meter.borrow_mut().set_rates(profile.rates.clone(), now);
        }
        let crowd = profile.as_ref().map(|profile| &profile.crowd);
        if !entry.seat.as_ref().zip(crowd).is_some_and(|(seat, crowd)| seat.is_of(crowd)) {
            entry.seat = crowd.map(Crowd::admit);
        }
        entry.profile = profile;
        entry.introduce();
    }

    /// Puts a new policy in the place of the old one: from here on it judges whatever is asked. Connections
    /// that it forbids go on, unless it says that they end.
    pub(crate) fn on_new_policy(&mut self, policy: Policy, now: Instant) {
        let enforce_now = policy.enforce_now;
        self.tally.set_policy(&policy);
        self.config.users.set_limits(&policy.user_limits);
        self.config.policy = policy;
        let welcome: Vec<(ClientId, String)> = self
            .clients
            .iter()
            .filter_map(|(id, client)| match &client.phase {
                Phase::Welcome { name, .. } => Some((id, name.clone())),
                Phase::Greeting(_) | Phase::Refused => None,
            })
            .collect();
        let mut unfit = Vec::new();
        for (client, name) in welcome {
            let found = self.profile_for(client, &name);
            self.give_profile(client, found.as_ref().ok().cloned(), now);
            unfit.extend(found.err().map(|failure| (client, failure)));
        }
        if enforce_now {
            self.end_forbidden_sockets();
            for (client, failure) in unfit {
                self.disconnect(client, failure.message);
            }
        }
    }

    /// Ends what the policy forbids that an earlier one has allowed.
    fn end_forbidden_sockets(&mut self) {
        let forbidden: Vec<(SocketId, Failure)> =
            self.sockets.iter().filter_map(|(id, _)| Some((id, self.second_thoughts(id)?))).collect();
        for (id, failure) in forbidden {
            match self.sockets.get(id).map(|socket| &socket.state) {
                Some(State::Dialing { .. } | State::DialingPath { .. } | State::Starting { .. }) => {
                    self.fail_socket_call(id, failure);
                }
                Some(State::Reserved) => self.refuse_arrival(id, failure),
                Some(State::Datagrams(_)) => self.isolate_datagrams(id, failure),
                Some(State::Listening { .. }) => self.stop_listening(id, &failure),
                _ => self.break_socket(id, failure),
            }
        }
    }

    /// Why a socket would not come to be any more.
    fn second_thoughts(&self, id: SocketId) -> Option<Failure> {
        let socket = self.sockets.get(id)?;
        self.clients.get(socket.client)?;
        let regret = |Admitted { verb, host, places }: &Admitted| {
            places.iter().find_map(|place| self.regret(socket.client, *verb, host, place))
        };
        socket.admitted.iter().find_map(regret).or_else(|| self.forbidden_group(socket))
    }

    /// Why a client may not use a place any more, if it may not.
    pub(crate) fn regret(&self, client: ClientId, verb: Verb, host: &str, place: &Place) -> Option<Failure> {
        let verdict = self.verdict(client, verb, host, place);
        let text = || format!("may not {} any more: {}", act_at(verb, host, place), verdict.why);
        (!verdict.lets_through()).then(|| Failure::new(Code::Denied, text()))
    }
}
