//! What was measured, and what follows from it.

use crate::contender::Contender;
use crate::machine::Machine;
use crate::places::Lua;
use crate::rows::{Row, Unit};
use crate::script::Found;

/// The middle of several measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of them are below, half above.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Spread {
    /// That of these measurements, if there are any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, low, high })
    }

    /// The same, in another unit.
    pub fn map(self, scale: impl Fn(f64) -> f64) -> Spread {
        Spread { median: scale(self.median), low: scale(self.low), high: scale(self.high) }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What the script found.
    pub found: Found,
    /// Seconds of processor time that what lies between used meanwhile.
    pub between: f64,
}

impl Sample {
    fn amount(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Bytes => self.found.bytes,
            Unit::Operations => self.found.operations,
        }
    }
}

/// One contender in one row.
#[derive(Debug)]
pub struct Cell {
    /// Who.
    pub contender: Contender,
    /// A sample for each round.
    pub samples: Vec<Sample>,
    /// Why it was given up.
    pub failure: Option<String>,
}

impl Cell {
    /// Operations or bytes a second.
    pub fn rate(&self, unit: Unit) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|sample| sample.amount(unit) / sample.found.seconds))
    }

    /// Median seconds of processor time of the script's process and of what lies between, for so much work as the unit says.
    pub fn cpu(&self, unit: Unit) -> Option<(f64, f64)> {
        let (_, amount) = unit.of_cpu();
        let each = |time: fn(&Sample) -> f64| {
            Spread::of(self.samples.iter().map(|sample| time(sample) / sample.amount(unit) * amount))
        };
        Some((each(|sample| sample.found.cpu)?.median, each(|sample| sample.between)?.median))
    }
}

/// One row.
#[derive(Debug)]
pub struct Line {
    /// What was done.
    pub row: &'static Row,
    /// By whom.
    pub cells: Vec<Cell>,
}

impl Line {
    /// What somebody did.
    pub fn cell(&self, contender: Contender) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.contender == contender)
    }

    /// Somebody's rate.
    pub fn rate(&self, contender: Contender) -> Option<Spread> {
        self.cell(contender)?.rate(self.row.unit)
    }

    /// How many times faster somebody is than somebody else, by medians.
    pub fn ratio(&self, contender: Contender, other: Contender) -> Option<f64> {
        Some(self.rate(contender)?.median / self.rate(other)?.median)
    }

    /// How many times faster somebody is than LuaSocket in-process.
    pub fn speed(&self, contender: Contender) -> Option<f64> {
        self.ratio(contender, Contender::Luasocket)
    }

    /// Whether our daemon, with its trail or without, is as fast as it is to be.
    pub fn is_met(&self, contender: Contender) -> Option<bool> {
        Some(self.speed(contender)? >= self.row.target)
    }
}

/// All rows on one interpreter.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub lua: Lua,
    /// The rows, in their order.
    pub lines: Vec<Line>,
}

/// Everything that one call of the benchmark has found.
#[derive(Debug)]
pub struct Results {
    /// Where it was measured.
    pub machine: Machine,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Who could not, and why.
    pub absent: Vec<(Contender, String)>,
    /// How many rounds there were.
    pub rounds: usize,
    /// How long a measurement took, in seconds.
    pub seconds: f64,
    /// A run for each interpreter.
    pub runs: Vec<Run>,
}

impl Results {
    /// What went wrong, in words.
    pub fn failures(&self) -> Vec<String> {
        let cells = self.runs.iter().flat_map(|run| {
            let of_line = move |line: &'_ Line| {
                let tell = |cell: &Cell| {
                    let why = cell.failure.as_ref()?;
                    Some(format!("{}, {}, {}: {why}", run.lua.title(), line.row.name, cell.contender.name()))
                };
                line.cells.iter().filter_map(tell).collect::<Vec<_>>()
            };
            run.lines.iter().flat_map(of_line)
        });
        cells.collect()
    }

    /// Whether LuaSocket and ours have a number in every row where they took part.
    pub fn is_whole(&self) -> bool {
        let must = |contender: Contender| !contender.is_relay();
        let lines = || self.runs.iter().flat_map(|run| &run.lines);
        let has_failed = lines()
            .flat_map(|line| &line.cells)
            .any(|cell| must(cell.contender) && (cell.failure.is_some() || cell.samples.len() < self.rounds));
        !has_failed && !self.absent.iter().any(|(contender, _)| must(*contender))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([]), None);
    }
}
