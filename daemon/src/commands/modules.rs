//! Where the Lua modules are, and the variables by which an interpreter finds them.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::LuaVersion;

/// Overrides where the modules are.
const VARIABLE: &str = "LUASOCKETD_MODULES";

/// Where the modules are, seen from the directory of the program: as installed, and as built.
const PLACES: [&str; 2] = ["../lib/luasocketd/lua", "../lua"];

/// How to get modules.
pub const HELP: &str = "build them with `cargo xtask modules`, or set LUASOCKETD_MODULES to where they are";

/// The variables that name Lua files and C modules, with what a pattern in them ends in.
pub const PATHS: [(&str, &str); 2] = [("LUA_PATH", "lua"), ("LUA_CPATH", "so")];

/// The versions whose variables have a name of their own: one of them beats the plain one, which all versions
/// read and which is for 5.1 and LuaJIT alone.
const VERSIONED: [LuaVersion; 4] =
    [LuaVersion::Lua52, LuaVersion::Lua53, LuaVersion::Lua54, LuaVersion::Lua55];

impl LuaVersion {
    /// The directory of its modules. One build serves 5.1 and LuaJIT.
    pub fn directory(self) -> &'static str {
        match self {
            LuaVersion::Lua51 | LuaVersion::Jit => "5.1",
            LuaVersion::Lua52 => "5.2",
            LuaVersion::Lua53 => "5.3",
            LuaVersion::Lua54 => "5.4",
            LuaVersion::Lua55 => "5.5",
        }
    }

    /// What the names of its variables end in; a versioned one beats the plain one, so it is the one
    /// to set.
    pub fn suffix(self) -> &'static str {
        match self {
            LuaVersion::Lua51 | LuaVersion::Jit => "",
            LuaVersion::Lua52 => "_5_2",
            LuaVersion::Lua53 => "_5_3",
            LuaVersion::Lua54 => "_5_4",
            LuaVersion::Lua55 => "_5_5",
        }
    }
}

/// The directory that holds the modules, or those that do not.
///
/// # Errors
/// The directories that were looked at.
pub fn find(lua: LuaVersion) -> Result<PathBuf, Vec<String>> {
    let mut tried = Vec::new();
    for base in bases() {
        let directory = base.join(lua.directory());
        if directory.join("luasocketd.so").exists() {
            return Ok(directory.canonicalize().unwrap_or(directory));
        }
        tried.push(directory.display().to_string());
    }
    Err(tried)
}

/// The directories of all versions that there are modules for.
pub fn found() -> Vec<(LuaVersion, PathBuf)> {
    let all = [LuaVersion::Lua51].into_iter().chain(VERSIONED);
    all.filter_map(|version| Some((version, find(version).ok()?))).collect()
}

/// The same, without the versions.
pub fn found_places() -> impl Iterator<Item = PathBuf> {
    // The modules of one version may be links to a file beside their directory.
    found().into_iter().flat_map(|(_, place)| {
        let file = place.join("luasocketd.so").canonicalize().ok();
        [Some(place), file].into_iter().flatten()
    })
}

/// Where modules are looked for.
pub fn places() -> String {
    bases().iter().map(|base| base.display().to_string()).collect::<Vec<_>>().join(" or ")
}

/// What to set so that interpreters of all versions find the modules; nothing where there are none. Each keeps
/// what it held before, else Lua's own default.
pub fn variables(
    found: &[(LuaVersion, PathBuf)],
    before: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<(String, OsString)> {
    let mut variables = Vec::new();
    if found.is_empty() {
        return variables;
    }
    let place = |wanted| found.iter().find(|(version, _)| *version == wanted).map(|(_, place)| place);
    for (plain, ending) in PATHS {
        let default = || OsString::from(";;");
        if let Some(place) = place(LuaVersion::Lua51) {
            let value = joined(place, ending, before(plain).unwrap_or_else(default));
            variables.push((plain.to_owned(), value));
        }
        for version in VERSIONED {
            let name = format!("{plain}{}", version.suffix());
            let old = before(&name).or_else(|| before(plain)).unwrap_or_else(default);
            // Without modules of its own it must not find those that the plain variable now names.
            let value = place(version).map_or(old.clone(), |place| joined(place, ending, old));
            variables.push((name, value));
        }
    }
    variables
}

fn joined(place: &Path, ending: &str, old: OsString) -> OsString {
    let mut value = place.as_os_str().to_owned();
    value.push(format!("/?.{ending};"));
    value.push(old);
    value
}

fn bases() -> Vec<PathBuf> {
    if let Some(base) = env::var_os(VARIABLE).filter(|base| !base.is_empty()) {
        return vec![base.into()];
    }
    let program = env::current_exe().unwrap_or_default();
    let directory = program.parent().unwrap_or(Path::new("."));
    PLACES.iter().map(|place| directory.join(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(found: &[(LuaVersion, PathBuf)], before: &[(&str, &str)], name: &str) -> Option<String> {
        let variables = variables(found, &|wanted| {
            before.iter().find(|(name, _)| *name == wanted).map(|(_, value)| OsString::from(value))
        });
        let found = variables.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    }

    #[test]
    fn each_version_finds_its_own_and_keeps_what_was_set() {
        let both = [(LuaVersion::Lua51, PathBuf::from("/m/5.1")), (LuaVersion::Lua54, "/m/5.4".into())];
        let before = [("LUA_PATH", "/mine/?.lua"), ("LUA_CPATH_5_4", "/c/?.so")];
        let value = |name| value(&both, &before, name);
        assert_eq!(value("LUA_PATH").as_deref(), Some("/m/5.1/?.lua;/mine/?.lua"));
        assert_eq!(value("LUA_PATH_5_4").as_deref(), Some("/m/5.4/?.lua;/mine/?.lua"));
        assert_eq!(value("LUA_CPATH").as_deref(), Some("/m/5.1/?.so;;;"));
        assert_eq!(value("LUA_CPATH_5_4").as_deref(), Some("/m/5.4/?.so;/c/?.so"));
    }

    #[test]
    fn a_version_without_modules_finds_no_others() {
        let only = [(LuaVersion::Lua51, PathBuf::from("/m/5.1"))];
        assert_eq!(value(&only, &[], "LUA_CPATH_5_3").as_deref(), Some(";;"));
        assert_eq!(value(&only, &[("LUA_CPATH", "/c/?.so")], "LUA_CPATH_5_3").as_deref(), Some("/c/?.so"));
        let other = [(LuaVersion::Lua53, PathBuf::from("/m/5.3"))];
        assert_eq!(value(&other, &[], "LUA_CPATH"), None);
        assert_eq!(value(&[], &[], "LUA_CPATH_5_3"), None);
    }
}
