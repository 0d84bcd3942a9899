//! Where a daemon that serves has everything, and who it is to be there.

use std::io;
use std::path::{Path, PathBuf};

use luasocketd::audit::default_directory;

use super::places::{admin_path, client_path};
use crate::cli::ServeOptions;
use crate::confine::Known;
use crate::handover::Inherited;

/// Modes of directories that are made for the daemon's user.
const RUNTIME_MODE: u32 = 0o755;
const TRAIL_MODE: u32 = 0o700;

/// Why a daemon does not serve.
pub enum Fault {
    /// What it was told is wrong.
    Misconfigured(String),
    /// What it tried was refused.
    Failed(String),
}

impl Fault {
    pub fn text(&self) -> &str {
        match self {
            Fault::Misconfigured(what) | Fault::Failed(what) => what,
        }
    }
}

/// From here on what goes wrong is no matter of configuration.
impl From<String> for Fault {
    fn from(what: String) -> Self {
        Fault::Failed(what)
    }
}

/// Where everything is.
pub struct Paths {
    pub clients: Vec<PathBuf>,
    pub admin: PathBuf,
    /// Where the trail is unless the policy file says something else.
    pub trail: Option<PathBuf>,
    pub user: Option<Known>,
}

impl Paths {
    /// As whoever starts the daemon has them: root's are root's, whoever the daemon becomes.
    pub fn find(options: &ServeOptions, inherited: &Inherited) -> Result<Paths, Fault> {
        let is_root = rustix::process::geteuid().is_root();
        let user = match &options.user {
            None => None,
            Some(_) if !is_root => {
                // A new daemon is started as the old one was, and that may have been by root.
                return Err(Fault::Misconfigured(
                    "--user is for root, who can become somebody else".to_owned(),
                ));
            }
            Some(user) => Some(user.find().map_err(Fault::Misconfigured)?),
        };
        let clients = match options.socket.as_slice() {
            [] if inherited.has_clients() => Vec::new(),
            [] => vec![client_path()?],
            paths => paths.to_vec(),
        };
        let admin = options.admin.clone().map_or_else(|| admin_path(&options.socket), Ok)?;
        Ok(Paths { clients, admin, trail: default_directory(), user })
    }

    /// Makes what is missing of root's own directories, for the user that the daemon will be.
    pub fn make_directories(&self, options: &ServeOptions) -> Result<(), String> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| format!("cannot make {path}: {error}")
        };
        let sockets = self.clients.iter().chain([&self.admin]).filter_map(|path| path.parent());
        if let Some(user) = &self.user {
            for directory in sockets {
                user.make_directory(directory, RUNTIME_MODE).map_err(failed(directory))?;
            }
            let trail = options.trail.directory().or(self.trail.as_ref()).filter(|_| !options.no_audit);
            if let Some(directory) = trail {
                user.make_directory(directory, TRAIL_MODE).map_err(failed(directory))?;
            }
        } else if let ([], true) = (options.socket.as_slice(), rustix::process::geteuid().is_root()) {
            for directory in self.clients.iter().filter_map(|path| path.parent()) {
                std::fs::create_dir_all(directory).map_err(failed(directory))?;
            }
        }
        Ok(())
    }
}
