//! Several event loops, which are one daemon to its clients and to its operator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use luasocketd_tests::pipe::{bind_params, connect_params};
use luasocketd_tests::policy::own_profile;
use luasocketd_tests::trail::Line;
use luasocketd_tests::{
    Daemon, Interpreter, Job, Peer, Pipe, PolicyFile, Running, Trail, program, wait_until,
};
use rustix::process::Signal;
use serde_json::Value;

/// How long what happens on another loop may take to show.
const SOON: Duration = Duration::from_secs(10);

/// A daemon that allows everything, with so many loops.
fn daemon(workers: usize) -> Daemon {
    Daemon::with_args(&["--allow", "*", "--workers", &workers.to_string()])
}

/// A daemon with this policy, and so many loops.
fn daemon_of(file: &PolicyFile, workers: usize) -> Daemon {
    Daemon::with_args(&["--config", file.path(), "--workers", &workers.to_string()])
}

/// The totals, which need no waiting for rates.
fn stats(daemon: &Daemon) -> Value {
    daemon.json("stats", &["--interval", "0.01"])
}

/// The marks of an answer's rows.
fn marks(answer: &Value, name: &str) -> Vec<String> {
    let rows = answer[name].as_array().unwrap_or_else(|| panic!("no {name} in {answer}"));
    rows.iter().map(|row| row["id"].as_str().expect("a row has a mark").to_owned()).collect()
}

/// The slot that a mark says.
fn slot(mark: &str) -> usize {
    let (slot, _) = mark[1..].split_once('.').expect("a mark has a generation");
    slot.parse().expect("a slot is a number")
}

/// How many of these are on each loop.
fn spread(marks: &[String], workers: usize) -> Vec<usize> {
    let mut counts = vec![0; workers];
    marks.iter().for_each(|mark| counts[slot(mark) % workers] += 1);
    counts
}

/// So many clients, one after the other.
fn crowd(daemon: &Daemon, count: usize) -> Vec<Pipe> {
    (0..count).map(|_| Pipe::greeted(daemon)).collect()
}

/// Scripts that hold a connection each, and say what has become of it when it ends.
fn holders(daemon: &Daemon, peer: &Peer, count: usize) -> Vec<Running> {
    let script = peer.holder();
    let mut all: Vec<Running> =
        (0..count).map(|_| Interpreter::Lua54.inline(&script, daemon).start()).collect();
    all.iter_mut().for_each(|running| assert_eq!(running.line(), "x"));
    all
}

#[test]
fn clients_are_spread_evenly_and_seen_together() {
    for workers in [1, 2, 3] {
        let daemon = daemon(workers);
        let _crowd = crowd(&daemon, 4 * workers);
        let seen = marks(&daemon.json("ps", &[]), "clients");
        assert_eq!(spread(&seen, workers), vec![4; workers], "{seen:?}");
        let slots: Vec<usize> = seen.iter().map(|mark| slot(mark)).collect();
        assert_eq!(slots, (0..4 * workers).collect::<Vec<_>>(), "each once and in order: {seen:?}");
        let stats = stats(&daemon);
        assert_eq!(
            (&stats["workers"], &stats["clients"]),
            (&workers.into(), &(4 * workers).into()),
            "{stats}"
        );
        assert_eq!(stats["clients_total"], 4 * workers, "{stats}");
    }
}

#[test]
fn many_clients_are_on_many_pages_once_each() {
    let (daemon, count) = (daemon(3), 300);
    let crowd = crowd(&daemon, count);
    let seen = marks(&daemon.json("ps", &[]), "clients");
    let different: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (count, count));
    // What comes to be free is filled up again, on whatever loop it is.
    drop(crowd);
    wait_until("all have gone", SOON, || stats(&daemon)["clients"] == 0);
    let _crowd = self::crowd(&daemon, 30);
    let seen = marks(&daemon.json("ps", &[]), "clients");
    assert_eq!(spread(&seen, 3), [10, 10, 10], "{seen:?}");
    assert!(seen.iter().all(|mark| mark.ends_with(".2")), "{seen:?}");
}

#[test]
fn a_client_or_a_socket_of_any_loop_is_shown_and_killed() {
    let (peer, daemon) = (Peer::start(), daemon(3));
    let mut running = holders(&daemon, &peer, 6);
    let all = daemon.json("ps", &["--sockets"]);
    let (clients, sockets) = (marks(&all, "clients"), marks(&all, "sockets"));
    assert_eq!((spread(&clients, 3), spread(&sockets, 3)), (vec![2; 3], vec![2; 3]), "{all}");
    let pids: BTreeMap<&str, u64> = all["clients"]
        .as_array()
        .expect("there are clients")
        .iter()
        .map(|row| {
            (row["id"].as_str().expect("a client has a mark"), row["pid"].as_u64().expect("and a process"))
        })
        .collect();
    for client in &clients {
        let alone = daemon.json("ps", &[client]);
        assert_eq!(marks(&alone, "clients"), [client.as_str()], "{alone}");
        assert_eq!(marks(&alone, "sockets").len(), 1, "{alone}");
        assert_eq!(alone["sockets"][0]["client"], client.as_str(), "{alone}");
        assert_eq!(alone["sockets"][0]["peer"], format!("127.0.0.1:{}", peer.port()), "{alone}");
    }
    // Half of them by their sockets, half by themselves.
    for client in &clients {
        let socket = marks(&daemon.json("ps", &[client]), "sockets").remove(0);
        let mark = if slot(client) < 3 { client } else { &socket };
        let killed = daemon.json("kill", &[mark]);
        assert_eq!(
            (&killed["killed"], &killed["client"]["id"]),
            (&mark.as_str().into(), &client.as_str().into())
        );
        let of = running.iter().position(|script| u64::from(script.pid()) == pids[client.as_str()]);
        let ended = running.remove(of.expect("its script runs")).finish();
        assert!(ended.text().starts_with("closed\n"), "{mark}: {ended}");
        running.iter_mut().for_each(|other| assert!(other.is_running(), "{mark} was meant"));
    }
    for gone in ["c99.1", "s99.1", clients[4].as_str()] {
        let outcome = daemon.operator("kill").arg(gone).run();
        assert!(outcome.errors().contains(&format!("{gone} is not there")), "{outcome}");
    }
}

#[test]
fn what_all_loops_have_done_is_added_up() {
    let (peer, daemon) = (Peer::start(), daemon(2));
    let script = format!(
        r#"
        local socket = require "socket"
        local held = assert(socket.connect("127.0.0.1", {}))
        held:send("echo\n" .. ("x"):rep(995)) held:shutdown("send")
        assert(#held:receive("*a") == 995)
        assert(socket.dns.toip("localhost"))
        print("done") io.stdout:flush() socket.sleep(60)
        "#,
        peer.port()
    );
    let start = || Interpreter::Lua54.inline(&script, &daemon).start();
    let mut running: Vec<Running> = (0..6).map(|_| start()).collect();
    running.iter_mut().for_each(|running| assert_eq!(running.line(), "done"));
    assert_eq!(spread(&marks(&daemon.json("ps", &[]), "clients"), 2), [3, 3]);
    let seen = stats(&daemon);
    let numbers =
        [("sockets", 6), ("sockets_total", 6), ("sent_bytes_total", 6000), ("received_bytes_total", 6 * 995)];
    numbers.into_iter().for_each(|(key, number)| assert_eq!(seen[key], number, "{key} of {seen}"));
    let own =
        seen["profiles"].as_array().and_then(|rows| rows.iter().find(|row| row["profile"] == "command line"));
    assert_eq!(own.map(|row| row["clients"].clone()), Some(6.into()), "{seen}");
    assert_eq!(
        (&seen["connect_times"]["count"], &seen["lookup_times"]["count"]),
        (&6.into(), &6.into()),
        "{seen}"
    );
    let turns = &seen["turn_times"];
    let counts = turns["counts"].as_array().expect("there are buckets").iter().filter_map(Value::as_u64);
    assert_eq!(turns["count"].as_u64(), Some(counts.sum()), "{turns}");
    let metrics = daemon.operator("stats").arg("--prometheus").run().success();
    for line in [
        "luasocketd_clients{profile=\"command line\"} 6",
        "luasocketd_sockets 6",
        "luasocketd_connect_duration_seconds_count 6",
        "luasocketd_workers 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in {metrics}");
    }
    drop(running);
}

#[test]
fn the_clients_that_a_profile_may_have_are_those_of_all_loops() {
    let limits = |most: usize| own_profile(&format!("allow = \"*\"\n[profile.limits]\nclients = {most}"));
    let file = PolicyFile::new(&limits(5));
    let daemon = daemon_of(&file, 3);
    // All at once, so that every loop is asked at the same time.
    let start = &Barrier::new(20);
    let come = |mut pipe: Pipe| {
        start.wait();
        pipe.hello("one of many").is_none().then_some(pipe)
    };
    let silent: Vec<Pipe> = (0..20).map(|_| Pipe::silent(&daemon)).collect();
    let let_in = thread::scope(|scope| {
        let threads: Vec<_> = silent.into_iter().map(|pipe| scope.spawn(move || come(pipe))).collect();
        let pipes = threads.into_iter().filter_map(|thread| thread.join().expect("it has said hello"));
        pipes.collect::<Vec<Pipe>>()
    });
    assert_eq!(let_in.len(), 5);
    // Those that are there count under a new policy, too.
    file.write(&limits(6));
    daemon.operator("reload").run().success();
    let sixth = Pipe::greeted(&daemon);
    let come = || Pipe::silent(&daemon).hello("one more");
    let (code, text) = come().expect("it is refused");
    assert!(code == "limit" && text.contains("6 clients at once of the profile `own`"), "{text}");
    drop((let_in, sixth));
    wait_until("all have gone", SOON, || stats(&daemon)["clients"] == 0);
    assert_eq!(
        (0..7)
            .map(|_| Pipe::silent(&daemon))
            .collect::<Vec<_>>()
            .iter_mut()
            .filter_map(|pipe| { pipe.hello("again") })
            .count(),
        1
    );
}

#[test]
fn a_new_policy_is_in_force_on_all_loops_when_reload_says_so() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let daemon = daemon_of(&file, 3);
    let mut crowd = crowd(&daemon, 6);
    for round in 0..10 {
        let is_allowed = round % 2 == 1;
        file.write(&own_profile(if is_allowed { "allow = \"127.0.0.1\"" } else { "" }));
        daemon.operator("reload").run().success();
        for pipe in &mut crowd {
            let failure = pipe.failure("connect", &connect_params(peer.port()));
            assert_eq!(failure.is_none(), is_allowed, "round {round}: {failure:?}");
        }
    }
    let loaded = daemon.trail().several("policy-loaded", 11);
    assert!(loaded.iter().all(|line| line.text("/event/reason") == "profiles: `own`"), "{loaded:?}");
    file.swap(&daemon, &own_profile(""));
    wait_until("a signal reaches all loops, too", SOON, || {
        let refused = |pipe: &mut Pipe| pipe.failure("connect", &connect_params(peer.port())).is_some();
        crowd.iter_mut().all(refused)
    });
    let held = holders_of(&file, &daemon, &peer);
    file.write(&own_profile(""));
    daemon.operator("reload").arg("--enforce-now").run().success();
    held.into_iter().for_each(|running| assert_eq!(running.finish().success(), "permission denied\n"));
}

/// Scripts on all loops that hold what the next policy may forbid.
fn holders_of(file: &PolicyFile, daemon: &Daemon, peer: &Peer) -> Vec<Running> {
    file.write(&own_profile("allow = \"127.0.0.1\""));
    daemon.operator("reload").run().success();
    holders(daemon, peer, 3)
}

#[test]
fn every_decision_of_every_loop_is_on_record() {
    let peer = Peer::start();
    let file = PolicyFile::own("allow = \"127.0.0.1\"");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trail = Trail::at(directory.path().join("trail"));
    let daemon = Daemon::launched(|program, socket| {
        let job = Job::new(program).arg("serve").arg("--socket").arg(socket).arg("--config").arg(file.path());
        job.args(["--workers", "3", "--durability", "strict"]).arg("--audit").arg(trail.directory())
    });
    let (clients, rounds) = (9, 20);
    let script = format!(
        r#"
        local socket = require "socket"
        for i = 1, {rounds} do
            local client = assert(socket.connect("127.0.0.1", {}))
            client:send("say x\n") assert(client:receive("*a") == "x") client:close()
            assert(not socket.connect("127.0.0.2", 1))
        end
        "#,
        peer.port()
    );
    let start = || Interpreter::Lua54.inline(&script, &daemon).start();
    let running: Vec<Running> = (0..clients).map(|_| start()).collect();
    running.into_iter().for_each(|running| _ = running.finish().success());
    daemon.signal(Signal::TERM);
    daemon.finish().success();
    trail.verify();
    let decided = trail.with_action("connection-decided");
    let ended = trail.with_action("connection-ended");
    let ids = |lines: &[Line]| -> BTreeSet<String> {
        lines.iter().map(|line| line.text("/event/id").to_owned()).collect()
    };
    assert_eq!((decided.len(), ids(&decided).len()), (2 * clients * rounds, 2 * clients * rounds));
    assert_eq!((ended.len(), ids(&ended).len()), (clients * rounds, clients * rounds));
    assert!(ids(&ended).is_subset(&ids(&decided)));
}

#[test]
fn drain_lets_all_loops_deliver_and_ends_all() {
    let (peer, daemon) = (Peer::start(), daemon(3));
    let mut idle = crowd(&daemon, 3);
    let running = holders(&daemon, &peer, 3);
    let answer = daemon.json("drain", &["--timeout", "60"]);
    assert_eq!((&answer["clients"], &answer["sockets"]), (&6.into(), &3.into()), "{answer}");
    assert_eq!(answer["timeout_ms"], 60_000, "{answer}");
    idle.iter_mut().for_each(Pipe::expect_end);
    assert_eq!(daemon.json("drain", &[])["timeout_ms"], Value::Null, "the first one stands");
    // It goes on for the last client of the last loop, and answers meanwhile.
    let mut left = running.len();
    for script in running {
        let stats = stats(&daemon);
        assert_eq!((&stats["draining"], &stats["workers"]), (&true.into(), &3.into()), "{stats}");
        script.signal(Signal::KILL);
        script.finish_or_kill();
        left -= 1;
        if left > 0 {
            wait_until("the daemon knows", SOON, || self::stats(&daemon)["clients"] == left);
        }
    }
    let outcome = daemon.finish();
    outcome.success();
    assert!(outcome.errors().contains("ended: everything was delivered"), "{outcome}");
}

#[test]
fn signals_end_all_loops() {
    for (signals, most) in [(1, 30), (2, 5)] {
        let (peer, daemon) =
            (Peer::start(), Daemon::with_args(&["--allow", "*", "--workers", "2", "--drain-timeout", "1"]));
        let running = holders(&daemon, &peer, 4);
        for _ in 0..signals {
            daemon.signal(Signal::TERM);
            thread::sleep(Duration::from_millis(100));
        }
        let outcome = daemon.finish();
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        assert!(outcome.took < Duration::from_secs(most), "{signals} signals: {outcome}");
        assert!(outcome.errors().contains("clients=4 sockets=4"), "{outcome}");
        running.into_iter().for_each(|script| assert_eq!(script.finish().success(), "closed\n"));
    }
}

#[test]
fn an_offender_on_two_loops_is_told_of_once() {
    let daemon = Daemon::with_args(&["--workers", "2"]);
    let mut crowd = crowd(&daemon, 4);
    for _ in 0..5 {
        crowd.iter_mut().for_each(|pipe| assert_eq!(pipe.refusal("connect", &connect_params(1)), "denied"));
    }
    drop(crowd);
    wait_until("all have gone", SOON, || stats(&daemon)["clients"] == 0);
    daemon.signal(Signal::TERM);
    let log = daemon.finish().errors();
    assert_eq!(log.matches("may not connect to 127.0.0.1:1").count(), 1, "{log}");
    assert_eq!(log.matches("was denied something 19 more times").count(), 1, "{log}");
}

#[test]
fn how_many_loops_there_are_is_said_in_the_file_or_before_it() {
    let profile = own_profile("allow = \"*\"");
    let workers = |daemon: &Daemon| stats(daemon)["workers"].as_u64();
    let file = PolicyFile::new(&format!("workers = 2\n{profile}"));
    let daemon = file.daemon();
    assert_eq!(workers(&daemon), Some(2));
    // It is read at the start only.
    file.write(&format!("workers = 3\n{profile}"));
    daemon.operator("reload").run().success();
    assert_eq!(workers(&daemon), Some(2));
    assert_eq!(workers(&daemon_of(&file, 1)), Some(1));
    let auto = PolicyFile::new(&format!("workers = \"auto\"\n{profile}")).daemon();
    let processors = thread::available_parallelism().expect("the system knows").get();
    assert_eq!(workers(&auto), Some(processors.min(64) as u64));
    for wrong in ["0", "65", "two", "-1"] {
        let outcome = Job::new(program()).args(["serve", "--workers", wrong, "--allow", "*"]).run();
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    }
    file.write(&format!("workers = 65\n{profile}"));
    let outcome = Job::new(program()).args(["serve", "--config", file.path()]).run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    assert!(
        outcome.errors().contains("policy.toml:1: `workers`") && outcome.errors().contains("1 to 64"),
        "{outcome}"
    );
}

#[test]
fn what_one_loop_is_busy_with_holds_up_no_other() {
    let daemon = daemon(2);
    let (mut first, mut second) = (Pipe::greeted(&daemon), Pipe::greeted(&daemon));
    // Both loops have a socket in the same slot of their own; neither client reaches the other's.
    for pipe in [&mut first, &mut second] {
        assert_eq!(pipe.failure("bind", &bind_params("tcp", "127.0.0.1", 0)), None);
    }
    let sockets = daemon.json("ps", &["--sockets"]);
    assert_eq!(marks(&sockets, "sockets"), ["s0.1", "s1.1"], "{sockets}");
    daemon.json("kill", &["c0.1"]);
    first.expect_end();
    assert_eq!(second.failure("bind", &bind_params("tcp", "127.0.0.1", 0)), None);
    assert_eq!(marks(&daemon.json("ps", &["--sockets"]), "sockets"), ["s1.1", "s3.1"]);
}
