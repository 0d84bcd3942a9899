//! The operator's view of a live daemon, and what he can do to it.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use luasocketd_tests::build::repository;
use luasocketd_tests::jail::{Stage, User};
use luasocketd_tests::policy::own_profile;
use luasocketd_tests::{Daemon, Interpreter, Job, Peer, Pipe, PolicyFile, Running, program, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// How long what an operator does may take to show.
const SOON: Duration = Duration::from_secs(10);

/// The rows of an answer.
fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// The mark of the only client.
fn only_client(daemon: &Daemon) -> String {
    let answer = daemon.json("ps", &[]);
    let clients = rows(&answer, "clients");
    assert_eq!(clients.len(), 1, "{answer}");
    clients[0]["id"].as_str().expect("a client has a mark").to_owned()
}

/// A connection to the admin socket, with bounded reads.
fn admin(daemon: &Daemon) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(daemon.admin()).expect("the daemon listens for operators");
    stream.set_read_timeout(Some(SOON)).expect("a limit above zero is taken");
    stream.set_write_timeout(Some(SOON)).expect("a limit above zero is taken");
    BufReader::new(stream)
}

/// What a line on the admin socket is answered with.
fn exchange(admin: &mut BufReader<UnixStream>, line: &str) -> Value {
    match admin.get_mut().write_all(format!("{line}\n").as_bytes()) {
        // A line that is too long has its answer before its end.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("the daemon takes a line"),
    }
    let mut answer = String::new();
    admin.read_line(&mut answer).expect("the daemon answers");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Waits for a script that has something to say.
fn started(mut running: Running, line: &str) -> Running {
    assert_eq!(running.line(), line);
    running
}

#[test]
fn its_socket_is_its_owners_and_goes_with_it() {
    let daemon = Daemon::start();
    let admin = daemon.admin();
    let mode = fs::symlink_metadata(&admin).expect("the admin socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "mode of the admin socket");
    daemon.signal(Signal::TERM);
    daemon.finish().success();
    assert!(!admin.exists(), "the file of the admin socket is taken away");
}

#[test]
fn a_daemon_that_is_not_there_is_an_error_that_says_where() {
    let job = || Job::new(program()).arg("reload");
    for (outcome, place) in [
        (job().args(["--admin", "/no/such/admin.sock"]).run(), "/no/such/admin.sock"),
        (job().env("LUASOCKETD_ADMIN", "/no/such/other.sock").run(), "/no/such/other.sock"),
    ] {
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.errors().contains(place) && outcome.errors().contains("--admin PATH"), "{outcome}");
    }
}

#[test]
fn reload_swaps_the_policy_or_says_what_is_wrong_with_it() {
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let (peer, may) = (Peer::start(), || daemon.operator("reload").run());
    let script = format!(
        r#"local client, why = require("socket").connect("127.0.0.1", {}) print(client and "may" or why)"#,
        peer.port()
    );
    let says = || Interpreter::Lua54.inline(&script, &daemon).run().success();
    file.write(&own_profile(""));
    assert_eq!(may().success(), "the new policy is in force; its profiles: own\n");
    assert_eq!(says(), "permission denied\n");
    let json = daemon.operator("reload").arg("--json").run().success();
    assert_eq!(json, "{\"version\":1,\"profiles\":[\"own\"]}\n");
    file.write(&own_profile("allow = \"127.0.0.1\"\nalow = \"x\""));
    let wrong = may();
    assert_eq!(wrong.status.code(), Some(1), "{wrong}");
    assert!(wrong.errors().contains("the policy stays as it was"), "{wrong}");
    assert!(wrong.errors().contains("policy.toml:5: ") && wrong.errors().contains("alow"), "{wrong}");
    assert_eq!(says(), "permission denied\n");
    fs::remove_file(file.path()).expect("the file is there");
    let gone = may();
    assert_eq!(gone.status.code(), Some(1), "{gone}");
    assert!(gone.errors().contains(file.path()), "{gone}");
    assert_eq!(says(), "permission denied\n");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let daemon = Daemon::start();
    let outcome = daemon.operator("reload").run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("without --config"), "{outcome}");
}

#[test]
fn reload_ends_what_is_forbidden_now_only_when_told_to() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = file.daemon();
    let mut running = Interpreter::Lua54.inline(&peer.holder(), &daemon).start();
    assert_eq!(running.line(), "x");
    file.write(&own_profile(""));
    daemon.operator("reload").run().success();
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "what was connected goes on");
    daemon.operator("reload").arg("--enforce-now").run().success();
    assert_eq!(running.finish().success(), "permission denied\n");
}

#[test]
fn ps_shows_what_scripts_have() {
    let (peer, daemon) = (Peer::start(), Daemon::start());
    let script = format!(
        r#"
        local socket = require "socket"
        local server = assert(socket.bind("127.0.0.1", 0))
        local held = assert(socket.connect("localhost", {port}))
        held:settimeout(30)
        held:send("hold xyz\n")
        assert(held:receive(3) == "xyz")
        local udp = socket.udp4()
        assert(udp:setsockname("127.0.0.1", 0))
        local unconnected = socket.tcp4()
        udp:sendto("12345", "127.0.0.1", (select(2, udp:getsockname())))
        assert(udp:receive() == "12345")
        local function name(o) local host, port = o:getsockname() return host .. ":" .. port end
        print(name(server)) print(name(held)) print(name(udp)) io.stdout:flush()
        io.stdin:read("l") server:accept()
        "#,
        port = peer.port()
    );
    let mut running = Interpreter::Lua54.inline(&script, &daemon).start();
    let names = [running.line(), running.line(), running.line()];
    let answer = daemon.json("ps", &["--sockets"]);
    let [client] = rows(&answer, "clients") else { panic!("{answer}") };
    assert_eq!(client["pid"], running.pid(), "{client}");
    assert_eq!(client["uid"], rustix::process::geteuid().as_raw(), "{client}");
    assert_eq!(client["lua"], "Lua 5.4", "{client}");
    assert!(client["executable"].as_str().is_some_and(|path| path.ends_with("lua5.4")), "{client}");
    assert_eq!((&client["profile"], &client["sockets"]), (&"command line".into(), &4.into()), "{client}");
    assert_eq!(client["path"], daemon.socket().to_str().expect("a temporary path is text"), "{client}");
    // `hold xyz` and its line end, and the datagram; `xyz`, and the datagram again.
    assert_eq!((&client["sent"], &client["received"]), (&14.into(), &8.into()), "{client}");
    assert!(client["age_ms"].as_u64().is_some_and(|age| age < 60_000), "{client}");
    let of = |state: &str| {
        let found = rows(&answer, "sockets").iter().find(|row| row["state"] == state);
        found.unwrap_or_else(|| panic!("no {state} in {answer}"))
    };
    let (server, held, udp) = (of("server"), of("client"), of("unconnected"));
    assert_eq!(
        [server, held, udp].map(|row| row["local"].as_str()),
        names.each_ref().map(|name| Some(name.as_str()))
    );
    assert_eq!(held["peer"], format!("127.0.0.1:{}", peer.port()), "{held}");
    assert_eq!((&held["host"], &held["kind"]), (&"localhost".into(), &"tcp".into()), "{held}");
    assert_eq!(
        (&held["sent"], &held["received"], &held["queued"]),
        (&9.into(), &3.into(), &0.into()),
        "{held}"
    );
    assert_eq!(held["timeout_block_ms"], 30_000, "{held}");
    assert!(held["credit"].as_u64().is_some_and(|credit| credit > 0), "{held}");
    assert_eq!(
        (&udp["kind"], &udp["sent"], &udp["received"]),
        (&"udp".into(), &5.into(), &5.into()),
        "{udp}"
    );
    assert_eq!((&server["peer"], &of("master")["local"]), (&Value::Null, &Value::Null), "{answer}");
    let table = daemon.operator("ps").arg("--sockets").run().success();
    assert!(table.contains(&names[1]) && table.starts_with("CLIENT ") && !table.contains('\x1b'), "{table}");
    let alone = daemon.json("ps", &[client["id"].as_str().expect("a client has a mark")]);
    assert_eq!(rows(&alone, "sockets").len(), 4, "{alone}");
    let gone = daemon.operator("ps").arg("c77.1").run();
    assert_eq!((gone.status.code(), gone.errors().contains("c77.1 is not there")), (Some(1), true), "{gone}");
    let wrong = daemon.operator("ps").arg("77").run();
    assert_eq!(wrong.status.code(), Some(2), "{wrong}");
}

#[test]
fn a_killed_client_is_gone_with_its_sockets() {
    let (peer, daemon) = (Peer::start(), Daemon::start());
    let script = peer.holder() + r#"print((select(2, require("socket").connect("127.0.0.1", 1))))"#;
    let running = started(Interpreter::Lua54.inline(&script, &daemon).start(), "x");
    let mark = only_client(&daemon);
    let outcome = daemon.operator("kill").arg(&mark).run();
    assert!(outcome.success().contains(&format!("ended {mark}, pid {} uid", running.pid())), "{outcome}");
    let seen = running.finish();
    assert!(seen.text().starts_with("closed\n"), "{seen}");
    assert_eq!(daemon.json("ps", &["--sockets"])["sockets"], Value::Array(vec![]));
    let again = daemon.operator("kill").arg(&mark).run();
    assert_eq!(again.status.code(), Some(1), "{again}");
    assert!(again.errors().contains(&format!("{mark} is not there")), "{again}");
}

#[test]
fn of_a_killed_socket_a_script_hears_that_it_is_closed() {
    let (peer, daemon) = (Peer::start(), Daemon::start());
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {port}))
        held:send("hold x\n") assert(held:receive(1) == "x")
        local server = assert(socket.bind("127.0.0.1", 0))
        local udp = socket.udp4() assert(udp:setsockname("127.0.0.1", 0))
        local idle = socket.tcp4()
        print("up") io.stdout:flush()
        print((select(2, held:receive())))
        print((select(2, server:accept())))
        print((select(2, udp:receive())))
        print((select(2, idle:bind("127.0.0.1", 0))))
        local other = assert(socket.connect("127.0.0.1", {port}))
        print(other:send("hold y\n") == 7, (other:receive(1)))
        "#,
        port = peer.port()
    );
    let mut running = started(Interpreter::Lua54.inline(&script, &daemon).start(), "up");
    let client = only_client(&daemon);
    let answer = daemon.json("ps", &[&client]);
    let mark = |state: &str| {
        let row =
            rows(&answer, "sockets").iter().find(|row| row["state"] == state).expect("each state is there");
        row["id"].as_str().expect("a socket has a mark").to_owned()
    };
    // What nobody waits on yet goes first.
    for state in ["master", "client"] {
        assert_eq!(daemon.json("kill", &[&mark(state)])["socket"]["state"], state);
    }
    assert_eq!(running.line(), "closed");
    // LuaSocket's word for it is another one where datagrams come.
    for (state, word) in [("server", "closed"), ("unconnected", "refused")] {
        daemon.operator("kill").arg(mark(state)).run().success();
        assert_eq!(running.line(), word, "{state}");
    }
    assert_eq!(running.finish().success(), "closed\ntrue\ty\n");
}

#[test]
fn a_drained_daemon_ends_when_its_clients_have_or_its_time_is_over() {
    let idle = Daemon::start();
    let answer = idle.json("drain", &[]);
    assert_eq!((&answer["timeout_ms"], &answer["clients"]), (&10_000.into(), &0.into()), "{answer}");
    idle.finish().success();
    let (peer, daemon) = (Peer::start(), Daemon::start());
    let running = started(Interpreter::Lua54.inline(&peer.holder(), &daemon).start(), "x");
    let outcome = daemon.operator("drain").args(["--timeout", "1.5"]).run();
    assert!(outcome.success().contains("within 1.5 s; 1 clients and 1 sockets are left"), "{outcome}");
    let again = daemon.operator("drain").run();
    assert!(again.success().contains("was ending already"), "{again}");
    let stats = daemon.json("stats", &["--interval", "0"]);
    assert_eq!((&stats["draining"], &stats["clients"]), (&true.into(), &1.into()), "{stats}");
    assert_eq!(running.finish().success(), "closed\n");
    daemon.finish().success();
}

#[test]
fn nobody_but_its_user_and_root_is_listened_to() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be somebody else.
        return;
    }
    let daemon = Daemon::start();
    let stage = Stage::new(User::Nobody);
    let admin = daemon.admin();
    let path = admin.to_str().expect("a temporary path is text");
    fs::set_permissions(daemon.directory(), fs::Permissions::from_mode(0o755))
        .expect("the directory is ours");
    let outcome = stage.luasocketd(&["ps", "--admin", path]).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("is for the daemon's own user and root"), "{outcome}");
    // Even where the file lets him in.
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o666)).expect("the socket is ours");
    let outcome = stage.luasocketd(&["ps", "--admin", path]).run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.errors().contains("neither its user nor root"), "{outcome}");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert!(log.contains("refused: the admin socket") && log.contains("uid 65534"), "{log}");
}

#[test]
fn operators_who_do_harm_hold_nobody_up() {
    let daemon = Daemon::start();
    let ask = r#"{"version":1,"command":"ps"}"#;
    // They ask and ask, and read nothing.
    let mut deaf: Vec<_> = (0..10).map(|_| admin(&daemon)).collect();
    for one in &mut deaf {
        one.get_mut().set_nonblocking(true).expect("a socket can be told not to wait");
        while one.get_mut().write_all(format!("{ask}\n").as_bytes()).is_ok() {}
    }
    let mut rude = admin(&daemon);
    for (line, why) in [
        ("rubbish", "no JSON object"),
        ("\u{0}\u{1}", "no JSON object"),
        (r#"{"version":1,"command":"kill"}"#, "missing field `id`"),
        (r#"{"version":1,"command":"kill","id":"c1.1","force":true}"#, "unknown field `force`"),
        (r#"{"version":1,"command":"sockets","client":"s1.1"}"#, "s1.1 is no client"),
        (r#"{"version":1,"command":"drain","timeout_ms":99999999999}"#, "a time limit is at most"),
    ] {
        let answer = exchange(&mut rude, line);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(why)), "{line}: {answer}");
    }
    assert!(exchange(&mut rude, ask)["clients"].is_array(), "it goes on after a mistake");
    let answer = exchange(&mut rude, &"x".repeat(5000));
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("at most 4096 bytes")), "{answer}");
    let mut rest = String::new();
    assert!(!matches!(rude.read_line(&mut rest), Ok(1..)), "it ends after a line that is too long: {rest}");
    let (peer, begun) = (Peer::start(), Instant::now());
    let script = format!(
        r#"
        local held = assert(require("socket").connect("127.0.0.1", {}))
        held:send("echo\n")
        for i = 1, 200 do held:send(i .. "\n") assert(held:receive() == tostring(i)) end
        print("done")
        "#,
        peer.port()
    );
    assert_eq!(Interpreter::Lua54.inline(&script, &daemon).run().success(), "done\n");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    daemon.json("ps", &[]);
    // Past the most that there may be the next one is told so.
    let mut crowd: Vec<_> = (0..40).map(|_| admin(&daemon)).collect();
    let last = crowd.last_mut().expect("there is a crowd");
    let mut line = String::new();
    last.read_line(&mut line).expect("the daemon says why");
    assert!(line.contains("operators are connected"), "{line}");
    drop((crowd, deaf));
    wait_until("there is room again", SOON, || daemon.operator("ps").run().status.success());
}

#[test]
fn thousands_of_sockets_come_in_pages() {
    const SOCKETS: usize = 2000;
    let daemon = Daemon::start();
    let script = format!(
        r#"
        local socket, all = require "socket", {{}}
        for i = 1, {SOCKETS} do all[i] = assert(socket.udp4()) end
        print("up") io.stdout:flush() all[1]:receive()
        "#
    );
    let running = started(Interpreter::Lua54.inline(&script, &daemon).start(), "up");
    let (mut admin, mut from, mut marks, mut pages) = (admin(&daemon), Some(0), HashSet::new(), 0);
    while let Some(begin) = from {
        let answer = exchange(&mut admin, &format!(r#"{{"version":1,"command":"sockets","from":{begin}}}"#));
        let sockets = rows(&answer, "sockets");
        assert!(sockets.len() <= 128, "a page has {} rows", sockets.len());
        marks.extend(sockets.iter().map(|row| row["id"].as_str().expect("a socket has a mark").to_owned()));
        from = answer["next"].as_u64();
        pages += 1;
    }
    assert_eq!((marks.len(), pages), (SOCKETS, SOCKETS.div_ceil(128)));
    assert_eq!(rows(&daemon.json("ps", &["--sockets"]), "sockets").len(), SOCKETS);
    assert_eq!(daemon.json("stats", &["--interval", "0"])["sockets"], SOCKETS);
    daemon.operator("kill").arg(only_client(&daemon)).run().success();
    drop(running);
    assert_eq!(daemon.json("stats", &["--interval", "0"])["sockets"], 0);
}

#[test]
fn stats_count_what_happens() {
    let (peer, file) = (Peer::start(), PolicyFile::own("allow = \"127.0.0.1\""));
    let daemon = file.daemon();
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {}))
        held:send("echo\n1234567890") held:shutdown("send") assert(held:receive("*a") == "1234567890")
        for i = 1, 5 do assert(not socket.connect("127.0.0.2", 1)) end
        "#,
        peer.port()
    );
    Interpreter::Lua54.inline(&script, &daemon).run().success();
    let stats = daemon.json("stats", &["--interval", "0.2"]);
    assert_eq!((&stats["clients_total"], &stats["clients"]), (&1.into(), &0.into()), "{stats}");
    assert_eq!(
        (&stats["sent_bytes_total"], &stats["received_bytes_total"]),
        (&15.into(), &10.into()),
        "{stats}"
    );
    let own =
        rows(&stats, "profiles").iter().find(|row| row["profile"] == "own").expect("the profile is there");
    assert_eq!((&own["allowed"], &own["denied"]), (&1.into(), &5.into()), "{stats}");
    assert_eq!(stats["connect_times"]["count"], 1, "{stats}");
    assert!(stats["turn_times"]["count"].as_u64().is_some_and(|count| count > 0), "{stats}");
    assert_eq!(stats["rates"]["sent_bytes"], 0.0, "{stats}");
    let table = daemon.operator("stats").args(["--interval", "0.1"]).run().success();
    assert!(table.contains("PROFILE") && table.contains("turns of the loop"), "{table}");
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    // One line for the first of the denied ones, and the count at the client's end.
    assert_eq!(log.matches("may not connect to 127.0.0.2:1").count(), 1, "{log}");
    assert_eq!(log.matches("was denied something 4 more times").count(), 1, "{log}");
}

#[test]
fn the_log_can_be_json() {
    let daemon = Daemon::with_args(&["--allow", "*", "--log-format", "json"]);
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert!(!log.is_empty());
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["level"].is_string() && object["fields"]["message"].is_string(), "{line}");
    }
}

#[test]
fn top_wants_a_terminal() {
    let daemon = Daemon::start();
    let outcome = daemon.operator("top").run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    assert!(outcome.errors().contains("luasocketd ps") && outcome.stdout.is_empty(), "{outcome}");
    let mut lines = daemon.operator("top").args(["--json", "--interval", "0.1"]).start();
    for _ in 0..2 {
        let look: Value = serde_json::from_str(&lines.line()).expect("a look is JSON");
        assert!(look["clients"].is_array() && look["stats"]["pid"] == daemon.pid(), "{look}");
    }
}

#[test]
fn top_leaves_the_terminal_as_it_was() {
    let mut daemon = Daemon::start();
    let _client = Pipe::greeted(&daemon);
    let on_screen = |act: &str, daemon: &Daemon| {
        let script = repository("tests/admin/screen.py");
        let job = Job::new("/usr/bin/python3").arg(script).arg(act).arg(program()).args(["top", "--admin"]);
        let text = job.arg(daemon.admin()).env("NO_COLOR", "1").env("TERM", "xterm").run().success();
        assert!(text.starts_with("raw\n") && text.contains("\nas before\n"), "{act}: {text}");
        // Into the other screen, and back out of it.
        let (into, out) = (text.find("\x1b[?1049h"), text.rfind("\x1b[?1049l"));
        assert!(into.is_some() && into < out, "{act}: {text}");
        assert!(!text.contains("no end in time"), "{act}: {text}");
        text
    };
    for act in ["q", "interrupt", "escape", "sort", "terminate"] {
        let text = on_screen(act, &daemon);
        assert!(text.contains("\ncode 0\n"), "{act}: {text}");
        // Colours would be 3x, 9x or 38; what NO_COLOR leaves is bold and reversed.
        assert!(!text.contains("\x1b[38;") && text.contains("test"), "{act}: {text}");
    }
    let script = repository("tests/admin/screen.py");
    let gone = Job::new("/usr/bin/python3").arg(script).arg("hangup").arg(program()).args(["top", "--admin"]);
    let text = gone.arg(daemon.admin()).env("TERM", "xterm").run().success();
    // It has noticed itself, or SIGHUP has ended it.
    let ended = ["code 0", "code 1", "code -1"].iter().any(|code| text.trim_end().ends_with(code));
    assert!(ended, "{text}");
    let pid = daemon.pid().to_string();
    let text = on_screen(&pid, &daemon);
    assert!(text.contains("\ncode 1\n") && text.contains("luasocketd: the daemon on"), "{text}");
    wait_until("the daemon is gone", SOON, || !daemon.is_running());
}
