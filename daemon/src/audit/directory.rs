//! Where the trail is when nobody says anything else.

use std::env;
use std::path::{Path, PathBuf};

/// Where root's trail is.
const SYSTEM: &str = "/var/log/luasocketd";
/// The directory's name among others'.
const NAME: &str = "luasocketd";

/// The directory of this user's trail: `/var/log/luasocketd` for root, else `$XDG_STATE_HOME/luasocketd` or
/// `~/.local/state/luasocketd`. `None` when there is neither such a variable nor a home.
pub fn default_directory() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    choose(rustix::process::geteuid().is_root(), variable("XDG_STATE_HOME"), variable("HOME"))
}

fn choose(is_root: bool, state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(SYSTEM.into());
    }
    state.or_else(|| home.map(|home| home.join(".local/state"))).map(|state| state.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_comes_before_the_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(choose(true, path("/state"), path("/home/a")), path("/var/log/luasocketd"));
        assert_eq!(choose(false, path("/state"), path("/home/a")), path("/state/luasocketd"));
        assert_eq!(choose(false, None, path("/home/a")), path("/home/a/.local/state/luasocketd"));
        assert_eq!(choose(false, None, None), None);
    }
}
