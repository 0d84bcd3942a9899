//! What cargo alone cannot do: the module for every Lua version, and a machine that is fit for the
//! tests, an installation, a benchmark, a soak, the fuzz targets, the sanitizer. `cargo xtask modules`, `cargo xtask test`,
//! `cargo xtask install`, `cargo xtask bench`, `cargo xtask soak`, `cargo xtask fuzz`, `cargo xtask sanitize`.

mod bench;
mod embedded;
mod files;
mod fuzz;
mod install;
mod modules;
mod needs;
mod process;
mod rock;
mod sanitize;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds the Lua modules, runs the tests, installs, measures, soaks, fuzzes"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the loadable module for every Lua version into target/lua.
    Modules {
        /// Build with debug assertions and without optimisation.
        #[arg(long)]
        debug: bool,
    },
    /// Install the program, the modules, the systemd unit, man pages and completions below a prefix.
    Install(install::Install),
    /// Build the module for one Lua version and put it where LuaRocks says; the rockspec calls this.
    Rock(rock::Rock),
    /// Measure how fast scripts are on luasocketd, beside LuaSocket and relays; `cargo xtask bench --help` has the options.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on to the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Give the fuzz targets inputs that nobody has thought of.
    Fuzz(fuzz::Fuzz),
    /// Run the tests of unsafe code, and of a daemon among hostile clients, under the address sanitizer.
    Sanitize,
    /// Check every byte end to end under load and faults; `cargo xtask soak --help` has the options.
    #[command(disable_help_flag = true)]
    Soak {
        /// Passed on to the soak.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install or name what the tests need, build everything, run all tests.
    Test {
        /// Passed on to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Modules { debug } => modules::build_all(debug),
        Task::Install(options) => install::install(&options),
        Task::Rock(options) => rock::install(&options),
        Task::Bench { args } => bench::bench(&args),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Sanitize => sanitize::sanitize(),
        Task::Soak { args } => soak::soak(&args),
        Task::Test { args } => test(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(1)
        }
    }
}

fn test(args: &[String]) -> Result<(), String> {
    needs::provide()?;
    modules::build_all(true)?;
    modules::build_interpreter()?;
    process::cargo(&["build", "--package", "luasocketd"])?;
    // Who has waited for the build wants to hear of every failure.
    let mut test = vec!["test", "--workspace", "--no-fail-fast"];
    test.extend(args.iter().map(String::as_str));
    process::cargo(&test)?;
    // Whoever names tests means the workspace's.
    if args.is_empty() { embedded::test_all() } else { Ok(()) }
}
