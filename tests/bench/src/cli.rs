//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::contender::Contender;
use crate::places::Lua;
use crate::rows::{self, Row};

/// Measures how fast a script is on luasocketd, beside LuaSocket in its own process and LuaSocket through relays.
///
/// Every contender runs the same Lua script against peers of the benchmark's own, in turn, round after round; what counts are
/// medians, compared within one call. Everything stays on loopback, takes free ports and ends with the call. Close other programs
/// first: on a busy machine nothing can be learnt.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 measured, whether the targets are met or not; 1 something could not be measured; 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    pub mode: Option<Mode>,
    #[command(flatten)]
    pub table: TableOptions,
}

#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Measure one daemon's scale: many idle connections, many client processes, memory, its start.
    Scale(ScaleOptions),
    /// Hold the other ends of idle connections.
    #[command(name = "__hold", hide = true)]
    Hold,
}

#[derive(Debug, Args)]
pub struct TableOptions {
    /// The interpreters, with commas: 5.4, 5.1, jit.
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', default_value = "5.4")]
    pub lua: Vec<Lua>,
    /// Who is measured, with commas; LuaSocket always is. What is not installed is left out.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values_t = Contender::USUAL)]
    pub contenders: Vec<Contender>,
    /// The rows, with commas [default: all]: lines, send_small, receive_bulk, receive_all, send_bulk, ping, ping_select,
    /// visit, select_many.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = rows::named, action = ArgAction::Append)]
    pub rows: Vec<&'static Row>,
    /// How many times each row is measured for each contender.
    #[arg(long, value_name = "NUMBER", default_value = "7", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// How long one measurement takes.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    pub seconds: f64,
    /// A few tiny rounds, to see whether everything works: the numbers mean nothing.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    pub short: bool,
    #[command(flatten)]
    pub output: Output,
    /// Draw the chart of speeds: luasocketd and the relays beside LuaSocket.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print the table as the README has it.
    #[arg(long)]
    pub markdown: bool,
}

#[derive(Debug, Args)]
pub struct Output {
    /// Write everything that was measured, and on what machine.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ScaleOptions {
    /// What is measured, with commas [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<crate::scale::Part>,
    /// How many idle connections are held. Limited by the descriptors that a process may have (`ulimit -Hn`).
    #[arg(long, value_name = "NUMBER", default_value = "50000", value_parser = clap::value_parser!(u32).range(1000..=500_000))]
    pub idle: u32,
    /// How many client processes there are, each with one busy socket.
    #[arg(long, value_name = "NUMBER", default_value = "2000", value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub clients: u32,
    /// How many fast senders send to a client that never reads.
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub senders: u32,
    /// How many times what is compared is measured.
    #[arg(long, value_name = "NUMBER", default_value = "7", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// How long one measurement takes.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub seconds: f64,
    /// A few hundred of each, to see whether everything works: the numbers mean nothing.
    #[arg(long, conflicts_with_all = ["idle", "clients", "senders", "rounds", "seconds"])]
    pub short: bool,
    #[command(flatten)]
    pub output: Output,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 60 is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_row() {
        let help = Cli::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let names = rows::ROWS.map(|row| row.name).join(", ");
        assert!(help.contains(&names), "{names}\n{help}");
    }
}
