//! `luasocketd path`: the lines to export so that a stock interpreter finds the module.

use std::path::Path;
use std::process::ExitCode;

use super::{failed, modules};
use crate::cli::{LuaVersion, PathOptions};

/// Prints the lines.
pub fn path(options: PathOptions) -> ExitCode {
    match modules::find(options.lua) {
        Ok(directory) => {
            for (variable, ending) in modules::PATHS {
                println!("{}", export_line(variable, ending, &directory, options.lua));
            }
            ExitCode::SUCCESS
        }
        Err(tried) => failed(format!(
            "no modules for Lua {} in {}; {}",
            options.lua.directory(),
            tried.join(" or "),
            modules::HELP
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
