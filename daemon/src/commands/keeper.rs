//! The process that ends a jail whose daemon was killed.

use std::process::ExitCode;
use std::time::Duration;

use super::failed;
use crate::cli::KeeperOptions;
use crate::jail::keep;

/// Waits for the daemon's end, then ends what is left.
pub fn keeper(options: KeeperOptions) -> ExitCode {
    match keep(options.outside, options.seconds.map(Duration::from_secs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => failed(reason),
    }
}
