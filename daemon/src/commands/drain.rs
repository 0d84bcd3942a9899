//! `luasocketd drain`: a running daemon ends in order.

use std::process::ExitCode;

use luasocketd::admin::{Draining, Request};

use super::operator::have_done;
use crate::cli::DrainOptions;

/// Has it begun, and says what is left.
pub fn drain(options: DrainOptions) -> ExitCode {
    // The option takes at most a day.
    let timeout_ms = options.timeout.map(|timeout| timeout.as_millis() as u64);
    let request = Request::Drain { timeout_ms };
    have_done(&options.admin, &request, words)
}

fn words(draining: &Draining) -> String {
    let Draining { timeout_ms, clients, sockets } = draining;
    let left = format!("{clients} clients and {sockets} sockets are left");
    match timeout_ms {
        Some(ms) => {
            format!("the daemon begins nothing new and ends within {} s; {left}", *ms as f64 / 1000.0)
        }
        None => format!("the daemon was ending already; {left}"),
    }
}
