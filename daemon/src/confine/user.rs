//! The user that a daemon is, where root has started it.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::str::FromStr;

use nix::unistd::{Gid, Group, Uid, User, initgroups, setresgid, setresuid};
use rustix::thread::set_keep_capabilities;

/// A user by name, and the group if that is to be another one than his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Somebody {
    user: String,
    group: Option<String>,
}

impl FromStr for Somebody {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.is_empty() || group.is_some_and(str::is_empty) {
            return Err("NAME or NAME:GROUP is wanted".to_owned());
        }
        Ok(Somebody { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

/// Somebody whom this machine knows.
#[derive(Clone, Debug)]
pub struct Known {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Somebody {
    /// Finds out who that is.
    ///
    /// # Errors
    /// That there is no such user or group, or that he has root's rights, which there is no point in.
    pub fn find(&self) -> Result<Known, String> {
        let Somebody { user, group } = self;
        let failed = |error: nix::Error| format!("cannot look up the user {user}: {error}");
        let found =
            User::from_name(user).map_err(failed)?.ok_or_else(|| format!("there is no user {user}"))?;
        let gid = match group {
            None => found.gid,
            Some(group) => {
                let found = Group::from_name(group).map_err(failed)?;
                found.ok_or_else(|| format!("there is no group {group}"))?.gid
            }
        };
        if found.uid.is_root() {
            return Err(format!("the user {user} is root: leave --user away to stay root"));
        }
        Ok(Known { name: user.clone(), uid: found.uid, gid })
    }
}

impl Known {
    /// Becomes him for good, with his supplementary groups; the capabilities stay, for the moment. To be called while
    /// the process has one thread.
    ///
    /// # Errors
    /// The system's: only root can.
    pub fn become_him(&self) -> io::Result<()> {
        let name = CString::new(self.name.as_str())?;
        set_keep_capabilities(true)?;
        initgroups(&name, self.gid)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)?;
        Ok(set_keep_capabilities(false)?)
    }

    /// Makes a directory that is his, if there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn make_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        if path.as_os_str().is_empty() || fs::symlink_metadata(path).is_ok() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        DirBuilder::new().mode(mode).create(path)?;
        std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_and_may_have_another_group() {
        let somebody = |text: &str| text.parse::<Somebody>();
        assert_eq!(somebody("a"), Ok(Somebody { user: "a".into(), group: None }));
        assert_eq!(somebody("a:b"), Ok(Somebody { user: "a".into(), group: Some("b".into()) }));
        for wrong in ["", ":", "a:", ":b"] {
            assert!(somebody(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_becomes_root_or_whom_there_is_not() {
        let why = |text: &str| text.parse::<Somebody>().unwrap().find().unwrap_err();
        assert!(why("root").contains("is root"));
        assert_eq!(why("no-such-user"), "there is no user no-such-user");
        assert_eq!(why("nobody:no-such-group"), "there is no group no-such-group");
    }
}
