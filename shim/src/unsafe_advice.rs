//! What the system is told about memory.
#![allow(unsafe_code)]

use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// A multiple of every size that a page has.
const PAGE: usize = 64 * 1024;

/// Has the system find memory for a part of a vector's room at once, which is cheaper than page by page, as each of them is
/// touched (measured: a fifth less processor time for `receive("*a")` of 32 MiB). One that cannot says so, and nothing is lost.
pub(crate) fn populate(bytes: &mut Vec<u8>, part: Range<usize>) {
    let start = bytes.as_mut_ptr();
    let first = start.align_offset(PAGE);
    let to = part.end.min(bytes.capacity());
    if first >= to || part.start >= to {
        return;
    }
    let from = first + part.start.saturating_sub(first).next_multiple_of(PAGE);
    let length = to.saturating_sub(from) / PAGE * PAGE;
    if length == 0 {
        return;
    }
    let at = start.wrapping_add(from);
    // SAFETY: the pages lie in the vector's own memory, whose contents this does not change (madvise(2)).
    let _refused = unsafe { madvise(at.cast(), length, Advice::LinuxPopulateWrite) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        for capacity in [0, 1, PAGE, 50 * PAGE + 1] {
            for part in [0..capacity, 1..capacity, 0..usize::MAX, PAGE..3 * PAGE, capacity..usize::MAX] {
                let mut bytes = Vec::with_capacity(capacity);
                bytes.extend((0..capacity).map(|number| number as u8));
                populate(&mut bytes, part);
                assert!(bytes.iter().enumerate().all(|(number, byte)| *byte == number as u8));
            }
        }
    }
}
