//! Questions of clients to the resolver, and what the policy says to a name before it is asked.

use std::net::SocketAddr;
use std::time::Instant;

use luasocketd_protocol::{
    Code, Failure, Family, HostEntryOf, Kind, NameInfo, NameInfoOf, PORT_MAX, Resolve, Resolved,
};

use super::action::Reply;
use super::calls::Purpose;
use super::client::Subject;
use super::machine::Core;
use super::numbers::eai;
use super::policy::{Verdict, parse_address};
use super::question::{Answer, Question};
use super::recording::Asked;
use super::requests::check_name;
use super::slots::{ClientId, LookupId};
use super::trail::Matter;

/// The most addresses or names of one host that a client is told, so that an answer fits a frame many
/// times over: a name is at most 255 bytes.
const ANSWERS_MAX: usize = 512;

impl Core {
    /// For whom something is looked up.
    pub fn asker(&self, lookup: LookupId) -> Option<ClientId> {
        match self.lookups.get(lookup)?.purpose {
            Purpose::Answer(client, _) | Purpose::Names(client, ..) => Some(client),
            Purpose::Socket(socket) => self.owner(socket),
        }
    }

    pub(crate) fn on_resolve(
        &mut self,
        client: ClientId,
        request: u32,
        resolve: Resolve<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(resolve.host, "0")?;
        let asked = self.asked(Matter::Lookup, Kind::Tcp, resolve.host, None);
        let verdict = self.judge_lookup(client, None, resolve.host, &asked)?;
        let question = Question::Addresses {
            host: resolve.host.to_owned(),
            port: None,
            family: resolve.family,
            kind: Kind::Tcp,
            numeric: false,
        };
        let purpose = Purpose::Answer(client, request);
        self.begin_answer(client, request, purpose, question, (asked, verdict), resolve.timeout_ms, now)
    }

    pub(crate) fn on_host_entry(
        &mut self,
        client: ClientId,
        request: u32,
        entry: HostEntryOf<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(entry.host, "0").map_err(|failure| Failure {
            code: Code::Host,
            detail: eai::HOST_NOT_FOUND,
            ..failure
        })?;
        // inet_aton(3) reads an address up to a space, and would look up another one than is judged.
        if entry.host.contains(|c: char| c.is_whitespace()) {
            let message = "no host has a space in its name".to_owned();
            return Err(Failure { code: Code::Host, detail: eai::HOST_NOT_FOUND, message });
        }
        let asked = self.asked(Matter::Lookup, Kind::Tcp, entry.host, None);
        let verdict = self.judge_any_lookup(client, entry.host, &asked)?;
        let (purpose, question) = (Purpose::Answer(client, request), Question::Host(entry.host.to_owned()));
        self.begin_answer(client, request, purpose, question, (asked, verdict), entry.timeout_ms, now)
    }

    pub(crate) fn on_name_info(
        &mut self,
        client: ClientId,
        request: u32,
        info: NameInfoOf<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let service = info.service.map(|service| {
            let mut end = service.len().min(PORT_MAX + 1);
            while !service.is_char_boundary(end) {
                end -= 1;
            }
            service[..end].to_owned()
        });
        check_name(info.host.unwrap_or_default(), service.as_deref().unwrap_or_default())?;
        let asked = self.asked(Matter::Lookup, Kind::Tcp, info.host.unwrap_or_default(), service.as_deref());
        let mut verdict = Verdict::default();
        if let Some(host) = info.host {
            verdict = self.judge_any_lookup(client, host, &asked)?;
            if parse_address(host).is_none() {
                let found = (asked, verdict);
                return self.begin_naming(client, request, host, service, found, info.timeout_ms, now);
            }
        }
        let question = Question::Names { host: info.host.map(str::to_owned), service };
        let purpose = Purpose::Answer(client, request);
        self.begin_answer(client, request, purpose, question, (asked, verdict), info.timeout_ms, now)
    }

    /// Asks for a name's addresses, to ask for their names then.
    #[expect(clippy::too_many_arguments, reason = "the parts of a question, each named")]
    fn begin_naming(
        &mut self,
        client: ClientId,
        request: u32,
        host: &str,
        service: Option<String>,
        judged: (Asked, Verdict),
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let purpose = Purpose::Names(client, request, service.is_some());
        let question = Question::Addresses {
            host: host.to_owned(),
            port: service,
            family: Family::Unspec,
            kind: Kind::Tcp,
            numeric: false,
        };
        self.begin_answer(client, request, purpose, question, judged, timeout_ms, now)
    }

    /// Asks for the names of a name's addresses, of each as far as the policy lets the client ask for it.
    fn on_addresses_to_name(
        &mut self,
        client: ClientId,
        request: u32,
        lookup: LookupId,
        result: Result<Answer, Failure>,
        service: bool,
    ) {
        if !self.waits_for(client, request, Subject::Lookup(lookup)) {
            return;
        }
        let found = match result {
            Ok(Answer::Addresses(found)) => found,
            Ok(Answer::Host(_) | Answer::Names(_)) => Vec::new(),
            Err(failure) => return self.fail(client, request, failure),
        };
        let verdicts: Vec<(SocketAddr, Verdict)> = found
            .into_iter()
            .take(ANSWERS_MAX)
            .map(|address| (address, self.on_naming(client, address.ip())))
            .collect();
        // The record tells the addresses whose names are asked for, and why that is allowed of the first of them.
        let named: Vec<&(SocketAddr, Verdict)> =
            verdicts.iter().filter(|(_, verdict)| verdict.lets_through()).collect();
        let hosts: Vec<String> = named.iter().map(|(address, _)| address.ip().to_string()).collect();
        let verdict = named.first().map(|(_, verdict)| verdict.clone()).unwrap_or_default();
        let asked = self.asked(Matter::Lookup, Kind::Tcp, &hosts.join(" "), None);
        let addresses =
            verdicts.iter().map(|(address, verdict)| (*address, verdict.lets_through())).collect();
        let question = Question::NamesOf { addresses, service };
        match self.begin_lookup(client, Purpose::Answer(client, request), question, asked, verdict) {
            Ok(next) => {
                let call = self.clients.get_mut(client).and_then(|client| client.calls.get_mut(&request));
                if let Some(call) = call {
                    call.subject = Subject::Lookup(next);
                }
            }
            Err(failure) => self.fail(client, request, failure),
        }
    }

    /// Asks the resolver for the sake of a request alone.
    #[expect(clippy::too_many_arguments, reason = "the parts of a question, each named")]
    fn begin_answer(
        &mut self,
        client: ClientId,
        request: u32,
        purpose: Purpose,
        question: Question,
        (asked, verdict): (Asked, Verdict),
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let lookup = self.begin_lookup(client, purpose, question, asked, verdict)?;
        let timeout_ms = self.bounded(client, timeout_ms);
        self.begin_call(client, request, Subject::Lookup(lookup), timeout_ms, now)?;
        Ok(None)
    }

    pub(crate) fn on_resolved(&mut self, lookup: LookupId, result: Result<Answer, Failure>, now: Instant) {
        let Some(pending) = self.lookups.remove(lookup) else { return };
        self.end_lookup(pending.open, &result);
        let took = now.saturating_duration_since(pending.since);
        self.tally.lookups.count(took);
        match pending.purpose {
            Purpose::Socket(socket) => {
                let addresses = result.map(|answer| match answer {
                    Answer::Addresses(addresses) => addresses,
                    Answer::Host(_) | Answer::Names(_) => Vec::new(),
                });
                self.on_socket_resolved(socket, lookup, addresses, took, now);
            }
            Purpose::Names(client, request, service) => {
                self.on_addresses_to_name(client, request, lookup, result, service);
            }
            Purpose::Answer(client, request) => {
                if !self.waits_for(client, request, Subject::Lookup(lookup)) {
                    return;
                }
                match result {
                    Ok(answer) => self.reply(client, request, told(answer)),
                    Err(failure) => self.fail(client, request, failure),
                }
            }
        }
    }
}

/// What a client is told of an answer.
fn told(answer: Answer) -> Reply {
    match answer {
        Answer::Addresses(found) => {
            let addresses = found.into_iter().take(ANSWERS_MAX).map(Into::into).collect();
            Reply::Resolved(Resolved { addresses })
        }
        Answer::Host(mut entry) => {
            entry.aliases.truncate(ANSWERS_MAX);
            entry.addresses.truncate(ANSWERS_MAX);
            Reply::HostEntry(entry)
        }
        Answer::Names(NameInfo { mut names, service }) => {
            names.truncate(ANSWERS_MAX);
            Reply::NameInfo(NameInfo { names, service })
        }
    }
}

/// The resolver's word for a name without addresses.
pub(crate) fn no_address() -> Failure {
    Failure { code: Code::Resolve, detail: eai::NODATA, message: "the name has no address".to_owned() }
}
