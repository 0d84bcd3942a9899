//! The main table: every row, in rounds, one contender after the other.

use std::path::Path;

use crate::cli::TableOptions;
use crate::contender::{Contender, Ready};
use crate::left;
use crate::machine::Machine;
use crate::peers::Peers;
use crate::places::Lua;
use crate::progress::Progress;
use crate::results::{Cell, Line, Results, Run, Sample};
use crate::rows::{ROWS, Row};

/// How long a script warms up, as a part of how long it measures.
const WARM_UP: f64 = 0.2;
/// What `--short` does.
const SHORT_ROUNDS: usize = 2;
/// See [`SHORT_ROUNDS`].
const SHORT_SECONDS: f64 = 0.02;

/// How it is measured.
struct Plan {
    rows: Vec<&'static Row>,
    rounds: usize,
    seconds: f64,
}

/// Measures all that the options ask for.
///
/// # Errors
/// When nothing can be measured; what fails for one contender is in the results.
pub fn measure(options: &TableOptions) -> Result<Results, String> {
    let rows = if options.rows.is_empty() { ROWS.iter().collect() } else { options.rows.clone() };
    let plan = match options.short {
        true => Plan { rows, rounds: SHORT_ROUNDS, seconds: SHORT_SECONDS },
        false => Plan { rows, rounds: options.rounds.into(), seconds: options.seconds },
    };
    let contenders = wanted(&options.contenders);
    let machine = Machine::look(&options.lua, &contenders);
    let directory = left::directory()?;
    open_to_relays(directory.path())?;
    let peers = Peers::start().map_err(|error| format!("the peers do not start: {error}"))?;
    let progress = Progress::new(options.lua.len() * plan.rows.len() * plan.rounds * contenders.len());
    let (mut ready, mut absent) = (Vec::new(), Vec::new());
    for contender in contenders {
        progress.say(&format!("starting {}", contender.name()));
        match Ready::start(contender, &peers, directory.path()) {
            Ok(started) => ready.push(started),
            Err(why) => absent.push((contender, why)),
        }
    }
    let runs = options.lua.iter().map(|lua| run(&plan, *lua, &ready, &progress)).collect();
    progress.end();
    Ok(Results {
        machine,
        contenders: ready.iter().map(|ready| ready.contender).collect(),
        absent,
        rounds: plan.rounds,
        seconds: plan.seconds,
        runs,
    })
}

/// Those that were asked for, each once, with whom they are compared.
fn wanted(asked: &[Contender]) -> Vec<Contender> {
    let mut wanted = vec![Contender::Luasocket];
    for contender in asked {
        if !wanted.contains(contender) {
            wanted.push(*contender);
        }
    }
    wanted
}

/// A relay that gives up root's powers has files in there.
fn open_to_relays(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711))
        .map_err(|error| format!("cannot open {}: {error}", directory.display()))
}

fn run(plan: &Plan, lua: Lua, ready: &[Ready], progress: &Progress) -> Run {
    let line = |row: &&'static Row| {
        progress.row(&format!("{}, {}", lua.title(), row.title));
        let mut cells: Vec<Cell> = ready
            .iter()
            .map(|ready| Cell { contender: ready.contender, samples: Vec::new(), failure: None })
            .collect();
        for round in 1..=plan.rounds {
            for (ready, cell) in ready.iter().zip(&mut cells) {
                let what = format!("{}, {}, round {round}, {}", lua.title(), row.name, cell.contender.name());
                progress.step(&what);
                if cell.failure.is_some() {
                    continue;
                }
                match sample(plan, lua, row, ready) {
                    Ok(sample) => cell.samples.push(sample),
                    Err(why) => cell.failure = Some(why),
                }
            }
        }
        Line { row, cells }
    };
    Run { lua, lines: plan.rows.iter().map(line).collect() }
}

fn sample(plan: &Plan, lua: Lua, row: &Row, ready: &Ready) -> Result<Sample, String> {
    let mut script = ready.script(lua, row.name, plan.seconds, plan.seconds * WARM_UP)?;
    let before = ready.cpu();
    let found = script.measure()?;
    let between = ready.cpu() - before;
    script.finish()?;
    Ok(Sample { found, between })
}
