//! What can be said to the commands that speak with a running daemon.

use std::path::PathBuf;

use clap::Args;

/// Which daemon, and in which form its answer is printed.
#[derive(Debug, Args)]
pub struct AdminOptions {
    /// The daemon's admin socket [default: LUASOCKETD_ADMIN, else for root /run/luasocketd/admin.sock, else
    /// $XDG_RUNTIME_DIR/luasocketd-admin.sock].
    #[arg(long, value_name = "PATH")]
    pub admin: Option<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReloadOptions {
    /// End live connections, too, that the new policy forbids, as if the file said `enforce_now`.
    #[arg(long)]
    pub enforce_now: bool,
    #[command(flatten)]
    pub admin: AdminOptions,
}
