//! Directories of Lua scripts that a test runs one by one.

use std::path::{Path, PathBuf};

use crate::build::repository;
use crate::process::Outcome;

/// The test scripts of a directory under `tests/`, sorted; never none. Files that begin with `_` are
/// shared by the scripts and are none themselves.
pub fn scripts_in(directory: &str) -> Vec<PathBuf> {
    let directory = repository("tests").join(directory);
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", directory.display()));
    let mut scripts: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory can be read").path())
        .filter(|path| is_script(path))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", directory.display());
    scripts
}

/// Whether a script asks for names that only a namespace with a name server of its own has.
pub fn is_about_names(script: &Path) -> bool {
    name(script).starts_with("names_")
}

/// A script's file name without its ending.
pub fn name(script: &Path) -> String {
    script.file_stem().expect("a script has a name").to_string_lossy().into_owned()
}

/// Panics with every failure, if there is one.
pub fn report(failures: &[String], total: usize) {
    assert!(
        failures.is_empty(),
        "{} of {total} scripts failed:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// What is wrong with the outcome of a script that reports `ok N name` lines and `done`.
pub fn complaint(outcome: &Outcome) -> Option<String> {
    let text = outcome.text();
    let checks = text.lines().filter(|line| line.starts_with("ok ")).count();
    let ended = text.lines().last().is_some_and(|line| line == "done");
    (!outcome.status.success() || checks == 0 || !ended)
        .then(|| format!("{outcome}\n({checks} checks passed, {})", if ended { "done" } else { "cut short" }))
}

fn is_script(path: &Path) -> bool {
    let shared = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
    path.extension().is_some_and(|ending| ending == "lua") && !shared
}
