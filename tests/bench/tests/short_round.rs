//! A short round of the benchmark, to see that it works: what its numbers are is nobody's business here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use luasocketd_tests::{Job, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// Far above what a short round takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// How many rows there are, and how many rounds a short one has.
const ROWS: usize = 9;
const ROUNDS: usize = 2;

fn bench(args: &[&str]) -> Job {
    Job::new(env!("CARGO_BIN_EXE_luasocketd-bench")).args(args).limit(LIMIT)
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the file is written")).expect("it is JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn every_row_has_a_number_for_luasocket_and_for_ours() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (json, svg) = (directory.path().join("bench.json"), directory.path().join("bench.svg"));
    let (json_text, svg_text) = (json.display().to_string(), svg.display().to_string());
    // The relays are the machine's, not ours to test.
    let who = "luasocketd,luasocketd-audit";
    let text =
        bench(&["--short", "--contenders", who, "--json", &json_text, "--svg", &svg_text]).run().success();
    assert!(text.contains("× LUASOCKET") && text.contains("OURS ×"), "a table for people:\n{text}");

    let results = parsed(&json);
    assert_eq!(results["failures"], Value::Array(Vec::new()));
    assert!(results["machine"]["cores"].as_u64() > Some(0), "{results:#}");
    let rows = list(&results["runs"][0]["rows"]);
    assert_eq!(rows.len(), ROWS);
    for row in rows {
        let contenders = list(&row["contenders"]);
        let names: Vec<&str> = contenders.iter().filter_map(|each| each["contender"].as_str()).collect();
        assert_eq!(names, ["luasocket", "luasocketd", "luasocketd-audit"]);
        for each in contenders {
            assert_eq!(list(&each["samples"]).len(), ROUNDS, "{each:#}");
            assert!(each["rate"]["median"].as_f64() > Some(0.0), "{each:#}");
            assert!(each["ratio_to_luasocket"].as_f64() > Some(0.0), "{each:#}");
        }
    }
    check_chart(&std::fs::read_to_string(&svg).expect("the chart is written"));
}

#[test]
fn other_interpreters_print_the_readmes_table() {
    let args =
        ["--short", "--contenders", "luasocketd", "--rows", "lines,visit", "--lua", "5.1,jit", "--markdown"];
    let text = bench(&args).run().success();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    // A head, a rule and two rows for each.
    assert_eq!(rows.len(), 8, "{text}");
    let columns: BTreeSet<usize> = rows.iter().map(|row| row.matches('|').count()).collect();
    assert_eq!(columns.len(), 1, "every line has all columns:\n{text}");
    assert!(rows[0].starts_with("| Lua 5.1") && rows[4].starts_with("| LuaJIT"), "{text}");
}

#[test]
fn every_part_of_the_scale_finds_something() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let json = directory.path().join("scale.json");
    let json_text = json.display().to_string();
    // Counting instructions needs what not every machine has.
    let parts = "idle,fairness,memory,start,loops";
    let text = bench(&["scale", "--short", "--only", parts, "--json", &json_text]).run().success();
    assert!(text.contains("FOUND") && text.contains("TARGET"), "a table for people:\n{text}");

    let results = parsed(&json);
    assert_eq!(results["failures"], Value::Array(Vec::new()));
    let findings = list(&results["findings"]);
    let names: BTreeSet<&str> = findings.iter().filter_map(|finding| finding["name"].as_str()).collect();
    for name in [
        "idle_held",
        "idle_memory",
        "busy_cost",
        "slowest_client",
        "mute_memory",
        "run_empty",
        "first_connect",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    assert!(findings.iter().all(|finding| finding["found"].is_f64()), "{results:#}");
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Files that are there, and processes that name one of them.
    let files = || std::fs::read_dir(directory.path()).expect("a directory can be read").count();
    let place = directory.path().display().to_string();
    let processes = || {
        let all = std::fs::read_dir("/proc").expect("/proc can be read").filter_map(Result::ok);
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&place)).count()
    };
    let args = ["--contenders", "luasocketd", "--rows", "ping", "--seconds", "30"];
    let running = bench(&args).env("TMPDIR", &place).start();
    wait_until("a daemon runs", Duration::from_secs(30), || processes() > 0);
    running.signal(Signal::TERM);
    let outcome = running.finish();
    assert_eq!(outcome.status.code(), Some(128 + 15), "{outcome}");
    wait_until("the daemon is gone", Duration::from_secs(10), || processes() == 0);
    assert_eq!(files(), 0);
}

/// Whether every tag that is opened is closed, and every row has its bar.
fn check_chart(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{svg}"),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "`{tag}`");
    }
    assert!(open.is_empty(), "{open:?} are open:\n{svg}");
    // One more is in the legend.
    assert_eq!(svg.matches("<rect class=\"luasocketd\"").count(), ROWS + 1, "{svg}");
}
