//! Questions of clients to the resolver, and what the policy says to a name before it is asked.

use std::net::IpAddr;
use std::time::Instant;

use luasocketd_protocol::{
    Code, Failure, HostEntryOf, Kind, NameInfo, NameInfoOf, PORT_MAX, Resolve, Resolved,
};

use super::action::{Answer, Question, Reply};
use super::calls::Purpose;
use super::client::Subject;
use super::machine::Core;
use super::policy::{Verb, Verdict};
use super::requests::{check_name, denied, eai};
use super::slots::{ClientId, LookupId};

/// The most addresses or names of one host that a client is told, so that an answer fits a frame many
/// times over: a name is at most 255 bytes.
const ANSWERS_MAX: usize = 512;

impl Core {
    pub(crate) fn on_resolve(
        &mut self,
        client: ClientId,
        request: u32,
        resolve: Resolve<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(resolve.host, "0")?;
        // An address is no name: nobody is asked about it.
        if resolve.host.parse::<IpAddr>().is_err() {
            self.judge_any_use(resolve.host)?;
        }
        let question = Question::Addresses {
            host: resolve.host.to_owned(),
            port: "0".to_owned(),
            family: resolve.family,
            kind: Kind::Tcp,
            numeric: false,
        };
        self.begin_answer(client, request, question, resolve.timeout_ms, now)
    }

    pub(crate) fn on_host_entry(
        &mut self,
        client: ClientId,
        request: u32,
        entry: HostEntryOf<'_>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        check_name(entry.host, "0")?;
        self.judge_any_use(entry.host)?;
        self.begin_answer(client, request, Question::Host(entry.host.to_owned()), entry.timeout_ms, now)
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
        if let Some(host) = info.host {
            self.judge_any_use(host)?;
        }
        let question = Question::Names { host: info.host.map(str::to_owned), service };
        self.begin_answer(client, request, question, info.timeout_ms, now)
    }

    fn begin_answer(
        &mut self,
        client: ClientId,
        request: u32,
        question: Question,
        timeout_ms: Option<u64>,
        now: Instant,
    ) -> Result<Option<Reply>, Failure> {
        let lookup = self.begin_lookup(client, Purpose::Answer(client, request), question)?;
        self.begin_call(client, request, Subject::Lookup(lookup), timeout_ms, now)?;
        Ok(None)
    }

    /// Whether the policy lets this name be looked up for one purpose or another. Of an address, too, a name
    /// server may be asked, for its name.
    fn judge_any_use(&self, host: &str) -> Result<(), Failure> {
        self.judge_name(Verb::Connect, host)
            .or_else(|_| self.judge_name(Verb::Datagram, host))
            .or_else(|_| self.judge_name(Verb::Listen, host))
    }

    /// Whether the policy lets this name be looked up.
    pub(crate) fn judge_name(&self, verb: Verb, host: &str) -> Result<(), Failure> {
        match self.config.policy.decide_resolve(verb, host) {
            Verdict::Allow => Ok(()),
            Verdict::Deny => Err(denied(format!("no rule allows {}", host.escape_default()))),
        }
    }

    /// Whether the policy allows this path.
    pub(crate) fn judge_path(&self, verb: Verb, path: &str) -> Result<(), Failure> {
        match self.config.policy.decide_path(verb, path) {
            Verdict::Allow => Ok(()),
            Verdict::Deny => Err(denied(format!("no rule allows unix:{}", path.escape_default()))),
        }
    }

    pub(crate) fn on_resolved(&mut self, lookup: LookupId, result: Result<Answer, Failure>, now: Instant) {
        let Some(pending) = self.lookups.remove(lookup) else { return };
        match pending.purpose {
            Purpose::Socket(socket) => {
                let addresses = result.map(|answer| match answer {
                    Answer::Addresses(addresses) => addresses,
                    Answer::Host(_) | Answer::Names(_) => Vec::new(),
                });
                self.on_socket_resolved(socket, lookup, addresses, now);
            }
            Purpose::Answer(client, request) => {
                let call = self.clients.get(client).and_then(|client| client.calls.get(&request));
                // The number may stand for a later request by now.
                if call.is_none_or(|call| call.subject != Subject::Lookup(lookup)) {
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
