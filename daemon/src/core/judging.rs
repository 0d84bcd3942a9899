//! The policy's word on what a client asks for.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use luasocketd_protocol::{Code, Failure};

use super::action::Action;
use super::machine::Core;
use super::place::Place;
use super::policy::{Act, Judgement, Profile, Verb, Verdict};
use super::slots::ClientId;

impl Core {
    /// Whether a client may have a name looked up: for the sake of `purpose`, or for its own. An address
    /// always may, as nobody is asked about it.
    ///
    /// # Errors
    /// [`Code::Denied`], with a reason for the script's author; the operator is told by
    /// [`Action::Judged`].
    pub(crate) fn judge_lookup(
        &mut self,
        client: ClientId,
        purpose: Option<Verb>,
        host: &str,
    ) -> Result<(), Failure> {
        let verdict = self.policy_of(client, |profile| profile.decide_lookup(purpose, host));
        // A lookup for the sake of something else is not worth a record of its own unless it ends there.
        if purpose.is_some() && verdict.lets_through() {
            return Ok(());
        }
        self.settle(client, Act::Resolve { host: host.to_owned() }, verdict)
    }

    /// Whether a client may look up the name of an address.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_reverse(&mut self, client: ClientId, ip: IpAddr) -> Result<(), Failure> {
        let verdict = self.policy_of(client, |profile| profile.decide_reverse(ip));
        self.settle(client, Act::Resolve { host: ip.to_string() }, verdict)
    }

    /// Whether a client may use an address that it asked for as `host`.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_address(
        &mut self,
        client: ClientId,
        verb: Verb,
        host: &str,
        address: SocketAddr,
    ) -> Result<(), Failure> {
        self.judge_place(client, verb, host, &Place::Net(address))
    }

    /// Whether a client may use a place that it asked for as `host`.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_place(
        &mut self,
        client: ClientId,
        verb: Verb,
        host: &str,
        place: &Place,
    ) -> Result<(), Failure> {
        let verdict = self.policy_of(client, |profile| decide_place(profile, verb, host, place));
        self.settle(client, act(verb, host, place), verdict)
    }

    /// Those of the addresses of `host` that a client may use.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`], when there are none: the reason is the first one's.
    pub(crate) fn judge_addresses(
        &mut self,
        client: ClientId,
        verb: Verb,
        host: &str,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Failure> {
        self.keep_allowed(addresses.iter().copied(), |core, address| {
            core.judge_address(client, verb, host, *address)
        })
    }

    /// Those of the places of `host` that a client may use.
    ///
    /// # Errors
    /// As [`Core::judge_addresses`].
    pub(crate) fn judge_places(
        &mut self,
        client: ClientId,
        verb: Verb,
        host: &str,
        places: VecDeque<Place>,
    ) -> Result<VecDeque<Place>, Failure> {
        let judge = |core: &mut Core, place: &Place| core.judge_place(client, verb, host, place);
        self.keep_allowed(places.into_iter(), judge).map(VecDeque::from)
    }

    fn keep_allowed<T>(
        &mut self,
        all: impl Iterator<Item = T>,
        judge: impl Fn(&mut Core, &T) -> Result<(), Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut refusal = None;
        let mut allowed = Vec::new();
        for one in all {
            match judge(self, &one) {
                Ok(()) => allowed.push(one),
                Err(failure) => {
                    refusal.get_or_insert(failure);
                }
            }
        }
        match refusal {
            Some(failure) if allowed.is_empty() => Err(failure),
            _ => Ok(allowed),
        }
    }

    /// Whether a client may have a datagram from this address, as it may send there. Of each one that comes
    /// nobody is told.
    pub(crate) fn may_hear(&self, client: ClientId, from: SocketAddr) -> bool {
        let host = from.ip().to_string();
        self.policy_of(client, |profile| profile.decide_address(Verb::Datagram, &host, from)).lets_through()
    }

    /// Whether a client may use every path, so that it does not matter where one leads.
    pub(crate) fn allows_every_path(&self, client: ClientId, verb: Verb) -> bool {
        let profile = self.clients.get(client).and_then(|client| client.profile.as_ref());
        profile.is_some_and(|profile| profile.rules.allows_every_path(verb))
    }

    /// Counts a call to connect against what a client may do in a second, and in all.
    ///
    /// # Errors
    /// [`Code::Limit`] when that is used up.
    pub(crate) fn count_connect(&mut self, client: ClientId, now: Instant) -> Result<(), Failure> {
        let Some(client) = self.clients.get(client) else { return Ok(()) };
        let counted = client.meter.borrow_mut().connect(now);
        counted.map_err(|text| Failure::new(Code::Limit, text))
    }

    fn policy_of(&self, client: ClientId, decide: impl FnOnce(&Profile) -> Verdict) -> Verdict {
        let profile = self.clients.get(client).and_then(|client| client.profile.as_ref());
        profile.map(|profile| decide(profile)).unwrap_or_default()
    }

    /// Tells the operator, and the client if it is refused.
    fn settle(&mut self, client: ClientId, act: Act, verdict: Verdict) -> Result<(), Failure> {
        let refusal = (!verdict.lets_through()).then(|| refusal(&act, &verdict));
        self.act(Action::Judged { client, judgement: Box::new(Judgement { act, verdict }) });
        refusal.map_or(Ok(()), Err)
    }
}

/// A refusal, in words that give away no rule.
fn refusal(act: &Act, verdict: &Verdict) -> Failure {
    Failure::new(Code::Denied, format!("may not {act}: {}", verdict.why))
}

/// What a profile says to the use of a place that was asked for as `host`.
pub(crate) fn decide_place(profile: &Profile, verb: Verb, host: &str, place: &Place) -> Verdict {
    match place {
        Place::Net(address) => profile.decide_address(verb, host, *address),
        Place::Path(path) => profile.decide_path(verb, path),
    }
}

/// The question that a use of a place is.
pub(crate) fn act(verb: Verb, host: &str, place: &Place) -> Act {
    match place {
        Place::Net(address) => Act::Address { verb, host: host.to_owned(), address: *address },
        Place::Path(path) => Act::Path { verb, path: path.clone() },
    }
}
