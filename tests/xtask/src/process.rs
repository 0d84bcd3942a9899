//! Other programs, run in the repository with their command line shown.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Runs cargo, the one that runs this.
pub fn cargo(args: &[&str]) -> Result<(), String> {
    run(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
}

/// Runs a program to its end; anything but success is an error.
pub fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let name = Path::new(program).file_name().map_or_else(|| program.into(), |name| name.to_string_lossy());
    eprintln!("$ {name} {}", args.join(" "));
    let status = Command::new(program).args(args).current_dir(repository()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name} {}` failed: {status}", args.join(" "))),
        Err(error) => Err(format!("cannot run `{name}`: {error}")),
    }
}
