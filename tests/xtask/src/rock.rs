//! The module as LuaRocks wants it: C modules and Lua modules in directories of their own. The rockspec
//! calls it.

use std::path::PathBuf;

use crate::files::copy;
use crate::modules;
use crate::process::repository;

#[derive(Debug, clap::Args)]
pub struct Rock {
    /// The Lua version.
    #[arg(long)]
    lua: String,
    /// Where C modules go.
    #[arg(long, value_name = "DIRECTORY")]
    lib: PathBuf,
    /// Where Lua modules go.
    #[arg(long, value_name = "DIRECTORY")]
    share: PathBuf,
    /// Build with debug assertions and without optimisation.
    #[arg(long)]
    debug: bool,
}

/// The Lua files. LuaRocks copies files, and each copy of the module would be a world of its own; a Lua
/// file in the place of a link keeps it one.
const LUA_FILES: [&str; 3] = ["socket.lua", "socket/core.lua", "socket/unix.lua"];

/// Builds the module and puts it there.
pub fn install(rock: &Rock) -> Result<(), String> {
    let module = modules::build(&rock.lua, rock.debug)?;
    let mut files = vec![(module, rock.lib.join("luasocketd.so"), 0o755)];
    for name in LUA_FILES {
        files.push((repository().join("shim/lua").join(name), rock.share.join(name), 0o644));
    }
    for (from, to, mode) in files {
        copy(&from, &to, mode).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    }
    Ok(())
}
