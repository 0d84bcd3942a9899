//! The differential suite is whole: each row of `tests/differential/rows.txt` has a line that claims to show
//! it, and each difference that is let pass is a row of `docs/compatibility.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use luasocketd_tests::build::repository;
use luasocketd_tests::judge;

/// What stands before the rows that a line shows, in scripts and in Rust tests.
const TAG: &str = "covers: ";
/// What a row's text ends with when nothing can show it.
const NO_CASE: &str = "[no case: ";
/// What the last column of a compatibility row says when a script shows the difference.
const BY_SCRIPT: &str = "script";

#[test]
fn every_row_has_a_case_and_every_tag_a_row() {
    let rows = rows();
    let tags = tags();
    let without_case: Vec<_> =
        rows.iter().filter(|(id, text)| !text.contains(NO_CASE) && !tags.contains_key(*id)).collect();
    let needless: Vec<_> =
        rows.iter().filter(|(id, text)| text.contains(NO_CASE) && tags.contains_key(*id)).collect();
    let unknown: Vec<_> = tags.iter().filter(|(id, _)| !rows.contains_key(*id)).collect();
    assert!(without_case.is_empty(), "rows that no script claims to show: {without_case:#?}");
    assert!(needless.is_empty(), "rows marked as without a case that have one: {needless:#?}");
    assert!(unknown.is_empty(), "tags that name no row: {unknown:#?}");
}

#[test]
fn a_tag_stands_at_a_line_that_does_something() {
    for (id, places) in tags() {
        for (place, code) in places {
            assert!(!code.trim().is_empty(), "{place}: the tag {id} stands alone on its line");
        }
    }
}

#[test]
fn every_difference_that_passes_is_a_row_of_the_compatibility_table() {
    let (mut used, mut documented, mut testable) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (path, text) in texts("differential", "lua") {
        if !path.ends_with("_show.lua") {
            used.extend(judge::rows_used(&text));
        }
    }
    for cells in compatibility() {
        let id = cells[0].trim_matches('`').to_owned();
        if cells.last().is_some_and(|cell| cell == BY_SCRIPT) {
            testable.insert(id.clone());
        }
        documented.insert(id);
    }
    let undocumented: Vec<_> = used.difference(&documented).collect();
    assert!(undocumented.is_empty(), "scripts let differences pass that no row names: {undocumented:?}");
    let unshown: Vec<_> = testable.difference(&used).collect();
    assert!(unshown.is_empty(), "rows that say `{BY_SCRIPT}` and are in none: {unshown:?}");
}

/// Row id to its text.
fn rows() -> BTreeMap<String, String> {
    let text = read(&repository("tests/differential/rows.txt"));
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (id, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        assert!(!text.trim().is_empty(), "the row {id} says nothing");
        assert!(rows.insert(id.to_owned(), text.trim().to_owned()).is_none(), "the row {id} is there twice");
    }
    assert!(!rows.is_empty(), "rows.txt has no rows");
    rows
}

/// Row id to the places that claim it, each with the code of its line.
fn tags() -> BTreeMap<String, Vec<(String, String)>> {
    let mut tags: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let scripts = texts("differential", "lua").into_iter().map(|(path, text)| (path, text, "--"));
    let tests = texts("tests", "rs").into_iter().map(|(path, text)| (path, text, "//"));
    for (path, text, comment) in scripts.chain(tests) {
        let mark = format!("{comment} {TAG}");
        for (number, line) in text.lines().enumerate() {
            let Some((code, ids)) = line.split_once(&mark) else { continue };
            for id in ids.split_whitespace() {
                let place = format!("{path}:{}", number + 1);
                tags.entry(id.to_owned()).or_default().push((place, code.to_owned()));
            }
        }
    }
    tags
}

/// The cells of each row of the tables of `docs/compatibility.md`.
fn compatibility() -> Vec<Vec<String>> {
    let text = read(&repository("docs/compatibility.md"));
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The files of a directory below `tests/` with that ending: path and text.
fn texts(directory: &str, ending: &str) -> Vec<(String, String)> {
    let directory = repository("tests").join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    let wanted = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    wanted.map(|path| (path.display().to_string(), read(&path))).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
