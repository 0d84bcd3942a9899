//! The filter of a daemon's system calls, made from the table.

use std::env::consts::ARCH;

use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::calls::{ALLOWED, DEADLY, WITH_JAIL};
use crate::jail::calls::{Calls, When, calls};
use crate::jail::filter::{range, rules};

/// The call whose flags no filter can see; libraries fall back to another one.
const MISSING: Calls = calls![SYS_clone3];

/// The programs, in the order in which they are installed. Of several answers the kernel takes the strictest, and of
/// two failures that of the program which was installed last.
///
/// # Errors
/// When the processor is none that the compiler of filters knows.
pub fn programs(has_jail: bool) -> Result<Vec<BpfProgram>, BackendError> {
    let arch = TargetArch::try_from(ARCH)?;
    let filter = |calls: Vec<(When, Calls)>, matched, other| -> Result<BpfProgram, BackendError> {
        SeccompFilter::new(rules(calls.into_iter())?, other, matched, arch)?.try_into()
    };
    let further = if has_jail { WITH_JAIL } else { &[] };
    let allowed = ALLOWED.iter().chain(further).map(|allowed| (allowed.when, allowed.calls)).collect();
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    Ok(vec![
        filter(vec![(When::Always, DEADLY)], SeccompAction::KillProcess, SeccompAction::Allow)?,
        filter(allowed, SeccompAction::Allow, errno(libc::EPERM))?,
        filter(vec![(When::Always, MISSING)], errno(libc::ENOSYS), SeccompAction::Allow)?,
        range(),
    ])
}
