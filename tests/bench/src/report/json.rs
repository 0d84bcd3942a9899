//! Everything, for machines.

use serde_json::{Map, Value, json};

use crate::contender::Contender;
use crate::machine::Machine;
use crate::results::{Cell, Line, Results, Run, Spread};
use crate::rows::Unit;

/// The results, with each single measurement.
pub fn json(results: &Results) -> Value {
    let absent = results.absent.iter();
    json!({
        "machine": machine(&results.machine),
        "rounds": results.rounds,
        "seconds": results.seconds,
        "contenders": results.contenders.iter().map(|contender| contender.name()).collect::<Vec<_>>(),
        "absent": absent.map(|(contender, why)| (contender.name().to_owned(), why.as_str().into()))
            .collect::<Map<String, Value>>(),
        "failures": results.failures(),
        "runs": results.runs.iter().map(run).collect::<Vec<_>>(),
    })
}

/// Where it was measured.
pub fn machine(machine: &Machine) -> Value {
    let versions = machine.versions.iter();
    json!({
        "processor": machine.processor,
        "cores": machine.cores,
        "memory_bytes": machine.memory,
        "kernel": machine.kernel,
        "load_before": machine.load,
        "versions": versions.map(|(name, version)| (name.clone(), version.as_str().into()))
            .collect::<Map<String, Value>>(),
    })
}

fn run(run: &Run) -> Value {
    json!({
        "lua": run.lua.program(),
        "rows": run.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

fn line(line: &Line) -> Value {
    let unit = match line.row.unit {
        Unit::Bytes => "bytes/s",
        Unit::Operations => "operations/s",
    };
    let (amount, _) = line.row.unit.of_cpu();
    json!({
        "row": line.row.name,
        "title": line.row.title,
        "unit": unit,
        "cpu_for": amount,
        "target": line.row.target,
        "met": line.is_met(Contender::Luasocketd),
        "contenders": line.cells.iter().map(|each| cell(line, each)).collect::<Vec<_>>(),
    })
}

fn cell(line: &Line, cell: &Cell) -> Value {
    let unit = line.row.unit;
    let cpu = cell.cpu(unit);
    let samples = cell.samples.iter().map(|sample| {
        json!({
            "operations": sample.found.operations,
            "bytes": sample.found.bytes,
            "seconds": sample.found.seconds,
            "cpu_script": sample.found.cpu,
            "cpu_between": sample.between,
        })
    });
    json!({
        "contender": cell.contender.name(),
        "rate": cell.rate(unit).map(spread),
        "ratio_to_luasocket": line.speed(cell.contender),
        "luasocketd_ratio_to_this": line.ratio(Contender::Luasocketd, cell.contender),
        "cpu_script": cpu.map(|(script, _)| script),
        "cpu_between": cpu.map(|(_, between)| between),
        "failure": cell.failure,
        "samples": samples.collect::<Vec<_>>(),
    })
}

fn spread(spread: Spread) -> Value {
    json!({"median": spread.median, "low": spread.low, "high": spread.high})
}
