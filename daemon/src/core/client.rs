//! One pipe and what its script has going on.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use luasocketd_protocol::{CLIENT_NAME_MAX, Hello, SocketId};

use super::account::Account;
use super::budget::{Budget, Charge};
use super::meter::Meter;
use super::policy::{Profile, Seat};
use super::sharing::Sharing;
use super::slots::LookupId;
use super::trail::{End, Party, Traffic};

/// Who is at the other end of a pipe, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process that connected; 0 when it lives in a process namespace that the daemon cannot see.
    pub pid: i32,
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} uid {} gid {}", self.pid, self.uid, self.gid)
    }
}

/// Who is at the other end of a pipe, and how it came in: all that the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User, group and process.
    pub credentials: Credentials,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The path that it has connected to, if it has not got its pipe in another way.
    pub socket: Option<String>,
}

impl From<Credentials> for Identity {
    /// Somebody of whom no more is known.
    fn from(credentials: Credentials) -> Self {
        Identity { credentials, groups: Vec::new(), socket: None }
    }
}

/// What the core knows of a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) credentials: Credentials,
    pub(crate) groups: Vec<u32>,
    pub(crate) socket: Option<String>,
    /// What records say of it.
    pub(crate) party: Arc<Party>,
    /// Why its sockets end when it goes.
    pub(crate) ending: End,
    /// When it came.
    pub(crate) since: Instant,
    /// What has passed: to the network, and from it.
    pub(crate) traffic: [Traffic; 2],
    pub(crate) phase: Phase,
    /// What it may do; nothing before it has said hello.
    pub(crate) profile: Option<Arc<Profile>>,
    /// Its place among those that have the profile.
    pub(crate) seat: Option<Seat>,
    /// What all clients of its user hold.
    pub(crate) account: Arc<Account>,
    /// Its place among them.
    pub(crate) user_seat: Option<Seat>,
    pub(crate) budget: Budget,
    /// How fast it goes, with all of its sockets.
    pub(crate) meter: Rc<RefCell<Meter>>,
    /// What the shell may buffer on its pipe.
    pub(crate) _pipe: Charge,
    /// Its sockets, those not counted that only deliver what was accepted before their close.
    pub(crate) sockets: BTreeSet<SocketId>,
    /// Its unanswered requests, by their number.
    pub(crate) calls: HashMap<u32, PendingCall>,
    /// The memory that it shares with the daemon.
    pub(crate) sharing: Sharing,
}

/// How far a client has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has to say hello by then.
    Greeting(Instant),
    /// It has been told why it may not stay.
    Refused,
    /// It may ask for anything.
    Welcome {
        /// What it calls itself.
        name: String,
        /// Its Lua version.
        lua: String,
    },
}

impl Client {
    /// Bytes that have passed, both ways.
    pub(crate) fn moved(&self) -> u64 {
        self.traffic.iter().map(|way| way.bytes).sum()
    }

    /// Has records say from here on what is known of it now.
    pub(crate) fn introduce(&mut self) {
        let Phase::Welcome { name, lua } = &self.phase else { return };
        let profile = self.profile.as_ref().map(|profile| profile.name.clone());
        self.party = Arc::new(Party {
            name: name.clone(),
            lua: lua.clone(),
            profile: profile.unwrap_or_default(),
            ..Party::clone(&self.party)
        });
    }
}

impl Phase {
    /// What a hello makes of a client: labels for people, so they are cut and made printable.
    pub(crate) fn welcome(hello: &Hello<'_>) -> Self {
        Phase::Welcome { name: printable(hello.client), lua: printable(hello.lua) }
    }
}

fn printable(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(CLIENT_NAME_MAX).map(printable).collect()
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// When it fails with `timeout`.
    pub(crate) deadline: Option<Instant>,
    /// What it waits for.
    pub(crate) subject: Subject,
    /// Its place among the calls under way.
    pub(crate) _charge: Charge,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A socket to be connected or bound, or a listening one to give a connection.
    Socket(SocketId),
    /// The resolver.
    Lookup(LookupId),
    /// What is readable now to be pushed.
    Network,
    /// The trail, to record what has come about.
    Record,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_log_line() {
        let hello = Hello { version: 1, client: "a\n\u{1b}[31m\u{202e}b", lua: &"x".repeat(1000) };
        let Phase::Welcome { name, lua } = Phase::welcome(&hello) else { panic!() };
        assert_eq!((name.as_str(), lua.len()), ("a??[31m?b", CLIENT_NAME_MAX));
    }
}
