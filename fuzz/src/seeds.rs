//! Inputs to begin with, made by code, so that they are never older than what they are for.

use std::path::PathBuf;
use std::{env, fs};

/// The variable that says where inputs are to be written to.
pub const VARIABLE: &str = "LUASOCKETD_SEEDS";

/// Writes the inputs that a target begins with where [`VARIABLE`] says, if it does.
///
/// # Panics
/// When they cannot be written.
pub fn write(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(directory) = env::var_os(VARIABLE).map(PathBuf::from) else { return };
    for (number, seed) in seeds.into_iter().enumerate() {
        let path = directory.join(format!("seed-{number}"));
        fs::write(&path, seed).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
}
