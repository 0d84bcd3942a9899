//! What root keeps of its powers in the jail. Others have none to lose.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The capabilities that stay: those of work on files, and those to become somebody else. Whom a signal may
/// reach is limited by Landlock, whoever sends it.
///
/// All others go: they reach the network (`NET_…`), the kernel and its devices (`SYS_…`, `MKNOD`, `BPF`,
/// `PERFMON`), other processes (`SYS_PTRACE`), the limits that the jail sets (`SYS_RESOURCE`), or leave a
/// file behind that gives powers to whoever runs it (`SETFCAP`).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// Numbers of capabilities that a kernel can have: they are bits of one word.
const NUMBERS: u32 = u64::BITS;

/// Gives up every capability but those that a jail leaves.
///
/// # Errors
/// The kernel's.
pub fn give_up() -> io::Result<()> {
    keep(KEPT)
}

/// Gives up every capability but `kept`, for good: also what a program could get from its file.
///
/// # Errors
/// The kernel's.
pub fn keep(kept: CapabilitySet) -> io::Result<()> {
    let have = capabilities(None)?;
    if have.permitted.contains(CapabilitySet::SETPCAP) {
        // Whoever has just become another user has it, but not in force.
        let effective = have.effective | CapabilitySet::SETPCAP;
        set_capabilities(None, CapabilitySets { effective, ..have })?;
        for number in 0..NUMBERS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if kept.contains(one) {
                continue;
            }
            match capability_is_in_bounding_set(one) {
                Ok(true) => remove_capability_from_bounding_set(one)?,
                Ok(false) => {}
                // Past the last one that this kernel has.
                Err(Errno::INVAL) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    match clear_ambient_capability_set() {
        // A kernel before 4.3 has no such set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: have.permitted & kept,
            permitted: have.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}
