//! The commands, one file each.

mod audit;
mod check;
mod command;
mod exec;
mod generate;
mod inside;
mod keeper;
mod modules;
mod path;
mod policy_file;
mod run;
mod script;
mod serve;
mod supervise;
mod terminal;
mod unsafe_lua;

pub use audit::audit;
pub use check::check;
pub use command::become_command;
pub use exec::exec;
pub use generate::generate;
pub use keeper::keeper;
pub use path::path;
pub use run::run;
pub use script::script;
pub use serve::serve;

use std::fmt::Display;
use std::process::ExitCode;

/// Says what is wrong with the configuration.
fn misconfigured(what: impl Display) -> ExitCode {
    eprintln!("luasocketd: {what}");
    ExitCode::from(2)
}

/// Says why the thing asked for failed.
fn failed(what: impl Display) -> ExitCode {
    eprintln!("luasocketd: {what}");
    ExitCode::from(1)
}
