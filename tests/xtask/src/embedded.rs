//! The shim's tests and the example host, built for every Lua that a Rust program may embed.
//!
//! The features of two Lua versions exclude each other in one build, so each has one of its own. They share
//! a target directory: only what depends on Lua is built again, and only once.

use crate::process::cargo;

/// The features; Lua 5.4 is the default, which the workspace's tests have.
const VERSIONS: [&str; 6] = ["lua51", "lua52", "lua53", "lua55", "luajit", "luau"];

/// Tests every version but the default one.
pub fn test_all() -> Result<(), String> {
    VERSIONS.iter().try_for_each(|version| test(version))
}

fn test(version: &str) -> Result<(), String> {
    let features = format!("{version},vendored");
    let mut args = vec!["test", "--no-default-features", "--features", &features];
    args.extend(["--package", "luasocketd-shim"]);
    // LuaJIT cannot limit the memory of a script, on which the host insists.
    if version != "luajit" {
        args.extend(["--package", "luasocketd-host"]);
    }
    cargo(&args)
}
