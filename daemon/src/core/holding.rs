//! What waits for its record: nothing reaches the network before the decision to let it is recorded.

use std::sync::Arc;

use luasocketd_protocol::{Code, Failure, SetOption, SocketId};

use super::action::{Action, Names};
use super::calls::cancelled;
use super::machine::Core;
use super::question::Lookup;
use super::slots::{ClientId, LookupId};
use super::trail::{Decided, Record, TrailId};

/// What is done when its decision is recorded.
#[derive(Debug)]
pub(crate) enum Held {
    /// Ask the resolver.
    Lookup(Lookup),
    /// Start to connect.
    Dial(SocketId),
    /// Listen, with so many connections that may wait.
    Listen(SocketId, i32),
    /// Hand an accepted connection over.
    Establish { client: ClientId, request: u32, socket: SocketId, window: u32, names: Names },
    /// Bind a datagram socket, or give it its peer.
    Step(SocketId),
    /// Send the first datagram that waits.
    Send(SocketId),
    /// Set an option that has datagrams come.
    Option { client: ClientId, request: u32, set: SetOption },
    /// Nothing any more: tell the trail how it has ended.
    End(Option<SocketId>, Record),
}

impl Core {
    /// Has a decision recorded; `held` waits for it.
    pub(crate) fn hold(&mut self, decided: Arc<Decided>, socket: Option<SocketId>, held: Held) {
        self.held.insert(decided.id, held);
        self.act(Action::Record { record: Record::Decided(decided), socket, wanted: true });
    }

    pub(crate) fn on_recorded(&mut self, id: TrailId, result: Result<(), String>) {
        // What it was for may have ended meanwhile.
        let Some(held) = self.held.remove(&id) else { return };
        match result {
            Ok(()) => self.release(held),
            Err(reason) => self.refuse_held(id, held, unrecorded(&reason)),
        }
    }

    /// Does what was held, as far as it is wanted still.
    pub(crate) fn release(&mut self, held: Held) {
        match held {
            Held::Lookup(lookup) => self.act(Action::Lookup(lookup)),
            Held::Dial(socket) => self.start_dial(socket),
            Held::Listen(socket, backlog) => {
                if self.is_starting(socket) {
                    self.act(Action::Listen { socket, backlog });
                }
            }
            Held::Establish { client, request, socket, window, names } => {
                self.establish(client, request, socket, window, names);
            }
            Held::Step(socket) => self.take_step(socket),
            Held::Send(socket) => self.send_recorded(socket, None),
            Held::Option { client, request, set } => self.act(Action::SetOption { client, request, set }),
            Held::End(socket, record) => self.act(Action::Record { record, socket, wanted: false }),
        }
    }

    /// Tells the trail how something has ended, but not before its decision is recorded.
    pub(crate) fn tell_end(&mut self, id: TrailId, socket: Option<SocketId>, record: Record) {
        let Some(held) = self.held.get_mut(&id) else {
            return self.act(Action::Record { record, socket, wanted: false });
        };
        if let Held::Option { client, request, .. } = std::mem::replace(held, Held::End(socket, record)) {
            self.fail(client, request, cancelled());
        }
    }

    /// Tells the trail how things have ended whose decision is still being recorded.
    pub(crate) fn release_ends(&mut self) {
        let mut held: Vec<(TrailId, Held)> = self.held.drain().collect();
        held.sort_by_key(|(id, _)| *id);
        for (_, held) in held {
            if let Held::End(socket, record) = held {
                self.act(Action::Record { record, socket, wanted: false });
            }
        }
    }

    /// Fails what was held: it is not done, as it cannot be recorded.
    fn refuse_held(&mut self, id: TrailId, held: Held, failure: Failure) {
        match held {
            Held::Lookup(Lookup { lookup, .. }) => {
                if let Some(pending) = self.lookups.get_mut(lookup) {
                    pending.open = None;
                }
                let now = self.now;
                self.on_resolved(lookup, Err(failure), now);
            }
            Held::Dial(socket) | Held::Listen(socket, _) => {
                self.disown(socket, id);
                self.fail_socket_call(socket, failure);
            }
            Held::Establish { client, request, socket, .. } => {
                self.disown(socket, id);
                self.forget_socket(socket);
                self.fail(client, request, failure);
            }
            Held::Step(socket) => {
                self.disown(socket, id);
                self.fail_step(socket, failure);
            }
            Held::Send(socket) => {
                self.disown(socket, id);
                self.send_recorded(socket, Some(failure));
            }
            Held::Option { client, request, set } => {
                self.disown(set.socket, id);
                self.fail(client, request, failure);
            }
            Held::End(..) => {}
        }
    }

    /// Takes a lookup back that nobody waits for any more.
    pub(crate) fn drop_lookup(&mut self, lookup: LookupId) {
        let record = self.lookups.get(lookup).and_then(|pending| pending.open.as_ref());
        let is_held = record.is_some_and(|open| self.held.contains_key(&open.decided.id));
        if !is_held {
            return self.act(Action::DropLookup { lookup });
        }
        // The resolver has not been asked.
        if let Some(pending) = self.lookups.remove(lookup) {
            self.end_lookup(pending.open, &Err(cancelled()));
        }
    }
}

/// Nothing is done that cannot be recorded.
fn unrecorded(reason: &str) -> Failure {
    Failure::new(Code::Unrecorded, format!("it cannot be recorded, so it is not done: {reason}"))
}
