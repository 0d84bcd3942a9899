//! The readers of the trail's files: recovery, verification, the index and its questions, on files of any bytes. Lines that
//! are to pass as such get the right hash, as no fuzzer finds one.
#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use luasocketd::audit::{
    Dimension, Filter, Hash, Index, Order, Point, Settings, fuzzing, suggest_policy, verify,
};
use luasocketd::core::policy::{Accounts, Policy};
use luasocketd_fuzz::seeds;
use tempfile::TempDir;

/// Begins a line that is to be sealed; any other one is written as it is.
const SEALED: u8 = b'+';

/// Stands between the files of an input: the live one, a rotated one, what was open, the head.
const BETWEEN: u8 = 0x1e;

/// Bits of the first byte.
const COMPRESSED: u8 = 1;
const OWN_HEAD: u8 = 2;
const INDEXED: u8 = 4;
const GOES_ON: u8 = 8;
const ROTATED_IS_GZIP: u8 = 16;

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let Some((&flags, files)) = input.split_first() else { return };
        // One directory for all of them: to make and to remove one takes longer than to read it.
        PLACE.with(|place| {
            let place = place.get_or_init(|| tempfile::tempdir().expect("a directory"));
            lay_out(place.path(), flags, files);
            read(place.path(), flags);
        });
    }
);

thread_local! {
    static PLACE: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Trails of a few lines.
fn inputs() -> Vec<Vec<u8>> {
    let lines: Vec<String> = [
        ("trail-started", "process", "trail", "", ""),
        ("connection-decided", "network", "connection", r#""verdict":"allow","#, ""),
        ("connection-ended", "network", "connection", r#""verdict":"allow","end":"closed","#, r#","bytes":7,"packets":1"#),
        ("lookup-decided", "network", "lookup", r#""verdict":"deny","#, ""),
        ("listener-decided", "network", "listener", r#""verdict":"report","enforce_would_deny":true,"#, ""),
        ("trail-pruned", "process", "trail", r#""gone":{"sequence":1,"sha256":"00"},"lost":3,"#, ""),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (action, category, matter, own, sums))| {
        let sequence = number + 1;
        format!(
            r#"+{{"@timestamp":"2026-01-02T03:04:0{number}.000000Z","event":{{"id":"00000000000000ab-{}","sequence":{sequence},"kind":"event","category":["{category}"],"type":["connection","start"],"action":"{action}","outcome":"unknown","reason":"why","start":"2026-01-02T03:04:00.000000Z","duration":5}},"network":{{"transport":"tcp","type":"ipv4","direction":"outbound"}},"source":{{"ip":"10.0.0.1","port":4000{sums}}},"destination":{{"address":"db.example.com","domain":"db.example.com","ip":"192.0.2.7","port":5432{sums}}},"dns":{{"question":{{"name":"db.example.com"}},"resolved_ip":["192.0.2.7"]}},"process":{{"pid":42,"executable":"/usr/bin/lua5.4"}},"user":{{"id":"1000"}},"group":{{"id":"100"}},"rule":{{"name":"allow db.example.com","ruleset":"web"}},"error":{{"code":"denied","message":"no"}},"host":{{"hostname":"host"}},"luasocketd":{{{own}"matter":"{matter}","parent":"00000000000000ab-1","service":"5432","judged":["192.0.2.7:5432"],"lookup_time":3,"connect_time":4,"client":{{"name":"job.lua","lua":"Lua 5.4","socket":"/run/x"}}}},"ecs":{{"version":"8.17.0"}}}}"#,
            number.div_ceil(2)
        )
    })
    .collect();
    let plain = |line: &String| line.trim_start_matches('+').to_owned();
    let live = format!("{}\n", lines.join("\n"));
    let open = format!("{}\n", plain(&lines[1]));
    let head = format!("{:020}:{}\n", 6, Hash::default());
    let all = |flags: u8, files: [&str; 4]| [&[flags], files.join("\u{1e}").as_bytes()].concat();
    let mut inputs = vec![
        all(INDEXED | GOES_ON, [&live, "", "", ""]),
        all(INDEXED | GOES_ON | OWN_HEAD, [&live, "", &open, ""]),
        all(INDEXED | OWN_HEAD, [&live[..live.len() - 9], "", "", ""]),
        all(GOES_ON, [&live, "", "", &head]),
        all(
            INDEXED | GOES_ON | OWN_HEAD | COMPRESSED,
            [&live.replace("\"sequence\":", "\"sequence\":1"), &live, &open, ""],
        ),
        all(GOES_ON, ["", &live, &open, &head]),
    ];
    for line in &lines {
        inputs.push(all(INDEXED, [&format!("{line}\n"), "", "", ""]));
    }
    inputs
}

/// Writes the files of an input.
fn lay_out(directory: &Path, flags: u8, files: &[u8]) {
    for file in fs::read_dir(directory).expect("the directory").flatten() {
        fs::remove_file(file.path()).expect("a file of the one before it");
    }
    let mut files = files.splitn(4, |&byte| byte == BETWEEN);
    let mut next = || files.next().unwrap_or_default();
    let (live, rotated, open, head) = (next(), next(), next(), next());
    let put = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).expect("a file");
    let mut last = Point::default();
    if !rotated.is_empty() && flags & ROTATED_IS_GZIP != 0 {
        put("audit.00000000000000000001.jsonl.gz", rotated);
    } else if !rotated.is_empty() {
        let lines = lines(rotated, &mut last);
        if flags & COMPRESSED != 0 {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&lines).expect("memory");
            put("audit.00000000000000000001.jsonl.gz", &encoder.finish().expect("memory"));
        } else {
            put("audit.00000000000000000001.jsonl", &lines);
        }
    }
    put("audit.jsonl", &lines(live, &mut last));
    if !open.is_empty() {
        put("audit.00000000000000000001.open", open);
    }
    if flags & OWN_HEAD != 0 {
        put("audit.head", format!("{:020}:{}\n", last.sequence, last.hash).as_bytes());
    } else if !head.is_empty() {
        put("audit.head", head);
    }
}

/// The lines of a file, with their hashes.
fn lines(text: &[u8], last: &mut Point) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_prefix(&[SEALED]).map(<[u8]>::trim_ascii_end) {
            Some(object) if !object.is_empty() => {
                let (line, hash) = fuzzing::sealed(object, last.hash);
                let sequence = number(object).unwrap_or(last.sequence);
                *last = Point { sequence, hash };
                lines.extend(line);
            }
            _ => lines.extend(line),
        }
    }
    lines
}

/// The number that a line says it has.
fn number(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split_once("\"sequence\":")?.1;
    digits[..digits.find(|digit: char| !digit.is_ascii_digit())?].parse().ok()
}

/// Reads them in every way.
fn read(directory: &Path, flags: u8) {
    let verified = verify(directory, None).expect("files that can be read");
    assert_eq!(verify(directory, None).expect("the same files"), verified);
    let _ = verify(directory, Some(Point { sequence: 2, hash: Hash::default() }));
    let recovered = fuzzing::recover(directory);
    if flags & INDEXED != 0 {
        ask(directory);
    }
    if flags & GOES_ON != 0 {
        let settings = Settings::new(directory);
        let went_on = fuzzing::go_on(&settings);
        if let (Ok((point, _)), Ok(Ok(last))) = (&recovered, &went_on) {
            assert_eq!(Some(last.sequence), point.sequence.checked_add(1), "it goes on behind what is there");
            let after = verify(directory, Some(*last)).expect("the same files");
            assert_eq!(after.head, Some(*last));
        }
    }
}

/// Asks the index everything.
fn ask(directory: &Path) {
    let Ok(index) = fuzzing::indexed(directory) else { return };
    let filter = Filter::default();
    for order in [Order::Time, Order::Bytes, Order::Count] {
        let mut found = 0;
        let each = &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        };
        index.records(&filter, order, None, each).expect("records");
        assert_eq!(index.count(&filter).expect("a count"), found);
    }
    for &dimension in Dimension::ALL {
        index.groups(&filter, dimension, Order::Count).expect("groups");
    }
    suggest(&index, &filter);
}

/// What is suggested is a policy, whatever was recorded.
fn suggest(index: &Index, filter: &Filter) {
    let facts = index.facts(filter).expect("facts");
    if let Some(text) = suggest_policy(&facts)
        && let Err(error) = Policy::from_toml("suggested", &text, &Nobody)
    {
        panic!("{error}\n{text}");
    }
}

/// A machine without users.
struct Nobody;

impl Accounts for Nobody {
    fn user(&self, _name: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }

    fn group(&self, _name: &str) -> Result<Option<u32>, String> {
        Ok(None)
    }
}
