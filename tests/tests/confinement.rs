//! What a daemon has given up when it takes its first client.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use luasocketd_tests::{Daemon, Interpreter, Job, program};

/// Uses a name, so that a thread of the resolver is there, and a connection.
const WORK: &str = r#"
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = assert(socket.connect("localhost", port))
    local other = assert(server:accept())
    client:send("through\n")
    print((other:receive()))
"#;

/// The bit of `CAP_NET_BIND_SERVICE`.
const LOW_PORTS: u64 = 1 << 10;

/// Ports below 1024 that nobody serves here.
const LOW_PORT: u16 = 1021;

fn works(daemon: &Daemon) {
    let outcome = Interpreter::Lua54.inline(WORK, daemon).run();
    assert_eq!(outcome.success(), "through\n", "{outcome}");
}

/// The lines of `/proc/PID/task/TID/status` of every thread.
fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon runs");
    let statuses = tasks.map(|task| fs::read_to_string(task.expect("a thread").path().join("status")));
    statuses.filter_map(Result::ok).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn capabilities(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).expect("capabilities are a number")
}

/// Asserts what every thread has given up, and which capabilities it still has.
fn assert_confined(pid: u32, kept: u64) {
    let threads = threads(pid);
    assert!(threads.len() >= 4, "the loop, the trail, the operators, a lookup: {threads:#?}");
    for status in threads {
        assert_eq!((field(&status, "Seccomp"), field(&status, "NoNewPrivs")), ("2", "1"), "{status}");
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(capabilities(&status, set), kept, "{set} of {status}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(capabilities(&status, set), 0, "{set} of {status}");
        }
    }
}

#[test]
fn every_thread_is_confined() {
    for workers in [1, 3] {
        let daemon = Daemon::with_args(&["--allow", "*", "--workers", &workers.to_string()]);
        works(&daemon);
        let all = threads(daemon.pid());
        let others = all.iter().filter(|status| field(status, "Name").starts_with("loop ")).count();
        assert_eq!(others, workers - 1, "the first one is the daemon's own thread: {all:#?}");
        assert_confined(daemon.pid(), 0);
    }
}

#[test]
fn low_ports_are_for_who_asks() {
    let bind = format!(r#"print(require("socket").bind("127.0.0.1", {LOW_PORT}) ~= nil)"#);
    let daemon = Daemon::start();
    assert_eq!(Interpreter::Lua54.inline(&bind, &daemon).run().success(), "false\n");
    let daemon = Daemon::with_args(&["--allow", "*", "--allow-low-ports"]);
    works(&daemon);
    assert_confined(daemon.pid(), LOW_PORTS);
    assert_eq!(Interpreter::Lua54.inline(&bind, &daemon).run().success(), "true\n");
}

#[test]
fn without_a_sandbox_capabilities_go_all_the_same() {
    let daemon = Daemon::with_args(&["--allow", "*", "--sandbox", "off"]);
    works(&daemon);
    for status in threads(daemon.pid()) {
        assert_eq!((field(&status, "Seccomp"), capabilities(&status, "CapPrm")), ("0", 0), "{status}");
    }
}

#[test]
fn a_strict_sandbox_is_had_here() {
    let daemon = Daemon::with_args(&["--allow", "*", "--sandbox", "strict"]);
    works(&daemon);
}

#[test]
fn root_becomes_the_user_with_his_groups() {
    let (uid, gid) = (id("-u", "nobody"), id("-g", "nobody"));
    let daemon = Daemon::launched(|_, socket| {
        let directory = socket.parent().expect("a socket lies in a directory");
        chown(directory, Some(uid), Some(gid)).expect("root gives a directory away");
        Daemon::job(socket).args(["--allow", "*", "--user", "nobody", "--allow-low-ports"])
    });
    works(&daemon);
    assert_confined(daemon.pid(), LOW_PORTS);
    let groups = run_id("-G", "nobody");
    for status in threads(daemon.pid()) {
        let same = [uid; 4].map(|uid| uid.to_string()).join("\t");
        assert_eq!(field(&status, "Uid"), same, "{status}");
        assert_eq!(field(&status, "Gid"), [gid; 4].map(|gid| gid.to_string()).join("\t"), "{status}");
        assert_eq!(sorted(field(&status, "Groups")), sorted(&groups), "{status}");
    }
    for path in [daemon.socket(), daemon.trail().directory()] {
        assert_eq!(fs::metadata(path).expect("it is there").uid(), uid, "{}", path.display());
    }
    // Neither the user nor Landlock lets the daemon look at a process of root's.
    let decided = &daemon.trail().with_action("connection-decided")[0];
    assert!(decided.text("/process/executable").contains("lua5.4"), "{decided:?}");
    daemon.trail().verify();
}

#[test]
fn the_group_may_be_another_one() {
    let daemon = Daemon::launched(|_, socket| {
        let directory = socket.parent().expect("a socket lies in a directory");
        chown(directory, Some(id("-u", "nobody")), None).expect("root gives a directory away");
        Daemon::job(socket).args(["--allow", "*", "--user", "nobody:daemon"])
    });
    let expected = fs::read_to_string("/etc/group").expect("there are groups");
    let expected =
        expected.lines().find_map(|line| line.strip_prefix("daemon:x:")).expect("a group of Debian's");
    let expected = expected.split(':').next().expect("a number");
    for status in threads(daemon.pid()) {
        assert_eq!(field(&status, "Gid"), [expected; 4].join("\t"), "{status}");
    }
}

#[test]
fn a_user_whom_nobody_knows_is_wrong_usage() {
    for (user, why) in [("no-such-user", "there is no user"), ("root", "is root"), (":x", "NAME")] {
        let job = Daemon::job(Path::new("/no/such/directory/d.sock")).args(["--user", user]);
        let outcome = job.limit(Duration::from_secs(30)).run();
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
        assert!(outcome.errors().contains(why), "{outcome}");
    }
}

#[test]
fn the_private_daemon_of_a_command_is_filtered_too() {
    let look = r#"
        local parent = io.open("/proc/self/stat"):read("a"):match("%) %S (%d+)")
        for line in io.lines("/proc/" .. parent .. "/status") do
            if line:find("^Seccomp:") then print(line) end
        end
        local socket = require "socket"
        print(select(2, socket.dns.toip("localhost")) ~= nil)
    "#;
    let outcome = Job::new(program()).args(["run", "--allow", "resolve:localhost"]).script(look).run();
    assert_eq!(outcome.success(), "Seccomp:\t2\ntrue\n", "{outcome}");
}

fn run_id(option: &str, name: &str) -> String {
    Job::new("id").arg(option).arg(name).run().success().trim().to_owned()
}

fn id(option: &str, name: &str) -> u32 {
    run_id(option, name).parse().expect("a number")
}

fn sorted(words: &str) -> Vec<&str> {
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.sort_unstable();
    words
}
