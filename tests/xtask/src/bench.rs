//! The benchmark, on what is built as for an installation.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::modules;
use crate::process::{built, cargo};

/// The modules of the interpreters that can be measured; LuaJIT loads the first.
const MEASURED: [&str; 2] = ["5.1", "5.4"];

/// Builds what is measured, and becomes the benchmark, so that files are named and signals and exit codes are as if that had been called.
/// Whoever only wants help does not wait for the modules.
pub fn bench(args: &[String]) -> Result<(), String> {
    cargo(&["build", "--release", "--package", "luasocketd-bench"])?;
    if !args.iter().any(|arg| arg == "--help" || arg == "-h") {
        cargo(&["build", "--release", "--package", "luasocketd"])?;
        modules::build_each(MEASURED.into_iter(), false)?;
    }
    let program = built(false).join("luasocketd-bench");
    let error = Command::new(&program).args(args).exec();
    Err(format!("cannot run {}: {error}", program.display()))
}
