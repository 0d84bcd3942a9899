//! `luasocketd audit`: questions to a trail, as the page on it has them.

use std::fs;
use std::path::{Path, PathBuf};

use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Job, build, program};
use tempfile::TempDir;

/// Lines of the trail that most of the tests ask.
const RECORDS: usize = 20_000;

struct Trail(TempDir);

impl Trail {
    /// A generated one.
    fn generated(records: usize) -> Trail {
        let trail = Trail::empty();
        let generator = program().parent().expect("a program lies in a directory").join("examples/trail");
        assert!(
            generator.is_file(),
            "{} is missing; run: cargo build -p luasocketd --example trail",
            generator.display()
        );
        // Small files, so that there are several.
        Job::new(generator)
            .args(["--records", &records.to_string(), "--rotate", "4000000"])
            .arg(trail.path())
            .run()
            .success();
        trail
    }

    fn empty() -> Trail {
        Trail(tempfile::tempdir().expect("a temporary directory can be created"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ask(&self, args: &[&str]) -> Outcome {
        Job::new(program()).arg("audit").arg("--audit").arg(self.path()).args(args).run()
    }

    fn lines(&self, args: &[&str]) -> Vec<String> {
        self.ask(args).success().lines().map(str::to_owned).collect()
    }
}

/// The value of a member of a JSON line, as it stands there.
fn member<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    Some(rest.split([',', '}']).next()?.trim_matches('"'))
}

#[test]
fn the_documented_recipes_answer() {
    let trail = Trail::generated(RECORDS);
    let page = fs::read_to_string(build::repository("docs/audit.md")).expect("the page is there");
    let mut count = 0;
    for block in page.split("```sh\n").skip(1) {
        let (lines, _) = block.split_once("```").expect("a block ends");
        for line in lines.lines() {
            let rest = line.strip_prefix("luasocketd audit").unwrap_or_else(|| panic!("{line}"));
            let outcome = Job::new("sh")
                .args(["-c", &format!("\"$PROGRAM\" audit --audit \"$TRAIL\"{rest}")])
                .env("PROGRAM", program())
                .env("TRAIL", trail.path())
                .run();
            let text = outcome.success();
            // When it was generated the trail was in the past already.
            assert!(text.lines().count() > 1 || line.contains("--since"), "{line}\n{outcome}");
            assert!(!text.contains('\x1b'), "{outcome}");
            count += 1;
        }
    }
    assert!(count >= 12, "{count} recipes");
}

#[test]
fn all_answers_are_of_the_same_records() {
    let trail = Trail::generated(RECORDS);
    let all = trail.lines(&["--json"]);
    let raw = raw_lines(trail.path());
    let decided = |line: &&String| line.contains("-decided\"");
    let decisions = raw.iter().filter(decided).count();
    assert_eq!(all.len(), decisions);
    assert_eq!(trail.lines(&["--format", "csv"]).len(), decisions + 1);
    let of = |name: &str, value: &str| {
        raw.iter().filter(decided).filter(|line| member(line, name) == Some(value)).count()
    };
    for verdict in ["allow", "deny", "report"] {
        let expected = of("verdict", verdict);
        assert_eq!(trail.lines(&["--json", "--verdict", verdict]).len(), expected, "{verdict}");
        assert!(expected > 0);
    }
    let sums = trail.lines(&["--json", "--by", "client"]);
    let total: usize = sums.iter().map(|line| member(line, "count").unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(total, decisions);
    let bytes =
        |name: &str| sums.iter().map(|line| member(line, name).unwrap().parse::<u64>().unwrap()).sum::<u64>();
    let moved: u64 = raw
        .iter()
        .filter(|line| line.contains("-ended\""))
        .filter_map(|line| member(line.split_once("\"direction\"")?.1, "bytes")?.parse::<u64>().ok())
        .sum();
    assert_eq!(bytes("sent") + bytes("received"), moved);
    let ended = raw.iter().filter(|line| line.contains("-ended\"")).count();
    assert_eq!(trail.lines(&["--json", "--live"]).len(), decisions - ended - of("verdict", "deny"));
    // A table shows some, and says of how many.
    let table = trail.lines(&[]);
    assert_eq!(table.len(), 42, "{table:#?}");
    assert_eq!(table[41].replace(',', ""), format!("and {} more; --limit N shows them", decisions - 40));
    // Again from nothing it is the same.
    assert_eq!(trail.lines(&["--json", "--rebuild"]), all);
}

/// The lines of all files, unpacked by somebody else's program.
fn raw_lines(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).expect("the trail's directory can be read");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("it can be read to its end").path()).collect();
    files.retain(|file| file.to_string_lossy().contains(".jsonl"));
    assert!(files.len() > 1, "{files:?}");
    let outcome = Job::new("gzip").args(["--decompress", "--force", "--stdout"]).args(files).run();
    outcome.success().lines().map(str::to_owned).collect()
}

#[test]
fn a_suggested_policy_is_right_and_allows_what_was_reported() {
    let trail = Trail::generated(RECORDS);
    let text = trail.ask(&["--suggest-policy"]).success();
    let file = trail.path().join("policy.toml");
    fs::write(&file, &text).unwrap();
    Job::new(program()).arg("check").arg(&file).run().success();
    for line in trail.lines(&["--json", "--verdict", "report", "--matter", "connection", "--limit", "20"]) {
        let (_, destination) = line.split_once("\"destination\":").unwrap();
        let (_, user) = line.split_once("\"user\":").unwrap();
        let (_, client) = line.split_once("\"client\":").unwrap();
        let (_, source) = client.split_once("\"socket\":\"").unwrap();
        let target =
            format!("{}:{}", member(destination, "address").unwrap(), member(destination, "port").unwrap());
        let answer = Job::new(program())
            .arg("check")
            .arg(&file)
            .args(["--uid", member(user, "id").unwrap(), "--gid", member(user, "id").unwrap()])
            .args([
                "--client",
                member(client, "name").unwrap(),
                "--socket",
                source.split('"').next().unwrap(),
            ])
            .args(["--address", member(destination, "ip").unwrap(), "connect", &target])
            .run();
        assert!(answer.success().starts_with("verdict   allow\n"), "{answer}\n{line}");
    }
}

#[test]
fn what_a_script_has_named_moves_no_cursor_and_is_no_formula() {
    let trail = Trail::generated(100);
    let lines = raw_live(&trail);
    let name = "=cmd\\u001b[2J\\u009b\\u202ex";
    let hostile = lines[1].replacen("\"client\":{\"name\":\"", &format!("\"client\":{{\"name\":\"{name}"), 1);
    assert_ne!(hostile, lines[1]);
    fs::write(trail.path().join("audit.jsonl"), format!("{hostile}\n")).unwrap();
    for args in [&[][..], &["--json"], &["--format", "csv"], &["--by", "client"], &["--suggest-policy"]] {
        let text = trail.ask(args).success();
        let moves = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!text.contains(moves), "{args:?} {text:?}");
    }
    let csv = trail.ask(&["--format", "csv"]).success();
    assert!(csv.contains(",'=cmd"), "{csv}");
}

fn raw_live(trail: &Trail) -> Vec<String> {
    let text = fs::read_to_string(trail.path().join("audit.jsonl")).expect("the live file is there");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn wrong_usage_and_no_answer_differ() {
    let trail = Trail::generated(100);
    let wrong: &[&[&str]] = &[
        &["--live", "--past"],
        &["--live", "--verdict", "deny"],
        &["--live", "--end", "closed"],
        &["--end", "nonsense"],
        &["--since", "yesterday"],
        &["--since", "1h", "--until", "2h"],
        &["--json", "--format", "csv"],
        &["--verify", "--host", "x"],
        &["--verify", "--by", "host"],
        &["--anchor", &format!("1:{}", "0".repeat(64))],
        &["--suggest-policy", "--by", "host"],
        &["--suggest-policy", "--json"],
        &["--matter", "trail", "--verdict", "allow"],
        &["--port", "2-1"],
        &["--ip", "nonsense"],
        &["--sort", "name"],
    ];
    for args in wrong {
        let outcome = trail.ask(args);
        assert_eq!(outcome.status.code(), Some(2), "{args:?} {outcome}");
        assert!(!outcome.errors().is_empty(), "{outcome}");
    }
    let nowhere = Job::new(program()).args(["audit", "--audit", "/nonexistent"]).run();
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere}");
    assert!(nowhere.errors().contains("there is no audit trail in /nonexistent"), "{nowhere}");
    let nothing = trail.ask(&["--suggest-policy", "--host", "nobody.example"]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing}");
    // Nothing that fits is an answer, too.
    assert_eq!(trail.ask(&["--json", "--host", "nobody.example"]).success(), "");
    assert!(!trail.lines(&["--json", "--matter", "trail"]).is_empty());
}
