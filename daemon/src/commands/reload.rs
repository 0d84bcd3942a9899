//! `luasocketd reload`: a running daemon reads its policy file again.

use std::process::ExitCode;
use std::time::Duration;

use luasocketd::admin::{Reloaded, Replaced, Request};

use super::operator::Operator;
use super::{failed, print_answer};
use crate::cli::ReloadOptions;

/// How long a new daemon may take to get ready, and the old one to notice that it does not.
const REPLACE_WAIT: Duration = Duration::from_secs(120);

/// Has the file read again, or the program started anew, and says what came of it.
pub fn reload(options: ReloadOptions) -> ExitCode {
    if options.exec {
        return replace(&options);
    }
    let request = Request::Reload { enforce_now: options.enforce_now };
    let asked = Operator::connect(&options.admin.daemon).and_then(|mut operator| operator.ask_for(&request));
    match asked {
        Ok(reloaded) => print_answer(&reloaded, options.admin.json, |Reloaded { profiles }| {
            format!("the new policy is in force; its profiles: {}", profiles.join(", "))
        }),
        Err(error) => failed(error),
    }
}

fn replace(options: &ReloadOptions) -> ExitCode {
    let asked = Operator::connect(&options.admin.daemon)
        .and_then(|operator| operator.patient(REPLACE_WAIT).ask_for(&Request::Replace {}));
    match asked {
        Ok(replaced) => print_answer(&replaced, options.admin.json, |Replaced { pid, before }| {
            format!("process {pid} serves now; process {before} goes on with the clients that it has")
        }),
        Err(error) => failed(format!("the daemon stays as it was: {error}")),
    }
}
