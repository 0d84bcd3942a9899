//! The system calls that the jail refuses, each with its reason: the one table that the filter is made from.
//!
//! All calls up to [`NEWEST`] were looked at for it; what is newer does not exist in a jail. What a program
//! needs for its own work on files, memory, threads and children is allowed.

use libc::c_long;

/// The newest call that was judged for the table (`file_setattr`, Linux 6.17). Later ones have the same
/// numbers on every processor.
pub const NEWEST: u32 = 469;

/// What a refused call answers: what programs understand best, so that they go on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `EPERM`, as a kernel answers whose operator has forbidden the call.
    Forbidden,
    /// `EACCES`, what a firewall's refusal of an address looks like.
    Denied,
    /// `EAFNOSUPPORT`, so that a program that tries several families goes on to the next.
    NoFamily,
    /// `ENOSYS`, as an older kernel answers: libraries then take the older call.
    NoCall,
}

impl Answer {
    /// All of them: each is a filter of its own.
    pub const ALL: [Answer; 4] = [Answer::Forbidden, Answer::Denied, Answer::NoFamily, Answer::NoCall];

    /// The number in `errno`.
    pub fn errno(self) -> u32 {
        let errno = match self {
            Answer::Forbidden => libc::EPERM,
            Answer::Denied => libc::EACCES,
            Answer::NoFamily => libc::EAFNOSUPPORT,
            Answer::NoCall => libc::ENOSYS,
        };
        errno.unsigned_abs()
    }
}

/// A look at one argument of a call, at its lower 32 bits as the kernel has it: the upper ones of all these
/// arguments are ignored there, so looking at them would be a way around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Argument `.0` is another value than `.1`.
    Not(u8, u32),
    /// Those bits of argument `.0` that are in `.1` are `.2`.
    Bits(u8, u32, u32),
}

/// When a call is refused: always, or when all tests of one line hold.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Whatever its arguments are.
    Always,
    /// When one of the lines holds.
    Any(&'static [&'static [Test]]),
}

/// Names and numbers of calls.
pub type Calls = &'static [(&'static str, c_long)];

/// Calls that are refused for the same reason.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What a script could do with them, in a few words.
    pub reason: &'static str,
    pub answer: Answer,
    pub when: When,
    /// Whether the group is left out when the jail has local sockets.
    pub unless_unix: bool,
    pub calls: Calls,
}

const UNIX: u32 = libc::AF_UNIX as u32;
const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;
const RAW: u32 = libc::SOCK_RAW as u32;
/// The bits of a socket's type that are no flags.
const SOCKET_TYPE: u32 = 0xf;

const CREATE: u32 = libc::O_CREAT as u32;
/// The bit that only `O_TMPFILE` has.
const UNNAMED: u32 = 0o20_000_000;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// `TUNSETIFF`, which `libc` has not on all systems.
const TUN_ATTACH: u32 = 0x4004_54ca;

const PROCESS: u32 = 0;
const IO_PROCESS: u32 = 1;

/// A name with its number.
macro_rules! calls {
    ($($name:ident)+) => { &[$((stringify!($name), libc::$name)),+] };
}
pub(crate) use calls;

/// Set-uid or set-gid in the mode that is argument `$at`.
macro_rules! set_id {
    ($at:literal) => {
        When::Any(&[&[Test::Bits($at, SET_UID, SET_UID)], &[Test::Bits($at, SET_GID, SET_GID)]])
    };
}

/// A new file with set-uid or set-gid: flags in argument `$flags`, the mode in the one after it. Without a new
/// file the mode's argument is whatever lay in the register.
macro_rules! new_set_id {
    ($flags:literal, $mode:literal) => {
        When::Any(&[
            &[Test::Bits($flags, CREATE, CREATE), Test::Bits($mode, SET_UID, SET_UID)],
            &[Test::Bits($flags, CREATE, CREATE), Test::Bits($mode, SET_GID, SET_GID)],
            &[Test::Bits($flags, UNNAMED, UNNAMED), Test::Bits($mode, SET_UID, SET_UID)],
            &[Test::Bits($flags, UNNAMED, UNNAMED), Test::Bits($mode, SET_GID, SET_GID)],
        ])
    };
}

/// An argument that names another process (by any number but 0, which is the caller).
macro_rules! another {
    ($at:literal) => {
        When::Any(&[&[Test::Not($at, 0)]])
    };
}

const fn group(reason: &'static str, answer: Answer, when: When, calls: Calls) -> Group {
    Group { reason, answer, when, unless_unix: false, calls }
}

const fn unless_unix(group: Group) -> Group {
    Group { unless_unix: true, ..group }
}

/// The calls' names without what the headers put before them.
pub fn names(group: &Group) -> Vec<&'static str> {
    group.calls.iter().map(|(name, _)| name.trim_start_matches("SYS_")).collect()
}

/// The table.
pub const TABLE: &[Group] = &[
    // Sockets. A pair of streams reaches nobody but its two ends, and event loops are woken through one.
    unless_unix(group("makes a socket", Answer::NoFamily, When::Always, calls![SYS_socket])),
    group(
        "makes a socket of another family",
        Answer::NoFamily,
        When::Any(&[&[Test::Not(0, UNIX)]]),
        calls![SYS_socket],
    ),
    group(
        "makes a pair of another family",
        Answer::NoFamily,
        When::Any(&[&[Test::Not(0, UNIX)]]),
        calls![SYS_socketpair],
    ),
    unless_unix(group(
        "makes a pair of datagram sockets, each of which can send to any path",
        Answer::NoFamily,
        When::Any(&[&[Test::Bits(1, SOCKET_TYPE, DATAGRAM)], &[Test::Bits(1, SOCKET_TYPE, RAW)]]),
        calls![SYS_socketpair],
    )),
    unless_unix(group(
        "takes an inherited socket elsewhere",
        Answer::Denied,
        When::Always,
        calls![SYS_connect SYS_bind SYS_listen SYS_accept SYS_accept4],
    )),
    group(
        "makes sockets and connects them past this filter",
        Answer::Forbidden,
        When::Always,
        calls![SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register],
    ),
    // Other processes.
    group(
        "reads, changes or takes over another process",
        Answer::Forbidden,
        When::Always,
        calls![SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_pidfd_getfd SYS_kcmp
            SYS_process_madvise SYS_process_mrelease SYS_move_pages SYS_migrate_pages],
    ),
    group("changes the limits of another process", Answer::Forbidden, another!(0), calls![SYS_prlimit64]),
    group(
        "changes how another process is scheduled",
        Answer::Forbidden,
        another!(0),
        calls![SYS_sched_setaffinity SYS_sched_setscheduler SYS_sched_setparam SYS_sched_setattr],
    ),
    group(
        "changes the priority of other processes",
        Answer::Forbidden,
        When::Any(&[&[Test::Not(0, PROCESS)], &[Test::Not(1, 0)]]),
        calls![SYS_setpriority],
    ),
    group(
        "changes the disk priority of other processes",
        Answer::Forbidden,
        When::Any(&[&[Test::Not(0, IO_PROCESS)], &[Test::Not(1, 0)]]),
        calls![SYS_ioprio_set],
    ),
    group(
        "shares memory and messages with processes outside by number or name",
        Answer::Forbidden,
        When::Always,
        calls![SYS_shmget SYS_shmat SYS_shmctl SYS_semget SYS_semop SYS_semtimedop SYS_semctl
            SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink],
    ),
    // Namespaces: in a new user namespace a process has every capability, over a network of its own too.
    group(
        "starts a process in new namespaces",
        Answer::Forbidden,
        When::Any(&[
            &[Test::Bits(0, libc::CLONE_NEWNS as u32, libc::CLONE_NEWNS as u32)],
            &[Test::Bits(0, libc::CLONE_NEWCGROUP as u32, libc::CLONE_NEWCGROUP as u32)],
            &[Test::Bits(0, libc::CLONE_NEWUTS as u32, libc::CLONE_NEWUTS as u32)],
            &[Test::Bits(0, libc::CLONE_NEWIPC as u32, libc::CLONE_NEWIPC as u32)],
            &[Test::Bits(0, libc::CLONE_NEWUSER as u32, libc::CLONE_NEWUSER as u32)],
            &[Test::Bits(0, libc::CLONE_NEWPID as u32, libc::CLONE_NEWPID as u32)],
            &[Test::Bits(0, libc::CLONE_NEWNET as u32, libc::CLONE_NEWNET as u32)],
        ]),
        calls![SYS_clone],
    ),
    group(
        "starts a process by flags in memory, which a filter cannot see; libraries fall back to clone",
        Answer::NoCall,
        When::Always,
        calls![SYS_clone3],
    ),
    group("leaves its namespaces", Answer::Forbidden, When::Always, calls![SYS_unshare SYS_setns]),
    // The file system.
    group(
        "changes what is mounted where",
        Answer::Forbidden,
        When::Always,
        calls![SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree SYS_move_mount SYS_fsopen
            SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr SYS_swapon SYS_swapoff
            SYS_quotactl SYS_quotactl_fd],
    ),
    group("changes what is mounted where", Answer::Forbidden, When::Always, &[("SYS_open_tree_attr", 467)]),
    group(
        "opens files past the limits on paths",
        Answer::Forbidden,
        When::Always,
        calls![SYS_open_by_handle_at],
    ),
    group("watches what others do with files", Answer::Forbidden, When::Always, calls![SYS_fanotify_init]),
    group("leaves a set-uid program behind", Answer::Forbidden, set_id!(1), calls![SYS_fchmod]),
    group(
        "leaves a set-uid program behind",
        Answer::Forbidden,
        set_id!(2),
        calls![SYS_fchmodat SYS_fchmodat2 SYS_mknodat],
    ),
    group("leaves a set-uid program behind", Answer::Forbidden, new_set_id!(2, 3), calls![SYS_openat]),
    #[cfg(target_arch = "x86_64")]
    group(
        "leaves a set-uid program behind",
        Answer::Forbidden,
        set_id!(1),
        calls![SYS_chmod SYS_creat SYS_mknod],
    ),
    #[cfg(target_arch = "x86_64")]
    group("leaves a set-uid program behind", Answer::Forbidden, new_set_id!(1, 2), calls![SYS_open]),
    group(
        "opens a file by flags in memory, which a filter cannot see; programs fall back to openat",
        Answer::NoCall,
        When::Always,
        calls![SYS_openat2],
    ),
    // The kernel.
    group(
        "loads code into the kernel, or replaces it",
        Answer::Forbidden,
        When::Always,
        calls![SYS_bpf SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_acct],
    ),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    group(
        "loads code into the kernel, or replaces it",
        Answer::Forbidden,
        When::Always,
        calls![SYS_kexec_file_load],
    ),
    group(
        "looks into the kernel, or stops it at a place of choice",
        Answer::Forbidden,
        When::Always,
        calls![SYS_perf_event_open SYS_userfaultfd SYS_syslog],
    ),
    group(
        "takes other programs' keys, or has the kernel run a program outside",
        Answer::Forbidden,
        When::Always,
        calls![SYS_keyctl SYS_add_key SYS_request_key],
    ),
    group(
        "changes the machine's clock or name",
        Answer::Forbidden,
        When::Always,
        calls![SYS_settimeofday SYS_clock_settime SYS_sethostname SYS_setdomainname],
    ),
    #[cfg(target_arch = "x86_64")]
    group(
        "drives devices, or changes the processor's segments",
        Answer::Forbidden,
        When::Always,
        calls![SYS_iopl SYS_ioperm SYS_modify_ldt SYS_vhangup],
    ),
    // Devices that are open, or that everybody may open.
    group(
        "types into the terminal, or changes what is behind it",
        Answer::Forbidden,
        When::Any(&[
            &[Test::Bits(1, u32::MAX, libc::TIOCSTI as u32)],
            &[Test::Bits(1, u32::MAX, libc::TIOCLINUX as u32)],
            &[Test::Bits(1, u32::MAX, libc::TIOCSETD as u32)],
            &[Test::Bits(1, u32::MAX, libc::TIOCCONS as u32)],
        ]),
        calls![SYS_ioctl],
    ),
    group(
        "attaches to a network card of its own (tun, tap)",
        Answer::Forbidden,
        When::Any(&[&[Test::Bits(1, u32::MAX, TUN_ATTACH)]]),
        calls![SYS_ioctl],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_refused_was_judged() {
        for group in TABLE {
            for (name, number) in group.calls {
                assert!((0..=i64::from(NEWEST)).contains(number), "{name}: {number}");
            }
            assert!(!group.reason.is_empty() && !group.calls.is_empty());
        }
    }

    #[test]
    fn no_answer_contradicts_another() {
        // Filters are stacked by answer: a call with two answers would get the one of whichever is newer.
        for first in TABLE {
            for second in TABLE.iter().filter(|second| second.answer != first.answer) {
                for call in first.calls {
                    assert!(!second.calls.contains(call), "{call:?}");
                }
            }
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let text = include_str!("../../../docs/security.md");
        for group in TABLE {
            let line = text.lines().find(|line| line.starts_with(&format!("| {} |", group.reason)));
            let line = line.unwrap_or_else(|| panic!("no line `| {} |`", group.reason));
            for name in names(group) {
                assert!(line.contains(&format!("`{name}`")), "{name} is missing in: {line}");
            }
        }
    }
}
