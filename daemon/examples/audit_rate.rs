//! How many decisions a second the audit trail takes on this machine's disk, and what one costs.
//!
//!     cargo run --release -p luasocketd --example audit_rate -- DIRECTORY

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use luasocketd::audit::{Appended, Durability, Settings, Trail, verify};
use luasocketd::core::policy::{Decision, Verdict, Why};
use luasocketd::core::trail::{Decided, End, Ended, Matter, Party, Record, Traffic, TrailId};
use luasocketd::core::{Credentials, Place};
use luasocketd_protocol::Kind;
use rustix::time::{ClockId, clock_gettime};

/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: audit_rate DIRECTORY (one that is not there yet, on the disk to measure)");
        std::process::exit(2);
    };
    println!("durability  waiting  decisions/s  CPU/record  bytes/record");
    for (durability, waiting) in [Durability::Strict; 3].into_iter().zip([1, 64, 1000]) {
        measure(&directory, durability, waiting);
    }
    measure(&directory, Durability::Relaxed, 1000);
    start_after_kill(&directory);
}

fn measure(directory: &Path, durability: Durability, waiting: u64) {
    let settings =
        Settings { durability, ..Settings::new(directory.join(format!("{}-{waiting}", durability.name()))) };
    let (wake, woken) = channel();
    let wake = move || {
        // The end of the measurement wants no more.
        let _ = wake.send(());
    };
    let trail = Trail::start(&settings, wake).expect("a trail begins");
    let (mut next, mut done) = (0, 0);
    let (begin, cpu) = (Instant::now(), cpu_time());
    while begin.elapsed() < TIME {
        while next - done < waiting && !trail.is_full() {
            next += 1;
            match trail.append(Record::Decided(decided(next)), true) {
                Appended::Done => done += 1,
                Appended::Pending => {}
                Appended::Refused(reason) => panic!("{reason}"),
            }
            if durability == Durability::Relaxed && next % waiting == 0 {
                break;
            }
        }
        let outcomes = trail.take_outcomes();
        let is_idle = outcomes.is_empty();
        for (id, outcome) in outcomes {
            outcome.expect("the record is written");
            done += 1;
            let _ = trail.append(Record::Ended(Box::new(ended(id.0))), false);
        }
        if durability == Durability::Strict && is_idle {
            let _ = woken.recv_timeout(TIME);
        } else if trail.is_full() {
            let _ = woken.recv_timeout(Duration::from_millis(100));
        }
    }
    let (elapsed, cpu) = (begin.elapsed(), cpu_time() - cpu);
    let state = trail.state();
    trail.stop().expect("all is written");
    let rate = done as f64 / elapsed.as_secs_f64();
    let (cost, size) = (cpu.as_secs_f64() * 1e6 / state.lines as f64, state.bytes / state.lines);
    println!("{:10}  {waiting:7}  {rate:11.0}  {cost:7.1} us  {size:12}", durability.name());
    let begin = Instant::now();
    let found = verify(&settings.directory, None).expect("there is a trail");
    assert!(found.is_sound(), "{:?}", found.faults);
    println!(
        "            verified {} lines in {} files in {:.2?}",
        found.lines,
        found.files,
        begin.elapsed()
    );
}

/// How long a start takes after the live file has become large and the daemon was killed.
fn start_after_kill(directory: &Path) {
    let settings = Settings {
        durability: Durability::Relaxed,
        rotate_bytes: 1 << 30,
        ..Settings::new(directory.join("large"))
    };
    let trail = Trail::start(&settings, || {}).expect("a trail begins");
    for id in 1..=60_000 {
        while trail.is_full() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = trail.append(Record::Decided(decided(id)), false);
        if id % 100 != 0 {
            let _ = trail.append(Record::Ended(Box::new(ended(id))), false);
        }
    }
    let end = trail.stop().expect("all is written");
    let live = settings.directory.join("audit.jsonl");
    let size = std::fs::metadata(&live).expect("there is a live file").len();
    let begin = Instant::now();
    let trail = Trail::start(&settings, || {}).expect("the trail goes on");
    println!(
        "start with a live file of {} MB, {} lines and 600 open: {:.2?}",
        size / 1_000_000,
        end.sequence,
        begin.elapsed()
    );
    drop(trail);
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn decided(id: u64) -> Arc<Decided> {
    Arc::new(Decided {
        id: TrailId(id),
        parent: None,
        matter: Matter::Connection,
        kind: Kind::Tcp,
        party: Arc::new(Party {
            credentials: Credentials { uid: 1000, gid: 1000, pid: 4242 },
            executable: Some("/usr/bin/lua5.4".into()),
            name: "job.lua".into(),
            lua: "Lua 5.4".into(),
            profile: "web".into(),
            socket: Some("/run/luasocketd/luasocketd.sock".into()),
        }),
        host: "db.example.com".into(),
        port: Some("5432".into()),
        places: vec![place("192.0.2.7:5432"), place("[2001:db8::7]:5432")],
        denied: Vec::new(),
        local: None,
        lookup: Some(Duration::from_millis(3)),
        verdict: Verdict { decision: Decision::Allow, why: Why::NoRule },
        refusal: None,
    })
}

fn ended(id: u64) -> Ended {
    Ended {
        decided: decided(id),
        lasted: Duration::from_millis(1500),
        local: Some(place("10.0.0.1:40000")),
        peer: Some(place("192.0.2.7:5432")),
        answers: Vec::new(),
        end: End::Closed,
        failure: None,
        connect: Some(Duration::from_millis(20)),
        sent: Traffic { bytes: 100, packets: Some(2) },
        received: Traffic { bytes: 3000, packets: Some(5) },
    }
}

fn place(address: &str) -> Place {
    Place::Net(address.parse().expect("it is an address"))
}
