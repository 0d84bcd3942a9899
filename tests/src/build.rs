//! Where the build has put what the tests run: the program, the Lua modules, the repository's own files.

use std::path::{Path, PathBuf};

use crate::process::Job;

/// The directory of a built Lua module, as the `LUA_PATH` and `LUA_CPATH` that find it.
///
/// Neither ends in `;;`: where our module is missing, a test has to fail and must not find another one.
pub struct ModulePath {
    /// Value of `LUA_PATH`, to which a test may add its own directory.
    pub lua: String,
    /// Value of `LUA_CPATH`.
    pub c: String,
}

/// The `luasocketd` program of the profile that this test was built with.
pub fn program() -> PathBuf {
    let path = profile_dir().join("luasocketd");
    assert!(path.is_file(), "{} is missing; run: cargo xtask test", path.display());
    path
}

/// Copies a program, in a process of its own: what another test starts at that moment would hold a file that this process
/// writes, and what somebody may write to cannot be run (ETXTBSY of execve(2)).
pub fn copy_program(from: &Path, to: &Path) {
    Job::new("cp").arg("--").arg(from).arg(to).run().success();
}

/// The module for one Lua version (`5.1` … `5.5`; LuaJIT takes the one of 5.1).
pub fn modules_for(version: &str) -> ModulePath {
    let dir = module_dir(version);
    assert!(
        dir.join("luasocketd.so").is_file(),
        "{}/luasocketd.so is missing; run: cargo xtask test",
        dir.display()
    );
    ModulePath {
        lua: format!("{0}/?.lua;{0}/?/init.lua", dir.display()),
        c: format!("{}/?.so", dir.display()),
    }
}

/// The directory that holds the module for one Lua version.
pub fn module_dir(version: &str) -> PathBuf {
    target().join("lua").join(version)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    profile_dir().parent().expect("a profile has a target directory").to_owned()
}

/// A file or directory of the repository, by its path from the root.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").join(path)
}

/// `target/<profile>`, where a program lies; a test runs from its `deps`.
fn profile_dir() -> PathBuf {
    let own = std::env::current_exe().expect("whatever runs has a path");
    let directory = own.parent().expect("a program lies in a directory");
    let profile = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    profile.expect("a test lies in target/<profile>/deps").to_owned()
}
