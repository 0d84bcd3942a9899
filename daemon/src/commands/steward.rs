//! `luasocketd __steward`: does for a confined daemon what that cannot do any more.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

use super::failed;
use crate::cli::StewardOptions;
use crate::steward::{orders, serve};

/// Serves until the daemon has ended.
pub fn steward(options: StewardOptions) -> ExitCode {
    let served = orders(options.orders).and_then(|orders| {
        let questions = UnixDatagram::from(io::stdin().as_fd().try_clone_to_owned()?);
        serve(&questions, orders, options.program, options.words)
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("this is no daemon's steward: {error}")),
    }
}
