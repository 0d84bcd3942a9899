//! What can be said to the commands that speak with a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use luasocketd::core::Mark;

use super::parse_seconds;

/// Which daemon.
#[derive(Debug, Args)]
pub struct DaemonOptions {
    /// The daemon's admin socket [default: LUASOCKETD_ADMIN, else for root /run/luasocketd/admin.sock, else
    /// $XDG_RUNTIME_DIR/luasocketd-admin.sock].
    #[arg(long = "admin", id = "admin", value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Which daemon, and in which form its answer is printed.
#[derive(Debug, Args)]
pub struct AdminOptions {
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PsOptions {
    /// This client alone, and its sockets.
    #[arg(value_name = "CLIENT")]
    pub client: Option<Mark>,
    /// The sockets, too.
    #[arg(long)]
    pub sockets: bool,
    #[command(flatten)]
    pub admin: AdminOptions,
}

#[derive(Debug, Args)]
pub struct TopOptions {
    /// Look again after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub interval: Duration,
    /// Print a line of JSON each time instead, with `clients`, `stats` and `rates`.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub admin: DaemonOptions,
}

#[derive(Debug, Args)]
pub struct KillOptions {
    /// The client or the socket, as `luasocketd ps` prints it.
    #[arg(value_name = "ID")]
    pub id: Mark,
    #[command(flatten)]
    pub admin: AdminOptions,
}

#[derive(Debug, Args)]
pub struct StatsOptions {
    /// Over how many seconds the rates are measured.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub interval: Duration,
    /// Print Prometheus' text form of the metrics instead.
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
    #[command(flatten)]
    pub admin: AdminOptions,
}

#[derive(Debug, Args)]
pub struct DrainOptions {
    /// How many seconds clients may go on [default: what `serve --drain-timeout` said].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub admin: AdminOptions,
}

#[derive(Debug, Args)]
pub struct ReloadOptions {
    /// Start the program anew, as it is on the disk now, in the place of the daemon: clients find the new one, and the
    /// old one goes on with those that it has.
    #[arg(long, conflicts_with = "enforce_now")]
    pub exec: bool,
    /// End live connections, too, that the new policy forbids, as if the file said `enforce_now`.
    #[arg(long)]
    pub enforce_now: bool,
    #[command(flatten)]
    pub admin: AdminOptions,
}
