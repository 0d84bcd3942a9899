//! `luasocketd reload`: a running daemon reads its policy file again.

use std::process::ExitCode;

use luasocketd::admin::{Reloaded, Request};

use super::operator::Operator;
use super::{failed, print_answer};
use crate::cli::ReloadOptions;

/// Has the file read again, and says what came of it.
pub fn reload(options: ReloadOptions) -> ExitCode {
    let request = Request::Reload { enforce_now: options.enforce_now };
    let asked = Operator::connect(&options.admin.daemon).and_then(|mut operator| operator.ask_for(&request));
    match asked {
        Ok(reloaded) => print_answer(&reloaded, options.admin.json, |Reloaded { profiles }| {
            format!("the new policy is in force; its profiles: {}", profiles.join(", "))
        }),
        Err(error) => failed(error),
    }
}
