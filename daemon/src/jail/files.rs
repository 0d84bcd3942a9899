//! The files that a command needs when its files are limited.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What every command may read and run: the system's programs, their libraries and their modules. These are the
/// same on every machine with the same packages, so no secret is among them.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/localtime",
];

/// What every command may also write: devices that hold nothing. `/dev/tty` is the terminal that it has anyway.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// What may be reached of the file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// May be read, listed and run, with all that is below.
    pub read: Vec<PathBuf>,
    /// May be changed as well.
    pub write: Vec<PathBuf>,
    /// As `read`, but need not exist.
    pub implied: Vec<PathBuf>,
    /// Files that may be read and written, but need not exist.
    pub devices: Vec<PathBuf>,
}

impl Files {
    /// Nothing but what is asked for and what `needed` needs to run; None when no limit is asked for.
    pub fn limited(read: &[PathBuf], write: &[PathBuf], needed: Vec<PathBuf>) -> Option<Files> {
        if read.is_empty() && write.is_empty() {
            return None;
        }
        let mut implied = needed;
        implied.extend(SYSTEM.map(PathBuf::from));
        let devices = DEVICES.map(PathBuf::from).to_vec();
        Some(Files { read: read.to_vec(), write: write.to_vec(), implied, devices })
    }
}

/// The file that a command's name means, as `execvp` finds it.
pub fn command_file(name: &OsStr) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_limited_on_request_only() {
        assert_eq!(Files::limited(&[], &[], vec!["/a".into()]), None);
        let files = Files::limited(&[], &["/w".into()], vec!["/a".into()]).unwrap();
        assert!(files.implied.contains(&"/a".into()) && files.implied.contains(&"/usr".into()));
        assert!(files.read.is_empty() && files.write == [PathBuf::from("/w")]);
    }

    #[test]
    fn the_documentation_has_what_is_implied() {
        let text = include_str!("../../../docs/security.md");
        for path in SYSTEM.iter().chain(&DEVICES) {
            assert!(text.contains(&format!("`{path}`")), "{path} is missing");
        }
    }
}
