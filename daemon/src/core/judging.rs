//! The policy's word on what a client asks for.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use luasocketd_protocol::{Code, Failure};

use super::action::Action;
use super::machine::Core;
use super::place::Place;
use super::policy::{Act, Judgement, Profile, Verb, Verdict, parse_address};
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
        let verdict = self.verdict(client, verb, host, place);
        self.settle(client, act_at(verb, host, place), verdict)
    }

    /// Whether a client may ask for all that is known of a host; of an address a name server is asked, too.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_any_lookup(&mut self, client: ClientId, host: &str) -> Result<(), Failure> {
        let Some(ip) = parse_address(host) else { return self.judge_lookup(client, None, host) };
        let verdict = self.policy_of(client, |profile| profile.decide_reverse(ip));
        self.settle(client, Act::Resolve { host: host.to_owned() }, verdict)
    }

    /// Whether a datagram of a client's may go to a place; the operator is told of the first of several.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_datagram(
        &mut self,
        client: ClientId,
        host: &str,
        place: &Place,
        is_known: bool,
    ) -> Result<(), Failure> {
        let verdict = self.verdict(client, Verb::Datagram, host, place);
        if is_known && verdict.lets_through() {
            return Ok(());
        }
        self.settle(client, act_at(Verb::Datagram, host, place), verdict)
    }

    /// What the policy says to a place, without telling anybody.
    pub(crate) fn verdict(&self, client: ClientId, verb: Verb, host: &str, place: &Place) -> Verdict {
        self.policy_of(client, |profile| match place {
            Place::Net(address) => profile.decide_address(verb, host, *address),
            Place::Path(path) => profile.decide_path(verb_at_path(verb), path),
        })
    }

    /// Whether a client may ask for the name of an address.
    pub(crate) fn may_name(&self, client: ClientId, ip: IpAddr) -> bool {
        self.policy_of(client, |profile| profile.decide_reverse(ip)).lets_through()
    }

    /// Whether it does not matter where a path of a client's leads: no rule is about a path.
    pub(crate) fn follows_links(&self, client: ClientId) -> bool {
        let profile = self.clients.get(client).and_then(|client| client.profile.as_ref());
        profile.is_some_and(|profile| !profile.rules.name_paths())
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
        sieve(addresses.iter().copied(), |address| {
            self.judge_place(client, verb, host, &Place::Net(*address))
        })
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

/// What the policy is asked about a place, for people.
pub(crate) fn act_at(verb: Verb, host: &str, place: &Place) -> Act {
    match place {
        Place::Net(address) => Act::Address { verb, host: host.to_owned(), address: *address },
        Place::Path(path) => Act::Path { verb: verb_at_path(verb), path: path.clone() },
    }
}

/// A local datagram is sent as one connects.
fn verb_at_path(verb: Verb) -> Verb {
    if verb == Verb::Datagram { Verb::Connect } else { verb }
}

/// Those that `judge` lets through.
///
/// # Errors
/// When it refuses all of them: why the first.
pub(crate) fn sieve<T>(
    all: impl IntoIterator<Item = T>,
    mut judge: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<Vec<T>, Failure> {
    let (mut allowed, mut refusal) = (Vec::new(), None);
    for one in all {
        match judge(&one) {
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

/// A refusal, in words that give away no rule.
fn refusal(act: &Act, verdict: &Verdict) -> Failure {
    Failure::new(Code::Denied, format!("may not {act}: {}", verdict.why))
}
