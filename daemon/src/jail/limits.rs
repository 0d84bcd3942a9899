//! How much memory and processor time each process of the jail may use.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long after its time a process that has caught `SIGXCPU` is killed.
const GRACE: Duration = Duration::from_secs(1);

/// Limits of each process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Processor time, in whole seconds: then `SIGXCPU`, a second later `SIGKILL`.
    pub cpu: Option<Duration>,
}

impl Limits {
    /// Puts the limits into force; they cannot be raised again without a capability that the jail takes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self) -> io::Result<()> {
        if let Some(bytes) = self.memory {
            lower(Resource::As, bytes, bytes)?;
        }
        if let Some(time) = self.cpu {
            lower(Resource::Cpu, time.as_secs(), (time + GRACE).as_secs())?;
        }
        Ok(())
    }
}

/// Sets both limits, or keeps a lower one that was set before.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let old = getrlimit(resource);
    let maximum = old.maximum.map_or(hard, |old| old.min(hard));
    let current = old.current.map_or(soft, |old| old.min(soft)).min(maximum);
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}
