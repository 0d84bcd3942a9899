//! The filter of system calls, made from the table and put into force.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::calls::{Answer, Calls, NEWEST, TABLE, Test, When};

/// Numbers from here on are calls of x32, the other way to call a 64-bit kernel of x86: the same calls by other
/// numbers, around every rule.
const X32: u32 = 0x4000_0000;

/// Numbers from here on are negative, and no calls: a program that is traced makes one to be skipped.
const NEGATIVE: u32 = 0x8000_0000;

/// Load the word at `k` of what the filter judges, whose first word is the call's number.
const LOAD: u16 = 0x20;
/// Go on by `jt` when the word is at least `k`, else by `jf`.
const JUMP_GE: u16 = 0x35;
/// Answer `k`.
const RETURN: u16 = 0x06;

/// The programs, in the order in which they are installed. Of several answers the kernel takes the strictest.
///
/// # Errors
/// When the processor is none that the compiler of filters knows.
pub fn programs(unix: bool) -> Result<Vec<BpfProgram>, BackendError> {
    let arch = TargetArch::try_from(ARCH)?;
    let mut programs = vec![range()];
    for answer in Answer::ALL {
        let groups = TABLE.iter().filter(|group| group.answer == answer && !(unix && group.unless_unix));
        let rules = rules(groups.map(|group| (group.when, group.calls)))?;
        let refuse = SeccompAction::Errno(answer.errno());
        // Each begins with the check of the processor: calls of another one, int 0x80 among them, kill.
        programs.push(SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?);
    }
    Ok(programs)
}

/// Puts the programs into force for this thread and what it starts. Sets `no_new_privs` too.
///
/// # Errors
/// When the kernel has no filters, or refuses this one.
pub fn install(programs: &[BpfProgram]) -> Result<(), seccompiler::Error> {
    programs.iter().try_for_each(|program| seccompiler::apply_filter(program))
}

/// By number alone: x32 kills, and what is newer than the table does not exist.
pub fn range() -> BpfProgram {
    let answer = |action: SeccompAction| step(RETURN, 0, 0, u32::from(action));
    vec![
        step(LOAD, 0, 0, 0),
        step(JUMP_GE, 3, 0, NEGATIVE),
        step(JUMP_GE, 3, 0, X32),
        step(JUMP_GE, 1, 0, NEWEST + 1),
        answer(SeccompAction::Allow),
        answer(SeccompAction::Errno(Answer::NoCall.errno())),
        answer(SeccompAction::KillProcess),
    ]
}

fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The rules that match these calls: each with when it does.
///
/// # Errors
/// When the compiler of filters cannot express one.
pub fn rules(
    groups: impl Iterator<Item = (When, Calls)>,
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Option<Vec<SeccompRule>>> = BTreeMap::new();
    for (when, calls) in groups {
        for (_, number) in calls {
            // None is a call that matches whatever its arguments are.
            let known = rules.entry(*number).or_insert_with(|| Some(Vec::new()));
            match (when, known.as_mut()) {
                (When::Always, _) => *known = None,
                (When::Any(lines), Some(known)) => {
                    for line in lines {
                        known.push(SeccompRule::new(conditions(line)?)?);
                    }
                }
                (When::Any(_), None) => {}
            }
        }
    }
    Ok(rules.into_iter().map(|(number, rules)| (number, rules.unwrap_or_default())).collect())
}

fn conditions(tests: &[Test]) -> Result<Vec<SeccompCondition>, BackendError> {
    let condition = |test: &Test| {
        let (argument, operator, value) = match *test {
            Test::Not(argument, value) => (argument, SeccompCmpOp::Ne, value),
            Test::Bits(argument, mask, value) => (argument, SeccompCmpOp::MaskedEq(mask.into()), value),
        };
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
    };
    tests.iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`range`] answers to a call, by a walk through it.
    fn judged(number: u32) -> u32 {
        let program = range();
        let mut at = 0;
        loop {
            let step = &program[at];
            at += 1;
            match step.code {
                LOAD => {}
                JUMP_GE => at += usize::from(if number >= step.k { step.jt } else { step.jf }),
                _ => return step.k,
            }
        }
    }

    #[test]
    fn numbers_are_judged_by_their_range() {
        let none = u32::from(SeccompAction::Errno(38));
        let kill = u32::from(SeccompAction::KillProcess);
        let allow = u32::from(SeccompAction::Allow);
        let cases = [
            (0, allow),
            (NEWEST, allow),
            (NEWEST + 1, none),
            // The kernels before 5.4 take these for calls of x32 without its mark.
            (512, none),
            (547, none),
            (X32 - 1, none),
            (X32, kill),
            (X32 + 41, kill),
            (NEGATIVE - 1, kill),
            (NEGATIVE, none),
            (u32::MAX, none),
        ];
        for (number, expected) in cases {
            assert_eq!(judged(number), expected, "{number:#x}");
        }
    }

    #[test]
    fn the_filters_fit_into_the_kernel() {
        for unix in [false, true] {
            let programs = programs(unix).unwrap();
            assert_eq!(programs.len(), 1 + Answer::ALL.len());
            assert!(programs.iter().all(|program| program.len() < 4096));
        }
    }

    #[test]
    fn local_sockets_are_given_back_on_request() {
        let of = |unix| programs(unix).unwrap().iter().map(Vec::len).sum::<usize>();
        assert!(of(true) != of(false));
    }
}
