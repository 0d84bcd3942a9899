//! The results of all runs, one a line.

use super::run::Result;

const HEADS: [&str; 6] = ["target", "executions", "per second", "coverage", "new inputs", "crashes"];

/// A table whose columns align.
pub(super) fn table(results: &[Result]) -> String {
    let rows = results.iter().map(|result| {
        let crashes = u64::from(result.crash.is_some());
        let numbers = [result.executions, result.rate, result.coverage, result.found, crashes].map(grouped);
        let [executions, rate, coverage, found, crashes] = numbers;
        [result.target.clone(), executions, rate, coverage, found, crashes]
    });
    let rows: Vec<[String; 6]> = [HEADS.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let numbers = row.iter().zip(widths).skip(1).map(|(cell, width)| format!("  {cell:>width$}"));
        format!("{:<width$}{}\n", row[0], numbers.collect::<String>(), width = widths[0])
    };
    rows.iter().map(line).collect()
}

/// A number that people can read.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let result =
            |target: &str, executions| Result { target: target.into(), executions, ..Result::default() };
        let table = table(&[result("codec", 1_234_567), result("core_operations", 7)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{table}");
        assert!(lines[1].starts_with("codec             1,234,567 "), "{table}");
    }

    #[test]
    fn digits_come_in_threes() {
        let numbers = [(0, "0"), (999, "999"), (1000, "1,000"), (100_000_000, "100,000,000")];
        for (number, text) in numbers {
            assert_eq!(grouped(number), text);
        }
    }
}
