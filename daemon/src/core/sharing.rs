//! Memory that a busy client shares with the daemon, so that its frames need no pipe: who gets some, and for how
//! long. The bytes themselves are the shell's business.

use std::rc::Rc;
use std::time::{Duration, Instant};

use luasocketd_protocol::{Failure, RING_SIZE, RingGrant};

use super::action::{Action, Reply};
use super::budget::{Charge, Resource};
use super::machine::Core;
use super::numbers::errno;
use super::slots::ClientId;
use super::timers::Timer;

/// What is charged to a client for its rings: all that they can hold.
pub const RING_BYTES: u64 = 2 * RING_SIZE as u64;

/// Clients of one event loop that have rings at once: half a gigabyte at the most. Further ones go on through their pipes.
pub const RINGS_MAX: usize = 256;

/// How long nothing may move through a ring until it is taken back: long enough that a script which pauses between
/// two bursts keeps it, short enough that idle ones hold no memory.
pub const RING_IDLE: Duration = Duration::from_secs(10);

/// How far a client has come with its rings.
#[derive(Debug, Default)]
pub(crate) enum Sharing {
    /// It has none.
    #[default]
    No,
    /// It was given some, and has not begun to use them.
    Offered(Share),
    /// It uses them; what had moved by the time that was looked at last.
    Used { share: Share, moved: u64 },
    /// They are taken back, which the client has not answered.
    Ending { _share: Share },
}

/// One of the rings that there may be, and its charge.
#[derive(Debug)]
pub(crate) struct Share {
    _charge: Charge,
    _seat: Rc<()>,
}

impl Core {
    pub(crate) fn on_ring(&mut self, client: ClientId, request: u32) -> Result<Option<Reply>, Failure> {
        let Some(entry) = self.clients.get_mut(client) else { return Ok(None) };
        if !matches!(entry.sharing, Sharing::No) {
            return Err(Failure::os(errno::EALREADY));
        }
        // One reference is the core's own.
        if !self.config.rings || Rc::strong_count(&self.rings) > RINGS_MAX {
            return Err(Failure::os(errno::ENOMEM));
        }
        let charge = entry.budget.charge(Resource::Bytes, RING_BYTES);
        let charge = charge.map_err(|_| Failure::os(errno::ENOMEM))?;
        entry.sharing = Sharing::Offered(Share { _charge: charge, _seat: Rc::clone(&self.rings) });
        self.act(Action::MakeRing { client, request });
        Ok(None)
    }

    pub(crate) fn on_ring_made(&mut self, client: ClientId, request: u32, result: Result<(), i32>) {
        match result {
            Ok(()) => {
                let spin_us = u32::try_from(self.config.spin.as_micros()).unwrap_or(u32::MAX);
                self.reply(client, request, Reply::Ring(RingGrant { spin_us }));
            }
            Err(errno) => {
                self.end_sharing(client);
                self.fail(client, request, Failure::os(errno));
            }
        }
    }

    pub(crate) fn on_ring_begin(&mut self, client: ClientId, now: Instant) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        match std::mem::take(&mut entry.sharing) {
            Sharing::Offered(share) => {
                entry.sharing = Sharing::Used { share, moved: entry.moved() };
                self.timers.set(now + RING_IDLE, Timer::Ring(client));
                self.act(Action::BeginRing { client });
            }
            // What it holds stays charged until it has gone.
            other => {
                entry.sharing = other;
                self.disconnect(client, "it begins to use a ring that it has not got");
            }
        }
    }

    /// The client has refused its rings, or has given them back.
    pub(crate) fn on_ring_end(&mut self, client: ClientId) {
        match self.clients.get(client).map(|client| &client.sharing) {
            Some(Sharing::Offered(_) | Sharing::Ending { .. }) => {
                self.end_sharing(client);
                self.act(Action::DropRing { client });
            }
            Some(_) => self.disconnect(client, "it ends the use of a ring that nobody wants back"),
            None => {}
        }
    }

    pub(crate) fn on_ring_idle(&mut self, client: ClientId, now: Instant) {
        let Some(entry) = self.clients.get_mut(client) else { return };
        let moved_now = entry.moved();
        match std::mem::take(&mut entry.sharing) {
            Sharing::Used { share, moved } if moved == moved_now => {
                entry.sharing = Sharing::Ending { _share: share };
                self.act(Action::EndRing { client });
            }
            Sharing::Used { share, .. } => {
                entry.sharing = Sharing::Used { share, moved: moved_now };
                self.timers.set(now + RING_IDLE, Timer::Ring(client));
            }
            other => entry.sharing = other,
        }
    }

    fn end_sharing(&mut self, client: ClientId) {
        if let Some(entry) = self.clients.get_mut(client) {
            entry.sharing = Sharing::No;
        }
    }
}

#[cfg(test)]
mod tests {
    use luasocketd_protocol::{AskRing, Call, ClientNote, Hello, RingBegin, RingEnd};

    use super::super::action::Input;
    use super::super::budget::Limits;
    use super::super::client::Credentials;
    use super::super::machine::Config;
    use super::super::policy::Policy;
    use super::*;

    fn core(rings: bool, bytes: u64, now: Instant) -> (Core, ClientId) {
        let limits = Limits { bytes, ..Limits::default() };
        let policy = Policy::new(vec!["*".parse().unwrap()]);
        let spin = Duration::from_micros(7);
        let mut core = Core::new(Config { policy, rings, spin, limits, ..Config::default() }, now);
        let client = welcome(&mut core, now);
        (core, client)
    }

    fn welcome(core: &mut Core, now: Instant) -> ClientId {
        let client = core.add_client(Credentials { uid: 0, gid: 0, pid: 1 }, now).unwrap();
        let hello = Hello { version: 1, client: "test", lua: "" };
        core.handle(Input::Request { client, request: 1, call: Call::Hello(hello) }, now);
        while core.poll_action().is_some() {}
        client
    }

    fn ask(core: &mut Core, client: ClientId, now: Instant) -> Vec<Action> {
        core.handle(Input::Request { client, request: 2, call: Call::Ring(AskRing {}) }, now);
        std::iter::from_fn(|| core.poll_action()).collect()
    }

    fn note(core: &mut Core, client: ClientId, note: ClientNote<'_>, now: Instant) -> Vec<Action> {
        core.handle(Input::Note { client, note }, now);
        std::iter::from_fn(|| core.poll_action()).collect()
    }

    #[test]
    fn a_ring_is_given_used_and_taken_back_when_nothing_moves() {
        let now = Instant::now();
        let (mut core, client) = core(true, 16 << 20, now);
        let before = core.used(client, Resource::Bytes).unwrap();
        assert_eq!(ask(&mut core, client, now), [Action::MakeRing { client, request: 2 }]);
        core.handle(Input::RingMade { client, request: 2, result: Ok(()) }, now);
        assert_eq!(core.used(client, Resource::Bytes), Some(before + RING_BYTES));
        let reply = Reply::Ring(RingGrant { spin_us: 7 });
        assert_eq!(core.poll_action(), Some(Action::Reply { client, request: 2, reply }));
        let begun = note(&mut core, client, ClientNote::RingBegin(RingBegin {}), now);
        assert_eq!(begun, [Action::BeginRing { client }]);
        core.clients.get_mut(client).unwrap().traffic[0].bytes += 1;
        core.handle(Input::Tick, now + RING_IDLE);
        assert_eq!(core.poll_action(), None, "something has moved");
        core.handle(Input::Tick, now + 2 * RING_IDLE);
        assert_eq!(core.poll_action(), Some(Action::EndRing { client }));
        let ended = note(&mut core, client, ClientNote::RingEnd(RingEnd {}), now);
        assert_eq!(ended, [Action::DropRing { client }]);
        assert_eq!((core.used(client, Resource::Bytes), Rc::strong_count(&core.rings)), (Some(before), 1));
        assert_eq!(ask(&mut core, client, now), [Action::MakeRing { client, request: 2 }], "again");
    }

    #[test]
    fn a_client_may_decline_and_one_that_makes_things_up_is_let_go() {
        let now = Instant::now();
        let (mut core, client) = core(true, 16 << 20, now);
        ask(&mut core, client, now);
        core.handle(Input::RingMade { client, request: 2, result: Ok(()) }, now);
        while core.poll_action().is_some() {}
        let declined = note(&mut core, client, ClientNote::RingEnd(RingEnd {}), now);
        assert_eq!(declined, [Action::DropRing { client }]);
        for made_up in [ClientNote::RingBegin(RingBegin {}), ClientNote::RingEnd(RingEnd {})] {
            let client = welcome(&mut core, now);
            let done = note(&mut core, client, made_up, now);
            assert!(matches!(done[..], [Action::Disconnect { .. }]), "{done:?}");
        }
    }

    #[test]
    fn who_gets_none_goes_on_without() {
        let now = Instant::now();
        let refused = |done: Vec<Action>| matches!(&done[..], [Action::Fail { failure, .. }] if *failure == Failure::os(errno::ENOMEM));
        let (mut off, client) = core(false, 16 << 20, now);
        assert!(refused(ask(&mut off, client, now)));
        let (mut short, client) = core(true, super::super::machine::PIPE_BYTES + RING_BYTES - 1, now);
        assert!(refused(ask(&mut short, client, now)));
        let (mut full, client) = core(true, 16 << 20, now);
        for _ in 0..RINGS_MAX {
            let client = welcome(&mut full, now);
            assert!(matches!(ask(&mut full, client, now)[..], [Action::MakeRing { .. }]));
        }
        assert!(refused(ask(&mut full, client, now)));
        // The system may have none either.
        let (mut poor, client) = core(true, 16 << 20, now);
        ask(&mut poor, client, now);
        poor.handle(Input::RingMade { client, request: 2, result: Err(errno::ENOMEM) }, now);
        assert!(refused(std::iter::from_fn(|| poor.poll_action()).collect()));
        assert_eq!(Rc::strong_count(&poor.rings), 1);
    }
}
