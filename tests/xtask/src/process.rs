//! Other programs, run in the repository with their command line shown.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Where cargo puts what it builds in this way.
pub fn built(debug: bool) -> PathBuf {
    target().join(if debug { "debug" } else { "release" })
}

/// Runs cargo, the one that runs this.
pub fn cargo(args: &[&str]) -> Result<(), String> {
    cargo_with(args, &[])
}

/// Runs cargo with these variables.
pub fn cargo_with(args: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    start(&cargo, args, variables, Stdio::inherit()).map(drop)
}

/// Runs a program to its end; anything but success is an error.
pub fn run(program: &str, args: &[&str]) -> Result<(), String> {
    start(program, args, &[], Stdio::inherit()).map(drop)
}

/// Runs a program to its end, and gives what it printed.
pub fn output(program: &str, args: &[&str]) -> Result<String, String> {
    start(program, args, &[], Stdio::piped())
}

fn start(program: &str, args: &[&str], variables: &[(&str, &str)], stdout: Stdio) -> Result<String, String> {
    let name = Path::new(program).file_name().map_or_else(|| program.into(), |name| name.to_string_lossy());
    eprintln!("$ {name} {}", args.join(" "));
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(repository())
        .stdin(Stdio::inherit())
        .stdout(stdout)
        .stderr(Stdio::inherit());
    match command.output() {
        Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        Ok(done) => Err(format!("`{name} {}` failed: {}", args.join(" "), done.status)),
        Err(error) => Err(format!("cannot run `{name}`: {error}")),
    }
}
