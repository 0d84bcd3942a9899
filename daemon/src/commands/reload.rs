//! `luasocketd reload`: a running daemon reads its policy file again.

use std::process::ExitCode;

use luasocketd::admin::{Reloaded, Request};

use super::operator::have_done;
use crate::cli::ReloadOptions;

/// Has the file read again, and says what came of it.
pub fn reload(options: ReloadOptions) -> ExitCode {
    let request = Request::Reload { enforce_now: options.enforce_now };
    have_done(&options.admin, &request, |Reloaded { profiles }| {
        format!("the new policy is in force; its profiles: {}", profiles.join(", "))
    })
}
