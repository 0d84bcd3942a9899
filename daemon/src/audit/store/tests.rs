use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::super::chain::{Hash, seal};
use super::super::files::{LIVE, read_head, rotated_path, segments};
use super::super::render::Run;
use super::super::rotation::Squeeze;
use super::super::samples::{assert_sound, decided, ended, entries, settings};
use super::super::words::{Half, Own, half};
use super::super::{DENIED, Fault, Process, Trail, verify};
use super::*;
use crate::core::policy::Decision;
use crate::core::trail::{End, Matter};

fn run() -> Run {
    Run { id: "00000000000000ab".into(), hostname: "host".into(), process: Process::default() }
}

fn decision(id: u64) -> Entry {
    run().decided(&decided(id, Matter::Connection, Decision::Allow), Timestamp::now())
}

fn end(id: u64) -> Entry {
    let decided = decided(id, Matter::Connection, Decision::Allow);
    run().ended(&ended(&decided, End::Closed, None), Timestamp::now(), Timestamp::now())
}

fn write(store: &mut Store, entries: impl IntoIterator<Item = Entry>) {
    let mut batch = Batch::after(store.point());
    entries.into_iter().for_each(|entry| batch.push(entry));
    store.write(&batch, Timestamp::now()).unwrap();
}

/// The ids of what was let through and has no end, and of what has one as interrupted.
fn unfinished_and_interrupted(directory: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut open, mut interrupted) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries(directory) {
        let is_denied = entry.event.types.iter().any(|word| word == DENIED);
        let id = entry.event.id;
        match half(&entry.event.action) {
            Some(Half::Decided) if !is_denied => assert!(open.insert(id), "decided once"),
            Some(Half::Ended) => {
                assert!(open.remove(&id), "{id} ends once, and after its decision");
                if entry.luasocketd.end.as_deref() == Some("interrupted") {
                    interrupted.insert(id);
                }
            }
            Some(Half::Decided) | None => {}
        }
    }
    (open, interrupted)
}

/// Starts a daemon's trail on what a crash has left, ends it, and gives what it has closed as interrupted.
fn recovered(settings: &Settings) -> BTreeSet<String> {
    Trail::start(settings, || {}).unwrap().stop().unwrap();
    let (open, interrupted) = unfinished_and_interrupted(&settings.directory);
    assert_eq!(open, BTreeSet::new());
    assert!(unfinished(&settings.directory).unwrap().is_empty());
    interrupted
}

fn ids(numbers: &[u64]) -> BTreeSet<String> {
    numbers.iter().map(|number| format!("00000000000000ab-{number}")).collect()
}

/// Waits until the housekeeper of a trail that has begun is done with all rotated files.
fn all_are_compressed(directory: &Path) -> bool {
    rotated(directory).unwrap().iter().all(|file| file.path.extension().is_some_and(|ending| ending == "gz"))
}

#[test]
fn a_crash_behind_any_step_of_a_rotation_loses_nothing() {
    for steps in 0..=Step::ALL.len() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let (mut store, _) = Store::open(&settings).unwrap();
        write(&mut store, [decision(1), decision(2), end(1), decision(3)]);
        let open = open_lines([decision(2), decision(3)].into_iter());
        let rotation = Rotation { directory: &settings.directory, first: 1, next: 5, open: &open };
        for step in &Step::ALL[..steps] {
            rotation.perform(*step, &store.head).unwrap();
        }
        drop(store);
        assert_eq!(recovered(&settings), ids(&[2, 3]), "behind {steps} steps");
        assert_sound(&settings.directory);
        // And once more, as the start after a crash must not lose what it has found.
        assert_eq!(recovered(&settings), ids(&[2, 3]));
        assert_sound(&settings.directory);
    }
}

#[test]
fn a_crash_behind_any_step_of_compressing_loses_nothing() {
    for steps in 0..=Squeeze::ALL.len() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let (mut store, _) = Store::open(&settings).unwrap();
        write(&mut store, [decision(1), decision(2), end(1)]);
        store.rotate(&open_lines([decision(2)].into_iter())).unwrap();
        write(&mut store, [decision(3)]);
        for step in &Squeeze::ALL[..steps] {
            step.perform(&settings.directory, 1, &AtomicBool::new(false)).unwrap();
            assert_sound(&settings.directory);
        }
        drop(store);
        assert_eq!(recovered(&settings), ids(&[2, 3]), "behind {steps} steps");
        assert_sound(&settings.directory);
    }
}

#[test]
fn a_number_that_no_trail_comes_to_is_none() {
    for (file, text) in [
        (HEAD, format!("{}:{}\n", u64::MAX, Hash::default())),
        (LIVE, {
            let mut entry = decision(1);
            let mut line = Vec::new();
            entry.event.sequence = u64::MAX;
            write_entry(&entry, &mut line);
            seal(&mut line, 0, Hash::default());
            String::from_utf8(line).unwrap()
        }),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        make_directory(&settings.directory).unwrap();
        fs::write(settings.directory.join(file), text).unwrap();
        let (mut store, left) = Store::open(&settings).unwrap();
        assert_eq!(left.point, Point::default(), "{file}");
        write(&mut store, [decision(1)]);
        assert_eq!(store.point().sequence, 1, "{file}");
    }
}

#[test]
fn a_rotation_that_fails_leaves_the_old_file_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut store, _) = Store::open(&settings).unwrap();
    write(&mut store, [decision(1)]);
    // A directory stands where the rotated file has to be.
    let blocked = rotated_path(&settings.directory, 1);
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("x"), "").unwrap();
    let error = store.rotate(b"").unwrap_err();
    assert!(error.contains("cannot rotate"), "{error}");
    write(&mut store, [end(1)]);
    fs::remove_dir_all(&blocked).unwrap();
    assert_sound(&settings.directory);
    store.rotate(b"").unwrap();
    write(&mut store, [decision(2)]);
    assert_sound(&settings.directory);
    assert_eq!(segments(&settings.directory).unwrap().len(), 2);
}

#[test]
fn rotated_files_are_not_read_at_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut store, _) = Store::open(&settings).unwrap();
    for id in 1..=3 {
        write(&mut store, [decision(id)]);
        let open = (1..=id).map(decision);
        store.rotate(&open_lines(open)).unwrap();
    }
    drop(store);
    for segment in rotated(&settings.directory).unwrap() {
        for step in Squeeze::ALL {
            step.perform(&settings.directory, segment.first.unwrap(), &AtomicBool::new(false)).unwrap();
        }
    }
    for segment in rotated(&settings.directory).unwrap() {
        fs::write(&segment.path, "nothing that could be read").unwrap();
    }
    let left = look(&settings.directory).unwrap();
    assert_eq!((left.point.sequence, left.open.len(), left.amiss), (3, 3, Vec::new()));
}

#[test]
fn only_so_many_rotated_files_are_kept_and_the_trail_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { keep: Some(2), ..settings(directory.path()) };
    let (mut store, _) = Store::open(&settings).unwrap();
    for id in 1..=5 {
        write(&mut store, [decision(id), end(id)]);
        store.rotate(b"").unwrap();
    }
    drop(store);
    let trail = Trail::start(&settings, || {}).unwrap();
    let begin = std::time::Instant::now();
    while rotated(&settings.directory).unwrap().len() > 2 {
        assert!(begin.elapsed().as_secs() < 20, "{:?}", rotated(&settings.directory));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    trail.stop().unwrap();
    assert!(all_are_compressed(&settings.directory));
    let found = verify(&settings.directory, None).unwrap();
    assert!(found.is_sound() && found.first == Some(7), "{found:#?}");
    let pruned =
        entries(&settings.directory).into_iter().filter(|entry| entry.event.action == Own::Pruned.action());
    assert_eq!(pruned.map(|entry| entry.luasocketd.gone.unwrap().sequence).collect::<Vec<_>>(), [2, 4, 6]);
}

#[test]
fn a_cut_is_told_by_the_next_start_and_by_every_verification_after_it() {
    for (cut_at_head, file_gone) in [(false, false), (true, false), (true, true)] {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let (mut store, _) = Store::open(&settings).unwrap();
        write(&mut store, [decision(1)]);
        let length = store.live.length();
        write(&mut store, [end(1), decision(2)]);
        drop(store);
        let live = settings.directory.join(LIVE);
        match (cut_at_head, file_gone) {
            (_, true) => fs::remove_file(&live).unwrap(),
            (true, _) => OpenOptions::new().write(true).open(&live).unwrap().set_len(0).unwrap(),
            (false, _) => OpenOptions::new().write(true).open(&live).unwrap().set_len(length).unwrap(),
        }
        let first = if cut_at_head { 1 } else { 2 };
        let before = verify(&settings.directory, None).unwrap();
        assert_eq!(before.faults[0].fault, Fault::Cut(first, 3));
        let (mut open, _) = (Trail::start(&settings, || {}).unwrap().stop().unwrap(), ());
        let started = entries(&settings.directory);
        let started = started.iter().find(|entry| entry.event.action == Own::Started.action()).unwrap();
        let reason = started.event.reason.as_ref().unwrap();
        assert!(reason.contains(&format!("the lines {first} to 3 were written and are missing")), "{reason}");
        assert_eq!((started.event.sequence, started.luasocketd.gone.as_ref().unwrap().sequence), (4, 3));
        for _ in 0..2 {
            let after = verify(&settings.directory, Some(open)).unwrap();
            let faults: Vec<&Fault> = after.faults.iter().map(|wrong| &wrong.fault).collect();
            assert_eq!(faults, [&Fault::Missing(first, 3)], "where it was cut, and nothing else");
            open = Trail::start(&settings, || {}).unwrap().stop().unwrap();
        }
    }
}

#[test]
fn a_head_that_is_missing_or_other_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut store, _) = Store::open(&settings).unwrap();
    write(&mut store, [decision(1), end(1)]);
    drop(store);
    let head = read_head(&settings.directory).unwrap().unwrap();
    let path = settings.directory.join(HEAD);
    for (text, right) in [
        (format!("{:020}:{}\n", 2, head.hash.then(b"other")), "knows another hash"),
        ("nonsense".to_owned(), "is missing or no head"),
    ] {
        fs::write(&path, text).unwrap();
        let left = look(&settings.directory).unwrap();
        assert!(left.amiss.len() == 1 && left.amiss[0].contains(right), "{:?}", left.amiss);
        assert_eq!(left.point, head);
    }
}

#[test]
fn a_head_that_is_too_long_is_one_again_behind_the_next_line() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    drop(Store::open(&settings).unwrap());
    fs::write(settings.directory.join(HEAD), [b'0'; 1000]).unwrap();
    let (mut store, _) = Store::open(&settings).unwrap();
    write(&mut store, [decision(1)]);
    let head = read_head(&settings.directory).unwrap().expect("a head");
    assert_eq!(head, look(&settings.directory).unwrap().point);
}

#[test]
fn what_a_power_failure_has_left_behind_the_head_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let (mut store, _) = Store::open(&settings).unwrap();
    write(&mut store, [decision(1)]);
    drop(store);
    let live = settings.directory.join(LIVE);
    let length = fs::metadata(&live).unwrap().len();
    let mut unrelated = Batch::after(Point { sequence: 2, ..Point::default() });
    unrelated.push(decision(9));
    // Zeros where a page was not written, and a line whose predecessor is in that page.
    let rest = [&[0; 100][..], b"\n", &unrelated.bytes, &[0; 50]].concat();
    OpenOptions::new().append(true).open(&live).unwrap().write_all(&rest).unwrap();
    let left = look(&settings.directory).unwrap();
    assert_eq!((left.length, left.point.sequence, left.open.len()), (length, 1, 1));
    assert_eq!(recovered(&settings), ids(&[1]));
    assert_sound(&settings.directory);
    // Acknowledged lines stay, whatever they have become: they are evidence.
    let bytes = fs::read(&live).unwrap();
    let file = OpenOptions::new().write(true).open(&live).unwrap();
    file.write_all_at(b"#", bytes.len() as u64 - 3).unwrap();
    Trail::start(&settings, || {}).unwrap().stop().unwrap();
    let after = fs::read(&live).unwrap();
    assert_eq!(after[..bytes.len() - 3], bytes[..bytes.len() - 3]);
    assert!(!verify(&settings.directory, None).unwrap().is_sound());
}

/// What a random daemon does.
#[derive(Clone, Debug)]
enum Act {
    /// It writes so many records at once.
    Write(usize),
    /// It rotates.
    Rotate,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![6 => (1..6usize).prop_map(Act::Write), 1 => Just(Act::Rotate)];
    proptest::collection::vec(act, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was written, and wherever a crash has cut it: the trail goes on and is sound, and whatever was let through in
    /// what is left has an end.
    #[test]
    fn no_crash_is_more_than_an_interruption(
        acts in acts(),
        ends in proptest::collection::vec(0..3u8, 64),
        (cut, head) in (0.0..1.0f64, 0.0..1.0f64),
        is_strict: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let durability = if is_strict { Durability::Strict } else { Durability::Relaxed };
        let settings = Settings { durability, ..settings(directory.path()) };
        let (mut store, _) = Store::open(&settings).unwrap();
        let (mut next, mut open, mut chances) = (0, Vec::new(), ends.into_iter().cycle());
        // Of the live file: how long it was, and what the head could be then.
        let mut commits = vec![(0, Point::default())];
        for act in acts {
            match act {
                Act::Write(count) => {
                    let records: Vec<Entry> = (0..count).map(|_| match chances.next() {
                        Some(1) if !open.is_empty() => end(open.remove(0)),
                        _ => {
                            next += 1;
                            open.push(next);
                            decision(next)
                        }
                    }).collect();
                    write(&mut store, records);
                }
                Act::Rotate => {
                    store.rotate(&open_lines(open.iter().map(|&id| decision(id)))).unwrap();
                    commits.clear();
                }
            }
            commits.push((store.live.length(), store.point()));
        }
        drop(store);
        let live = settings.directory.join(LIVE);
        let length = (fs::metadata(&live).unwrap().len() as f64 * cut) as u64;
        OpenOptions::new().write(true).open(&live).unwrap().set_len(length).unwrap();
        // In order the lines are on the disk before the head is.
        let heads: Vec<Point> = commits.iter().filter(|(end, _)| *end <= length).map(|(_, head)| *head).collect();
        let point = heads[((heads.len() as f64) * head) as usize];
        let path = settings.directory.join(HEAD);
        if point == Point::default() {
            fs::remove_file(&path).unwrap();
        } else {
            write_head(&OpenOptions::new().write(true).create(true).truncate(false).open(&path).unwrap(), point).unwrap();
        }
        let before = unfinished_before(&settings.directory);
        let interrupted = recovered(&settings);
        prop_assert_eq!(interrupted, before);
        assert_sound(&settings.directory);
    }
}

/// What is let through and has no end in the whole lines of a trail that was cut.
fn unfinished_before(directory: &Path) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for segment in segments(directory).unwrap() {
        let text = io::read_to_string(segment.open().unwrap()).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let entry: Entry = serde_json::from_str(line).unwrap();
            match half(&entry.event.action) {
                Some(Half::Decided) => {
                    open.insert(entry.event.id);
                }
                Some(Half::Ended) => {
                    open.remove(&entry.event.id);
                }
                None => {}
            }
        }
    }
    open
}
