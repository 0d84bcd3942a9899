//! Where the audit trail is kept, and how: the `[audit]` table of the policy file.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The sizes at which a file of the trail may be rotated, in bytes. After a crash the daemon reads as much before it
/// serves, which takes some seconds for each gigabyte.
pub const ROTATE_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 30;

/// The ages at which a file of the trail may be rotated: a minute to a year.
pub const ROTATE_AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);

/// Where the audit trail is kept, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The directory of its files, which nothing else uses.
    pub directory: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// A file that has become as large as this, in bytes, is rotated.
    pub rotate_bytes: u64,
    /// A file whose first record is as old as this is rotated.
    pub rotate_age: Duration,
    /// How many rotated files are kept; all of them without a number.
    pub keep: Option<u64>,
}

impl Audit {
    /// A trail in `directory`, with the values that a file need not give: strict, a new file for each 64 MiB and at
    /// least each day, nothing thrown away.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Audit {
            directory: directory.into(),
            durability: Durability::Strict,
            rotate_bytes: 64 << 20,
            rotate_age: Duration::from_secs(86_400),
            keep: None,
        }
    }
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: a power failure loses no record of what was let through.
    #[default]
    Strict,
    /// When it is queued to be written: faster; what was queued or not yet on the disk may be lost with the daemon
    /// or with the power.
    Relaxed,
}

impl Durability {
    /// Every one.
    pub const ALL: &[Durability] = &[Durability::Strict, Durability::Relaxed];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Durability::Strict => "strict",
            Durability::Relaxed => "relaxed",
        }
    }
}
