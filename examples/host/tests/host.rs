//! The example host with a daemon, its plug-in, and plug-ins that misbehave.

#![allow(clippy::unwrap_used)] // what helps a test may fail as a test does

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use luasocketd_tests::build::repository;
use luasocketd_tests::{Daemon, Job, Outcome, Peer};
use tempfile::TempDir;

/// The host's own limit ends what hangs; this is far above it.
const LIMIT: Duration = Duration::from_secs(60);

fn host(daemon: &Path, plugins: &[PathBuf], arguments: &[String]) -> Outcome {
    Job::new(env!("CARGO_BIN_EXE_luasocketd-host"))
        .arg(daemon)
        .args(plugins)
        .arg("--")
        .args(arguments)
        .limit(LIMIT)
        .run()
}

/// Plug-ins with these texts, in a directory that has to live as long as they.
fn plugins(texts: &[(&str, &str)]) -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = directory.path().join(name).with_extension("lua");
        std::fs::write(&path, text).unwrap();
        path
    };
    let paths = texts.iter().map(write).collect();
    (directory, paths)
}

#[test]
fn the_plugin_fetches_a_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let rule = format!("127.0.0.1:{port}");
    let daemon = Daemon::with_args(&["--allow", &rule]);
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        let request = lines.next().unwrap().unwrap();
        (&stream).write_all(b"HTTP/1.0 200 As you like\r\n\r\n").unwrap();
        request
    });
    let plugin = repository("examples/host/plugins/fetch.lua");
    let outcome = host(daemon.socket(), &[plugin], &["127.0.0.1".to_owned(), port]);
    assert_eq!(outcome.text(), "[fetch] HTTP/1.0 200 As you like\n", "{outcome}");
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(server.join().unwrap(), "GET / HTTP/1.0");
}

#[test]
fn what_the_daemon_refuses_is_the_plugins_error() {
    let daemon = Daemon::deny_all();
    let plugin = repository("examples/host/plugins/fetch.lua");
    let outcome =
        host(daemon.socket(), std::slice::from_ref(&plugin), &["127.0.0.1".to_owned(), "80".to_owned()]);
    let expected = format!("{}: cannot connect to 127.0.0.1:80: permission denied\n", plugin.display());
    assert_eq!(outcome.errors(), expected, "{outcome}");
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
}

#[test]
fn plugins_that_misbehave_harm_only_themselves() {
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let (_directory, paths) = plugins(&[
        ("fine", r#"require("socket").sleep(1) print("fine to the end", ...)"#),
        ("endless", "while true do pcall(function() while true do end end) end"),
        ("greedy", "local all = {} for i = 1, 1e9 do all[i] = ('x'):rep(1e5) .. i end"),
        ("gross", "local all = ('x'):rep(5e7)"),
        (
            "waiting",
            r#"
            local client = assert(require("socket").connect("127.0.0.1", ...))
            client:send("hold \n")
            client:receive()"#,
        ),
        ("curious", "print(io, load, loadstring, dofile, package, os and os.execute) require 'os'"),
    ]);
    let outcome = host(daemon.socket(), &paths, &[peer.port().to_string()]);
    let errors = outcome.errors();
    let said = |name: &str, what: &str| {
        let line = errors.lines().find(|line| line.contains(&format!("{name}.lua: ")));
        assert!(line.is_some_and(|line| line.contains(what)), "{name}: {line:?}\n{outcome}");
    };
    assert!(outcome.text().contains(&format!("[fine] fine to the end {}\n", peer.port())), "{outcome}");
    assert!(outcome.text().contains("[curious] nil nil nil nil nil nil\n"), "{outcome}");
    said("endless", "it ran for more than 5s");
    said("waiting", "it ran for more than 5s");
    said("greedy", "it wanted more than 16 MiB of memory");
    said("gross", "it wanted more than 16 MiB of memory");
    said("curious", "there is no module 'os'");
    assert!(!errors.contains("fine.lua"), "{outcome}");
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let (directory, paths) = plugins(&[("any", "")]);
    let outcome = host(&directory.path().join("none.sock"), &paths, &[]);
    assert!(outcome.errors().contains("none.sock: No such file or directory"), "{outcome}");
    assert!(outcome.errors().contains("; start one: luasocketd serve --socket "), "{outcome}");
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
}
