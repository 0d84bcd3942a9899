//! The benchmark, on what is built as for an installation.

use crate::modules;
use crate::process::{built, cargo, run};

/// Builds what is measured, and measures it. Whoever only wants help does not wait for the modules.
pub fn bench(args: &[String]) -> Result<(), String> {
    cargo(&["build", "--release", "--package", "luasocketd-bench"])?;
    if !args.iter().any(|arg| arg == "--help" || arg == "-h") {
        cargo(&["build", "--release", "--package", "luasocketd"])?;
        modules::build_all(false)?;
    }
    let program = built(false).join("luasocketd-bench");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&program.display().to_string(), &args)
}
