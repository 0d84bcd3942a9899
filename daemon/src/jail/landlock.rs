//! What Landlock takes: TCP, signals and abstract sockets across the jail's border, files on request.

use std::error::Error;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::files::Files;

/// The version of Landlock whose rights are asked for, each: newer ones add rights that were not tried out.
const FILES: ABI = ABI::V5;
const NETWORK: ABI = ABI::V4;
const SCOPE: ABI = ABI::V6;

/// Whether this kernel can deny TCP.
pub fn denies_tcp() -> bool {
    strict().handle_access(AccessNet::from_all(NETWORK)).is_ok()
}

/// Whether this kernel keeps signals and abstract sockets inside.
pub fn keeps_inside() -> bool {
    strict().scope(Scope::from_all(SCOPE)).is_ok()
}

/// Whether this kernel can limit all that is done with files.
pub fn limits_files() -> bool {
    strict().handle_access(AccessFs::from_all(FILES)).is_ok()
}

/// Puts into force what this kernel can, for this thread and what it starts.
///
/// # Errors
/// A path that cannot be opened, or the kernel's.
pub fn restrict(files: Option<&Files>) -> Result<RulesetStatus, Box<dyn Error>> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(NETWORK))?
        .scope(Scope::from_all(SCOPE))?;
    if files.is_some() {
        ruleset = ruleset.handle_access(AccessFs::from_all(FILES))?;
    }
    let mut ruleset = ruleset.create()?;
    if let Some(files) = files {
        ruleset = allow(ruleset, files)?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Keeps the signals of this thread, and of what it starts, among themselves.
///
/// # Errors
/// When this kernel cannot.
pub fn keep_signals() -> Result<RulesetStatus, RulesetError> {
    Ok(strict().scope(Scope::Signal)?.create()?.restrict_self()?.ruleset)
}

fn strict() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}

fn allow(mut ruleset: RulesetCreated, files: &Files) -> Result<RulesetCreated, Box<dyn Error>> {
    let (read, all) = (AccessFs::from_read(FILES), AccessFs::from_all(FILES));
    for (paths, rights) in [(&files.read, read), (&files.write, all)] {
        for path in paths {
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, of_kind(path, rights)))?;
        }
    }
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    Ok(ruleset
        .add_rules(path_beneath_rules(&files.implied, read))?
        .add_rules(path_beneath_rules(&files.devices, device))?)
}

/// Those of the rights that a file can have, if it is one.
fn of_kind(path: &Path, rights: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() { rights } else { rights & AccessFs::from_file(FILES) }
}
