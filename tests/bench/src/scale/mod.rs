//! The scale of one daemon: what it holds, how evenly it serves, what it costs to begin.

mod fairness;
mod goal;
mod hold;
mod idle;
mod instructions;
mod loops;
mod memory;
mod start;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment};
use serde_json::json;
use tempfile::TempDir;

use crate::cli::ScaleOptions;
use crate::contender::interpreter;
use crate::left;
use crate::machine::Machine;
use crate::peers::Peers;
use crate::places::{self, Lua};
use crate::progress::Progress;
use crate::report::{self, Look};
use crate::results::Sample;
use crate::script::Script;
use crate::served::Served;

use goal::Finding;
pub use hold::hold;

/// The interpreter of all scripts here: what is measured is the daemon.
const LUA: Lua = Lua::Lua54;
/// How long a script warms up, as a part of how long it measures.
const WARM_UP: f64 = 0.2;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Many idle connections: how many, their memory, what a busy one costs beside them.
    Idle,
    /// Instructions for a wake-up, beside few idle connections and beside many.
    Instructions,
    /// Many client processes, each with a busy socket: how evenly they are served.
    Fairness,
    /// A client that never reads.
    Memory,
    /// `luasocketd run`, and a script's first connect.
    Start,
    /// Two loops against one, where the daemon can have two.
    Loops,
}

/// How much of each.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    idle: usize,
    clients: usize,
    senders: usize,
    rounds: usize,
    seconds: f64,
}

/// What `--short` does.
const SHORT: Sizes = Sizes { idle: 300, clients: 20, senders: 20, rounds: 2, seconds: 0.05 };

/// What all parts share.
struct Bench {
    sizes: Sizes,
    peers: Peers,
    directory: TempDir,
    progress: Progress,
}

impl Bench {
    /// A daemon of its own for a part, that allows everything and keeps no trail.
    fn serve(&self, name: &str, args: &[&str]) -> Result<Served, String> {
        let args = [&["--no-audit", "--allow", "*"], args].concat();
        Served::start(&self.place(name)?, &args)
    }

    /// A directory for files of that name.
    fn place(&self, name: &str) -> Result<PathBuf, String> {
        let place = self.directory.path().join(name);
        std::fs::create_dir_all(&place)
            .map_err(|error| format!("cannot make {}: {error}", place.display()))?;
        Ok(place)
    }

    /// The script of a row on a daemon, started and warmed up.
    fn row(&self, served: &Served, row: &str) -> Result<Script, String> {
        let mut command = interpreter(LUA)?;
        served.enter(&mut command, LUA)?;
        let (seconds, warm_up) = (self.sizes.seconds, self.sizes.seconds * WARM_UP);
        command.arg(places::script("bench.lua")).args([row, "ours"]);
        command.args([seconds.to_string(), warm_up.to_string()]).arg(self.peers.words());
        Script::start(command)
    }

    /// One measurement of a row on a daemon.
    fn sample(&self, served: &Served, row: &str) -> Result<Sample, String> {
        let mut script = self.row(served, row)?;
        let before = served.cpu();
        let found = script.measure()?;
        let between = served.cpu() - before;
        script.finish()?;
        Ok(Sample { found, between })
    }

    /// A script of lua/scale, on a daemon or on stock LuaSocket; not waited for.
    fn script(&self, served: Option<&Served>, name: &str, args: &[String]) -> Result<Script, String> {
        let mut command = interpreter(LUA)?;
        if let Some(served) = served {
            served.enter(&mut command, LUA)?;
        }
        command.arg(places::script("scale").join(name)).args(args);
        Script::launch(command)
    }

    /// The port of a peer.
    fn port(&self, name: &str) -> u16 {
        let found = self.peers.ports().iter().find(|(known, _)| *known == name);
        found.map_or(0, |(_, port)| *port)
    }
}

/// What a part has found.
type Found = Result<Vec<Finding>, String>;

/// Measures what was asked for, shows and writes it; whether all of it could be measured.
///
/// # Errors
/// When nothing can be measured.
pub fn measure(options: &ScaleOptions) -> Result<bool, String> {
    let machine = Machine::look(&[LUA], &[]);
    let parts = if options.only.is_empty() { Part::value_variants() } else { &options.only };
    let bench = Bench {
        sizes: sizes(options),
        peers: Peers::start().map_err(|error| format!("the peers do not start: {error}"))?,
        directory: left::directory()?,
        progress: Progress::new(parts.len()),
    };
    let (mut findings, mut failures) = (Vec::new(), Vec::new());
    for part in parts {
        let measured = match part {
            Part::Idle => idle::measure(&bench),
            Part::Instructions => instructions::measure(&bench),
            Part::Fairness => fairness::measure(&bench),
            Part::Memory => memory::measure(&bench),
            Part::Start => start::measure(&bench),
            Part::Loops => loops::measure(&bench),
        };
        match measured {
            Ok(found) => findings.extend(found),
            Err(why) => failures.push(format!("{part:?}: {why}")),
        }
    }
    bench.progress.end();
    print!("{}", text(&machine, &findings, &failures));
    if let Some(path) = &options.output.json {
        write(path, &machine, &findings, &failures)?;
    }
    Ok(failures.is_empty())
}

fn sizes(options: &ScaleOptions) -> Sizes {
    if options.short {
        return SHORT;
    }
    Sizes {
        idle: options.idle as usize,
        clients: options.clients as usize,
        senders: options.senders as usize,
        rounds: options.rounds.into(),
        seconds: options.seconds,
    }
}

fn text(machine: &Machine, findings: &[Finding], failures: &[String]) -> String {
    let look = Look::of_stdout();
    let left = CellAlignment::Left;
    let right = CellAlignment::Right;
    let mut table =
        look.table(&[("what", left), ("found", right), ("target", right), ("", left), ("note", left)]);
    for finding in findings {
        table.add_row(vec![
            Cell::new(finding.goal.title),
            look.strong(finding.goal.unit.text(finding.found)),
            Cell::new(finding.target()),
            look.verdict(Some(finding.is_met())),
            Cell::new(&finding.note),
        ]);
    }
    let failures = failures.iter().map(|failure| format!("failed: {failure}\n")).collect::<String>();
    format!("{}\n{}\n\n{}{failures}", machine.text(), machine.programs(), report::trimmed(&table))
}

fn write(path: &Path, machine: &Machine, findings: &[Finding], failures: &[String]) -> Result<(), String> {
    let value = json!({
        "machine": report::machine(machine),
        "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(),
        "failures": failures,
    });
    crate::write(path, &format!("{value:#}\n"))
}
