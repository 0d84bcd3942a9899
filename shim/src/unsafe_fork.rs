//! Whether this process is still the one that it was: a forked child must not use its parent's pipe, and asking the
//! system for the process number costs a call each time.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::Pid;

/// As little as can be mapped: the system rounds it up to a page.
const LENGTH: usize = 1;

/// Remembers the process that it was made in.
#[derive(Debug)]
pub(crate) struct Birthplace {
    owner: Pid,
    /// A page that the system clears in a child (`MADV_WIPEONFORK` of madvise(2)); nothing where it cannot.
    mark: Option<NonNull<u8>>,
}

impl Birthplace {
    /// This process.
    pub(crate) fn here() -> Self {
        Birthplace { owner: rustix::process::getpid(), mark: mark() }
    }

    /// Whether this is still the process that it was made in.
    pub(crate) fn is_here(&self) -> bool {
        match self.mark {
            // SAFETY: the page is mapped for as long as `self` lives, and nothing but a fork changes it.
            Some(mark) => unsafe { mark.as_ptr().read_volatile() != 0 },
            None => rustix::process::getpid() == self.owner,
        }
    }
}

impl Drop for Birthplace {
    fn drop(&mut self) {
        if let Some(mark) = self.mark {
            // SAFETY: it was mapped with this length, and nobody else knows of it.
            let unmapped = unsafe { rustix::mm::munmap(mark.as_ptr().cast(), LENGTH) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

fn mark() -> Option<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the system chooses an address that nothing else has.
    let start = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), LENGTH, access, MapFlags::PRIVATE) };
    let start = NonNull::new(start.ok()?.cast::<u8>())?;
    // SAFETY: the page is this function's own.
    let is_wiped = unsafe { rustix::mm::madvise(start.as_ptr().cast(), LENGTH, Advice::LinuxWipeOnFork) };
    if is_wiped.is_err() {
        // SAFETY: it was mapped with this length, and nobody else knows of it.
        let unmapped = unsafe { rustix::mm::munmap(start.as_ptr().cast(), LENGTH) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        return None;
    }
    // SAFETY: the page can be written, and is this function's own.
    unsafe { start.as_ptr().write_volatile(1) };
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_somewhere_else() {
        for birthplace in [Birthplace::here(), Birthplace { mark: None, ..Birthplace::here() }] {
            assert!(birthplace.is_here());
            // SAFETY: the child does nothing but look at its memory and end.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let is_right = !birthplace.is_here();
                // SAFETY: it ends the child at once, without the harness' own end.
                unsafe { libc::_exit(if is_right { 0 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: the child is ours, and the place for its status is there.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!((status, birthplace.is_here()), (0, true));
        }
    }
}
