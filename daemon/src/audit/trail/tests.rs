use std::fs;
use std::path::Path;
use std::time::Instant;

use super::super::samples::{assert_sound, begun, decided, entries, over, settings};
use super::super::{verify, words};
use super::*;
use crate::core::policy::Decision;
use crate::core::trail::{Matter, Record};

/// The longest that a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A trail, and a way to wait for it.
struct Watched {
    trail: Trail,
    woken: Receiver<()>,
}

impl Watched {
    fn start(settings: &Settings) -> Watched {
        let (wake, woken) = channel();
        let trail = Trail::start(settings, move || {
            let _ = wake.send(());
        })
        .unwrap();
        Watched { trail, woken }
    }

    /// Waits for the outcome of `id`.
    fn outcome(&self, id: u64) -> Result<(), String> {
        loop {
            if let Some((_, outcome)) =
                self.trail.take_outcomes().into_iter().find(|(found, _)| found.0 == id)
            {
                return outcome;
            }
            self.woken.recv_timeout(PATIENCE).expect("the outcome comes");
        }
    }

    /// Decides `id`, and waits for the record.
    fn decide(&self, id: u64) -> Result<(), String> {
        match self.trail.append(begun(id), true) {
            Appended::Done => Ok(()),
            Appended::Pending => self.outcome(id),
            Appended::Refused(reason) => Err(reason),
        }
    }

    fn wait(&self, what: &str, is_so: impl Fn(&TrailState) -> bool) {
        let begin = Instant::now();
        while !is_so(&self.trail.state()) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {:?}", self.trail.state());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn actions(directory: &Path) -> Vec<String> {
    entries(directory).into_iter().map(|entry| entry.event.action).collect()
}

/// Copies a trail as it is at this moment: what another daemon finds after this one was killed.
fn killed(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn each_loop_hears_of_what_it_has_decided_and_the_first_one_ends_the_trail() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = || {
        let (wake, woken) = channel();
        let wake = move || {
            let _ = wake.send(());
        };
        (wake, woken)
    };
    let ((first, first_woken), (second, second_woken)) = (watched(), watched());
    let (trail, mut others) = Trail::start_for(&settings, first, [second]).unwrap();
    let first = Watched { trail, woken: first_woken };
    let second = Watched { trail: others.remove(0), woken: second_woken };
    for id in 1..=50 {
        let decider = if id % 2 == 1 { &first } else { &second };
        assert_eq!(decider.decide(id), Ok(()));
    }
    assert!(first.trail.take_outcomes().is_empty() && second.trail.take_outcomes().is_empty());
    // The end of another loop ends nothing.
    drop(second);
    assert_eq!(first.decide(51), Ok(()));
    first.trail.stop().unwrap();
    let decisions = actions(&settings.directory).iter().filter(|action| action.ends_with("-decided")).count();
    assert_eq!(decisions, 51);
    assert_sound(&settings.directory);
}

#[test]
fn a_decision_is_on_disk_when_its_outcome_comes() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    assert_eq!(watched.trail.append(begun(1), true), Appended::Pending);
    assert_eq!(watched.outcome(1), Ok(()));
    assert_eq!(actions(&settings.directory), ["trail-started", "connection-decided"]);
    assert_eq!(watched.trail.append(over(1), false), Appended::Done);
    let end = watched.trail.stop().unwrap();
    let expected = ["trail-started", "connection-decided", "connection-ended", "trail-ended"];
    assert_eq!((actions(&settings.directory), end.sequence), (expected.map(str::to_owned).to_vec(), 4));
    let entries = entries(&settings.directory);
    assert_eq!(entries[1].event.id, entries[2].event.id);
    assert_eq!(entries[2].event.start.as_ref(), Some(&entries[1].timestamp));
    let found = verify(&settings.directory, Some(end)).unwrap();
    assert!(found.is_sound() && found.last == Some(end) && found.head == Some(end), "{found:?}");
}

#[test]
fn a_relaxed_trail_lets_nobody_wait_and_writes_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { durability: Durability::Relaxed, ..settings(directory.path()) };
    let watched = Watched::start(&settings);
    for id in 1..=500 {
        assert_eq!(watched.trail.append(begun(id), true), Appended::Done);
    }
    watched.wait("all are written", |state| state.committed == 501 && state.queued == 0);
    assert_eq!(watched.trail.stop().unwrap().sequence, 502);
    assert_sound(&settings.directory);
}

#[test]
fn what_a_killed_daemon_has_left_open_is_closed_by_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    for id in 1..=3 {
        watched.decide(id).unwrap();
    }
    let _ = watched.trail.append(over(2), false);
    let _ = watched.trail.append(Record::Decided(decided(4, Matter::Lookup, Decision::Deny)), false);
    watched.wait("all are written", |state| state.queued == 0);
    let copy = Settings { directory: directory.path().join("copy"), ..settings.clone() };
    killed(&settings.directory, &copy.directory);
    fs::OpenOptions::new()
        .append(true)
        .open(copy.directory.join("audit.jsonl"))
        .and_then(|mut file| io::Write::write_all(&mut file, b"{\"@timestamp\":\"20"))
        .unwrap();
    let next = Watched::start(&copy);
    let found = entries(&copy.directory);
    let interrupted: Vec<_> =
        found.iter().filter(|entry| entry.luasocketd.end.as_deref() == Some("interrupted")).collect();
    assert_eq!(interrupted.len(), 2);
    for (end, decision) in interrupted.iter().zip([&found[1], &found[3]]) {
        assert_eq!(decision.event.action, words::decided(Matter::Connection));
        assert_eq!(end.event.action, words::ended(Matter::Connection));
        assert_eq!(end.event.id, decision.event.id);
        assert_eq!((&end.process, &end.user), (&decision.process, &decision.user));
        assert_eq!(end.event.start.as_ref(), Some(&decision.timestamp));
        assert_eq!((end.event.duration, end.destination.as_ref().and_then(|side| side.bytes)), (None, None));
    }
    next.decide(1).unwrap();
    let entries = entries(&copy.directory);
    let runs = entries.iter().filter(|entry| entry.event.action == "trail-started");
    assert_eq!(runs.count(), 2);
    let decisions: Vec<_> = entries.iter().filter(|entry| entry.event.id.ends_with("-1")).collect();
    assert_ne!(
        decisions.first().unwrap().event.id,
        decisions.last().unwrap().event.id,
        "runs have their own numbers"
    );
    drop(next);
    assert_sound(&copy.directory);
}

#[test]
fn one_daemon_at_a_time_writes_a_trail() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let _first = Watched::start(&settings);
    let error = Trail::start(&settings, || {}).unwrap_err().to_string();
    assert!(
        error.contains("another daemon") && error.contains(settings.directory.to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    drop(Trail::start(&settings, || {}).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&settings.directory), 0o700);
    for file in fs::read_dir(&settings.directory).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    fs::set_permissions(&settings.directory, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Trail::start(&settings, || {}).unwrap_err().to_string();
    assert!(error.contains("chmod go-w"), "{error}");
}

#[test]
fn a_trail_whose_file_is_taken_away_refuses_until_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    watched.decide(1).unwrap();
    let (live, away) = (settings.directory.join("audit.jsonl"), settings.directory.join("away"));
    fs::rename(&live, &away).unwrap();
    let reason = watched.decide(2).unwrap_err();
    assert!(reason.contains("has gone"), "{reason}");
    assert!(matches!(watched.trail.append(begun(3), true), Appended::Refused(_)), "at once");
    assert_eq!(watched.trail.append(over(1), false), Appended::Done);
    fs::rename(&away, &live).unwrap();
    watched.wait("it is written again", |state| state.failing.is_none());
    watched.decide(4).unwrap();
    drop(watched);
    let expected = [
        "trail-started",
        "connection-decided",
        "trail-resumed",
        "connection-ended",
        "connection-decided",
        "trail-ended",
    ];
    assert_eq!(actions(&settings.directory), expected);
    assert_sound(&settings.directory);
}

#[test]
fn a_trail_goes_on_in_an_empty_file_that_the_operator_makes_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    watched.decide(1).unwrap();
    watched.decide(2).unwrap();
    let live = settings.directory.join("audit.jsonl");
    fs::remove_file(&live).unwrap();
    assert!(watched.decide(3).is_err());
    fs::write(&live, "").unwrap();
    watched.wait("it is written again", |state| state.failing.is_none());
    watched.decide(4).unwrap();
    let copy = Settings { directory: directory.path().join("copy"), ..settings.clone() };
    killed(&settings.directory, &copy.directory);
    drop(watched);
    let found = entries(&settings.directory);
    assert_eq!(found[0].event.action, "trail-resumed");
    assert_eq!(found[0].luasocketd.gone.as_ref().unwrap().sequence, 3);
    let verification = verify(&settings.directory, None).unwrap();
    let faults: Vec<String> = verification.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].ends_with("audit.jsonl:1 (sequence 4): the lines 1 to 3 before this one are missing"),
        "{faults:?}"
    );
    // A later start knows of what was decided in the file that has gone.
    drop(Watched::start(&copy));
    let interrupted =
        entries(&copy.directory).into_iter().filter(|entry| entry.luasocketd.end.is_some()).count();
    assert_eq!(interrupted, 3);
}

#[test]
fn a_file_that_is_another_one_now_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    let live = settings.directory.join("audit.jsonl");
    fs::remove_file(&live).unwrap();
    fs::write(&live, "mine").unwrap();
    let reason = watched.decide(1).unwrap_err();
    assert!(reason.contains("another file"), "{reason}");
    fs::remove_file(&live).unwrap();
    std::os::unix::fs::symlink("/dev/null", &live).unwrap();
    thread::sleep(Duration::from_millis(1200));
    assert!(watched.trail.state().failing.is_some());
    assert!(watched.trail.stop().unwrap_err().contains("could not be written"));
}

#[test]
fn what_has_happened_is_kept_while_nothing_can_be_written_and_what_is_too_much_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    watched.decide(1).unwrap();
    let (live, away) = (settings.directory.join("audit.jsonl"), settings.directory.join("away"));
    fs::rename(&live, &away).unwrap();
    watched.decide(2).unwrap_err();
    // More than are kept, those that were refused not counted.
    for id in 1000..1150 {
        let _ = watched.trail.append(Record::Decided(decided(id, Matter::Connection, Decision::Deny)), false);
    }
    watched.wait("some are lost", |state| state.lost == 50 && state.queued == 100);
    assert!(watched.trail.state().lag > Duration::ZERO);
    fs::rename(&away, &live).unwrap();
    watched.wait("it is written again", |state| state.failing.is_none() && state.queued == 0);
    let state = watched.trail.state();
    assert_eq!((state.lost, state.lag, state.committed), (50, Duration::ZERO, 2 + 1 + 100));
    drop(watched);
    let found = entries(&settings.directory);
    let resumed = found.iter().find(|entry| entry.event.action == "trail-resumed").unwrap();
    assert_eq!(resumed.luasocketd.lost, Some(50));
    let reason = resumed.event.reason.as_ref().unwrap();
    assert!(reason.contains("1 decisions were refused") && reason.contains("50 records lost"), "{reason}");
    assert_sound(&settings.directory);
}

#[test]
fn no_end_is_without_its_decision() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    let _ = watched.trail.append(over(7), false);
    drop(watched);
    let found = entries(&settings.directory);
    assert_eq!(
        (&*found[1].event.action, &*found[2].event.action),
        ("connection-decided", "connection-ended")
    );
    assert_eq!(found[2].event.start.as_ref(), Some(&found[1].timestamp));
}

#[test]
fn a_trail_rotates_by_size_and_what_is_open_stays_known() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { rotate_bytes: 20_000, ..settings(directory.path()) };
    let watched = Watched::start(&settings);
    watched.decide(1).unwrap();
    for id in 2..=100 {
        watched.decide(id).unwrap();
        let _ = watched.trail.append(over(id), false);
    }
    watched.wait("all are written", |state| state.queued == 0);
    watched.trail.notes().note(Own::PolicyLoaded, "p.toml");
    watched.wait("all are written", |state| state.queued == 0);
    let copy = Settings { directory: directory.path().join("copy"), ..settings.clone() };
    drop(watched);
    assert!(super::super::segments(&settings.directory).unwrap().len() > 3);
    assert_sound(&settings.directory);
    killed(&settings.directory, &copy.directory);
    drop(Watched::start(&copy));
    let interrupted = entries(&copy.directory);
    let interrupted: Vec<_> =
        interrupted.iter().filter(|entry| entry.luasocketd.end.as_deref() == Some("interrupted")).collect();
    assert_eq!(interrupted.len(), 1, "the first of all, which was decided many files before");
    assert!(interrupted[0].event.id.ends_with("-1"));
}

/// Says to a child that it is one.
const CHILD: &str = "AUDIT_TEST_CHILD";

/// A limit on the size of files is to a writer what a full disk is: a write ends within a line, and then fails. It is for
/// a whole process, so this test runs itself again in one of its own, that does not end by the signal.
#[test]
fn a_full_disk_refuses_and_when_there_is_room_the_trail_goes_on() {
    if std::env::var_os(CHILD).is_some() {
        return fill_the_disk();
    }
    let name = "audit::trail::tests::a_full_disk_refuses_and_when_there_is_room_the_trail_goes_on";
    let test = std::env::current_exe().unwrap();
    let output = process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(test)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn fill_the_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = |bytes: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    };
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let watched = Watched::start(&settings);
    for id in 1..=10 {
        watched.decide(id).unwrap();
    }
    let live = settings.directory.join("audit.jsonl");
    let length = fs::metadata(&live).unwrap().len();
    limit(Some(length + 2500));
    let refused = (11..).find(|&id| watched.decide(id).is_err()).unwrap();
    assert!((12..20).contains(&refused), "some fit: {refused}");
    let reason = watched.trail.state().failing.unwrap();
    assert!(reason.contains("cannot write to"), "{reason}");
    assert_eq!(fs::metadata(&live).unwrap().len(), length + 2500, "the write ended within a line");
    for id in 1..=10 {
        assert_eq!(watched.trail.append(over(id), false), Appended::Done);
    }
    assert!(matches!(watched.trail.append(begun(99), true), Appended::Refused(_)));
    // A start finds no room for its first line, and says so.
    let copy = Settings { directory: directory.path().join("copy"), ..settings.clone() };
    limit(None);
    killed(&settings.directory, &copy.directory);
    limit(Some(length + 2500));
    let error = Trail::start(&copy, || {}).unwrap_err().to_string();
    assert!(error.contains("cannot write to"), "{error}");
    limit(None);
    watched.wait("it is written again", |state| state.failing.is_none() && state.queued == 0);
    watched.decide(100).unwrap();
    drop(watched);
    let found = entries(&settings.directory);
    let ends = found.iter().filter(|entry| entry.event.action == "connection-ended");
    assert_eq!(ends.count(), 10);
    let resumed = found.iter().find(|entry| entry.event.action == "trail-resumed").unwrap();
    assert_eq!(resumed.luasocketd.lost, Some(0));
    assert_sound(&settings.directory);
    drop(Watched::start(&copy));
    assert_sound(&copy.directory);
}
