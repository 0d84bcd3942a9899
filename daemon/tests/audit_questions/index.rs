//! The index is what the lines say, whatever happens to either.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use luasocketd::audit::{Dimension, Filter, INDEX_FILE, Index, Moment, Order, Record, State, Status, follow};
use luasocketd::core::policy::Decision;

use crate::trail::{BEGIN, Trail, decided};

fn ask(index: &Index, filter: &Filter) -> Vec<Record> {
    let mut records = Vec::new();
    let all = index.records(filter, Order::Time, None, &mut |record| {
        records.push(record);
        ControlFlow::Continue(())
    });
    all.unwrap();
    assert_eq!(index.count(filter).unwrap(), records.len() as u64, "{filter:?}");
    // Groups by what has sums, and by what has not, are of the same rows.
    for by in Dimension::ALL {
        let groups = index.groups(filter, *by, Order::Count).unwrap();
        assert_eq!(
            groups.iter().map(|group| group.count).sum::<u64>(),
            records.len() as u64,
            "{filter:?} {by:?}"
        );
    }
    records
}

fn hosts(index: &Index, filter: &Filter) -> Vec<String> {
    let records = ask(index, filter);
    records.iter().map(|record| record.entry.destination.as_ref().unwrap().address.clone().unwrap()).collect()
}

fn everything() -> Filter {
    Filter::default()
}

#[test]
fn what_lines_say_of_bytes_can_be_added_up() {
    let mut trail = Trail::new();
    for number in [1, 2] {
        let mut entry = decided(number, 0, "a.example");
        entry.luasocketd.end = Some("closed".to_owned());
        entry.source.get_or_insert_default().bytes = Some(u64::MAX);
        trail.write(entry);
    }
    assert_eq!(ask(&trail.index(), &everything()).len(), 2);
}

#[test]
fn a_decision_and_its_end_are_one() {
    let mut trail = Trail::new();
    trail.decide(1, 0, "a.example");
    let index = trail.index();
    let records = ask(&index, &everything());
    assert!(records[0].is_open && records[0].entry.luasocketd.end.is_none());
    drop(index);
    trail.decide(2, 1, "b.example");
    trail.end(1, 0, "a.example", "closed");
    trail.end(2, 1, "b.example", "interrupted");
    let index = trail.index();
    let records = ask(&index, &everything());
    let found: Vec<_> = records.iter().map(|record| record.entry.event.id.as_str()).collect();
    assert_eq!(found, ["run-2", "run-1"]);
    let entry = &records[1].entry;
    assert_eq!(entry.event.sequence, 3);
    assert_eq!((records[1].line, records[1].is_open), (1, false));
    let mut said = decided(1, 0, "a.example");
    said.source = entry.source.clone();
    assert_eq!(entry.luasocketd.service, said.luasocketd.service);
    assert_eq!(entry.luasocketd.end.as_deref(), Some("closed"));
    assert_eq!(entry.source.as_ref().unwrap().bytes, Some(10));
    assert_eq!(entry.destination.as_ref().unwrap().bytes, Some(1000));
    assert_eq!(entry.network.as_ref().unwrap().bytes, Some(1010));
    assert_eq!((&entry.user, &entry.process, &entry.rule), (&said.user, &said.process, &said.rule));
    let printed = serde_json::to_value(entry).unwrap();
    assert!(printed.get("host").is_none() && printed.get("ecs").is_none(), "{printed}");
    assert_eq!(ask(&index, &Filter { end: Some("interrupted"), ..everything() }).len(), 1);
    assert_eq!(ask(&index, &Filter { state: Some(State::Live), ..everything() }).len(), 0);
}

#[test]
fn each_question_finds_what_fits() {
    let mut trail = Trail::new();
    for number in 1..=300 {
        let mut entry = decided(number, number as i64 * 3600, &format!("h{}.Example.", number % 10));
        entry.luasocketd.client.as_mut().unwrap().name = format!("job-{}.lua", number % 7);
        entry.user.as_mut().unwrap().id = (1000 + number % 3).to_string();
        entry.destination.as_mut().unwrap().port = Some(if number % 5 == 0 { 80 } else { 443 });
        if number % 50 == 0 {
            entry.luasocketd.verdict = Some("deny".into());
            entry.event.outcome = "failure".into();
        }
        trail.write(entry.clone());
        if number % 2 == 0 && number % 50 != 0 {
            trail.finish(entry, number as i64 * 3600, "closed");
        }
        if number % 100 == 0 {
            trail.rotate();
        }
    }
    let index = trail.index();
    let count = |filter| ask(&index, &filter).len();
    assert_eq!(count(everything()), 300);
    assert_eq!(count(Filter { host: Some("H3.example".into()), ..everything() }), 30);
    assert_eq!(count(Filter { host: Some("h?.*".into()), ..everything() }), 300);
    assert_eq!(count(Filter { host: Some("[h]*".into()), ..everything() }), 0);
    assert_eq!(count(Filter { verdict: Some(Decision::Deny), ..everything() }), 6);
    assert_eq!(count(Filter { state: Some(State::Live), ..everything() }), 150);
    assert_eq!(count(Filter { state: Some(State::Past), ..everything() }), 150);
    assert_eq!(count(Filter { uid: Some(1001), port: Some(80..=80), ..everything() }), 20);
    assert_eq!(count(Filter { ip: Some("8.8.0.0/30".parse().unwrap()), ..everything() }), 4 + 3);
    assert_eq!(count(Filter { min_bytes: Some(1010), ..everything() }), 144);
    assert_eq!(count(Filter { min_bytes: Some(1011), ..everything() }), 0);
    assert_eq!(count(Filter { id: Some("run-17".into()), ..everything() }), 1);
    assert_eq!(count(Filter { id: Some("run-017".into()), ..everything() }), 0);
    assert_eq!(count(Filter { pid: Some(100), ..everything() }), 300);
    // From the middle of a day to the middle of another, within one, and beyond all.
    let at = |hours: i64| Some(Moment((BEGIN + hours * 3600) * 1_000_000));
    for (since, until) in [(1, 301), (5, 200), (30, 40), (48, 96), (24, 25), (299, 9999), (0, 1)] {
        let expected = (1..=300).filter(|hour| (since..until).contains(hour)).count();
        let between = Filter { since: at(since), until: at(until), ..everything() };
        assert_eq!(count(between.clone()), expected, "{since} {until}");
        let some = (1..=300).filter(|hour| (since..until).contains(hour) && hour % 10 == 3).count();
        assert_eq!(count(Filter { host: Some("h3.example".into()), ..between }), some, "{since} {until}");
    }
    let groups = index.groups(&everything(), Dimension::Host, Order::Count).unwrap();
    assert_eq!(groups.len(), 10);
    // 30 decisions each; half of the hosts have ends only.
    let zero = groups.iter().find(|group| group.key == "h0.Example.").unwrap();
    assert_eq!((zero.count, zero.denied, zero.sent), (30, 6, 24 * 10));
}

#[test]
fn lines_that_are_rotated_between_two_looks_are_read_once() {
    let mut trail = Trail::new();
    trail.decide(1, 0, "a.example");
    let mut index = trail.index();
    for number in 2..50 {
        trail.decide(number, number as i64, "b.example");
        if number % 3 == 0 {
            trail.rotate();
        }
        if number % 7 == 0 {
            let status = index.catch_up(&mut |_| {}).unwrap();
            assert_eq!(status, Status { lines: number, unreadable: 0, lost: 0 });
        }
    }
    assert_eq!(index.catch_up(&mut |_| {}).unwrap().lines, 49);
    assert_eq!(ask(&index, &everything()).len(), 49);
}

#[test]
fn what_is_no_entry_is_counted_and_what_is_being_written_is_waited_for() {
    let mut trail = Trail::new();
    trail.decide(1, 0, "a.example");
    trail.write_text("nonsense\n{\"a\":1}\n\n");
    trail.write_text(&format!("{}\n", "x".repeat(3 << 20)));
    let mut strange = decided(7, 0, "a.example");
    strange.luasocketd.verdict = Some("perhaps".into());
    trail.write(strange);
    trail.decide(2, 0, "a.example");
    let line = serde_json::to_string(&decided(3, 0, "c.example")).unwrap();
    trail.write_text(&line[..100]);
    let mut index = trail.index();
    assert_eq!(index.status().unwrap(), Status { lines: 7, unreadable: 5, lost: 0 });
    assert_eq!(ask(&index, &everything()).len(), 2);
    trail.write_text(&format!("{}\n", &line[100..]));
    assert_eq!(index.catch_up(&mut |_| {}).unwrap(), Status { lines: 8, unreadable: 5, lost: 0 });
    assert_eq!(hosts(&index, &Filter { host: Some("c.*".into()), ..everything() }), ["c.example"]);
}

#[test]
fn a_damaged_or_foreign_index_is_made_anew() {
    let mut trail = Trail::new();
    for number in 1..=3000 {
        trail.decide(number, number as i64, "a.example");
    }
    drop(trail.index());
    let file = trail.path().join(INDEX_FILE);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "this is no index").unwrap();
    assert_eq!(ask(&trail.index(), &everything()).len(), 3000);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 8;
    bytes[middle..].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let mut index = Index::open(trail.path()).unwrap();
    trail.decide(3001, 9000, "b.example");
    index.catch_up(&mut |_| {}).unwrap();
    assert_eq!(ask(&index, &everything()).len(), 3001);
    drop(index);
    // Another version's.
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(ask(&trail.index(), &everything()).len(), 3001);
}

#[test]
fn no_link_in_the_place_of_the_lock_or_the_index_is_followed() {
    for name in ["audit.index.lock", INDEX_FILE] {
        let mut trail = Trail::new();
        trail.decide(1, 0, "a.example");
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("target");
        std::os::unix::fs::symlink(&target, trail.path().join(name)).unwrap();
        let opened = Index::open(trail.path()).map(drop);
        assert!(!target.exists(), "{name} is made behind the link");
        if name != INDEX_FILE {
            // The index itself is replaced, as all is that is no index.
            assert!(opened.unwrap_err().to_string().contains("symbolic link"), "{name}");
        }
    }
}

#[test]
fn another_trail_in_the_same_place_is_another_trail() {
    let mut trail = Trail::new();
    for number in 1..=5 {
        trail.decide(number, 0, "a.example");
    }
    let mut index = trail.index();
    fs::remove_file(trail.path().join("audit.jsonl")).unwrap();
    let mut other = trail.restarted();
    for number in 1..=6 {
        other.decide(number, 1, "b.example");
    }
    index.catch_up(&mut |_| {}).unwrap();
    assert_eq!(hosts(&index, &everything()), ["b.example"; 6]);
}

#[test]
fn what_was_made_of_lines_that_have_gone_goes_too() {
    let mut trail = Trail::new();
    for number in 1..=10 {
        trail.decide(number, number as i64, "old.example");
        trail.end(number, number as i64, "old.example", "closed");
    }
    trail.decide(11, 11, "open.example");
    let old = trail.path().join(format!("audit.{:020}.jsonl.gz", trail.first()));
    trail.rotate();
    trail.decide(12, 12, "new.example");
    let mut index = trail.index();
    assert_eq!(ask(&index, &everything()).len(), 12);
    fs::remove_file(old).unwrap();
    index.catch_up(&mut |_| {}).unwrap();
    assert_eq!(hosts(&index, &everything()), ["new.example", "open.example"]);
}

#[test]
fn several_may_bring_it_up_to_date_at_once() {
    let mut trail = Trail::new();
    let (stop, stopped) = mpsc::channel();
    let directory = trail.path().to_owned();
    trail.decide(1, 0, "a.example");
    let followers: Vec<_> = (0..2)
        .map(|_| {
            let directory = directory.clone();
            thread::spawn(move || {
                for _ in 0..40 {
                    let mut index = Index::open(&directory).unwrap();
                    index.catch_up(&mut |_| {}).unwrap();
                }
            })
        })
        .collect();
    let follower = {
        let directory = directory.clone();
        thread::spawn(move || follow(&directory, Duration::from_millis(1), &stopped))
    };
    for number in 2..=2000 {
        trail.decide(number, number as i64, "b.example");
        if number % 500 == 0 {
            trail.rotate();
        }
    }
    followers.into_iter().for_each(|follower| follower.join().unwrap());
    drop(stop);
    follower.join().unwrap();
    // Whoever of them has made it anew last may have left some to whoever asks.
    let mut index = Index::open(&directory).unwrap();
    index.catch_up(&mut |_| {}).unwrap();
    assert_eq!(index.status().unwrap(), Status { lines: 2000, unreadable: 0, lost: 0 });
    assert_eq!(ask(&index, &everything()).len(), 2000);
}
