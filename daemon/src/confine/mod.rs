//! What a daemon gives up before it takes its first client: a hole in it is then a hole in less.
//!
//! [`enter`] does it to the calling process, which has one thread: what is given up is given up by all that it starts.
//! What the daemon still needs of the world outside, its [steward](super::steward) does, which was started before.
//! `docs/security.md` says what it is for.

mod calls;
mod files;
mod filter;
mod user;

use std::fmt;

use landlock::RulesetStatus;
use rustix::thread::CapabilitySet;

pub use files::Needed;
pub use user::{Known, Somebody};

use crate::jail::{Strictness, powers, whole};

/// What is left to a daemon.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// What happens where the kernel lacks a part; None for no confinement but that of capabilities.
    pub strictness: Option<Strictness>,
    /// The files; None for all.
    pub files: Option<Needed>,
    /// The capabilities that it keeps, where it has them; None for all.
    pub capabilities: Option<CapabilitySet>,
    /// Whether it has a jail to end.
    pub has_jail: bool,
}

/// A part that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The filter of system calls.
    Calls,
    /// The limit on files and signals.
    Files,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Calls => "system calls are not filtered (seccomp on x86_64, aarch64 or riscv64)",
            Part::Files => "files and signals are not limited, or only in part (Landlock of Linux 6.12)",
        })
    }
}

/// Confines the calling process. Gives what the kernel lacks, and nothing where that is strict.
///
/// # Errors
/// Why it cannot be.
pub fn enter(confinement: &Confinement) -> Result<Vec<Part>, String> {
    if let Some(kept) = confinement.capabilities {
        powers::keep(kept).map_err(|error| format!("cannot give up capabilities: {error}"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("cannot set no_new_privs: {error}"))?;
    let Some(strictness) = confinement.strictness else { return Ok(Vec::new()) };
    let mut lacks = Vec::new();
    if let Some(needed) = &confinement.files {
        let is_known = files::is_known();
        match files::restrict(needed) {
            Ok(RulesetStatus::FullyEnforced) if is_known => {}
            Ok(_) => lacks.push(Part::Files),
            Err(error) => return Err(format!("cannot limit the daemon's files: {}", whole(&*error))),
        }
    }
    let installed = filter::programs(confinement.has_jail)
        .map_err(|error| error.to_string())
        // A private daemon has a thread for its trail already.
        .and_then(|programs| {
            programs.iter().try_for_each(|program| {
                seccompiler::apply_filter_all_threads(program).map_err(|error| error.to_string())
            })
        });
    if let Err(error) = installed {
        tracing::debug!("the filter of system calls: {error}");
        lacks.push(Part::Calls);
    }
    match strictness {
        Strictness::Strict if !lacks.is_empty() => Err(format!(
            "the daemon cannot confine itself: {}. With --sandbox=best-effort it serves without that",
            list(&lacks)
        )),
        Strictness::Strict | Strictness::BestEffort => Ok(lacks),
    }
}

/// What one line says of the parts that are missing.
pub fn warning(lacks: &[Part]) -> String {
    format!("the daemon's confinement is not whole: {}", list(lacks))
}

fn list(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::jail::filter::install;

    /// Says to this test that it is the process that does what is deadly.
    const DEADLY_VARIABLE: &str = "LUASOCKETD_TEST_DEADLY";

    /// Does something in a thread that is under the filter, and alone so.
    fn filtered<T: Send>(act: impl FnOnce() -> T + Send) -> T {
        let programs = filter::programs(false).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).unwrap();
                install(&programs).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    #[test]
    fn threads_are_started_and_processes_are_not() {
        let (thread, process) = filtered(|| {
            let thread = thread::spawn(|| 7).join().unwrap();
            (thread, Command::new("true").spawn().map(|_| ()).unwrap_err().raw_os_error())
        });
        assert_eq!((thread, process), (7, Some(libc::EPERM)));
    }

    #[test]
    fn sockets_of_other_families_are_refused_and_those_of_scripts_are_not() {
        use rustix::net::{AddressFamily, SocketType, socket};
        let made = |family| socket(family, SocketType::RAW, None).map(|_| ());
        let (packet, inet) = filtered(|| {
            let inet = socket(AddressFamily::INET, SocketType::STREAM, None).map(|_| ());
            (made(AddressFamily::PACKET), inet)
        });
        assert_eq!((packet, inet), (Err(rustix::io::Errno::PERM), Ok(())));
    }

    #[test]
    fn what_is_newer_than_the_table_does_not_exist() {
        // The range that says so comes last: of two failures the kernel takes that one.
        assert_eq!(filter::programs(false).unwrap().len(), 4);
        assert!(filter::programs(true).unwrap().iter().all(|program| program.len() < 4096));
    }

    #[test]
    fn another_program_is_the_end() {
        if env::var_os(DEADLY_VARIABLE).is_some() {
            // It does not come back, unless the filter lets it live.
            panic!("{}", filtered(|| Command::new("true").exec()));
        }
        let own = "confine::tests::another_program_is_the_end";
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", own])
            .env(DEADLY_VARIABLE, "1")
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSYS));
    }
}
