//! A small trail, written line by line.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use luasocketd::audit::{
    Client, Destination, Entry, Event, Hash, Index, Luasocketd, Network, Process, Rule, Side, User,
};
use tempfile::TempDir;

/// A trail of its own; it goes with its directory.
pub struct Trail {
    pub directory: TempDir,
    sequence: u64,
    first: u64,
    hash: Hash,
}

/// 2026-03-01T00:00:00Z.
pub const BEGIN: i64 = 1_772_323_200;

/// A time so many seconds after [`BEGIN`].
pub fn time(seconds: i64) -> String {
    format!("{:.6}", jiff::Timestamp::from_second(BEGIN + seconds).unwrap())
}

impl Trail {
    pub fn new() -> Self {
        Trail { directory: tempfile::tempdir().unwrap(), sequence: 0, first: 1, hash: Hash::default() }
    }

    /// Another one in its place.
    pub fn restarted(self) -> Self {
        Trail { directory: self.directory, ..Trail::new() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a line.
    pub fn write(&mut self, mut entry: Entry) {
        self.sequence += 1;
        entry.event.sequence = self.sequence;
        let mut line = serde_json::to_string(&entry).unwrap();
        line.pop();
        self.hash = self.hash.then(line.as_bytes());
        let hash = self.hash;
        self.write_text(&format!("{line},\"hash\":{{\"sha256\":\"{hash}\"}}}}\n"));
    }

    /// Writes anything.
    pub fn write_text(&self, text: &str) {
        let live = self.path().join("audit.jsonl");
        let mut file = OpenOptions::new().append(true).create(true).open(live).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Rotates the live file.
    pub fn rotate(&mut self) {
        let live = self.path().join("audit.jsonl");
        let packed = self.path().join(format!("audit.{:020}.jsonl.gz", self.first));
        let mut packer = GzEncoder::new(fs::File::create(packed).unwrap(), Compression::fast());
        packer.write_all(&fs::read(&live).unwrap()).unwrap();
        packer.finish().unwrap();
        fs::write(live, "").unwrap();
        self.first = self.sequence + 1;
    }

    /// The first line of the live file.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Writes a decision.
    pub fn decide(&mut self, number: u64, seconds: i64, host: &str) {
        self.write(decided(number, seconds, host));
    }

    /// Writes the end of one.
    pub fn end(&mut self, number: u64, seconds: i64, host: &str, end: &str) {
        self.finish(decided(number, seconds, host), seconds, end);
    }

    /// Writes the end of this decision.
    pub fn finish(&mut self, mut entry: Entry, seconds: i64, end: &str) {
        entry.timestamp = time(seconds + 5);
        entry.event.action = "connection-ended".into();
        entry.event.outcome = "success".into();
        entry.event.start = Some(time(seconds));
        entry.event.duration = Some(5_000_000_000);
        entry.luasocketd.end = Some(end.into());
        entry.source = Some(Side {
            ip: Some("192.0.2.1".into()),
            port: Some(40_000),
            bytes: Some(10),
            packets: Some(1),
            ..Side::default()
        });
        let destination = entry.destination.as_mut().unwrap();
        (destination.bytes, destination.packets) = (Some(1000), Some(2));
        let network = entry.network.as_mut().unwrap();
        (network.bytes, network.packets) = (Some(1010), Some(3));
        self.write(entry);
    }

    /// Its index, with all that is written.
    pub fn index(&self) -> Index {
        let mut index = Index::open(self.path()).unwrap();
        index.catch_up(&mut |_| {}).unwrap();
        index
    }
}

/// A connection to port 443 of a host with the address 8.8.0.NUMBER.
pub fn decided(number: u64, seconds: i64, host: &str) -> Entry {
    Entry {
        timestamp: time(seconds),
        event: Event {
            id: format!("run-{number}"),
            kind: "event".into(),
            category: vec!["network".into()],
            types: vec!["connection".into(), "start".into(), "allowed".into()],
            action: "connection-decided".into(),
            outcome: "unknown".into(),
            ..Event::default()
        },
        network: Some(Network {
            transport: "tcp".into(),
            version: Some("ipv4".into()),
            direction: "outbound".into(),
            ..Network::default()
        }),
        destination: Some(Destination {
            address: Some(host.into()),
            domain: Some(host.into()),
            ip: Some(format!("8.8.0.{}", number % 250)),
            port: Some(443),
            ..Destination::default()
        }),
        process: Some(Process { pid: 100, executable: Some("/usr/bin/lua".into()) }),
        user: Some(User { id: "1000".into() }),
        rule: Some(Rule { name: Some("allow x".into()), ruleset: "web".into() }),
        luasocketd: Luasocketd {
            matter: "connection".into(),
            verdict: Some("allow".into()),
            service: Some("443".into()),
            client: Some(Client { name: "a.lua".into(), lua: "Lua 5.4".into(), socket: None }),
            ..Luasocketd::default()
        },
        ..Entry::default()
    }
}
