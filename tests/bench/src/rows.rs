//! The rows of the benchmark: what is measured, in which unit, and what is to be reached.

/// What a row's rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: a rate in bytes, processor time for 10^9 of them.
    Bytes,
    /// Operations: a rate of them, processor time for 100,000 of them.
    Operations,
}

impl Unit {
    /// What processor time is given for.
    pub fn of_cpu(self) -> (&'static str, f64) {
        match self {
            Unit::Bytes => ("GB", 1e9),
            Unit::Operations => ("100,000", 1e5),
        }
    }

    /// A rate for people, in three digits.
    pub fn rate(self, per_second: f64) -> String {
        let (scaled, prefix) = match per_second {
            1e9.. => (per_second / 1e9, "G"),
            1e6.. => (per_second / 1e6, "M"),
            1e3.. => (per_second / 1e3, "k"),
            _ => (per_second, ""),
        };
        let digits = if scaled < 9.995 { 2 } else { usize::from(scaled < 99.95) };
        match self {
            Unit::Bytes => format!("{scaled:.digits$} {prefix}B/s"),
            Unit::Operations => format!("{scaled:.digits$} {prefix}/s"),
        }
    }
}

/// A kind of work that is measured.
#[derive(Debug)]
pub struct Row {
    /// Its name on the command line, in JSON, and its script's in lua/rows.
    pub name: &'static str,
    /// What people read.
    pub title: &'static str,
    /// What its rate counts.
    pub unit: Unit,
    /// How fast luasocketd is to be at least, LuaSocket in-process being 1.
    pub target: f64,
}

/// All rows, in their order in the table.
pub const ROWS: [Row; 9] = [
    Row {
        name: "lines",
        title: "receive(\"*l\"), 64-byte lines, streamed",
        unit: Unit::Operations,
        target: 2.0,
    },
    Row { name: "send_small", title: "send of 64 bytes, streamed", unit: Unit::Operations, target: 3.0 },
    Row { name: "receive_bulk", title: "receive(1 MiB) in bulk", unit: Unit::Bytes, target: 1.0 },
    Row {
        name: "receive_all",
        title: "receive(\"*a\") in bulk, 32 MiB each",
        unit: Unit::Bytes,
        target: 1.0,
    },
    Row { name: "send_bulk", title: "send(1 MiB) in bulk", unit: Unit::Bytes, target: 0.9 },
    Row { name: "ping", title: "ping-pong, 64 bytes, one socket", unit: Unit::Operations, target: 0.65 },
    Row {
        name: "ping_select",
        title: "ping-pong, 50 sockets under select",
        unit: Unit::Operations,
        target: 1.0,
    },
    Row { name: "visit", title: "connect, send, receive, close", unit: Unit::Operations, target: 0.6 },
    Row {
        name: "select_many",
        title: "select over 1,000 sockets, 10 ready",
        unit: Unit::Operations,
        target: 2.0,
    },
];

/// The row of that name.
///
/// # Errors
/// The names that there are.
pub fn named(name: &str) -> Result<&'static Row, String> {
    let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    ROWS.iter().find(|row| row.name == name).ok_or_else(|| format!("a row is one of {}", known()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_row_has_its_script_and_every_script_its_row() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua/rows");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let names = files.map(|name| name.into_string().unwrap());
        // A part that rows share has a name that begins so.
        let scripts: BTreeSet<String> = names.filter(|name| !name.starts_with('_')).collect();
        assert_eq!(scripts, ROWS.iter().map(|row| format!("{}.lua", row.name)).collect());
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!(Unit::Bytes.rate(1.234e9), "1.23 GB/s");
        assert_eq!(Unit::Bytes.rate(9.996e6), "10.0 MB/s");
        assert_eq!(Unit::Operations.rate(123_400.0), "123 k/s");
        assert_eq!(Unit::Operations.rate(12.34), "12.3 /s");
    }
}
