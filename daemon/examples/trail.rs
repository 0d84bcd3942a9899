//! Writes an audit trail of scripts that never ran, to see how questions to a large one are answered:
//! `cargo run --release --example trail -- --records 10000000 DIR`. The same options write the same trail.
//!
//! Fifty clients of twenty users talk to two thousand hosts, each mostly to its own few; one in fifty is denied, some
//! are reported, fail, are interrupted by a crash of the daemon, or are still open at the end. The lines are chained
//! and rotated as the daemon does it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use luasocketd::audit::{
    Client, Destination, Dns, Ecs, Entry, Event, Failure, Group, Hash, Host, Luasocketd, Network, OWN_MATTER,
    Own, Process, Question, Rule, Side, User,
};

const CLIENTS: u64 = 50;
const USERS: u64 = 20;
const HOSTS: u64 = 2000;
/// How many hosts a client mostly talks to.
const OWN_HOSTS: u64 = 40;
const PORTS: [u16; 8] = [443, 443, 443, 443, 443, 80, 8080, 5432];
/// The first moment of the trail, 2026-01-01T00:00:00Z, in microseconds.
const BEGIN_US: i64 = 1_767_225_600_000_000;

#[derive(Parser)]
struct Options {
    /// How many lines.
    #[arg(long, default_value = "10000")]
    records: u64,
    /// Over how many days.
    #[arg(long, default_value = "30")]
    days: i64,
    /// What the randomness begins with.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// A file is rotated when it has so many bytes.
    #[arg(long, default_value = "268435456")]
    rotate: u64,
    /// The trail's directory.
    directory: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    fs::create_dir_all(&options.directory)?;
    let mut trail = Trail::new(&options)?;
    let mut dice = Dice(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let step = options.days * 86_400_000_000 / i64::try_from(options.records / 2 + 1)?;
    let mut open: BinaryHeap<Reverse<(i64, u64)>> = BinaryHeap::new();
    let mut ends = std::collections::HashMap::new();
    let mut number = 0;
    let mut run = 0;
    let mut now = BEGIN_US;
    trail.write(own_line(Own::Started, "run-0000-", &mut number, now))?;
    while trail.sequence + (open.len() as u64) < options.records {
        now += step / 2 + i64::try_from(dice.below(u64::try_from(step)?.max(1)))?;
        while open.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, id))) = open.pop() {
                let ended: Option<Entry> = ends.remove(&id);
                ended.map_or(Ok(()), |ended| trail.write(ended))?;
            }
        }
        // The daemon crashes once in a while.
        if trail.sequence > (run + 1) * (options.records / 4) && run < 3 {
            run += 1;
            for Reverse((_, id)) in std::mem::take(&mut open).into_sorted_vec() {
                let ended: Option<Entry> = ends.remove(&id);
                ended.map_or(Ok(()), |ended| trail.write(interrupted(ended, now)))?;
            }
            let name = format!("run-{run:04}-");
            let mut lost = own_line(Own::Started, &name, &mut number, now);
            lost.luasocketd.lost = Some(run * 3);
            trail.write(lost)?;
        }
        number += 1;
        let (decided, ended) = thing(&mut dice, format!("run-{run:04}-{number}"), now, step);
        trail.write(decided)?;
        if let Some((at, ended)) = ended {
            ends.insert(number, ended);
            open.push(Reverse((at, number)));
        }
    }
    trail.finish()
}

/// One of the trail's own lines.
fn own_line(own: Own, run: &str, number: &mut u64, now: i64) -> Entry {
    *number += 1;
    Entry {
        timestamp: time(now),
        event: Event {
            id: format!("{run}{number}"),
            kind: "event".into(),
            category: vec!["process".into()],
            types: vec![own.kind().into()],
            action: own.action().into(),
            outcome: "success".into(),
            ..Event::default()
        },
        luasocketd: Luasocketd { matter: OWN_MATTER.into(), ..Luasocketd::default() },
        ..common()
    }
}

/// Something that is decided, and its end with the time of that if it has one.
fn thing(dice: &mut Dice, id: String, now: i64, step: i64) -> (Entry, Option<(i64, Entry)>) {
    let client = dice.below(CLIENTS);
    let user = 1000 + client % USERS;
    let own = dice.below(20) > 0;
    let host = if own { (client * 37 + dice.few(OWN_HOSTS)) % HOSTS } else { dice.below(HOSTS) };
    let port = PORTS[(host % 8) as usize];
    let literal = host % 50 == 7;
    let ip =
        format!("198.{}.{}.{}", 20 + host / 250, host % 250, 1 + dice.below(if literal { 1 } else { 3 }));
    let name = if literal { ip.clone() } else { format!("h{host}.d{}.example.com", host % 97) };
    let (verdict, rule) = match dice.below(100) {
        0 | 1 => ("deny", Some("deny connect:*.example.com (/etc/luasocketd.toml:9)".to_owned())),
        2..=4 => {
            ("report", Some(format!("report connect:*.d{}.example.com (/etc/luasocketd.toml:12)", host % 97)))
        }
        _ => (
            "allow",
            Some(format!(
                "allow connect:*.d{}.example.com (/etc/luasocketd.toml:{})",
                host % 97,
                20 + host % 97
            )),
        ),
    };
    let matter = match dice.below(100) {
        0..=3 => "accepted",
        4..=8 => "datagram-peer",
        9..=13 => "lookup",
        14 => "listener",
        _ => "connection",
    };
    let transport = if matter == "datagram-peer" { "udp" } else { "tcp" };
    let mut entry = Entry {
        timestamp: time(now),
        event: Event {
            id,
            kind: "event".into(),
            category: vec!["network".into()],
            types: vec!["connection".into(), if verdict == "deny" { "denied" } else { "start" }.into()],
            action: format!("{matter}-decided"),
            outcome: if verdict == "deny" { "failure" } else { "unknown" }.into(),
            ..Event::default()
        },
        process: Some(Process {
            pid: i32::try_from(2000 + client * 100 + dice.below(100)).unwrap_or(1),
            executable: Some("/usr/bin/lua5.4".into()),
        }),
        user: Some(User { id: user.to_string() }),
        group: Some(Group { id: user.to_string() }),
        rule: Some(Rule { name: rule, ruleset: format!("profile-{}", client % 10) }),
        luasocketd: Luasocketd {
            matter: matter.into(),
            verdict: Some(verdict.into()),
            enforce_would_deny: verdict == "report",
            client: Some(Client {
                name: format!("job-{client}.lua"),
                lua: "Lua 5.4".into(),
                socket: Some("/run/luasocketd/luasocketd.sock".into()),
            }),
            ..Luasocketd::default()
        },
        ..common()
    };
    let network = |direction: &str| {
        Some(Network {
            transport: transport.into(),
            version: Some("ipv4".into()),
            direction: direction.into(),
            ..Network::default()
        })
    };
    match matter {
        "lookup" => {
            entry.dns = Some(Dns { question: Question { name }, resolved_ip: Vec::new() });
            entry.network = network("outbound");
        }
        "accepted" => {
            let peer = format!("203.0.113.{}", dice.below(250));
            let port = 40_000 + dice.port();
            entry.luasocketd.judged = vec![format!("{peer}:{port}")];
            entry.luasocketd.service = Some(port.to_string());
            entry.source = Some(Side { ip: Some(peer), port: Some(port), ..Side::default() });
            entry.destination = Some(Destination {
                ip: Some("192.0.2.1".into()),
                port: Some(8080),
                ..Destination::default()
            });
            entry.network = network("inbound");
        }
        "listener" => {
            entry.destination = Some(Destination {
                address: Some("*".into()),
                ip: Some("0.0.0.0".into()),
                port: Some(8080),
                ..Destination::default()
            });
            entry.luasocketd.service = Some("8080".into());
            entry.network = network("inbound");
        }
        _ => {
            entry.luasocketd.judged = vec![format!("{ip}:{port}")];
            entry.luasocketd.service = Some(port.to_string());
            entry.destination = Some(Destination {
                domain: (!literal).then(|| name.clone()),
                address: Some(name),
                ip: Some(ip),
                port: Some(port),
                ..Destination::default()
            });
            entry.network = network("outbound");
        }
    }
    let at = now + lasts(dice, step);
    let ended = (verdict != "deny").then(|| (at, ended(dice, &entry, now, at)));
    (entry, ended)
}

fn ended(dice: &mut Dice, decided: &Entry, now: i64, at: i64) -> Entry {
    let mut entry = decided.clone();
    let matter = entry.luasocketd.matter.clone();
    entry.timestamp = time(at);
    entry.event.action = format!("{matter}-ended");
    entry.event.types = vec!["connection".into(), "end".into()];
    entry.event.outcome = "success".into();
    entry.event.start = Some(time(now));
    entry.event.duration = u64::try_from((at - now) * 1000).ok();
    entry.luasocketd.lookup_time = Some(100_000 + dice.below(20_000_000));
    let end = match (matter.as_str(), dice.below(50)) {
        ("lookup", _) => "answered",
        (_, 0) => {
            entry.event.outcome = "failure".into();
            entry.error = Some(Failure { code: "os:111".into(), message: "connection refused".into() });
            "failed"
        }
        (_, 1..=12) => "peer-ended",
        _ => "closed",
    };
    entry.luasocketd.end = Some(end.into());
    if let Some(dns) = &mut entry.dns {
        dns.resolved_ip = vec!["198.51.100.7".into()];
        return entry;
    }
    let (sent, received) = (dice.few(1 << 14), dice.few(1 << 22));
    entry.luasocketd.connect_time = Some(1_000_000 + dice.below(90_000_000));
    let source = entry.source.get_or_insert_default();
    if source.ip.is_none() {
        source.ip = Some("192.0.2.1".into());
        source.port = Some(30_000 + dice.port());
    }
    source.bytes = Some(sent);
    source.packets = Some(1 + sent / 1400);
    let destination = entry.destination.get_or_insert_default();
    destination.bytes = Some(received);
    destination.packets = Some(1 + received / 1400);
    if let Some(network) = &mut entry.network {
        network.bytes = Some(sent + received);
        network.packets = Some(2 + sent / 1400 + received / 1400);
    }
    entry
}

/// The end that the next daemon writes.
fn interrupted(mut ended: Entry, now: i64) -> Entry {
    let start = ended.event.start.as_deref().and_then(|start| start.parse::<Timestamp>().ok());
    ended.timestamp = time(now);
    ended.luasocketd.end = Some("interrupted".into());
    ended.event.outcome = "unknown".into();
    ended.event.duration = start.and_then(|start| u64::try_from((now - start.as_microsecond()) * 1000).ok());
    ended
}

/// How long something lasts, in microseconds: mostly seconds, sometimes hours, and so long that some are always open.
fn lasts(dice: &mut Dice, step: i64) -> i64 {
    let longest = if dice.below(200) == 0 { 20_000_000_000 } else { 20_000_000.max(4 * step.unsigned_abs()) };
    i64::try_from(10_000 + dice.below(longest)).unwrap_or_default()
}

fn common() -> Entry {
    Entry {
        host: Some(Host { hostname: "machine.example".into() }),
        ecs: Ecs { version: "8.17.0".into() },
        ..Entry::default()
    }
}

fn time(micros: i64) -> String {
    format!("{:.6}", Timestamp::from_microsecond(micros).unwrap_or_default())
}

/// Chances.
struct Dice(u64);

impl Dice {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// A number below `limit`, small ones more often.
    fn few(&mut self, limit: u64) -> u64 {
        let most = self.below(limit) + 1;
        self.below(most)
    }

    fn port(&mut self) -> u16 {
        u16::try_from(self.below(20_000)).unwrap_or_default()
    }
}

/// The files.
struct Trail {
    directory: PathBuf,
    rotate: u64,
    file: BufWriter<File>,
    first: u64,
    sequence: u64,
    bytes: u64,
    hash: Hash,
}

impl Trail {
    fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let file = BufWriter::new(File::create(options.directory.join("audit.jsonl"))?);
        let (directory, rotate) = (options.directory.clone(), options.rotate);
        Ok(Trail { directory, rotate, file, first: 1, sequence: 0, bytes: 0, hash: Hash::default() })
    }

    fn write(&mut self, mut entry: Entry) -> Result<(), Box<dyn Error>> {
        if self.bytes >= self.rotate {
            self.rotate()?;
        }
        self.sequence += 1;
        entry.event.sequence = self.sequence;
        let mut line = serde_json::to_vec(&entry)?;
        line.pop();
        self.hash = self.hash.then(&line);
        line.extend_from_slice(format!(",\"hash\":{{\"sha256\":\"{}\"}}}}\n", self.hash).as_bytes());
        self.bytes += line.len() as u64;
        self.file.write_all(&line)?;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Box<dyn Error>> {
        self.file.flush()?;
        let live = self.directory.join("audit.jsonl");
        let packed = File::create(self.directory.join(format!("audit.{:020}.jsonl.gz", self.first)))?;
        let mut packer = GzEncoder::new(BufWriter::new(packed), Compression::fast());
        std::io::copy(&mut File::open(&live)?, &mut packer)?;
        packer.finish()?.flush()?;
        self.file = BufWriter::new(File::create(&live)?);
        self.first = self.sequence + 1;
        self.bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        self.file.flush()?;
        println!("{} lines in {}", self.sequence, self.directory.display());
        Ok(())
    }
}
