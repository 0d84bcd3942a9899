//! Tests under the address sanitizer: of the crates with `unsafe` code, and of a daemon that hostile clients talk to.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::process::{cargo_with, output, target};
use crate::{modules, needs};

/// The sanitizer is for nightly compilers alone, unless one is told to be as good as that.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");
const FLAGS: (&str, &str) = ("RUSTFLAGS", "-Zsanitizer=address");

/// All tests of the crates on both ends of the pipe.
const CRATES: [&str; 5] = ["test", "--package", "luasocketd-protocol", "--package", "luasocketd-shim"];
/// The daemon's own; its simulator has no `unsafe` code to watch.
const DAEMON: [&str; 4] = ["test", "--package", "luasocketd", "--lib"];

/// Tests of the running daemon in which clients, scripts, peers and the system do their worst.
const RUNNING: [&str; 8] =
    ["datagrams", "delivery", "faults", "hostile", "imposter", "lookup", "rebinding", "ring"];

/// They measure the daemon's memory, of which the sanitizer keeps what was freed.
const MEASURING: [&str; 2] =
    ["floods_without_reading", "a_ring_that_is_never_read_holds_no_more_than_its_size"];

/// At its end the leak check stops the process from outside, which a confined daemon does not let itself do.
const NO_LEAK_CHECK: (&str, &str) = ("ASAN_OPTIONS", "detect_leaks=0");

/// Builds what is tested, and tests it. A target directory of its own: the flags change every crate.
pub fn sanitize() -> Result<(), String> {
    needs::provide()?;
    modules::build_all(true)?;
    let host = output("rustc", &["--print", "host-tuple"])?;
    // With the machine named, build scripts and macros are built without the flags.
    let host = ["--target", host.trim()];
    let directory = target().join("asan");
    let modules = directory.join(host[1]).join("lua");
    link_modules(&modules).map_err(|error| format!("cannot make {}: {error}", modules.display()))?;
    let directory = directory.to_string_lossy();
    let variables = [BOOTSTRAP, FLAGS, ("CARGO_TARGET_DIR", &directory)];
    let cargo = |words: &[&str]| cargo_with(&[words, &host[..]].concat(), &variables);
    cargo(&["build", "--package", "luasocketd"])?;
    cargo(&DAEMON)?;
    cargo(&CRATES)?;
    let mut test = vec!["test", "--no-fail-fast", "--package", "luasocketd-tests"];
    test.extend(host);
    test.extend(RUNNING.iter().flat_map(|name| ["--test", name]));
    test.push("--");
    test.extend(MEASURING.iter().flat_map(|name| ["--skip", name]));
    cargo_with(&test, &[&variables[..], &[NO_LEAK_CHECK]].concat())
}

/// The modules are what a stock interpreter loads, which knows nothing of sanitizers; tests look for them beside the profile.
fn link_modules(link: &Path) -> io::Result<()> {
    if link.is_symlink() {
        fs::remove_file(link)?;
    }
    fs::create_dir_all(link.parent().unwrap_or(link))?;
    symlink(target().canonicalize()?.join("lua"), link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::repository;

    #[test]
    fn what_is_named_is_there() {
        let text = |name| fs::read_to_string(repository().join(format!("tests/tests/{name}.rs"))).unwrap();
        let all: String = RUNNING.iter().map(text).collect();
        for test in MEASURING {
            assert!(all.contains(&format!("fn {test}()")), "{test}");
        }
        let documented = include_str!("../../../docs/reliability.md");
        assert!(documented.contains("`cargo xtask sanitize`"));
    }
}
