//! `luasocketd reload`: a running daemon reads its policy file again.

use std::process::ExitCode;
use std::time::Duration;

use luasocketd::admin::{Reloaded, Replaced, Request};

use super::failed;
use super::operator::{Operator, have_done, print_answer};
use crate::cli::ReloadOptions;

/// How long a new daemon may take to get ready, and the old one to notice that it does not.
const REPLACE_WAIT: Duration = Duration::from_secs(120);

/// Has the file read again, or the program started anew, and says what came of it.
pub fn reload(options: ReloadOptions) -> ExitCode {
    if options.exec {
        return replace(&options);
    }
    let request = Request::Reload { enforce_now: options.enforce_now };
    have_done(&options.admin, &request, |Reloaded { profiles }| {
        format!("the new policy is in force; its profiles: {}", profiles.join(", "))
    })
}

fn replace(options: &ReloadOptions) -> ExitCode {
    let asked = Operator::connect(&options.admin.daemon)
        .and_then(|operator| operator.patient(REPLACE_WAIT).ask_for(&Request::Replace {}));
    match asked {
        Ok(replaced) => print_answer(&options.admin, &replaced, |Replaced { pid, before }| {
            format!("process {pid} serves now; process {before} goes on with the clients that it has")
        }),
        Err(error) => failed(format!("the daemon stays as it was: {error}")),
    }
}
