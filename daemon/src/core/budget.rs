//! What one client may hold: charged before it is held, to it and to its user, and released by drop.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::account::Account;

macro_rules! resources {
    ($($(#[$doc:meta])* $variant:ident = $field:ident, $key:literal, $what:literal, $default:expr, $of_a_user:expr, $base:expr;)+) => {
        /// Something that a client can hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Resource {
            $($(#[$doc])* $variant,)+
        }

        impl Resource {
            /// Every resource.
            pub const ALL: &[Resource] = &[$(Resource::$variant),+];

            /// The key of its limit in a policy file.
            pub const fn key(self) -> &'static str {
                match self { $(Resource::$variant => $key),+ }
            }
        }

        impl fmt::Display for Resource {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Resource::$variant => $what),+ })
            }
        }

        /// The most that somebody may hold of each resource; the default is that of one client.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($field: $default),+ }
            }
        }

        impl Limits {
            /// The most that all clients of one user may hold together, if nobody says anything else.
            pub fn of_a_user() -> Self {
                Limits { $($field: $of_a_user),+ }
            }

            /// What each client may hold whatever others of its user do.
            pub fn base() -> Self {
                Limits { $($field: $base),+ }
            }

            /// The limit of one resource.
            pub fn of(&self, resource: Resource) -> u64 {
                match resource { $(Resource::$variant => self.$field),+ }
            }

            /// Changes the limit of one resource.
            pub fn set(&mut self, resource: Resource, limit: u64) {
                match resource { $(Resource::$variant => self.$field = limit),+ }
            }
        }
    };
}

resources! {
    /// Bytes that the client may make the daemon hold: all credit granted to it, used or not.
    Bytes = bytes, "bytes_held", "bytes held", 256 << 20, 4 << 30, 4 << 20;
    /// Sockets, those that still deliver accepted bytes after their close included.
    Sockets = sockets, "sockets", "sockets", 16_384, 131_072, 64;
    /// Requests that are not answered yet.
    Calls = calls, "calls", "calls under way", 16_384, 131_072, 64;
    /// Name lookups, abandoned ones included until the resolver lets go of them.
    Lookups = lookups, "lookups", "name lookups under way", 32, 512, 2;
}

/// A charge that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// What there is not enough of.
    pub resource: Resource,
    /// How much of it may be held.
    pub limit: u64,
    /// By whom.
    pub holder: Holder,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// That of one client.
    Client,
    /// That of all clients of its user together.
    User,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.holder {
            Holder::Client => "",
            Holder::User => " of one user",
        };
        write!(f, "the limit of {} {}{whose} is reached", self.limit, self.resource)
    }
}

/// One client's account.
#[derive(Clone, Debug)]
pub struct Budget(Rc<Ledger>);

#[derive(Debug)]
struct Ledger {
    limits: RefCell<Limits>,
    /// What counts against the user, too.
    user: Option<Arc<Account>>,
    used: [Cell<u64>; Resource::ALL.len()],
}

impl Budget {
    /// An account with nothing charged, of a client without a user.
    pub fn new(limits: Limits) -> Self {
        Budget(Rc::new(Ledger { limits: RefCell::new(limits), user: None, used: Default::default() }))
    }

    /// The same, with nothing charged, of a client of a user.
    pub(crate) fn of_user(&self, account: Arc<Account>) -> Self {
        let limits = self.0.limits.clone();
        Budget(Rc::new(Ledger { limits, user: Some(account), used: Default::default() }))
    }

    /// Changes the limits. What is charged beyond them stays until it is released.
    pub fn set_limits(&self, limits: Limits) {
        *self.0.limits.borrow_mut() = limits;
    }

    /// Charges `amount`, until the charge is dropped.
    ///
    /// # Errors
    /// [`OverLimit`] when the limit would be passed; then nothing is charged.
    pub fn charge(&self, resource: Resource, amount: u64) -> Result<Charge, OverLimit> {
        let mut charge = Charge { budget: self.clone(), resource, amount: 0 };
        charge.resize(amount)?;
        Ok(charge)
    }

    /// How much of a resource is charged.
    pub fn used(&self, resource: Resource) -> u64 {
        self.0.used[resource as usize].get()
    }

    /// How much of a resource can still be charged.
    pub fn free(&self, resource: Resource) -> u64 {
        let own = self.0.limits.borrow().of(resource).saturating_sub(self.used(resource));
        self.0.user.as_ref().map_or(own, |user| own.min(user.free(resource, self.used(resource))))
    }
}

/// Something that a client holds; dropping it releases it.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    resource: Resource,
    amount: u64,
}

impl Charge {
    /// Changes the amount.
    ///
    /// # Errors
    /// [`OverLimit`] when the limit would be passed; then the charge stays as it was.
    pub fn resize(&mut self, amount: u64) -> Result<(), OverLimit> {
        let ledger = &self.budget.0;
        let (used, limit) = (&ledger.used[self.resource as usize], ledger.limits.borrow().of(self.resource));
        let others = used.get() - self.amount;
        let sum = others.checked_add(amount).filter(|&sum| sum <= limit || amount <= self.amount);
        let sum = sum.ok_or(OverLimit { resource: self.resource, limit, holder: Holder::Client })?;
        if let Some(user) = &ledger.user
            && !user.resize(self.resource, used.get(), sum)
        {
            let limit = user.limit(self.resource);
            return Err(OverLimit { resource: self.resource, limit, holder: Holder::User });
        }
        used.set(sum);
        self.amount = amount;
        Ok(())
    }

    /// The account that it is on.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The most that the charge could be resized to.
    pub fn room(&self) -> u64 {
        self.budget.free(self.resource) + self.amount
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let ledger = &self.budget.0;
        let used = &ledger.used[self.resource as usize];
        let before = used.replace(used.get() - self.amount);
        if let Some(user) = &ledger.user {
            // What shrinks always may.
            user.resize(self.resource, before, used.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_released_by_drop() {
        let budget = Budget::new(Limits { sockets: 2, ..Limits::default() });
        let first = budget.charge(Resource::Sockets, 2).unwrap();
        let over = budget.charge(Resource::Sockets, 1).unwrap_err();
        assert_eq!(over.to_string(), "the limit of 2 sockets is reached");
        drop(first);
        assert_eq!((budget.used(Resource::Sockets), budget.free(Resource::Sockets)), (0, 2));
    }

    #[test]
    fn a_charge_that_cannot_grow_stays_as_it_was() {
        let budget = Budget::new(Limits { bytes: 10, ..Limits::default() });
        let mut charge = budget.charge(Resource::Bytes, 6).unwrap();
        assert!(charge.resize(11).is_err() && charge.resize(u64::MAX).is_err());
        assert_eq!((charge.room(), budget.used(Resource::Bytes)), (10, 6));
        charge.resize(10).unwrap();
        charge.resize(1).unwrap();
        assert_eq!(budget.free(Resource::Bytes), 9);
    }
}
