//! Every example, run as its header says and on a stock interpreter, against real peers.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use luasocketd_tests::build::repository;
use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::{Daemon, Interpreter, Job, Running, network, program};

/// The examples that this file tests; `every_example_has_a_test` compares it with the directory.
const TESTED: [&str; 7] = [
    "chat.lua",
    "echo_server.lua",
    "hello.lua",
    "http_get.lua",
    "v1/chat.lua",
    "v1/echo_server.lua",
    "v1/http_get.lua",
];

/// How an example is run.
enum Way {
    /// `luasocketd run --allow '*'`
    Run,
    /// A stock interpreter on a served daemon.
    Stock(Interpreter, Box<Daemon>),
    /// The LuaSocket that the machine has: the examples are programs for it like any other.
    Real(Interpreter),
}

impl Way {
    /// All of them that the example is for: the real LuaSocket has no face of version 1.0.
    fn all(example: &str) -> Vec<Way> {
        let stock = |interpreter| Way::Stock(interpreter, Box::new(Daemon::start()));
        let mut ways = vec![Way::Run];
        ways.extend(Interpreter::ALL.map(stock));
        if !example.starts_with("v1/") {
            ways.push(Way::Real(Interpreter::Lua54));
        }
        ways
    }

    fn job(&self, example: &str, args: &[&str]) -> Job {
        let path = repository("examples").join(example);
        let job = match self {
            Way::Run => Job::new(program()).args(["run", "--allow", "*"]).arg(&path),
            Way::Stock(interpreter, daemon) => interpreter.job(&path, daemon),
            Way::Real(interpreter) => interpreter.stock_job(&path),
        };
        job.args(args)
    }
}

#[test]
fn every_example_has_a_test() {
    let root = repository("examples");
    let mut found = BTreeSet::new();
    collect(&root, &root, &mut found);
    assert_eq!(found, TESTED.map(str::to_owned).into());
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory can be read") {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            // The host in Rust is a package, with tests of its own.
            if !path.join("Cargo.toml").exists() {
                collect(root, &path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "lua") {
            let name = path.strip_prefix(root).expect("it lies below");
            found.insert(name.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn every_example_says_how_it_is_run_and_what_it_prints() {
    for example in TESTED {
        let text =
            std::fs::read_to_string(repository("examples").join(example)).expect("an example can be read");
        assert!(text.starts_with(&format!("-- {example}: ")), "{example} begins with its name");
        let run = text.lines().find(|line| line.starts_with("-- Run: ")).unwrap_or_default();
        let says = run.contains("luasocketd run --allow") && run.contains(&format!("examples/{example}"));
        assert!(says && text.contains("\n-- Prints: "), "{example} says how to run it: {run}");
    }
}

#[test]
fn hello() {
    let header = "HTTP/1.0 200 OK\nContent-Type: text/plain\nHello from Lua, through luasocketd!\n";
    for way in Way::all("hello.lua") {
        let outcome = way.job("hello.lua", &[]).run();
        assert_eq!(outcome.success(), header, "{outcome}");
    }
}

#[test]
fn http_get_fetches_a_page_of_a_real_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let page = format!("<h1>real</h1>\n{}\n", "0123456789abcdef".repeat(20_000));
    std::fs::write(directory.path().join("page.html"), &page).expect("a file can be written");
    let (_server, port) = web_server(directory.path());
    for example in ["http_get.lua", "v1/http_get.lua"] {
        for way in Way::all(example) {
            let outcome = way.job(example, &[&format!("http://127.0.0.1:{port}/page.html")]).run();
            assert_eq!(outcome.success(), page, "{outcome}");
            let outcome = way.job(example, &[&format!("http://127.0.0.1:{port}/missing")]).run();
            assert_eq!(outcome.status.code(), Some(1), "{outcome}");
            assert!(outcome.errors().contains("404"), "{outcome}");
        }
    }
}

/// nginx or Python's http.server, whichever the machine has, with a directory of files.
fn web_server(directory: &Path) -> (Running, u16) {
    network::served(|port| web_server_job(directory, port))
}

fn web_server_job(directory: &Path, port: u16) -> Job {
    if let Some(nginx) = find_command("nginx") {
        let config = write_nginx_config(directory, port);
        return Job::new(nginx).arg("-p").arg(directory).arg("-c").arg(config).args(["-e", "stderr"]);
    }
    let python = find_command("python3")
        .unwrap_or_else(|| panic!("neither nginx nor python3 is there; run: apt-get install nginx-light"));
    let port = port.to_string();
    Job::new(python).args(["-m", "http.server", "--bind", "127.0.0.1", &port, "--directory"]).arg(directory)
}

fn write_nginx_config(directory: &Path, port: u16) -> PathBuf {
    let at = directory.display();
    // As root its workers would become nobody, who may not read a temporary directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let config = format!(
        "{user} daemon off; worker_processes 1; pid {at}/nginx.pid; error_log stderr;
        events {{}}
        http {{
            access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;
            uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;
            server {{ listen 127.0.0.1:{port}; root {at}; }}
        }}"
    );
    let path = directory.join("nginx.conf");
    std::fs::write(&path, config).expect("a file can be written");
    path
}

/// Answers so many requests with the same bytes.
fn canned(answer: &'static [u8], times: usize) -> u16 {
    let (listener, port) = network::listener();
    thread::spawn(move || {
        for _ in 0..times {
            let mut stream = network::accept(&listener);
            let mut reader = BufReader::new(stream.try_clone().expect("a socket can be doubled"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            // In small pieces, so that they cut lines and chunks anywhere.
            for piece in answer.chunks(7) {
                if stream.write_all(piece).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    port
}

#[test]
fn http_get_understands_all_kinds_of_bodies() {
    let cases: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nwith\r\nlengthIGNORED", "with\r\nlength"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nchunk\r\n4;a=b\r\ned\r\n\r\nb\r\n body here!\r\n0\r\n\r\n", "chunked\r\n body here!"),
        (b"HTTP/1.0 200 OK\r\n\r\nup to\nthe end", "up to\nthe end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\nServer: old\n\nonly line feeds\n", "only line feeds\n"),
    ];
    for example in ["http_get.lua", "v1/http_get.lua"] {
        for (answer, body) in cases {
            let port = canned(answer, 1);
            let outcome = Way::Run.job(example, &[&format!("http://localhost:{port}")]).run();
            assert_eq!(outcome.success(), body, "{example}: {outcome}");
        }
    }
}

#[test]
fn http_get_says_what_went_wrong() {
    let refused = network::RefusedPort::take();
    let url = format!("http://127.0.0.1:{}/", refused.number());
    for example in ["http_get.lua", "v1/http_get.lua"] {
        for (args, text) in
            [(vec![], "usage"), (vec!["ftp://x/"], "not an http URL"), (vec![&*url], "connection refused")]
        {
            let outcome = Way::Run.job(example, &args).run();
            assert_eq!(outcome.status.code(), Some(1), "{outcome}");
            assert!(outcome.errors().contains(text) && outcome.stdout.is_empty(), "{outcome}");
        }
        for answer in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"[..],
            b"gibberish\r\n\r\n",
            b"",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort",
        ] {
            let port = canned(answer, 1);
            let outcome = Way::Run.job(example, &[&format!("http://127.0.0.1:{port}/")]).run();
            assert_eq!(outcome.status.code(), Some(1), "{outcome}");
            assert!(outcome.errors().starts_with("http_get: "), "{outcome}");
        }
    }
}

/// Starts a server example on a free port, for so many clients; gives the port that it prints.
fn serve(way: &Way, example: &str, clients: usize) -> (Running, u16) {
    let mut running = way.job(example, &["0", &clients.to_string()]).start();
    let line = running.line();
    let port = line.rsplit(' ').next().and_then(|word| word.parse().ok());
    (running, port.unwrap_or_else(|| panic!("no port in `{line}`")))
}

#[test]
fn echo_server() {
    for example in ["echo_server.lua", "v1/echo_server.lua"] {
        for way in Way::all(example) {
            let (running, port) = serve(&way, example, 3);
            let mut clients: Vec<TcpStream> = (0..3).map(|_| network::connect(port)).collect();
            for (i, client) in clients.iter_mut().enumerate() {
                client.write_all(format!("from client {i}\n").as_bytes()).expect("the server reads");
            }
            // All are open at once, and the last to come is answered while the first is still there.
            for (i, client) in clients.iter_mut().enumerate().rev() {
                let expected = format!("from client {i}\n");
                let mut got = vec![0; expected.len()];
                client.read_exact(&mut got).expect("the server answers");
                assert_eq!(String::from_utf8_lossy(&got), expected);
            }
            let mut long = clients.pop().expect("three clients");
            let data = vec![b'z'; 300_000];
            let mut half = long.try_clone().expect("a socket can be doubled");
            let writer = thread::spawn(move || {
                half.write_all(&data).expect("the server reads");
                half.shutdown(Shutdown::Write).expect("a socket can be shut down");
            });
            let mut back = Vec::new();
            long.read_to_end(&mut back).expect("the server answers and closes");
            writer.join().expect("the writer ends");
            assert_eq!(back.len(), 300_000);
            drop(clients);
            let outcome = running.finish();
            assert_eq!(outcome.success(), "", "{outcome}");
        }
    }
}

/// One person at the chat.
struct Person(BufReader<TcpStream>);

impl Person {
    fn new(port: u16) -> Person {
        Person(BufReader::new(network::connect(port)))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the chat reads");
    }

    fn hears(&mut self, expected: &str) {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the chat answers");
        assert_eq!(line.trim_end_matches('\n'), expected);
    }
}

fn all_hear<const N: usize>(people: [&mut Person; N], line: &str) {
    for person in people {
        person.hears(line);
    }
}

#[test]
fn chat() {
    for example in ["chat.lua", "v1/chat.lua"] {
        for way in Way::all(example) {
            let (running, port) = serve(&way, example, 3);
            let [mut ann, mut bob, mut cleo] = [(); 3].map(|()| Person::new(port));
            ann.say("ann\n");
            ann.hears("* ann is here");
            bob.say("bo");
            thread::sleep(Duration::from_millis(100));
            bob.say("b\r\n");
            ann.hears("* bob is here");
            bob.hears("* bob is here");
            cleo.say("cleo\n");
            all_hear([&mut ann, &mut bob, &mut cleo], "* cleo is here");
            // Two lines at once, a third one in parts with somebody else's line between them.
            ann.say("first\nsecond\nthi");
            for line in ["<ann> first", "<ann> second"] {
                all_hear([&mut ann, &mut bob, &mut cleo], line);
            }
            bob.say("between\n");
            all_hear([&mut ann, &mut bob, &mut cleo], "<bob> between");
            ann.say("rd\n");
            all_hear([&mut ann, &mut bob, &mut cleo], "<ann> third");
            drop(bob);
            all_hear([&mut ann, &mut cleo], "* bob is gone");
            drop(ann);
            cleo.hears("* ann is gone");
            drop(cleo);
            let outcome = running.finish();
            assert_eq!(outcome.success(), "", "{outcome}");
        }
    }
}
