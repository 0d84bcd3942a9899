//! The audit trail as anybody can read it: JSON lines in a directory, without the product's own reader, so that a
//! mistake in that one shows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::build::program;
use crate::process::{Job, wait_until};

/// How long a record may take to be seen.
const SOON: Duration = Duration::from_secs(10);

/// The lines of one trail.
pub struct Trail {
    directory: PathBuf,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line(pub Value);

impl Trail {
    /// The trail in a directory.
    pub fn at(directory: impl Into<PathBuf>) -> Trail {
        Trail { directory: directory.into() }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All whole lines of the live file.
    pub fn lines(&self) -> Vec<Line> {
        let path = self.directory.join("audit.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| Line(serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))))
            .collect()
    }

    /// The lines with this `event.action`.
    pub fn with_action(&self, action: &str) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.text("/event/action") == action).collect()
    }

    /// The one line with this action, as soon as there is one.
    pub fn only(&self, action: &str) -> Line {
        self.several(action, 1).remove(0)
    }

    /// Exactly so many lines with this action, as soon as they are there.
    pub fn several(&self, action: &str, count: usize) -> Vec<Line> {
        wait_until(&format!("{count} lines {action}"), SOON, || self.with_action(action).len() >= count);
        let lines = self.with_action(action);
        assert_eq!(lines.len(), count, "lines {action}: {lines:#?}");
        lines
    }

    /// The decision and its end that are alone of their kind.
    pub fn pair(&self, matter: &str) -> (Line, Line) {
        let decided = self.only(&format!("{matter}-decided"));
        let ended = self.only(&format!("{matter}-ended"));
        assert_eq!(decided.text("/event/id"), ended.text("/event/id"));
        (decided, ended)
    }

    /// How many decisions of the live file have no end there: a file begins with those that are open. It is read line by
    /// line, as there may be many.
    pub fn open_records(&self) -> usize {
        let path = self.directory.join("audit.jsonl");
        let file = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut open = BTreeSet::new();
        for text in BufReader::new(file).lines().map_while(Result::ok) {
            // The last one may be under way.
            let Ok(value) = serde_json::from_str(&text) else { continue };
            let line = Line(value);
            let (action, id) = (line.text("/event/action"), line.text("/event/id").to_owned());
            // What was denied has no end.
            if action.ends_with("-decided") && line.text("/event/outcome") == "success" {
                open.insert(id);
            } else if action.ends_with("-ended") {
                open.remove(&id);
            }
        }
        open.len()
    }

    /// Asserts that nothing was cut out of it or changed.
    pub fn verify(&self) {
        Job::new(program()).arg("audit").arg("--audit").arg(&self.directory).arg("--verify").run().success();
    }
}

impl Line {
    /// A field that is a text; empty where it is absent.
    pub fn text(&self, field: &str) -> &str {
        self.0.pointer(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that is a number.
    pub fn number(&self, field: &str) -> u64 {
        let value = self.0.pointer(field).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no number {field} in {:#}", self.0))
    }

    /// Whether it has a field.
    pub fn has(&self, field: &str) -> bool {
        self.0.pointer(field).is_some()
    }

    /// Asserts the text of several fields.
    #[track_caller]
    pub fn says(&self, expected: &[(&str, &str)]) -> &Line {
        for (field, text) in expected {
            assert_eq!(self.text(field), *text, "{field} of {:#}", self.0);
        }
        self
    }
}
