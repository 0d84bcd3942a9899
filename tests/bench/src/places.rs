//! Where the build has put what is measured, and where programs of the machine lie.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// A stock interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lua {
    /// Lua 5.4
    #[value(name = "5.4")]
    Lua54,
    /// Lua 5.1
    #[value(name = "5.1")]
    Lua51,
    /// LuaJIT
    #[value(name = "jit")]
    Jit,
}

impl Lua {
    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Lua::Lua54 => "lua5.4",
            Lua::Lua51 => "lua5.1",
            Lua::Jit => "luajit",
        }
    }

    /// What people read.
    pub fn title(self) -> &'static str {
        match self {
            Lua::Lua54 => "Lua 5.4",
            Lua::Lua51 => "Lua 5.1",
            Lua::Jit => "LuaJIT",
        }
    }

    /// The version of the module that it loads.
    fn module(self) -> &'static str {
        match self {
            Lua::Lua54 => "5.4",
            Lua::Lua51 | Lua::Jit => "5.1",
        }
    }
}

/// The program of the profile that this one was built with.
///
/// # Errors
/// How to build it.
pub fn daemon() -> Result<PathBuf, String> {
    let path = profile()?.join("luasocketd");
    if path.is_file() { Ok(path) } else { Err(missing(&path)) }
}

/// The variables by which an interpreter finds our module and nothing else.
///
/// # Errors
/// How to build the module.
pub fn module_variables(lua: Lua) -> Result<[(&'static str, OsString); 2], String> {
    let profile = profile()?;
    let directory = profile.parent().unwrap_or(&profile).join("lua").join(lua.module());
    if !directory.join("luasocketd.so").is_file() {
        return Err(missing(&directory.join("luasocketd.so")));
    }
    let place = directory.display();
    Ok([("LUA_PATH", format!("{place}/?.lua").into()), ("LUA_CPATH", format!("{place}/?.so").into())])
}

/// A script of the benchmark, by its path in lua/.
pub fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lua").join(path)
}

/// A command on the search path, or where servers lie.
pub fn command(name: &str) -> Option<PathBuf> {
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(usual).map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn missing(path: &Path) -> String {
    format!("{} is missing; run: cargo xtask bench", path.display())
}

/// `target/<profile>`, where this program lies.
fn profile() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    Ok(own.parent().map_or_else(PathBuf::new, Path::to_owned))
}
