use std::io::Write;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::entry::Entry;
use super::super::files::write_head;
use super::super::line::Batch;
use super::super::rotation::Squeeze;
use super::super::samples::{assert_sound, settings};
use super::super::store::Store;
use super::super::words::Own;
use super::super::{Gone, Hash, Settings};
use super::*;

/// Lines in each of the files of [`trail`].
const LINES: u64 = 4;

fn entry(action: &str) -> Entry {
    let mut entry = Entry::default();
    entry.event.action = action.into();
    entry
}

/// A trail of two rotated files and a live one, of [`LINES`] each, and where it ends.
fn trail(settings: &Settings) -> Point {
    let (mut store, _) = Store::open(settings).unwrap();
    for file in 0..3 {
        if file > 0 {
            store.rotate(b"").unwrap();
        }
        let mut batch = Batch::after(store.point());
        (0..LINES).for_each(|_| batch.push(entry("x")));
        store.write(&batch, Timestamp::now()).unwrap();
    }
    for segment in segments(&settings.directory).unwrap() {
        for step in Squeeze::ALL.iter().filter(|_| !segment.is_live()) {
            step.perform(&settings.directory, segment.first.unwrap(), &AtomicBool::new(false)).unwrap();
        }
    }
    store.point()
}

/// What is wrong with a trail, as people read it, without the directory.
fn faults(settings: &Settings) -> Vec<String> {
    let found = verify(&settings.directory, None).unwrap();
    let directory = format!("{}/", settings.directory.display());
    found.faults.iter().map(|wrong| wrong.to_string().replace(&directory, "")).collect()
}

/// Rewrites a file of a trail, compressed or not.
fn rewrite(segment: &Segment, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut text = Vec::new();
    segment.open().unwrap().read_to_end(&mut text).unwrap();
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    let text = lines.concat();
    if segment.is_live() {
        return fs::write(&segment.path, text).unwrap();
    }
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&segment.path).unwrap(), flate2::Compression::fast());
    encoder.write_all(&text).unwrap();
    encoder.finish().unwrap();
}

/// Damages a sound trail in one file and gives what verification says.
fn damaged(file: usize, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    trail(&settings);
    assert_sound(&settings.directory);
    rewrite(&segments(&settings.directory).unwrap()[file], change);
    faults(&settings)
}

const FIRST: &str = "audit.00000000000000000001.jsonl.gz";
const SECOND: &str = "audit.00000000000000000005.jsonl.gz";

#[test]
fn each_kind_of_damage_is_told_with_its_place() {
    let changed = |line: &mut Vec<u8>| {
        let position = line.windows(3).position(|bytes| bytes == b"\"x\"").unwrap();
        line[position + 1] = b'y';
    };
    assert_eq!(
        damaged(2, |lines| changed(&mut lines[1])),
        [format!("audit.jsonl:2 (sequence 10): {}", Fault::Changed)]
    );
    assert_eq!(
        damaged(0, |lines| changed(&mut lines[0])),
        [format!("{FIRST}:1 (sequence 1): {}", Fault::Changed)]
    );
    assert_eq!(
        damaged(1, |lines| changed(&mut lines[3])),
        [format!("{SECOND}:4 (sequence 8): {}", Fault::Changed)]
    );
    let missing = |from, to| Fault::Missing(from, to);
    assert_eq!(
        damaged(2, |lines| drop(lines.remove(1))),
        [format!("audit.jsonl:2 (sequence 11): {}", missing(10, 10))]
    );
    assert_eq!(
        damaged(1, |lines| drop(lines.remove(0))),
        [
            format!("{SECOND}:1 (sequence 6): {}", Fault::Misnamed),
            format!("{SECOND}:1 (sequence 6): {}", missing(5, 5)),
        ]
    );
    assert_eq!(
        damaged(1, |lines| drop(lines.pop())),
        [format!("audit.jsonl:1 (sequence 9): {}", missing(8, 8))]
    );
    assert_eq!(
        damaged(2, |lines| lines.swap(1, 2)),
        [
            format!("audit.jsonl:2 (sequence 11): {}", missing(10, 10)),
            format!("audit.jsonl:3 (sequence 10): {}", Fault::Order(11)),
        ]
    );
    assert_eq!(
        damaged(2, |lines| lines.insert(1, lines[0].clone())),
        [format!("audit.jsonl:2 (sequence 9): {}", Fault::Order(9))]
    );
    assert_eq!(
        damaged(2, |lines| lines[1] = b"{}\n".to_vec()),
        [format!("audit.jsonl:2: {}", Fault::NoLine)]
    );
    assert_eq!(
        damaged(2, |lines| lines.insert(1, b"{}\n".to_vec())),
        [format!("audit.jsonl:2: {}", Fault::NoLine)]
    );
    assert_eq!(damaged(2, |lines| drop(lines.pop())), [format!("audit.jsonl: {}", Fault::Cut(12, 12))]);
    assert_eq!(damaged(2, Vec::clear), [format!("audit.jsonl: {}", Fault::Cut(9, 12))]);
    assert_eq!(damaged(2, |lines| lines[3].truncate(20)), [format!("audit.jsonl: {}", Fault::Cut(12, 12))]);
    assert_eq!(
        damaged(1, |lines| lines[3].truncate(20)),
        [format!("{SECOND}:4: {}", Fault::Torn), format!("audit.jsonl:1 (sequence 9): {}", missing(8, 8)),]
    );
}

#[test]
fn a_file_that_is_missing_is_told() {
    for (file, expected) in [
        (FIRST, format!("{SECOND}:1 (sequence 5): {}", Fault::Missing(1, 4))),
        (SECOND, format!("audit.jsonl:1 (sequence 9): {}", Fault::Missing(5, 8))),
        (LIVE, format!("{LIVE}: {}", Fault::Cut(9, 12))),
        (HEAD, format!("{HEAD}: {}", Fault::NoHead)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        trail(&settings);
        fs::remove_file(settings.directory.join(file)).unwrap();
        assert_eq!(faults(&settings), [expected]);
    }
}

#[test]
fn a_file_that_is_no_longer_what_its_ending_says_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    trail(&settings);
    let path = settings.directory.join(SECOND);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let found = faults(&settings);
    assert!(
        found.iter().any(|fault| fault.contains(SECOND) && fault.contains("cannot be read")),
        "{found:?}"
    );
    assert!(found.iter().any(|fault| fault.contains("missing")), "{found:?}");
}

#[test]
fn no_byte_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    trail(&settings);
    let live = settings.directory.join(LIVE);
    let sound = fs::read(&live).unwrap();
    for position in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[position] ^= 1;
        fs::write(&live, bytes).unwrap();
        assert!(!verify(&settings.directory, None).unwrap().is_sound(), "byte {position}");
    }
    for length in 0..sound.len() {
        fs::write(&live, &sound[..length]).unwrap();
        assert!(!verify(&settings.directory, None).unwrap().is_sound(), "cut at byte {length}");
    }
}

#[test]
fn a_trail_that_was_written_anew_shows_by_an_anchor_only() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let end = trail(&settings);
    let middle = {
        let mut text = String::new();
        segments(&settings.directory).unwrap()[1].open().unwrap().read_to_string(&mut text).unwrap();
        let (_, hash) = super::super::chain::unseal(text.lines().next().unwrap().as_bytes()).unwrap();
        Point { sequence: 5, hash }
    };
    for anchor in [end, middle] {
        assert!(verify(&settings.directory, Some(anchor)).unwrap().is_sound());
    }
    fs::remove_dir_all(&settings.directory).unwrap();
    let (mut store, _) = Store::open(&settings).unwrap();
    let mut batch = Batch::after(store.point());
    (0..3 * LINES).for_each(|_| batch.push(entry("forged")));
    store.write(&batch, Timestamp::now()).unwrap();
    assert_sound(&settings.directory);
    for anchor in [end, middle] {
        let found = verify(&settings.directory, Some(anchor)).unwrap();
        let faults: Vec<&Fault> = found.faults.iter().map(|wrong| &wrong.fault).collect();
        assert_eq!(faults, [&Fault::Other(Noted::Anchor, anchor.sequence)]);
    }
    let beyond = Point { sequence: 100, ..end };
    assert_eq!(verify(&settings.directory, Some(beyond)).unwrap().faults[0].fault, Fault::Cut(13, 100));
}

#[test]
fn what_was_pruned_is_not_missing_and_what_was_removed_with_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    trail(&settings);
    let last_of = |position: usize| {
        let segment = &segments(&settings.directory).unwrap()[position];
        super::super::recover::last_of(segment).unwrap().unwrap()
    };
    let (first, second) = (last_of(0), last_of(1));
    let (mut store, _) = Store::open(&settings).unwrap();
    let mut prune = |gone: Point| {
        let mut batch = Batch::after(store.point());
        let mut line = entry(Own::Pruned.action());
        line.luasocketd.gone = Some(Gone::from(gone));
        batch.push(line);
        store.write(&batch, Timestamp::now()).unwrap();
    };
    prune(first);
    assert_sound(&settings.directory);
    fs::remove_file(settings.directory.join(FIRST)).unwrap();
    let found = verify(&settings.directory, Some(first)).unwrap();
    assert!(found.is_sound() && found.first == Some(5), "{found:?}");
    let older = Point { sequence: 2, hash: Hash::default() };
    let found = verify(&settings.directory, Some(older)).unwrap();
    assert_eq!(found.faults[0].fault, Fault::Older(Noted::Anchor, 2));
    fs::remove_file(settings.directory.join(SECOND)).unwrap();
    assert_eq!(faults(&settings), [format!("{LIVE}:1 (sequence 9): {}", Fault::Missing(1, 8))]);
    prune(Point { hash: first.hash, ..second });
    assert_eq!(faults(&settings), [format!("{LIVE}:6 (sequence 14): {}", Fault::Changed)]);
}

#[test]
fn a_directory_without_a_trail_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let error = verify(directory.path(), None).unwrap_err().to_string();
    assert!(error.contains("no audit trail"), "{error}");
    assert_eq!(verify(&directory.path().join("x"), None).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_rotated_file_in_both_forms_is_read_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    trail(&settings);
    let segment = &segments(&settings.directory).unwrap()[0];
    let text = io::read_to_string(segment.open().unwrap()).unwrap();
    fs::write(settings.directory.join(FIRST.strip_suffix(".gz").unwrap()), text).unwrap();
    fs::write(settings.directory.join(FIRST), "").unwrap();
    assert_sound(&settings.directory);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_more_than_wrong(
        live: Vec<u8>,
        rotated: Vec<u8>,
        lines in proptest::collection::vec((0..4u64, 0..u64::MAX, "[a-z{}\":,0-9]{0,20}"), 0..6),
        head in proptest::option::of(0..5u64),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut batch = Batch::after(Point::default());
        for (kind, number, text) in lines {
            let mut line = entry(if kind == 0 { Own::Pruned.action() } else { &text });
            // The batch numbers them itself, and has to be misled.
            batch.last.sequence = if kind < 3 { number } else { batch.last.sequence };
            line.luasocketd.gone = (kind < 2).then_some(Gone { sequence: number, sha256: text });
            batch.push(line);
        }
        fs::write(directory.path().join(LIVE), [&batch.bytes[..], &live].concat()).unwrap();
        fs::write(directory.path().join(FIRST), &rotated).unwrap();
        fs::write(directory.path().join(FIRST.strip_suffix(".gz").unwrap()), &rotated).unwrap();
        if let Some(sequence) = head {
            let file = fs::File::create(directory.path().join(HEAD)).unwrap();
            write_head(&file, Point { sequence, ..Point::default() }).unwrap();
        }
        let found = verify(directory.path(), None).unwrap();
        prop_assert!(found.faults.len() <= FAULTS_MAX);
        // A start on whatever it is says what is amiss, or goes on.
        let _ = super::super::recover::look(directory.path()).unwrap();
    }
}
