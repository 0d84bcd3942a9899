//! `luasocketd path`: the lines to export so that a stock interpreter finds the module.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::failed;
use crate::cli::{LuaVersion, PathOptions};

/// Overrides where the modules are.
const VARIABLE: &str = "LUASOCKETD_MODULES";

/// Where the modules are, seen from the directory of the program: as installed, and as built.
const PLACES: [&str; 2] = ["../lib/luasocketd/lua", "../lua"];

impl LuaVersion {
    /// The directory of its modules. One build serves 5.1 and LuaJIT.
    fn directory(self) -> &'static str {
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
    fn suffix(self) -> &'static str {
        match self {
            LuaVersion::Lua51 | LuaVersion::Jit => "",
            LuaVersion::Lua52 => "_5_2",
            LuaVersion::Lua53 => "_5_3",
            LuaVersion::Lua54 => "_5_4",
            LuaVersion::Lua55 => "_5_5",
        }
    }
}

/// Prints the lines.
pub fn path(options: PathOptions) -> ExitCode {
    match find_modules(options.lua) {
        Ok(directory) => {
            for (variable, ending) in [("LUA_PATH", "lua"), ("LUA_CPATH", "so")] {
                println!("{}", export_line(variable, ending, &directory, options.lua));
            }
            ExitCode::SUCCESS
        }
        Err(tried) => failed(format!(
            "no modules for Lua {} in {}; build them with `cargo xtask modules`, or set {VARIABLE} to where they are",
            options.lua.directory(),
            tried.join(" or ")
        )),
    }
}

/// One line for a POSIX shell. It keeps what the variable held before, else Lua's own default (`;;`).
fn export_line(variable: &str, ending: &str, directory: &Path, lua: LuaVersion) -> String {
    let name = format!("{variable}{}", lua.suffix());
    let default = match lua.suffix() {
        "" => ";".to_owned(),
        _ => format!("${{{variable}:-;}}"),
    };
    let place = quoted(&format!("{}/?.{ending};", directory.display()));
    format!("export {name}={place}\"${{{name}:-{default}}}\"")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The directory that holds the modules, or those that do not.
fn find_modules(lua: LuaVersion) -> Result<PathBuf, Vec<String>> {
    let mut tried = Vec::new();
    for base in module_bases() {
        let directory = base.join(lua.directory());
        if directory.join("luasocketd.so").exists() {
            return Ok(directory.canonicalize().unwrap_or(directory));
        }
        tried.push(directory.display().to_string());
    }
    Err(tried)
}

fn module_bases() -> Vec<PathBuf> {
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

    #[test]
    fn a_line_keeps_what_was_set_before() {
        let line = |lua| export_line("LUA_CPATH", "so", Path::new("/x"), lua);
        assert_eq!(line(LuaVersion::Jit), r#"export LUA_CPATH='/x/?.so;'"${LUA_CPATH:-;}""#);
        assert_eq!(
            line(LuaVersion::Lua54),
            r#"export LUA_CPATH_5_4='/x/?.so;'"${LUA_CPATH_5_4:-${LUA_CPATH:-;}}""#
        );
    }

    #[test]
    fn a_directory_cannot_break_out_of_its_quotes() {
        assert_eq!(quoted("a'; rm b"), r"'a'\''; rm b'");
    }
}
