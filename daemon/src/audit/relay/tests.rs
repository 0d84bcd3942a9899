use std::path::Path;
use std::time::Instant;

use super::super::samples::{assert_sound, begun, entries, over, settings};
use super::super::trail::{Appended, Trail};
use super::super::verify;
use super::*;

/// The longest that a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(settings: &Settings, before: Option<UnixStream>) -> Trail {
    start_for(settings, before, 1).remove(0)
}

/// The trails of so many loops.
fn start_for(settings: &Settings, before: Option<UnixStream>, loops: usize) -> Vec<Trail> {
    let wakes = (1..loops).map(|_| nothing as fn());
    let (mut first, others) = Trail::start_after(settings, before.is_some(), nothing as fn(), wakes).unwrap();
    if let Some(before) = before {
        first.hear(before).unwrap();
    }
    [first].into_iter().chain(others).collect()
}

fn nothing() {}

fn wait(trail: &Trail, what: &str, is_so: impl Fn(&Trail) -> bool) {
    let begin = Instant::now();
    while !is_so(trail) {
        assert!(begin.elapsed() < PATIENCE, "{what}: {:?}", trail.state());
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_level(trail: &Trail) -> bool {
    trail.state().queued == 0
}

fn decide(trail: &Trail, id: u64) {
    assert_eq!(trail.append(begun(id), true), Appended::Pending);
    wait(trail, "the outcome comes", |trail| {
        trail.take_outcomes().iter().any(|(found, outcome)| found.0 == id && *outcome == Ok(()))
    });
}

/// The new trail, and the old one that goes on through it.
fn hand_over(old: Trail, settings: &Settings) -> (Trail, Trail) {
    let loan = old.lend();
    loan.wait().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let new = start(settings, Some(theirs));
    loan.is_taken(ours);
    (old, new)
}

/// How many lines with this end of the action there are, and how many of them are interrupted.
fn ends(directory: &Path) -> (usize, usize) {
    let ends: Vec<_> =
        entries(directory).into_iter().filter(|entry| entry.event.action.ends_with("-ended")).collect();
    let is_interrupted = |entry: &&Entry| entry.luasocketd.end.as_deref() == Some("interrupted");
    let of_records = |entry: &&Entry| entry.event.action != "trail-ended";
    (ends.iter().filter(of_records).count(), ends.iter().filter(is_interrupted).count())
}

#[test]
fn both_daemons_are_on_one_record() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let old = start(&settings, None);
    (1..=3).for_each(|id| decide(&old, id));
    let (old, new) = hand_over(old, &settings);
    // The numbers of both begin at 1.
    decide(&new, 1);
    assert_eq!(old.append(over(1), false), Appended::Done);
    decide(&old, 4);
    assert_eq!(old.append(over(2), false), Appended::Done);
    assert_eq!(new.append(over(1), false), Appended::Done);
    old.stop().unwrap();
    new.await_before(PATIENCE);
    // What the old one has not ended is closed, and only that.
    wait(&new, "all is written", is_level);
    assert_eq!(ends(&settings.directory), (5, 2));
    let end = new.stop().unwrap();
    assert!(verify(&settings.directory, Some(end)).unwrap().is_sound());
    assert_sound(&settings.directory);
    let ids: std::collections::BTreeSet<String> =
        entries(&settings.directory).into_iter().map(|entry| entry.event.id).collect();
    assert_eq!(ids.len(), 5 + 4, "five decisions, two beginnings, two ends and no more of the trail's own");
}

#[test]
fn the_records_of_all_loops_go_over_and_their_outcomes_come_back_to_each() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let old = start_for(&settings, None, 2);
    let of = |id: u64| id as usize % 2;
    (1..=4).for_each(|id| decide(&old[of(id)], id));
    // Any loop can give the trail up.
    let loan = old[1].lend();
    loan.wait().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let new = start_for(&settings, Some(theirs), 2);
    loan.is_taken(ours);
    (5..=8).for_each(|id| decide(&old[of(id)], id));
    (1..=4).for_each(|id| decide(&new[of(id)], id));
    (1..=8).for_each(|id| assert_eq!(old[of(id)].append(over(id), false), Appended::Done));
    assert!(old.iter().chain(&new).all(|trail| trail.take_outcomes().is_empty()), "each was told its own");
    // The first one ends it for all, when the others have ended.
    old.into_iter().rev().for_each(drop);
    new[0].await_before(PATIENCE);
    wait(&new[0], "all is written", is_level);
    assert_eq!(ends(&settings.directory), (8, 0));
    new.into_iter().rev().for_each(drop);
    assert!(verify(&settings.directory, None).unwrap().is_sound());
    assert_sound(&settings.directory);
}

#[test]
fn what_waits_while_nobody_has_the_files_is_written_after_that() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let old = start(&settings, None);
    let loan = old.lend();
    loan.wait().unwrap();
    assert_eq!(old.append(begun(1), true), Appended::Pending);
    thread::sleep(Duration::from_millis(50));
    assert!(old.take_outcomes().is_empty(), "nothing is recorded, so nothing is let through");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let new = start(&settings, Some(theirs));
    loan.is_taken(ours);
    wait(&old, "the outcome comes", |old| old.take_outcomes().iter().any(|(_, outcome)| *outcome == Ok(())));
    old.stop().unwrap();
    new.await_before(PATIENCE);
    new.stop().unwrap();
    assert_sound(&settings.directory);
}

#[test]
fn a_trail_that_nobody_takes_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let old = start(&settings, None);
    decide(&old, 1);
    let loan = old.lend();
    loan.wait().unwrap();
    assert_eq!(old.append(begun(2), true), Appended::Pending);
    drop(loan);
    wait(&old, "it is written again", |old| {
        old.take_outcomes().iter().any(|(_, outcome)| *outcome == Ok(()))
    });
    assert_eq!(old.append(over(1), false), Appended::Done);
    decide(&old, 3);
    let end = old.stop().unwrap();
    assert!(verify(&settings.directory, Some(end)).unwrap().is_sound());
}

#[test]
fn without_the_daemon_that_writes_nothing_is_let_through() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let old = start(&settings, None);
    let loan = old.lend();
    loan.wait().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    loan.is_taken(ours);
    assert_eq!(old.append(begun(1), true), Appended::Pending);
    wait(&old, "it is refused", |old| old.take_outcomes().iter().any(|(_, outcome)| outcome.is_err()));
    assert!(old.state().failing.unwrap().contains("has ended"));
    assert!(old.stop().is_err());
}

#[test]
fn what_is_open_elsewhere_outlives_a_rotation_and_a_killed_writer() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { rotate_bytes: 1, ..settings(directory.path()) };
    let old = start(&settings, None);
    decide(&old, 1);
    let (old, new) = hand_over(old, &settings);
    // Each of these is in a file of its own.
    (1..=3).for_each(|id| decide(&new, id));
    old.stop().unwrap();
    new.await_before(PATIENCE);
    wait(&new, "all is written", is_level);
    let end = new.stop().unwrap();
    assert!(verify(&settings.directory, Some(end)).unwrap().is_sound());
    assert_sound(&settings.directory);
}
