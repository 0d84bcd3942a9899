//! The soak, on what is built as for an installation.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::modules;
use crate::process::{built, cargo};

/// The modules of the interpreters that its scripts run on; LuaJIT loads the first.
const SOAKED: [&str; 3] = ["5.1", "5.3", "5.4"];

/// Builds what is soaked, and becomes the soak, so that signals and exit codes are as if that had been called. Whoever only
/// wants help does not wait for the modules.
pub fn soak(args: &[String]) -> Result<(), String> {
    cargo(&["build", "--release", "--package", "luasocketd-soak"])?;
    if !args.iter().any(|arg| arg == "--help" || arg == "-h") {
        cargo(&["build", "--release", "--package", "luasocketd"])?;
        modules::build_each(SOAKED.into_iter(), false)?;
    }
    let program = built(false).join("luasocketd-soak");
    let error = Command::new(&program).args(args).exec();
    Err(format!("cannot run {}: {error}", program.display()))
}
