//! What `docs/reliability.md` promises has its test.

use std::path::Path;

const RELIABILITY: &str = include_str!("../../docs/reliability.md");

#[test]
fn every_promise_is_held_by_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository");
    let rows = RELIABILITY.lines().filter(|line| line.contains(".rs`: `"));
    let mut count = 0;
    for row in rows {
        let words: Vec<&str> = row.split('`').collect();
        let place = words.iter().position(|word| word.ends_with(".rs")).expect("the row names a file");
        let (file, test) = (words[place], words[place + 2]);
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "{file} has no `{test}`");
        count += 1;
    }
    assert!(count > 20, "only {count} rows were found");
}

#[test]
fn the_limits_of_the_shell_are_the_documented_ones() {
    let limits = include_str!("../../docs/limits.md");
    let number = |source: &str, name: &str| -> usize {
        let line = source.lines().find(|line| line.contains(&format!("const {name}: usize ="))).expect(name);
        let number = line.split('=').nth(1).expect("a value").trim().trim_end_matches(';').replace('_', "");
        number.parse().expect("a number")
    };
    let resolver = include_str!("../../daemon/src/shell/resolver.rs");
    let trail = include_str!("../../daemon/src/audit/shared.rs");
    for row in [
        format!("| lookups at once | {} |", number(resolver, "THREADS_MAX")),
        format!("up to {} in all", number(resolver, "THREADS_ALL")),
        format!("| records that wait | {} |", number(trail, "QUEUE_MAX")),
    ] {
        assert!(limits.contains(&row), "docs/limits.md has no `{row}`");
    }
}
