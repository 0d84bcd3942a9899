//! A short soak: everything that a long one does, once.

use std::time::Duration;

use luasocketd_tests::Job;
use serde_json::Value;

/// What the short run takes at the most, with all that comes after the load.
const LIMIT: Duration = Duration::from_secs(45);

#[test]
fn a_short_run_passes_and_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("soak.json");
    let job = Job::new(env!("CARGO_BIN_EXE_luasocketd-soak"));
    let job = job.args(["--minutes", "0.25", "--seed", "1", "--json"]).arg(&path);
    let outcome = job.limit(LIMIT).run();
    let text = outcome.success();
    println!("{text}");
    let json: Value = serde_json::from_slice(&std::fs::read(&path).expect("it is written")).expect("JSON");
    assert_eq!(json["passed"], true, "{json:#}");
    for what in ["bytes lost", "bytes doubled", "bytes reordered"] {
        let rows = json["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["what"] == what).expect("there is such a row");
        assert_eq!(row["found"], "0", "{row}");
    }
}

#[test]
fn wrong_usage_is_said() {
    let outcome = Job::new(env!("CARGO_BIN_EXE_luasocketd-soak")).args(["--minutes", "0"]).run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
}
