//! A cheap hash for ids: many calls look their socket up.
//!
//! Nobody can flood it: an id comes into a table only as the answer to a request of the script's own.

use std::hash::{BuildHasherDefault, Hasher};

/// For tables whose keys are numbers.
pub(super) type IdHash = BuildHasherDefault<IdHasher>;

/// Spreads one number.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio: neighbours end up far apart, in the upper bits, too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table takes its slot from the lower bits and its tag from the upper ones.
        self.0 ^ (self.0 >> 32)
    }
}
