//! How many descriptors a process may have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes as many as the system gives; children inherit it.
///
/// # Errors
/// When the system refuses what it allows.
pub fn raise_descriptors() -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)
        .map_err(|error| format!("cannot raise the limit of descriptors: {error}"))
}

/// How many this process may have, and each of those that it starts.
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
