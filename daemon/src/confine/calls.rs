//! The system calls that a daemon makes once it is ready: the one table that its filter is made from.
//!
//! What is not in it fails with `EPERM`, which costs whoever asked for it one call and not all clients their daemon:
//! the C library's resolver loads modules that nobody here has seen. What is in [`DEADLY`] ends the daemon: none of it
//! makes such a call by mistake.

use crate::jail::calls::{Calls, Test, When, calls};

/// Calls that are allowed for the same reason.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    pub when: When,
    pub calls: Calls,
}

const fn always(calls: Calls) -> Allowed {
    Allowed { when: When::Always, calls }
}

const fn when(lines: &'static [&'static [Test]], calls: Calls) -> Allowed {
    Allowed { when: When::Any(lines), calls }
}

/// Argument `.0` has this value.
const fn is(argument: u8, value: u32) -> Test {
    Test::Bits(argument, u32::MAX, value)
}

/// Argument `.0` has none of these bits.
const fn without(argument: u8, bits: u32) -> Test {
    Test::Bits(argument, bits, 0)
}

const WRITE: u32 = libc::PROT_WRITE as u32;
const EXEC: u32 = libc::PROT_EXEC as u32;
const THREAD: u32 = libc::CLONE_THREAD as u32;

/// The table of what a daemon does.
pub const ALLOWED: &[Allowed] = &[
    // Memory that is written or run, not both; modules of the resolver are loaded.
    when(&[&[without(2, EXEC)], &[without(2, WRITE)]], calls![SYS_mmap]),
    // Memory that cannot be run.
    when(&[&[without(2, EXEC)]], calls![SYS_mprotect]),
    // Memory.
    always(calls![SYS_munmap SYS_mremap SYS_madvise SYS_brk SYS_memfd_create SYS_membarrier]),
    // Threads, no processes.
    when(&[&[Test::Bits(0, THREAD, THREAD)]], calls![SYS_clone]),
    // Its flags lie in memory: libraries are told that there is no such call, and fall back to clone.
    always(calls![SYS_clone3]),
    // Threads.
    always(calls![SYS_futex SYS_set_robust_list SYS_rseq SYS_sched_yield SYS_sched_getaffinity SYS_gettid
            SYS_set_tid_address SYS_exit SYS_exit_group SYS_restart_syscall]),
    // A thread's own priority.
    when(&[&[is(0, libc::PRIO_PROCESS), is(1, 0)]], calls![SYS_setpriority]),
    // Signals that come.
    always(calls![SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack SYS_tgkill SYS_wait4
            SYS_waitid]),
    // Time.
    always(calls![SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday
            SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime]),
    // Files below the directories that Landlock allows.
    always(calls![SYS_openat SYS_openat2 SYS_close SYS_close_range SYS_read SYS_write SYS_readv SYS_writev
            SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_lseek SYS_fstat SYS_newfstatat SYS_statx
            SYS_statfs SYS_fstatfs SYS_faccessat SYS_faccessat2 SYS_getdents64 SYS_readlinkat SYS_fsync
            SYS_fdatasync SYS_ftruncate SYS_fallocate SYS_fadvise64 SYS_renameat2 SYS_unlinkat
            SYS_mkdirat SYS_fchmod SYS_fchown SYS_umask SYS_flock SYS_fcntl SYS_dup SYS_dup3 SYS_getcwd]),
    // Riscv64 has the newer one alone.
    #[cfg(not(target_arch = "riscv64"))]
    always(calls![SYS_renameat]),
    // The same by older calls.
    #[cfg(target_arch = "x86_64")]
    always(
        calls![SYS_open SYS_stat SYS_lstat SYS_access SYS_readlink SYS_rename SYS_unlink SYS_mkdir SYS_rmdir
            SYS_dup2 SYS_pipe SYS_poll SYS_select SYS_epoll_wait SYS_epoll_create SYS_eventfd SYS_time
            SYS_getpgrp SYS_arch_prctl],
    ),
    // Sockets of the families that scripts and the resolver have.
    when(
        &[
            &[is(0, libc::AF_INET as u32)],
            &[is(0, libc::AF_INET6 as u32)],
            &[is(0, libc::AF_UNIX as u32)],
            &[is(0, libc::AF_NETLINK as u32)],
        ],
        calls![SYS_socket],
    ),
    // Sockets.
    always(calls![SYS_socketpair SYS_connect SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_getsockname
            SYS_getpeername SYS_getsockopt SYS_setsockopt SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg
            SYS_sendmmsg SYS_recvmmsg SYS_shutdown]),
    // Waits.
    always(calls![SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_pipe2
            SYS_ppoll SYS_pselect6]),
    // Questions to a descriptor.
    when(
        &[
            &[is(1, libc::FIONREAD as u32)],
            &[is(1, libc::FIONBIO as u32)],
            &[is(1, libc::FIOCLEX as u32)],
            &[is(1, libc::TIOCOUTQ as u32)],
            &[is(1, libc::TCGETS as u32)],
            &[is(1, libc::TIOCGWINSZ as u32)],
            &[is(1, libc::SIOCGIFINDEX as u32)],
            &[is(1, libc::SIOCGIFNAME as u32)],
            &[is(1, libc::SIOCGIFCONF as u32)],
            &[is(1, libc::SIOCGIFFLAGS as u32)],
            &[is(1, libc::SIOCGIFADDR as u32)],
        ],
        calls![SYS_ioctl],
    ),
    // Names of threads and of memory, and less rights.
    when(
        &[
            &[is(0, libc::PR_SET_NAME as u32)],
            &[is(0, libc::PR_GET_NAME as u32)],
            &[is(0, libc::PR_SET_VMA as u32)],
            &[is(0, libc::PR_SET_NO_NEW_PRIVS as u32)],
        ],
        calls![SYS_prctl],
    ),
    // Less rights: a thread that binds keeps itself in one directory.
    always(calls![SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self]),
    // Questions about the own limits.
    when(&[&[is(0, 0)]], calls![SYS_prlimit64]),
    // Questions about the process and the machine.
    always(calls![SYS_getpid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid
            SYS_getresgid SYS_getgroups SYS_getrandom SYS_uname SYS_sysinfo SYS_getrusage SYS_capget]),
];

/// What the private daemon of `run` and `exec` does besides: it starts nothing any more, but it ends its jail and stops
/// with it.
pub const WITH_JAIL: &[Allowed] = &[
    // Signals to the jail, and its time.
    always(calls![SYS_kill SYS_setitimer SYS_getpgid]),
    // Its time.
    #[cfg(target_arch = "x86_64")]
    always(calls![SYS_alarm]),
    // The terminal, which goes to the jail and comes back.
    when(&[&[is(1, libc::TIOCGPGRP as u32)], &[is(1, libc::TIOCSPGRP as u32)]], calls![SYS_ioctl]),
];

/// What ends the daemon: whoever makes one of these calls is no daemon any more.
pub const DEADLY: Calls = calls![SYS_execve SYS_execveat SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev
    SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_bpf SYS_perf_event_open
    SYS_userfaultfd SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_unshare SYS_setns
    SYS_open_by_handle_at SYS_keyctl SYS_add_key SYS_request_key SYS_reboot SYS_io_uring_setup];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deadly_and_allowed() {
        for allowed in ALLOWED.iter().chain(WITH_JAIL) {
            for call in allowed.calls {
                assert!(!DEADLY.contains(call), "{call:?}");
            }
        }
    }

    #[test]
    fn the_documentation_has_what_is_deadly() {
        let text = include_str!("../../../docs/security.md");
        for (name, _) in DEADLY {
            let name = name.trim_start_matches("SYS_");
            assert!(text.contains(&format!("`{name}`")), "{name} is missing");
        }
    }
}
