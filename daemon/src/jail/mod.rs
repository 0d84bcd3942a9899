//! The jail of `run` and `exec`: what a process gives up before it becomes the script or the command.
//!
//! [`enter`] does it to the calling process, which has one thread and has not run a line yet that it does not
//! trust. What is given up stays given up, over `exec` and in every child. The order matters: each step needs
//! what a later one takes away. `docs/security.md` says what the jail is for and what it does not stop.

pub(crate) mod calls;
mod descriptors;
mod files;
pub(crate) mod filter;
mod landlock;
mod limits;
pub(crate) mod powers;
mod scope;

use std::fmt;
use std::os::fd::RawFd;

use ::landlock::RulesetStatus;

pub use files::{Files, command_file};
pub use limits::Limits;
pub use scope::{Fence, Keeper, keep};

/// What happens where the kernel lacks a part of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Nothing is run.
    Strict,
    /// It is run with what there is.
    BestEffort,
}

/// What the jail is to be.
#[derive(Debug)]
pub struct Jail {
    pub strictness: Strictness,
    /// Local sockets (`AF_UNIX`) are allowed.
    pub unix: bool,
    /// The only files that can be reached; None for all.
    pub files: Option<Files>,
    pub limits: Limits,
}

/// A part of the jail that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The filter of system calls.
    Calls,
    /// The denial of TCP.
    Tcp,
    /// Signals and abstract sockets stay inside.
    Inside,
    /// The limit on files.
    Files,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Calls => {
                "system calls cannot be filtered, so sockets can be made (seccomp on x86_64, aarch64 or riscv64)"
            }
            Part::Tcp => "TCP cannot be denied a second time (Landlock of Linux 6.7)",
            Part::Inside => {
                "signals reach processes outside, and what the command leaves running is not ended (Landlock of \
                 Linux 6.12)"
            }
            Part::Files => "files cannot be limited, or only in part (Landlock of Linux 6.10)",
        })
    }
}

/// Why there is no jail.
#[derive(Debug)]
pub enum Refused {
    /// The kernel lacks these parts.
    Lacks(Vec<Part>),
    /// A step failed.
    Step(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Lacks(parts) => write!(
                f,
                "no jail on this system: {}. With --jail=best-effort it is run without that",
                list(parts)
            ),
            Refused::Step(problem) => write!(f, "no jail: {problem}"),
        }
    }
}

/// Whether the kernel has the parts of a strict jail that can be told before it is made.
///
/// # Errors
/// Those that it lacks.
pub fn check(jail: &Jail) -> Result<(), Refused> {
    refuse_if_strict(jail, &missing(jail))
}

/// Puts the calling process into the jail; it keeps the descriptor `pipe`. Returns what the kernel lacks, and
/// nothing if the jail is strict.
///
/// # Errors
/// Why it cannot be; the process must then run nothing else.
pub fn enter(jail: &Jail, pipe: Option<RawFd>) -> Result<Vec<Part>, Refused> {
    let failed =
        |step: &'static str| move |error: &dyn fmt::Display| Refused::Step(format!("{step}: {error}"));
    descriptors::close_others(pipe).map_err(|error| failed("cannot close what is open")(&error))?;
    descriptors::check_standard(jail.unix).map_err(Refused::Step)?;
    let programs = filter::programs(jail.unix);
    let mut lacks = missing(jail);
    if programs.is_err() {
        lacks.push(Part::Calls);
    }
    refuse_if_strict(jail, &lacks)?;

    powers::give_up().map_err(|error| failed("cannot give up capabilities")(&error))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| failed("cannot set no_new_privs")(&error))?;
    let status = landlock::restrict(jail.files.as_ref())
        .map_err(|error| failed("cannot limit files")(&whole(&*error)))?;
    if lacks.iter().all(|part| *part == Part::Calls) && status != RulesetStatus::FullyEnforced {
        return Err(Refused::Step(format!("Landlock is {status:?}")));
    }
    if let Ok(programs) = programs
        && let Err(error) = filter::install(&programs)
    {
        tracing::debug!("the filter of system calls: {error}");
        lacks.push(Part::Calls);
        refuse_if_strict(jail, &lacks)?;
    }
    // Last: with little memory the steps before would fail.
    jail.limits.apply().map_err(|error| failed("cannot set limits")(&error))?;
    Ok(lacks)
}

/// What the filter refuses, for people: what a script could do, and by which system calls.
pub fn refusals() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    calls::TABLE.iter().map(|group| (group.reason, calls::names(group)))
}

/// What one line says of the parts that a best-effort jail does without.
pub fn warning(lacks: &[Part]) -> String {
    format!("the jail is not whole: {}", list(lacks))
}

fn refuse_if_strict(jail: &Jail, lacks: &[Part]) -> Result<(), Refused> {
    match jail.strictness {
        Strictness::Strict if !lacks.is_empty() => Err(Refused::Lacks(lacks.to_vec())),
        Strictness::Strict | Strictness::BestEffort => Ok(()),
    }
}

/// The parts that Landlock lacks here.
fn missing(jail: &Jail) -> Vec<Part> {
    let parts = [
        (Part::Tcp, landlock::denies_tcp()),
        (Part::Inside, landlock::keeps_inside()),
        (Part::Files, jail.files.is_none() || landlock::limits_files()),
    ];
    parts.into_iter().filter(|(_, there)| !there).map(|(part, _)| part).collect()
}

/// An error with what caused it, in one line.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn list(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).collect::<Vec<_>>().join("; ")
}
