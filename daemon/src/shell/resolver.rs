//! Names, looked up by threads of their own through the system's resolver, which blocks. All loops have these together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use dns_lookup::{AddrInfoHints, LookupError, SockType};
use libc::{AF_INET, AF_INET6, AI_NUMERICHOST, AI_NUMERICSERV, EAI_SYSTEM, NI_NUMERICHOST, NI_NUMERICSERV};
use luasocketd_protocol::{Code, Failure, Family, HostEntry, Kind, NameInfo};
use mio::Waker;

use super::questions::Questions;
use super::unsafe_hosts::host_entry;
use crate::core::{Answer as Found, ClientId, Lookup, LookupId, Question, eai};

/// The most lookups at once of whoever has some under way already: a resolver that hangs holds a thread for some ten
/// seconds. How many one client may ask for is the core's business.
const THREADS_MAX: usize = 64;

/// The most lookups at once: beyond the others each client gets a thread for its first one, so that no number of lookups that
/// hang keeps somebody else's from being begun.
const THREADS_ALL: usize = 1024;

/// The nice value of their threads: whoever asks a hundred names shall not have the loop wait for a processor.
const PRIORITY: i32 = 10;

/// Answers that a loop takes in one turn: each one ends a call, and nobody else shall wait for thousands of them.
const ANSWERS_PER_TURN: usize = 64;

/// A lookup needs no deep stack: this is four times what glibc's resolver takes with its largest answer.
const STACK_BYTES: usize = 512 * 1024;

/// What a lookup has found, or why it has not.
pub(crate) type Answer = (LookupId, Result<Found, Failure>);

/// A loop's share of the pool of lookup threads.
#[derive(Debug)]
pub(crate) struct Resolver {
    shared: Arc<Shared>,
    /// Which loop's it is.
    index: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    /// Of each loop.
    wakers: Vec<Arc<Waker>>,
}

#[derive(Debug, Default)]
struct State {
    /// What waits, of each client of each loop.
    questions: Questions<(usize, Option<ClientId>)>,
    /// What each loop has not taken yet.
    answers: Vec<VecDeque<Answer>>,
    threads: usize,
    idle: usize,
    /// Whether the log was told that the system gives no further thread.
    starved: bool,
    /// How many loops have not ended.
    loops: usize,
}

impl Resolver {
    /// A pool without threads, for as many loops as there are wakers; each one is woken when there is an answer for its
    /// loop.
    pub(crate) fn for_loops(wakers: Vec<Arc<Waker>>) -> Vec<Resolver> {
        let loops = wakers.len();
        let answers = (0..loops).map(|_| VecDeque::new()).collect();
        let state = State { answers, loops, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), more: Condvar::new(), wakers });
        (0..loops).map(|index| Resolver { shared: Arc::clone(&shared), index }).collect()
    }

    /// Starts a lookup for a client. How many may wait is bounded by the core's charges for them.
    ///
    /// # Errors
    /// When there is no thread at all and none can be started.
    pub(crate) fn ask(&mut self, client: Option<ClientId>, lookup: Lookup) -> io::Result<()> {
        let mut state = self.shared.lock();
        let asker = (self.index, client);
        state.questions.push(asker, lookup);
        let most = if state.questions.is_first(asker) { THREADS_ALL } else { THREADS_MAX };
        if state.idle < state.questions.len() && state.threads < most {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("lookup".into()).stack_size(STACK_BYTES);
            match thread.spawn(move || shared.answer_questions()) {
                Ok(_) => (state.threads, state.starved) = (state.threads + 1, false),
                Err(error) if state.threads == 0 => {
                    state.questions.pop(false);
                    state.questions.end(asker);
                    return Err(error);
                }
                Err(error) if !state.starved => {
                    state.starved = true;
                    tracing::warn!("no further lookup thread until that is over: {error}");
                }
                Err(_) => {}
            }
        }
        drop(state);
        self.shared.more.notify_one();
        Ok(())
    }

    /// Takes back a question that no thread has begun with; says whether it could.
    pub(crate) fn drop_question(&self, lookup: LookupId) -> bool {
        self.shared
            .lock()
            .questions
            .remove(|(index, _), question| *index == self.index && question.lookup == lookup)
    }

    /// Takes answers that have come, not all of very many at once; the loop is woken for the others.
    pub(crate) fn take_answers(&self) -> Vec<Answer> {
        let mut state = self.shared.lock();
        let answers = &mut state.answers[self.index];
        let taken = answers.drain(..answers.len().min(ANSWERS_PER_TURN)).collect();
        if !answers.is_empty() {
            self.shared.wake(self.index);
        }
        taken
    }
}

impl Drop for Resolver {
    /// With the last loop the threads end that wait; one in the middle of a lookup ends after it, or with the process.
    fn drop(&mut self) {
        self.shared.lock().loops -= 1;
        self.shared.more.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that hold the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, index: usize) {
        if let Err(error) = self.wakers[index].wake() {
            tracing::error!("cannot wake the loop for an answer: {error}");
        }
    }

    fn answer_questions(&self) {
        // A number for a process means this thread alone, on Linux.
        if let Err(error) = rustix::process::setpriority_process(None, PRIORITY) {
            tracing::debug!("a lookup thread keeps its priority: {error}");
        }
        let mut state = self.lock();
        while state.loops > 0 {
            // Threads beyond the usual number are for whoever has nothing under way.
            let firsts_only = state.threads - state.idle > THREADS_MAX;
            match state.questions.pop(firsts_only) {
                None if state.threads > THREADS_MAX => break,
                None => {
                    state.idle += 1;
                    state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
                Some((asker, question)) => {
                    drop(state);
                    let answer = answer(&question.question);
                    state = self.lock();
                    state.questions.end(asker);
                    let (index, _) = asker;
                    state.answers[index].push_back((question.lookup, answer));
                    self.wake(index);
                }
            }
        }
        state.threads -= 1;
    }
}

/// Asks the system's resolver, and waits for it.
fn answer(question: &Question) -> Result<Found, Failure> {
    match question {
        Question::Addresses { host, port, family, kind, numeric } => {
            let flags = if *numeric { AI_NUMERICHOST | AI_NUMERICSERV } else { 0 };
            look_up(Some(host), port.as_deref(), *family, *kind, flags).map(Found::Addresses)
        }
        Question::Host(host) => host_of(host).map(Found::Host),
        Question::NamesOf { addresses, service } => Ok(Found::Names(names(addresses, true, *service))),
        Question::Names { host, service } => names_of(host.as_deref(), service.as_deref()).map(Found::Names),
    }
}

fn look_up(
    host: Option<&str>,
    port: Option<&str>,
    family: Family,
    kind: Kind,
    flags: i32,
) -> Result<Vec<SocketAddr>, Failure> {
    let address = match family {
        Family::Unspec | Family::Dual | Family::Unix => 0,
        Family::Inet => AF_INET,
        Family::Inet6 => AF_INET6,
    };
    let socktype = if kind.is_datagram() { SockType::DGram } else { SockType::Stream };
    let hints = AddrInfoHints { socktype: socktype.into(), address, flags, ..Default::default() };
    match dns_lookup::getaddrinfo(host, port, Some(hints)) {
        Ok(found) => Ok(found.filter_map(Result::ok).map(|info| info.sockaddr).collect()),
        Err(error) => Err(failure(host.or(port).unwrap_or_default(), error)),
    }
}

fn host_of(host: &str) -> Result<HostEntry, Failure> {
    host_entry(host).map_err(|detail| {
        let message = format!("no host entry for {}", host.escape_default());
        Failure { code: Code::Host, detail, message }
    })
}

/// The names of a host's addresses and of a port; of what was not asked for no server is asked.
fn names_of(host: Option<&str>, service: Option<&str>) -> Result<NameInfo, Failure> {
    let addresses = look_up(host, service, Family::Unspec, Kind::Tcp, 0)?;
    let addresses: Vec<_> = addresses.into_iter().map(|address| (address, host.is_some())).collect();
    Ok(names(&addresses, host.is_some(), service.is_some()))
}

/// The names of those addresses that are marked, and the numbers of the others.
fn names(addresses: &[(SocketAddr, bool)], host: bool, service: bool) -> NameInfo {
    let named = addresses.iter().map(|(address, may_ask)| {
        let mut flags = 0;
        if !may_ask {
            flags |= NI_NUMERICHOST;
        }
        if !service {
            flags |= NI_NUMERICSERV;
        }
        let plain = || (address.ip().to_string(), address.port().to_string());
        // What has no name is told by its number.
        dns_lookup::getnameinfo(address, flags).unwrap_or_else(|_| plain())
    });
    let (names, services): (Vec<String>, Vec<String>) = named.unzip();
    NameInfo {
        names: if host { names } else { Vec::new() },
        service: services.last().filter(|_| service).cloned(),
    }
}

fn failure(host: &str, error: LookupError) -> Failure {
    let (number, system) = (error.error_num(), io::Error::from(error));
    let message = format!("cannot look up {}: {system}", host.escape_default());
    match number {
        EAI_SYSTEM => Failure { code: Code::Os, detail: super::system::errno(&system), message },
        // No number: the text cannot even be asked for.
        0 => Failure { code: Code::Resolve, detail: eai::NONAME, message },
        number => Failure { code: Code::Resolve, detail: number, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_this_machine_is_found() {
        let found = look_up(Some("localhost"), Some("80"), Family::Inet, Kind::Tcp, 0).unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
    }

    #[test]
    fn a_failure_carries_the_resolvers_number() {
        // EAI_ADDRFAMILY and EAI_SERVICE of netdb.h.
        let look_up = |host, port, family| look_up(Some(host), Some(port), family, Kind::Tcp, 0);
        let wrong_family = look_up("::1", "80", Family::Inet).unwrap_err();
        assert_eq!((wrong_family.code, wrong_family.detail), (Code::Resolve, -9));
        let no_service = look_up("127.0.0.1", "no-such-service", Family::Unspec).unwrap_err();
        assert_eq!((no_service.code, no_service.detail), (Code::Resolve, -8));
    }

    #[test]
    fn a_host_with_a_nul_is_an_error_and_no_panic() {
        assert!(look_up(Some("a\0b"), Some("80"), Family::Unspec, Kind::Tcp, 0).is_err());
    }
}
