//! The loadable modules, laid out so that `?.so` and `?.lua` of one directory find all of them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::process::{cargo, repository, run, target};

/// The feature of the module crate and the directory for each version. LuaJIT loads the module for 5.1.
const VERSIONS: [(&str, &str); 5] =
    [("lua51", "5.1"), ("lua52", "5.2"), ("lua53", "5.3"), ("lua54", "5.4"), ("lua55", "5.5")];

/// The names under which Lua looks for the one file that has all entry points: an interpreter that finds
/// LuaSocket's own `socket/core.so` as well must find ours first.
const NAMES: [(&str, &str); 2] =
    [("socket/core.so", "../luasocketd.so"), ("luasocketd/v1.so", "../luasocketd.so")];

/// Builds every version, one after the other: their features exclude each other in one build.
pub fn build_all(debug: bool) -> Result<(), String> {
    for (feature, version) in VERSIONS {
        let mut args = vec!["build", "--package", "luasocketd-module", "--features", feature];
        if !debug {
            args.push("--release");
        }
        cargo(&args)?;
        let built = target().join(if debug { "debug" } else { "release" }).join("libluasocketd.so");
        let directory = target().join("lua").join(version);
        lay_out(&built, &directory)
            .map_err(|error| format!("cannot write to {}: {error}", directory.display()))?;
    }
    let place = target().join("lua");
    eprintln!("modules are in {}; `luasocketd path --lua VERSION` says how to use them", place.display());
    Ok(())
}

fn lay_out(built: &Path, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // A file of its own each time: a running script may have the old one mapped.
    replace(&directory.join("luasocketd.so"), |path| fs::copy(built, path).map(drop))?;
    for (name, original) in NAMES {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        replace(&path, |path| symlink(original, path))?;
    }
    // The other Lua files are built into the module.
    replace(&directory.join("socket.lua"), |path| {
        fs::copy(repository().join("shim/lua/socket.lua"), path).map(drop)
    })
}

fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => make(path),
    }
}

/// Builds an interpreter of Lua 5.5, which Debian 12 has no package of, into target/lua/bin.
pub fn build_interpreter() -> Result<(), String> {
    let place = target().join("lua/bin");
    let program = place.join("lua5.5");
    if program.exists() {
        return Ok(());
    }
    let machine = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let library = lua_src::Build::new()
        .out_dir(target().join("lua/build5.5"))
        .target(&machine)
        .host(&machine)
        .opt_level("2")
        .try_build(lua_src::Lua55)
        .map_err(|error| format!("cannot build Lua 5.5: {error}"))?;
    fs::create_dir_all(&place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    let archive =
        library.lib_dir().join(format!("lib{}.a", library.libs().first().map_or("lua5.5", String::as_str)));
    run(
        "cc",
        &[
            "-O2",
            "-o",
            &program.display().to_string(),
            "-I",
            &library.include_dir().display().to_string(),
            "tests/c_host/interpreter.c",
            // The whole library, its symbols visible, for the modules that are loaded later.
            "-Wl,--export-dynamic,--whole-archive",
            &archive.display().to_string(),
            "-Wl,--no-whole-archive",
            "-lm",
            "-ldl",
        ],
    )
}
