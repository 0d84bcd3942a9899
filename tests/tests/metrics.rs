//! Metrics, fetched and judged by Prometheus itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::network::PATIENCE;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, wait_until};
use serde_json::Value;

/// A port of this machine that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be bound");
    listener.local_addr().expect("a bound socket has a name").port()
}

/// A daemon that serves metrics on a port.
fn daemon() -> (Daemon, u16) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    (Daemon::with_args(&["--allow", "127.0.0.1", "--metrics", &address]), port)
}

/// What a request gets, head and body in one; nothing where nobody listens.
fn try_fetch(port: u16, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero is taken");
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn fetch(port: u16, request: &str) -> String {
    try_fetch(port, request.as_bytes()).expect("the daemon listens")
}

/// A script that connects once and is denied once.
fn visit(daemon: &Daemon, peer: &Peer) {
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {}))
        held:send("echo\n12345") held:shutdown("send") assert(held:receive("*a") == "12345")
        assert(not socket.connect("127.0.0.2", 1))
        "#,
        peer.port()
    );
    Interpreter::Lua54.inline(&script, daemon).run().success();
}

#[test]
fn the_port_gives_one_page_and_holds_nobody_up() {
    let (daemon, port) = daemon();
    let page = fetch(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{page}");
    assert!(page.contains("\nluasocketd_clients{profile=\"command line\"} 0\n"), "{page}");
    // Somebody who says nothing, and somebody who does not end.
    let silent = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\n\r\n".to_owned(), "405"),
        ("GET /other HTTP/1.1\r\n\r\n".to_owned(), "404"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(20_000)), "431"),
        ("GET /metrics HTTP/1.1\r\n".to_owned(), "408"),
    ] {
        let answer = fetch(port, &request);
        // What is sent past the most may cost the answer.
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) || status == "431", "{answer}");
    }
    drop(silent);
    let text = daemon.operator("stats").arg("--prometheus").run().success();
    assert!(text.contains("\nluasocketd_sockets 0\n"), "{text}");
}

#[test]
fn only_this_machine_is_served() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let outcome = Daemon::job(&directory.path().join("d.sock")).args(["--metrics", address]).run();
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().contains("is no loopback address"), "{outcome}");
    }
}

#[test]
fn promtool_finds_nothing_wrong() {
    let (daemon, _) = daemon();
    visit(&daemon, &Peer::start());
    let text = daemon.operator("stats").arg("--prometheus").run().success();
    let promtool = find_command("promtool").expect("promtool is missing; run: apt-get install prometheus");
    let outcome = Job::new(promtool).args(["check", "metrics"]).stdin(text).run();
    assert_eq!(outcome.success(), "", "{outcome}");
    assert!(outcome.stderr.is_empty(), "{outcome}");
}

#[test]
fn prometheus_fetches_and_answers() {
    let (daemon, port) = daemon();
    let peer = Peer::start();
    visit(&daemon, &peer);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (config, own) = (directory.path().join("prometheus.yml"), free_port());
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: luasocketd\n    static_configs:\n      \
         - targets: [\"127.0.0.1:{port}\"]\n"
    );
    fs::write(&config, text).expect("a file can be written");
    let prometheus =
        find_command("prometheus").expect("prometheus is missing; run: apt-get install prometheus");
    let _running = Job::new(prometheus)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .limit(Duration::from_secs(120))
        .start();
    let value = |query: &str| -> Option<String> {
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let answer = try_fetch(own, request.as_bytes())?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let object: Value = serde_json::from_str(body).ok()?;
        Some(object["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    let mut found = None;
    wait_until("prometheus has fetched the metrics", PATIENCE, || {
        found = value("luasocketd_network_bytes_total{direction=%22received%22}");
        found.is_some()
    });
    assert_eq!(found.as_deref(), Some("5"));
    for (query, expected) in [
        ("up", "1"),
        ("luasocketd_verdicts_total{verdict=%22deny%22,profile=%22command%20line%22}", "1"),
        ("luasocketd_connect_duration_seconds_count", "1"),
        ("luasocketd_connect_duration_seconds_bucket{le=%22%2BInf%22}", "1"),
        ("luasocketd_clients_accepted_total", "1"),
    ] {
        assert_eq!(value(query).as_deref(), Some(expected), "{query}");
    }
}
