//! The users and groups of this machine, by their names.

use std::ffi::CString;

use nix::unistd::{Group, User, getegid, geteuid, getgrouplist, getgroups};

use crate::core::policy::Accounts;

/// The system's databases of users and groups.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Accounts for System {
    fn user(&self, name: &str) -> Result<Option<u32>, String> {
        let user = User::from_name(name).map_err(|errno| errno.desc().to_owned())?;
        Ok(user.map(|user| user.uid.as_raw()))
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        let group = Group::from_name(name).map_err(|errno| errno.desc().to_owned())?;
        Ok(group.map(|group| group.gid.as_raw()))
    }
}

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

impl System {
    /// A user as it would log in here. One that is not known here has a group of its own number, and no more.
    ///
    /// # Errors
    /// Why the system cannot say.
    pub fn account(&self, uid: u32) -> Result<Account, String> {
        let words = |errno: nix::errno::Errno| errno.desc().to_owned();
        let Some(user) = User::from_uid(uid.into()).map_err(words)? else {
            return Ok(Account { uid, gid: uid, groups: Vec::new() });
        };
        let name = CString::new(user.name).map_err(|error| error.to_string())?;
        let groups = getgrouplist(&name, user.gid).map_err(words)?;
        Ok(Account {
            uid,
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(|gid| gid.as_raw()).collect(),
        })
    }

    /// Whoever runs this process.
    ///
    /// # Errors
    /// Why the system cannot say.
    pub fn own(&self) -> Result<Account, String> {
        let groups = getgroups().map_err(|errno| errno.desc().to_owned())?;
        let groups = groups.into_iter().map(|gid| gid.as_raw()).collect();
        Ok(Account { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_number_0() {
        assert_eq!((System.user("root"), System.group("root")), (Ok(Some(0)), Ok(Some(0))));
        assert_eq!(System.user("no such user"), Ok(None));
    }
}
