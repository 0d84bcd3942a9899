//! The trail as it has to be: nothing reaches the network before its decision is recorded, and what is let through
//! ends once.

use std::collections::BTreeMap;
use std::sync::Arc;

use luasocketd::core::policy::parse_address;
use luasocketd::core::trail::{Decided, Matter, Record, TrailId};
use luasocketd::core::{Action, Place, Question};
use luasocketd_protocol::{SocketId, SocketOption};

#[derive(Default)]
pub(super) struct Shadow {
    /// Decisions that are not recorded yet.
    pub(super) waiting: Vec<(Arc<Decided>, Option<SocketId>)>,
    /// What is recorded and has not ended.
    open: BTreeMap<TrailId, (Arc<Decided>, Option<SocketId>)>,
}

impl Shadow {
    /// Takes a record in; of a decision that is waited for the world answers later.
    pub(super) fn note(&mut self, record: Record, socket: Option<SocketId>, wanted: bool) {
        match record {
            Record::Decided(decided) if wanted => {
                assert!(decided.refusal.is_none(), "a refusal waits for nothing");
                self.waiting.push((decided, socket));
            }
            Record::Decided(decided) => assert!(decided.refusal.is_some(), "let through without its record"),
            Record::Ended(ended) => {
                let known = self.open.remove(&ended.decided.id);
                assert!(known.is_some(), "{:?} has ended before it was recorded, or twice", ended.decided);
            }
        }
    }

    /// Notes that a decision is recorded.
    pub(super) fn committed(&mut self, decided: Arc<Decided>, socket: Option<SocketId>) {
        let id = decided.id;
        assert!(self.open.insert(id, (decided, socket)).is_none(), "recorded twice");
    }

    /// Asserts that what reaches the network is recorded.
    pub(super) fn check(&self, action: &Action) {
        let recorded = match action {
            Action::Lookup(lookup) => match &lookup.question {
                Question::Addresses { host, numeric, .. } => {
                    *numeric || parse_address(host).is_some() || self.has_lookup(host)
                }
                Question::Host(host) | Question::Names { host: Some(host), .. } => self.has_lookup(host),
                Question::NamesOf { .. } | Question::Names { host: None, .. } => true,
            },
            Action::Dial { socket, .. } | Action::DialPath { socket, .. } => {
                self.has(*socket, &[Matter::Connection])
            }
            Action::Start { socket, .. } => self.has(*socket, &[Matter::Connection, Matter::Accepted]),
            Action::Listen { socket, .. } => self.has(*socket, &[Matter::Listener]),
            Action::Bind { socket, kind, .. } if kind.is_datagram() => self.has(*socket, &[Matter::Listener]),
            Action::SetOption { set, .. } if set.option == SocketOption::IpAddMembership => {
                self.has(set.socket, &[Matter::Listener])
            }
            Action::SetPeer { socket, .. } => self.has(*socket, &[Matter::DatagramPeer]),
            Action::Send { socket, to: Some(place), .. } => self.has_peer(*socket, place),
            _ => true,
        };
        assert!(recorded, "{action:?} before its record; open: {:?}", self.open);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    fn has(&self, id: SocketId, matters: &[Matter]) -> bool {
        self.open.values().any(|(decided, socket)| *socket == Some(id) && matters.contains(&decided.matter))
    }

    fn has_peer(&self, id: SocketId, place: &Place) -> bool {
        self.open.values().any(|(decided, socket)| {
            *socket == Some(id) && decided.matter == Matter::DatagramPeer && decided.places.contains(place)
        })
    }

    fn has_lookup(&self, host: &str) -> bool {
        self.open.values().any(|(decided, _)| decided.matter == Matter::Lookup && decided.host == host)
    }
}
