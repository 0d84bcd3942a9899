//! What all clients of one user hold together: a user who opens the daemon's path again and again gets no more by it
//! than the operator lets one user have.
//!
//! Each client has a small base that is its own whatever the others of its user hold; what it holds beyond that comes
//! out of what its user has. Clients of one user may be on several loops, so the sums are atomic; a lock is taken only when
//! a client comes and when the last one of a user goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::{Limits, Resource};
use super::policy::{Crowd, Seat};

/// A number for each resource.
type Sums = [AtomicU64; Resource::ALL.len()];

/// What users may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLimits {
    /// What all of a user's clients may hold together, each one's base not counted.
    pub held: Limits,
    /// How many clients a user may have at once.
    pub clients: u64,
}

impl Default for UserLimits {
    fn default() -> Self {
        UserLimits { held: Limits::of_a_user(), clients: 4096 }
    }
}

/// The accounts of all users, the same for all loops.
#[derive(Clone, Debug)]
pub struct Users(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    base: Limits,
    limits: Sums,
    clients: AtomicU64,
    accounts: Mutex<HashMap<u32, Weak<Account>>>,
}

/// What one user's clients hold together.
#[derive(Debug)]
pub(crate) struct Account {
    uid: u32,
    used: Sums,
    crowd: Crowd,
    users: Users,
}

impl Default for Users {
    fn default() -> Self {
        Users::new(Limits::base())
    }
}

impl Users {
    /// Accounts with nothing on them, whose clients have this base.
    pub fn new(base: Limits) -> Self {
        let (limits, clients, accounts) = Default::default();
        let users = Users(Arc::new(Shared { base, limits, clients, accounts }));
        users.set_limits(&UserLimits::default());
        users
    }

    /// Changes what each user may have. What is held beyond it stays until it is released.
    pub fn set_limits(&self, limits: &UserLimits) {
        for &resource in Resource::ALL {
            self.0.limits[resource as usize].store(limits.held.of(resource), Ordering::Relaxed);
        }
        self.0.clients.store(limits.clients, Ordering::Relaxed);
    }

    /// How much a user's clients hold beyond their bases.
    pub fn used(&self, uid: u32, resource: Resource) -> u64 {
        self.0.lock().get(&uid).and_then(Weak::upgrade).map_or(0, |account| account.used(resource))
    }

    /// The account of a user, which lives as long as somebody has it.
    pub(crate) fn account(&self, uid: u32) -> Arc<Account> {
        let mut accounts = self.0.lock();
        if let Some(account) = accounts.get(&uid).and_then(Weak::upgrade) {
            return account;
        }
        let (used, crowd) = Default::default();
        let account = Arc::new(Account { uid, used, crowd, users: self.clone() });
        accounts.insert(uid, Arc::downgrade(&account));
        account
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Weak<Account>>> {
        // The map is whole between any two statements that hold the lock.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// A place among the clients of the user.
    ///
    /// # Errors
    /// How many it may have, when it has as many.
    pub(crate) fn join(&self) -> Result<Seat, u64> {
        let limit = self.users.0.clients.load(Ordering::Relaxed);
        self.crowd.join(limit).ok_or(limit)
    }

    /// What the user may hold of a resource.
    pub(crate) fn limit(&self, resource: Resource) -> u64 {
        self.users.0.limits[resource as usize].load(Ordering::Relaxed)
    }

    /// How much of a resource a client can still be charged that has been charged so much.
    pub(crate) fn free(&self, resource: Resource, used: u64) -> u64 {
        let own = self.users.0.base.of(resource).saturating_sub(used);
        own.saturating_add(self.limit(resource).saturating_sub(self.used(resource)))
    }

    /// Changes what one client has been charged; whether the limit lets it. What shrinks always may.
    pub(crate) fn resize(&self, resource: Resource, from: u64, to: u64) -> bool {
        let beyond = |used: u64| used.saturating_sub(self.users.0.base.of(resource));
        let (from, to) = (beyond(from), beyond(to));
        if from == to {
            return true;
        }
        let limit = self.limit(resource);
        let changed = |used: u64| (used - from).checked_add(to).filter(|&sum| sum <= limit || to <= from);
        self.used[resource as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).is_ok()
    }

    fn used(&self, resource: Resource) -> u64 {
        self.used[resource as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut accounts = self.users.0.lock();
        // Another one may have come for the user meanwhile.
        if accounts.get(&self.uid).is_some_and(|account| account.strong_count() == 0) {
            accounts.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    fn users(base: u64, sockets: u64) -> Users {
        let users = Users::new(Limits { sockets: base, ..Limits::base() });
        set_limit(&users, sockets);
        users
    }

    fn set_limit(users: &Users, sockets: u64) {
        let held = Limits { sockets, ..Limits::of_a_user() };
        users.set_limits(&UserLimits { held, ..UserLimits::default() });
    }

    fn client(users: &Users, uid: u32) -> Budget {
        Budget::new(Limits { sockets: 5, ..Limits::default() }).of_user(users.account(uid))
    }

    #[test]
    fn the_clients_of_one_user_share_what_it_may_hold_and_each_has_its_base() {
        let users = users(1, 3);
        let (one, other, stranger) = (client(&users, 7), client(&users, 7), client(&users, 8));
        let held = one.charge(Resource::Sockets, 4).unwrap();
        assert_eq!((users.used(7, Resource::Sockets), one.free(Resource::Sockets)), (3, 0));
        assert_eq!((other.free(Resource::Sockets), other.used(Resource::Sockets)), (1, 0));
        let over = other.charge(Resource::Sockets, 2).unwrap_err();
        assert_eq!(over.to_string(), "the limit of 3 sockets of one user is reached");
        let its =
            (other.charge(Resource::Sockets, 1).unwrap(), stranger.charge(Resource::Sockets, 4).unwrap());
        drop(held);
        assert_eq!(other.free(Resource::Sockets), 3);
        drop((one, other, stranger, its));
        assert!(users.0.lock().is_empty());
    }

    #[test]
    fn what_is_held_beyond_a_new_limit_is_released_as_before() {
        let users = users(0, 9);
        let one = client(&users, 7);
        let mut held = one.charge(Resource::Sockets, 2).unwrap();
        set_limit(&users, 0);
        assert!(held.resize(2).is_ok() && held.resize(1).is_ok() && held.resize(2).is_err());
        drop(held);
        assert_eq!(users.used(7, Resource::Sockets), 0);
    }

    #[test]
    fn loops_that_charge_at_once_never_pass_the_limit() {
        let users = users(2, 50);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let one = Budget::new(Limits::default()).of_user(users.account(7));
                        let held: Vec<_> =
                            (0..20).map_while(|_| one.charge(Resource::Sockets, 1).ok()).collect();
                        assert!(users.used(7, Resource::Sockets) <= 50 && held.len() >= 2);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(users.used(7, Resource::Sockets), 0);
    }
}
