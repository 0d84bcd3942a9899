//! Where the daemon and those that look for it meet, when nobody says.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where root's daemon listens; a script looks there when nothing else is said.
const SYSTEM_PATH: &str = "/run/luasocketd/luasocketd.sock";

/// Where operators find root's daemon.
const SYSTEM_ADMIN_PATH: &str = "/run/luasocketd/admin.sock";

/// What the file is called, in their runtime directory, where operators find others' daemons.
const OWN_ADMIN: &str = "luasocketd-admin.sock";

/// The variable that says where operators find the daemon.
pub const ADMIN_VARIABLE: &str = "LUASOCKETD_ADMIN";

/// Where clients of this user look first.
///
/// # Errors
/// What is missing, and what to do.
pub fn client_path() -> Result<PathBuf, String> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_PATH));
    }
    in_runtime_directory("luasocketd.sock")
        .ok_or_else(|| "XDG_RUNTIME_DIR is not set: say where to listen with --socket PATH".to_owned())
}

/// Where a daemon listens for operators, given where it was told to listen for clients: beside the first of those,
/// else where operators look.
///
/// # Errors
/// As [`client_path`].
pub fn admin_path(sockets: &[PathBuf]) -> Result<PathBuf, String> {
    match sockets.first() {
        Some(first) => Ok(beside(first)),
        None => default_admin_path()
            .ok_or_else(|| "XDG_RUNTIME_DIR is not set: say where to listen with --admin PATH".to_owned()),
    }
}

/// Where an operator looks: where he says, else where the variable says, else where a daemon of this user is that was
/// told nothing.
///
/// # Errors
/// What to say where nothing tells.
pub fn find_admin(said: Option<&Path>) -> Result<PathBuf, String> {
    let variable = env::var_os(ADMIN_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    said.map(Path::to_owned).or(variable).or_else(default_admin_path).ok_or_else(|| {
        format!(
            "where is the daemon? Say so with --admin PATH or {ADMIN_VARIABLE}; XDG_RUNTIME_DIR is not set"
        )
    })
}

fn default_admin_path() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from(SYSTEM_ADMIN_PATH));
    }
    in_runtime_directory(OWN_ADMIN)
}

/// A client's path with `.admin` at its end.
fn beside(socket: &Path) -> PathBuf {
    let mut name: OsString = socket.as_os_str().to_owned();
    name.push(".admin");
    PathBuf::from(name)
}

fn in_runtime_directory(name: &str) -> Option<PathBuf> {
    let dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    dir.map(|dir| Path::new(&dir).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_find_a_daemon_beside_its_first_socket() {
        let sockets = ["/x/a.sock", "/y/b.sock"].map(PathBuf::from);
        assert_eq!(admin_path(&sockets), Ok(PathBuf::from("/x/a.sock.admin")));
        assert_eq!(find_admin(Some(Path::new("/x"))), Ok(PathBuf::from("/x")));
    }
    #[test]
    fn the_places_that_are_told_are_these() {
        use clap::CommandFactory;
        let unit = include_str!("../../luasocketd.service.in");
        let ways = format!("--socket {SYSTEM_PATH} --admin {SYSTEM_ADMIN_PATH} ");
        assert!(unit.contains(&ways), "luasocketd.service.in has no `{ways}`");
        assert!(unit.contains(&format!("reload --admin {SYSTEM_ADMIN_PATH}\n")), "{unit}");
        let mut commands = crate::cli::Cli::command();
        let help = commands.find_subcommand_mut("ps").unwrap().render_long_help().to_string();
        let documented = include_str!("../../../docs/admin.md");
        for text in [documented.to_owned(), help.split_whitespace().collect::<Vec<_>>().join(" ")] {
            for place in [SYSTEM_ADMIN_PATH, &format!("$XDG_RUNTIME_DIR/{OWN_ADMIN}"), ADMIN_VARIABLE] {
                assert!(text.contains(place), "no `{place}` in {text}");
            }
        }
    }
}
