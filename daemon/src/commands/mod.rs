//! The commands, one file each.

mod audit;
mod check;
mod command;
mod drain;
mod exec;
mod generate;
mod inside;
mod keeper;
mod kill;
mod modules;
mod operator;
mod path;
mod paths;
mod places;
mod policy_file;
mod ps;
mod reload;
mod run;
mod script;
mod serve;
mod stats;
mod steward;
mod supervise;
mod table;
mod terminal;
mod top;
mod unsafe_lua;

pub use audit::audit;
pub use check::check;
pub use command::become_command;
pub use drain::drain;
pub use exec::exec;
pub use generate::generate;
pub use keeper::keeper;
pub use kill::kill;
pub use path::path;
pub use ps::ps;
pub use reload::reload;
pub use run::run;
pub use script::script;
pub use serve::serve;
pub use stats::stats;
pub use steward::steward;
pub use table::wants_colours;
pub use top::top;

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
