//! The loadable modules, laid out so that `?.so` and `?.lua` of one directory find all of them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::files::{copy, replace};
use crate::process::{built, cargo, repository, run, target};

/// The feature of the module crate and the directory for each version. LuaJIT loads the module for 5.1.
const VERSIONS: [(&str, &str); 5] =
    [("lua51", "5.1"), ("lua52", "5.2"), ("lua53", "5.3"), ("lua54", "5.4"), ("lua55", "5.5")];

/// The names under which Lua looks for the one file that has all entry points: an interpreter that finds
/// LuaSocket's own `socket/core.so` as well must find ours first.
const NAMES: [(&str, &str); 3] = [
    ("socket/core.so", "../luasocketd.so"),
    ("socket/unix.so", "../luasocketd.so"),
    ("luasocketd/v1.so", "../luasocketd.so"),
];

/// Builds every version, one after the other: their features exclude each other in one build.
pub fn build_all(debug: bool) -> Result<(), String> {
    build_each(versions(), debug)
}

/// Builds some of them, in the same way.
pub fn build_each<'a>(versions: impl Iterator<Item = &'a str>, debug: bool) -> Result<(), String> {
    for version in versions {
        let module = build(version, debug)?;
        let directory = directory(version);
        lay_out(&module, &directory)
            .map_err(|error| format!("cannot write to {}: {error}", directory.display()))?;
    }
    let place = target().join("lua");
    eprintln!("modules are in {}; `luasocketd path --lua VERSION` says how to use them", place.display());
    Ok(())
}

/// Builds one version and says where it is, until another one is built.
pub fn build(version: &str, debug: bool) -> Result<PathBuf, String> {
    let feature = VERSIONS.iter().find_map(|(feature, known)| (*known == version).then_some(*feature));
    let feature = feature.ok_or_else(|| {
        let known = VERSIONS.map(|(_, version)| version).join(", ");
        format!("there is no module for Lua {version}; there is one for {known}")
    })?;
    let mut args = vec!["build", "--package", "luasocketd-module", "--features", feature];
    if !debug {
        args.push("--release");
    }
    cargo(&args)?;
    Ok(built(debug).join("libluasocketd.so"))
}

/// The versions that there is a module for.
pub fn versions() -> impl Iterator<Item = &'static str> {
    VERSIONS.iter().map(|(_, version)| *version)
}

/// Where `build_all` leaves the module for one version.
pub fn directory(version: &str) -> PathBuf {
    target().join("lua").join(version)
}

/// Puts a built module into a directory under all its names.
pub fn lay_out(module: &Path, directory: &Path) -> io::Result<()> {
    copy(module, &directory.join("luasocketd.so"), 0o755)?;
    for (name, original) in NAMES {
        replace(&directory.join(name), |path| symlink(original, path))?;
    }
    // The other Lua files are built into the module.
    copy(&repository().join("shim/lua/socket.lua"), &directory.join("socket.lua"), 0o644)
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
