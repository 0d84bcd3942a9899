//! How many event loops a daemon has: `--workers`, or `workers` in the policy file.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use thiserror::Error;

use super::super::lane::LOOPS_MAX;

/// How many event loops there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many, [`LOOPS_MAX`] at most.
    Count(NonZeroUsize),
    /// As many as there are processors for this process.
    Auto,
}

/// What stands for [`Workers::Auto`].
const AUTO: &str = "auto";

/// A text or number that says no number of loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a number of event loops is wanted, 1 to {LOOPS_MAX}, or `{AUTO}` for one on each processor")]
pub struct WorkersError;

impl Workers {
    /// One loop.
    pub const ONE: Workers = Workers::Count(NonZeroUsize::MIN);

    /// So many.
    ///
    /// # Errors
    /// [`WorkersError`] when that is none, or more than there may be.
    pub fn count(count: u64) -> Result<Self, WorkersError> {
        let count = Some(count).filter(|count| *count <= u64::from(LOOPS_MAX));
        let count = count.and_then(|count| NonZeroUsize::new(count as usize));
        count.map(Workers::Count).ok_or(WorkersError)
    }

    /// How many they are where there are so many processors.
    pub fn loops(self, processors: NonZeroUsize) -> usize {
        match self {
            Workers::Count(count) => count.get(),
            Workers::Auto => processors.get().min(LOOPS_MAX as usize),
        }
    }
}

impl FromStr for Workers {
    type Err = WorkersError;

    fn from_str(text: &str) -> Result<Self, WorkersError> {
        if text == AUTO {
            return Ok(Workers::Auto);
        }
        // `parse` would take a sign, too.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.then(|| text.parse().ok()).flatten();
        count.map_or(Err(WorkersError), Workers::count)
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workers::Count(count) => count.fmt(f),
            Workers::Auto => f.write_str(AUTO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_loops_is_read_as_it_is_written() {
        for text in ["1", "64", AUTO] {
            assert_eq!(text.parse::<Workers>().unwrap().to_string(), text);
        }
        for text in ["", "0", "65", "+1", "-1", "1.0", "Auto", "18446744073709551616"] {
            assert!(text.parse::<Workers>().is_err(), "{text}");
        }
    }

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let processors = |count| NonZeroUsize::new(count).unwrap();
        assert_eq!(Workers::ONE.loops(processors(8)), 1);
        assert_eq!(Workers::Auto.loops(processors(8)), 8);
        assert_eq!(Workers::Auto.loops(processors(500)), LOOPS_MAX as usize);
    }
}
