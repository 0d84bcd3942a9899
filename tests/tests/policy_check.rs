//! `luasocketd check`: what it says of a policy file, and what the page on policies says.

use std::fs;
use std::time::Duration;

use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Job, PolicyFile, build, program};

fn check(file: &PolicyFile, args: &[&str]) -> Outcome {
    Job::new(program()).args(["check", file.path()]).args(args).run()
}

#[test]
fn the_documented_examples_say_what_the_page_says() {
    let page = fs::read_to_string(build::repository("docs/policy.md")).expect("the page is there");
    let mut examples = 0;
    let mut questions = 0;
    for part in page.split("```toml\n").skip(1) {
        let (text, rest) = part.split_once("```").expect("an example ends");
        let file = PolicyFile::new(text);
        assert!(check(&file, &[]).success().contains("profiles"));
        examples += 1;
        for row in rest.lines().filter(|line| line.starts_with("| `") && !line.contains("FILE")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, question, verdict, _] = cells.as_slice() else { panic!("{row}") };
            let args: Vec<&str> = question.trim_matches('`').split(' ').collect();
            let answer = check(&file, &args).success();
            assert!(answer.starts_with(&format!("verdict   {verdict}\n")), "{row}\n{text}\n{answer}");
            questions += 1;
        }
    }
    assert!(examples >= 4 && questions >= 20, "{examples} examples, {questions} questions");
}

#[test]
fn check_names_the_rule_its_line_and_why() {
    let file =
        PolicyFile::new("[[profile]]\nname = \"web\"\nallow = [\n  \"*:443\",\n  \"*.example.com:80\",\n]\n");
    let outcome = check(&file, &["--uid", "1000", "--gid", "1000", "connect", "a.example.com:80"]);
    let answer = outcome.success();
    let lines = [
        "verdict   allow",
        "question  connect a.example.com:80",
        "who       uid 1000 gid 1000 client ``",
        "profile   web",
        "rule      allow connect:*.example.com:80",
        "line      5",
        "why       a rule to allow says so",
    ];
    for line in lines {
        assert!(answer.lines().any(|printed| printed == line), "{line}: {outcome}");
    }
    let outcome =
        check(&file, &["--json", "--uid", "0", "--address", "10.0.0.1", "connect", "a.example.com:443"]);
    let json = outcome.success();
    assert_eq!(json.lines().count(), 1, "{outcome}");
    for part in [r#""verdict":"deny""#, r#""profile":"web""#, r#""rule":null"#, "private (10.0.0.0/8)"] {
        assert!(json.contains(part), "{part}: {outcome}");
    }
    let outcome = check(&file, &["--json", "connect", "1.1.1.1:443"]);
    assert!(outcome.success().contains(r#""line":4"#), "{outcome}");
}

#[test]
fn a_wrong_file_is_code_2_with_its_line_for_check_and_for_serve() {
    let cases = [
        ("[[profile]]\nname = \"x\"\nalow = \"*\"\n", ":3: a profile has no key `alow`; its keys are"),
        ("[[profile]]\nname = \"x\"\nallow = 7\n", ":3: `allow` is a text in quotes"),
        (
            "[[profile]]\nname = \"x\"\nallow = \"10.0.0.1/8\"\n",
            ":3: rule `10.0.0.1/8`: there are bits beyond",
        ),
        ("[[profile]]\nname = \"x\"\nallow = \"x:9-1\"\n", ":3: rule `x:9-1`: `9-1` is no port"),
        ("[[profile]]\nname = \"x\"\n[[profile]]\nname = \"y\"\n", ":3: `y` and the profile `x` in line 1"),
        ("not toml\n", ":1: "),
    ];
    for (text, expected) in cases {
        let file = PolicyFile::new(text);
        let expected = format!("{}{expected}", file.path());
        let socket = file.directory().join("d.sock");
        let served =
            Daemon::job(&socket).args(["--config", file.path()]).limit(Duration::from_secs(30)).run();
        for outcome in [check(&file, &[]), served] {
            assert_eq!(outcome.status.code(), Some(2), "{outcome}");
            assert!(outcome.errors().contains(&expected), "{expected}: {outcome}");
            assert!(outcome.stdout.is_empty(), "{outcome}");
        }
    }
    let file = PolicyFile::own("");
    let missing = Job::new(program()).args(["check", "/no/such/policy.toml"]).run();
    assert_eq!(missing.status.code(), Some(2), "{missing}");
    assert!(missing.errors().contains("/no/such/policy.toml"), "{missing}");
    let wrong: [&[&str]; 6] = [
        &["connect"],
        &["reach", "x:1"],
        &["connect", "x"],
        &["connect", "::1:80"],
        &["--uid", "no such user", "connect", "x:1"],
        &["datagram", "unix:/run/x"],
    ];
    for args in wrong {
        let outcome = check(&file, args);
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
        assert!(!outcome.stderr.is_empty(), "{outcome}");
    }
    let both = Job::new(program()).args(["serve", "--config", file.path(), "--allow", "*"]).run();
    assert_eq!(both.status.code(), Some(2), "{both}");
}
