//! The files that a daemon can reach once it is ready.
//!
//! Where scripts bind local sockets is the policy's word, which changes while the daemon runs: making a socket file is
//! left to the file system's own rights.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

/// The version of Landlock whose rights are asked for.
const FILES: ABI = ABI::V5;

/// What every daemon reads, with all that is below: the configuration of the machine's resolver, its modules, the
/// machine's time zones, and its own way to itself.
const READ: [&str; 14] = [
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/nix/store",
    "/gnu/store",
    "/run/systemd/resolve",
    "/run/nscd",
    "/var/lib/sss",
    "/proc/self",
];

/// Devices that hold nothing.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/random", "/dev/urandom"];

/// Files of the resolver that may be links to where somebody else keeps them.
const LINKED: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

/// What one daemon needs besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Is read, with all that is below.
    pub read: Vec<PathBuf>,
    /// Is changed, with all that is below.
    pub write: Vec<PathBuf>,
    /// Files go from here at the end.
    pub sockets: Vec<PathBuf>,
}

/// Puts into force what this kernel can, for this thread and what it starts; says how much that is.
///
/// # Errors
/// A path that cannot be opened, or the kernel's.
pub fn restrict(needed: &Needed) -> Result<RulesetStatus, Box<dyn Error>> {
    let all = AccessFs::from_all(FILES) & !AccessFs::MakeSock;
    // Nothing is ever run.
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::Signal)?
        .create()?;
    for (paths, rights) in [(&needed.write, write), (&needed.sockets, read | AccessFs::RemoveFile)] {
        for path in paths {
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, rights))?;
        }
    }
    // What is missing now is missed.
    let devices: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile;
    let ruleset = ruleset
        .add_rules(path_beneath_rules(needed.read.iter().cloned().chain(READ.map(PathBuf::from)), read))?
        .add_rules(path_beneath_rules(linked(), read))?
        .add_rules(path_beneath_rules(DEVICES, devices))?;
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Whether this kernel can limit files and signals as far as is asked for.
pub fn is_known() -> bool {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict().handle_access(AccessFs::from_all(FILES)).and_then(|ruleset| ruleset.scope(Scope::Signal)).is_ok()
}

/// The directories that the links lead to: whoever writes such a file anew puts another one in its place.
fn linked() -> Vec<PathBuf> {
    let target = |link: &str| fs::canonicalize(link).ok().filter(|file| file != Path::new(link));
    LINKED.iter().filter_map(|link| target(link)?.parent().map(Path::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_what_is_read() {
        let text = include_str!("../../../docs/security.md");
        for path in READ.iter().chain(&DEVICES).chain(&LINKED) {
            assert!(text.contains(&format!("`{path}`")), "{path} is missing");
        }
    }
}
