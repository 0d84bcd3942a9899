//! What the machine's LuaSocket prints is right: comparing its lines with ours.

use std::collections::BTreeSet;

use crate::process::Outcome;

/// How many differing lines a failure shows: the first ones say enough.
const SHOWN: usize = 30;
/// What stands for a line that one of the two did not print.
const MISSING: &str = "(nothing)";

/// Panics unless LuaSocket itself has run the script to its end.
pub fn assert_ran(stock: &Outcome) {
    let hint = "the judge itself failed; is Debian's lua-socket there? apt-get install lua-socket";
    assert!(stock.status.success() && !stock.stdout.is_empty(), "{hint}\n{stock}");
}

/// Which lines differ, and how both runs are repeated; nothing when they agree.
///
/// Lines that both mark with the same row of `docs/compatibility.md` (`[row] …`) may differ in what follows.
pub fn difference(stock: &Outcome, ours: &Outcome) -> Option<String> {
    let (wanted, got) = (stock.text(), ours.text());
    let lines = differing_lines(&wanted, &got);
    if lines.is_empty() && ours.status == stock.status {
        return None;
    }
    Some(format!(
        "{}{}\n{}\nstderr: {}\nrepeat stock: {}\nrepeat ours: {}",
        ours.status,
        if ours.timed_out { " (its time was up)" } else { "" },
        lines.join("\n"),
        ours.errors(),
        stock.shell_line,
        ours.shell_line
    ))
}

/// The row that a line is marked with.
pub fn row_of(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.split_once("] ").map(|(row, _)| row)
}

/// The rows that a script's text marks lines with, by `show.differs` and its like.
pub fn rows_used(script: &str) -> BTreeSet<String> {
    let calls = script.split("show.differs").skip(1);
    calls.filter_map(|call| call.split('"').nth(1)).map(str::to_owned).collect()
}

/// The first lines that differ, both as they are.
pub fn differing_lines(wanted: &str, got: &str) -> Vec<String> {
    let (wanted, got): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), got.lines().collect());
    let pairs = (0..wanted.len().max(got.len()))
        .map(|i| (i + 1, *wanted.get(i).unwrap_or(&MISSING), *got.get(i).unwrap_or(&MISSING)));
    pairs
        .filter(|(_, stock, ours)| stock != ours && !allowed(stock, ours))
        .map(|(number, stock, ours)| format!("  line {number}\n    stock {stock}\n    ours  {ours}"))
        .take(SHOWN)
        .collect()
}

fn allowed(stock: &str, ours: &str) -> bool {
    row_of(stock).is_some() && row_of(stock) == row_of(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_one_row_may_differ() {
        assert!(differing_lines("a: 1\n[row] b: 2\n", "a: 1\n[row] b: 3\n").is_empty());
        assert_eq!(differing_lines("[row] b: 2\n", "[other] b: 2\n").len(), 1);
        assert_eq!(differing_lines("[row] b: 2\n", "b: 3\n").len(), 1);
        assert_eq!(differing_lines("a\n", "a\nb\n").len(), 1);
        assert_eq!(differing_lines("a\n[row] b\n", "a\n").len(), 1);
    }

    #[test]
    fn the_rows_of_a_script_are_found() {
        let script =
            "show.differs(\"one\", x)\nshow.differs_call(\"two\", \"label\")\nshow.values(\"three\")";
        assert_eq!(rows_used(script), ["one", "two"].map(str::to_owned).into());
    }
}
