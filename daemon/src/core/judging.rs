//! The policy's word on what a client asks for.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use luasocketd_protocol::{Code, Failure};

use super::action::Action;
use super::machine::Core;
use super::place::Place;
use super::policy::{Act, Decision, Judgement, Profile, Verb, Verdict, parse_address};
use super::recording::{Asked, Findings};
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
        asked: &Asked,
    ) -> Result<Verdict, Failure> {
        let verdict = self.policy_of(client, |profile| profile.decide_lookup(purpose, host));
        // A lookup for the sake of something else is told of with that, unless it ends there.
        if purpose.is_some() && verdict.lets_through() {
            return Ok(verdict);
        }
        let told = self.tell_verdict(client, Act::Resolve { host: host.to_owned() }, verdict);
        told.map_err(|refusal| self.refuse_asked(client, asked, Vec::new(), refusal))
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
        asked: &Asked,
    ) -> Result<Verdict, Failure> {
        let judged = self.try_place(client, verb, host, place);
        judged.map_err(|refusal| self.refuse_asked(client, asked, vec![place.clone()], refusal))
    }

    /// As [`Core::judge_place`], but the trail hears nothing of a refusal yet.
    pub(crate) fn try_place(
        &mut self,
        client: ClientId,
        verb: Verb,
        host: &str,
        place: &Place,
    ) -> Result<Verdict, Refusal> {
        let verdict = self.verdict(client, verb, host, place);
        self.tell_verdict(client, act_at(verb, host, place), verdict)
    }

    /// Whether a client may ask for all that is known of a host; of an address a name server is asked, too.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_any_lookup(
        &mut self,
        client: ClientId,
        host: &str,
        asked: &Asked,
    ) -> Result<Verdict, Failure> {
        let Some(ip) = parse_address(host) else { return self.judge_lookup(client, None, host, asked) };
        let verdict = self.policy_of(client, |profile| profile.decide_reverse(ip));
        let told = self.tell_verdict(client, Act::Resolve { host: host.to_owned() }, verdict);
        told.map_err(|refusal| self.refuse_asked(client, asked, Vec::new(), refusal))
    }

    /// What the policy says to a datagram of a client's to a place; the operator is told of the first of several.
    ///
    /// # Errors
    /// As [`Core::judge_lookup`].
    pub(crate) fn judge_datagram(
        &mut self,
        client: ClientId,
        host: &str,
        place: &Place,
        is_known: bool,
        asked: &Asked,
    ) -> Result<Verdict, Failure> {
        let verdict = self.verdict(client, Verb::Datagram, host, place);
        if is_known && verdict.lets_through() {
            return Ok(verdict);
        }
        self.judge_place(client, Verb::Datagram, host, place, asked)
    }

    /// What the policy says to a place, without telling anybody.
    pub(crate) fn verdict(&self, client: ClientId, verb: Verb, host: &str, place: &Place) -> Verdict {
        self.policy_of(client, |profile| match place {
            Place::Net(address) => profile.decide_address(verb, host, *address),
            Place::Path(path) => profile.decide_path(verb_at_path(verb), path),
        })
    }

    /// What the policy says to a client that asks for the name of an address.
    pub(crate) fn on_naming(&self, client: ClientId, ip: IpAddr) -> Verdict {
        self.policy_of(client, |profile| profile.decide_reverse(ip))
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
        asked: &Asked,
    ) -> Result<Findings, Failure> {
        let places = addresses.iter().copied().map(Place::Net);
        let found = sieve(places, |place| self.try_place(client, verb, host, place));
        found.map_err(|(places, refusal)| self.refuse_asked(client, asked, places, refusal))
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

    /// Tells the operator what the policy has said.
    fn tell_verdict(&mut self, client: ClientId, act: Act, verdict: Verdict) -> Result<Verdict, Refusal> {
        let refused = (!verdict.lets_through())
            .then(|| Refusal { failure: refusal(&act, &verdict), verdict: verdict.clone() });
        let judgement = Box::new(Judgement { act, verdict: verdict.clone() });
        self.act(Action::Judged { client, judgement });
        refused.map_or(Ok(verdict), Err)
    }

    /// Tells the trail what is refused; gives what the client is told.
    pub(crate) fn refuse_asked(
        &mut self,
        client: ClientId,
        asked: &Asked,
        places: Vec<Place>,
        refusal: Refusal,
    ) -> Failure {
        let Refusal { failure, verdict } = refusal;
        let findings = Findings { places, verdict, ..Findings::default() };
        self.record_refusal(client, asked.clone(), findings, &failure);
        failure
    }
}

/// The policy's no.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the client is told.
    failure: Failure,
    verdict: Verdict,
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

/// Which places `judge` lets through. The verdict is that of the first of them, unless one of them is only let
/// through to be reported.
///
/// # Errors
/// When it refuses all of them: the places, and why the first.
pub(crate) fn sieve(
    all: impl IntoIterator<Item = Place>,
    mut judge: impl FnMut(&Place) -> Result<Verdict, Refusal>,
) -> Result<Findings, (Vec<Place>, Refusal)> {
    let (mut found, mut first, mut refused) = (Findings::default(), None, None);
    for place in all {
        match judge(&place) {
            Ok(verdict) => {
                found.places.push(place);
                if first.is_none() || verdict.decision == Decision::Report {
                    first = Some(verdict);
                }
            }
            Err(refusal) => {
                found.denied.push(place);
                refused.get_or_insert(refusal);
            }
        }
    }
    match (first, refused) {
        (None, Some(refusal)) => Err((found.denied, refusal)),
        (verdict, _) => Ok(Findings { verdict: verdict.unwrap_or_default(), ..found }),
    }
}

/// A refusal, in words that give away no rule.
fn refusal(act: &Act, verdict: &Verdict) -> Failure {
    Failure::new(Code::Denied, format!("may not {act}: {}", verdict.why))
}
