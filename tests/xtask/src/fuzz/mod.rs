//! The fuzz targets: built with coverage and the address sanitizer by the toolchain that is here, and run side by side.
//!
//! They lie as `cargo fuzz` has them, which works as well; nothing of it is needed.

mod run;
mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use clap::Args;

use crate::needs;
use crate::process::{cargo_with, output, repository, target};
use run::{End, Run};

/// What the compiler is told: to count which edges of the program an input takes, and to watch each access to memory. Both
/// are for nightly compilers alone, unless one is told to be as good as that.
const FLAGS: [&str; 7] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
];
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// Memory that lasts as long as the machine runs: files of an input are there for a millisecond.
const MEMORY: &str = "/dev/shm";

/// What `cargo xtask fuzz` is told.
#[derive(Debug, Args)]
pub struct Fuzz {
    /// Which targets; all of them without a name.
    targets: Vec<String>,
    /// How long each one runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// End each one after so many inputs instead.
    #[arg(long, value_name = "INPUTS", conflicts_with = "seconds")]
    runs: Option<u64>,
    /// How many of them run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only give these inputs to the target, once each: a crash that was told of.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "runs"])]
    repeat: Vec<PathBuf>,
}

/// Builds the targets and runs them, or one of them on what has made it crash.
pub fn fuzz(options: &Fuzz) -> Result<(), String> {
    let targets = targets(&options.targets)?;
    if !options.repeat.is_empty() && targets.len() != 1 {
        return Err("--repeat wants the one target that the files are for".into());
    }
    needs::provide_for_fuzzing()?;
    let programs = build(&targets)?;
    let scratch = Scratch::make()?;
    let run = |target: &str| Run::new(target, &programs, &scratch.0);
    if let [target] = targets.as_slice()
        && !options.repeat.is_empty()
    {
        return run(target).repeat(&options.repeat);
    }
    let end = options.runs.map_or(End::Seconds(options.seconds), End::Runs);
    eprintln!("{} targets, {end}, {} at once", targets.len(), options.jobs.max(1));
    let waiting = Mutex::new(targets.iter().enumerate());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, targets.len()) {
            scope.spawn(|| {
                loop {
                    // No thread panics with a lock in its hands.
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some((number, target)) = next else { return };
                    let result = run(target).fuzz(end);
                    if let Ok(mut results) = results.lock() {
                        results.push((number, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(number, _)| *number);
    let results = results.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, String>>()?;
    print!("{}", table::table(&results));
    let crashes: Vec<String> = results.iter().filter_map(|result| result.crash.clone()).collect();
    if crashes.is_empty() { Ok(()) } else { Err(crashes.join("\nxtask: ")) }
}

/// Removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, String> {
        let place = if Path::new(MEMORY).is_dir() { MEMORY.into() } else { env::temp_dir() };
        let path = place.join(format!("luasocketd-fuzz-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("xtask: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// The targets that are meant.
fn targets(named: &[String]) -> Result<Vec<String>, String> {
    let directory = repository().join("fuzz/fuzz_targets");
    let files =
        fs::read_dir(&directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let name = |file: fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".rs")?.to_owned());
    let mut all: Vec<String> = files.flatten().filter_map(name).collect();
    all.sort();
    match named.iter().find(|name| !all.contains(name)) {
        Some(unknown) => Err(format!("there is no target `{unknown}`; there are {}", all.join(", "))),
        None if named.is_empty() => Ok(all),
        None => Ok(named.to_vec()),
    }
}

/// Builds the targets, and says where they are. A target directory of its own: the flags change every crate.
fn build(targets: &[String]) -> Result<PathBuf, String> {
    let host = output("rustc", &["--print", "host-tuple"])?;
    let directory = target().join("fuzz");
    // With the machine named, build scripts and macros are built without the flags.
    let mut args = vec!["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host.trim()];
    args.extend(targets.iter().flat_map(|target| ["--bin", target]));
    let directory_text = directory.to_string_lossy();
    cargo_with(&args, &[BOOTSTRAP, ("RUSTFLAGS", &FLAGS.join(" ")), ("CARGO_TARGET_DIR", &directory_text)])?;
    Ok(directory.join(host.trim()).join("release"))
}

/// A command that is run in the repository.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_built_and_documented() {
        let manifest = include_str!("../../../../fuzz/Cargo.toml");
        let documented = include_str!("../../../../docs/fuzzing.md");
        let all = targets(&[]).unwrap();
        for target in &all {
            let path = format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"");
            assert!(manifest.contains(&path), "fuzz/Cargo.toml has no {target}");
            assert!(documented.contains(&format!("| `{target}` |")), "docs/fuzzing.md has no {target}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), all.len());
        assert!(targets(&["nothing".to_owned()]).unwrap_err().contains("codec"));
    }
}
