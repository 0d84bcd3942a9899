//! Attempts to break out of the jail, from C, Python and Lua, as root and as an ordinary user. Each is listed in
//! docs/security.md with what stops it.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use luasocketd_tests::build::repository;
use luasocketd_tests::jail::{Outsider, Stage, User, somebody_says};
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Job, network, wait_until};
use rustix::process::{Pid, Signal};

/// How long the end of what was killed may take to be seen.
const SOON: Duration = Duration::from_secs(10);

/// The attempts that are tests of their own here.
const OWN: [&str; 4] = ["double-fork", "killed-daemon", "inherited-descriptors", "raised-limits"];

/// Everything outside that an attempt may try to reach.
struct Outside {
    outsider: Outsider,
    stage: Stage,
    /// Local sockets that somebody listens on.
    _listeners: Vec<UnixListener>,
    port: u16,
    _tcp: std::net::TcpListener,
}

impl Outside {
    fn new(user: User) -> Outside {
        let stage = Stage::new(user);
        let mut listeners = Vec::new();
        for name in ["docker.sock", "luasocketd.sock", "admin.sock"] {
            let path = stage.path("home").join(name);
            listeners.push(UnixListener::bind(&path).expect("a path can be bound"));
            // Whoever could connect to it would be let through.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("permissions can be set");
        }
        let name = SocketAddr::from_abstract_name(abstract_name(&stage)).expect("a short name");
        listeners.push(UnixListener::bind_addr(&name).expect("a name can be bound"));
        let (tcp, port) = network::listener();
        Outside { outsider: Outsider::start(user), stage, _listeners: listeners, port, _tcp: tcp }
    }

    /// Tells the jail's command where to try.
    fn tell(&self, job: Job) -> Job {
        let home = self.stage.path("home");
        self.stage
            .settle(job)
            .env("JAIL_PID", self.outsider.pid().to_string())
            .env("JAIL_FD", "0")
            .env("JAIL_PATH", home.join("docker.sock"))
            .env("JAIL_SERVE", home.join("luasocketd.sock"))
            .env("JAIL_ADMIN", home.join("admin.sock"))
            .env("JAIL_ABSTRACT", abstract_name(&self.stage))
            .env("JAIL_SETUID", self.stage.set_uid_helper())
            .env("JAIL_FILE", self.stage.file())
            .env("JAIL_PORT", self.port.to_string())
            .env("JAIL_LUASOCKET", lua_socket())
    }

    fn exec(&self, words: &[&str]) -> Job {
        let words = [&["exec", "--allow", "*", "--"], words].concat();
        self.tell(self.stage.luasocketd(&words))
    }
}

fn abstract_name(stage: &Stage) -> String {
    stage.path("abstract").display().to_string()
}

/// Where the machine's own LuaSocket is.
fn lua_socket() -> String {
    let machine = std::env::consts::ARCH;
    format!("/usr/lib/{machine}-linux-gnu/lua/5.4/?.so;/usr/local/lib/lua/5.4/?.so;/usr/lib/lua/5.4/?.so")
}

fn is_stopped(outcome: &Outcome) -> bool {
    outcome.status.success() && !outcome.text().contains("ESCAPED") && outcome.text().contains("stopped")
}

/// Tries each attempt of a command that lists them.
fn try_all(command: &[&str], beside: impl Fn(&Stage, &str) -> String, except: &[&str]) {
    for user in User::all() {
        let mut outside = Outside::new(*user);
        let words: Vec<String> = command.iter().map(|word| beside(&outside.stage, word)).collect();
        let mut failures = Vec::new();
        for name in names(&words) {
            if except.contains(&name.as_str()) {
                continue;
            }
            let line: Vec<&str> = words.iter().map(String::as_str).chain([name.as_str()]).collect();
            let outcome = outside.exec(&line).run();
            if !is_stopped(&outcome) {
                failures.push(format!("{user:?}, {name}: {outcome}"));
            }
            assert!(outside.outsider.lives(), "{user:?}, {name} has ended a process outside\n{outcome}");
        }
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}

fn names(command: &[String]) -> Vec<String> {
    let outcome = Job::new(&command[0]).args(&command[1..]).arg("--list").run();
    let names: Vec<String> = outcome.success().lines().map(str::to_owned).collect();
    assert!(!names.is_empty(), "{outcome}");
    names
}

fn in_stage(stage: &Stage, word: &str) -> String {
    word.strip_prefix('@').map_or(word.to_owned(), |name| stage.path(name).display().to_string())
}

/// Needs a terminal, and a look at the daemon: tests of their own.
const C_APART: [&str; 2] = ["terminal", "pipe-ancillary"];

#[test]
fn c_cannot_break_out() {
    try_all(&["@attempts"], in_stage, &C_APART);
}

#[test]
fn python_cannot_break_out() {
    try_all(&["/usr/bin/python3", "@attempts.py"], in_stage, &[]);
}

#[test]
fn lua_cannot_break_out() {
    try_all(&["/usr/bin/lua5.4", "@attempts.lua"], in_stage, &[]);
}

#[test]
fn the_embedded_lua_cannot_break_out() {
    for user in User::all() {
        let mut outside = Outside::new(*user);
        let script = outside.stage.path("attempts.lua").display().to_string();
        for name in names(&["/usr/bin/lua5.4".to_owned(), script.clone()]) {
            let job = outside.stage.luasocketd(&["run", "--allow", "*", &script, &name]);
            let outcome = outside.tell(job).run();
            assert!(is_stopped(&outcome), "{user:?}, {name}: {outcome}");
        }
        assert!(outside.outsider.lives());
    }
}

/// `landlock_create_ruleset`.
const LANDLOCK: &str = "444";

#[test]
fn the_daemon_keeps_its_memory_on_a_kernel_without_landlock() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let [without, program, attempts] =
            [outside.stage.compile("without"), outside.stage.program(), outside.stage.path("attempts")];
        let job = user.job(without).arg(LANDLOCK).arg(program);
        let job = job.args(["exec", "--jail=best-effort", "--"]).arg(attempts).arg("daemon-memory");
        let outcome = outside.tell(job).run();
        assert!(is_stopped(&outcome), "{user:?}: {outcome}");
    }
}

#[test]
fn nothing_can_be_typed_into_the_terminal() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let stage = &outside.stage;
        let (program, attempts) = (stage.program(), stage.path("attempts"));
        let line = format!("{}{} exec -- {} terminal", user.prefix(), program.display(), attempts.display());
        let job = Job::new("script").args(["-qec", &line, "/dev/null"]);
        let outcome = outside.tell(job).run();
        assert!(is_stopped(&outcome), "{user:?}: {outcome}");
    }
}

#[test]
fn descriptors_do_not_travel_over_the_pipe() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let attempts = outside.stage.path("attempts").display().to_string();
        let words = ["-c", r#"echo $PPID; exec "$0" pipe-ancillary"#, &attempts];
        let mut running = outside.exec(&[&["sh"], &words[..]].concat()).start();
        let daemon = running.line();
        assert_eq!(running.line(), "sent");
        // It holds less than ten of its own. What came with the bytes is gone once it has read them.
        let open = || fs::read_dir(format!("/proc/{daemon}/fd")).map_or(0, Iterator::count);
        if rustix::process::geteuid().is_root() {
            // Until it has read, they are on their way, and nobody's.
            std::thread::sleep(Duration::from_millis(300));
            wait_until("the daemon has no further descriptors", SOON, || (1..30).contains(&open()));
        }
        fs::remove_file(outside.stage.path("home/file")).expect("the file is there");
        let outcome = running.finish();
        assert!(is_stopped(&outcome), "{user:?}: {outcome}");
    }
}

/// Leaves a process behind that nobody waits for, in a session of its own, and says so.
const DOUBLE_FORK: &str = r#"
import os, sys, time, ctypes
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, 0)
        print("up", flush=True)
        for number in range(3): os.close(number)
        time.sleep(600)
    os._exit(0)
os.wait()
"#;

#[test]
fn nobody_outlives_the_jail() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let mark = outside.stage.path("double-fork").display().to_string();
        let script = DOUBLE_FORK.to_owned() + "time.sleep(0.2)";
        let outcome = outside.exec(&["/usr/bin/python3", "-c", &script, &mark]).run();
        assert_eq!(outcome.success(), "up\n", "{outcome}");
        assert!(!somebody_says(&mark), "{user:?}: {outcome}");
    }
}

#[test]
fn nobody_outlives_a_daemon_that_is_killed() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let mark = outside.stage.path("killed-daemon").display().to_string();
        let script = DOUBLE_FORK.to_owned() + "ctypes.CDLL(None).prctl(1, 0)\ntime.sleep(600)";
        let mut running = outside.exec(&["/usr/bin/python3", "-c", &script, &mark]).start();
        assert_eq!(running.line(), "up");
        assert!(somebody_says(&mark));
        running.signal(Signal::KILL);
        wait_until("all in the jail have ended", SOON, || !somebody_says(&mark));
    }
}

#[test]
fn a_jail_that_loses_its_keeper_is_ended() {
    let stage = Stage::new(User::Current);
    let mut running = stage.luasocketd(&["exec", "--", "sh", "-c", "echo up; sleep 600"]).start();
    assert_eq!(running.line(), "up");
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let children = fs::read_to_string(children).expect("the kernel lists children");
    let is_keeper = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__keeper"))
    };
    let keeper = children.split_whitespace().find(is_keeper).expect("there is a keeper");
    let keeper = Pid::from_raw(keeper.parse().expect("a number")).expect("a process id is above zero");
    rustix::process::kill_process(keeper, Signal::KILL).expect("it is there");
    let outcome = running.finish();
    assert!(!outcome.status.success() && outcome.errors().contains("keeper"), "{outcome}");
}

#[test]
fn what_others_have_open_is_not_inherited() {
    for user in User::all() {
        let outside = Outside::new(*user);
        // Of its own descriptors `ls` has one for the directory.
        let line = format!(
            r#"exec {}"$0" exec -- sh -c 'ls -1 /proc/self/fd | sort -n | tr "\n" " "' 7</etc/passwd 9</dev/null"#,
            user.prefix()
        );
        let job = Job::new("sh").args(["-c", &line]).arg(outside.stage.program());
        let text = outside.tell(job).run().success();
        let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.starts_with(&[0, 1, 2]) && numbers.len() == 5, "{text}");
        assert!(!numbers.contains(&7) && !numbers.contains(&9), "{text}");
    }
}

#[test]
fn limits_hold_and_cannot_be_raised() {
    for user in User::all() {
        let outside = Outside::new(*user);
        let script = "import resource as r\n\
            print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU))\n\
            for limit in (r.RLIMIT_AS, r.RLIMIT_CPU):\n \
             try: r.setrlimit(limit, (r.RLIM_INFINITY, r.RLIM_INFINITY))\n \
             except (ValueError, OSError): continue\n \
             print('ESCAPED')\n\
            try: bytearray(300 << 20)\n\
            except MemoryError: print('no memory')\n\
            while True: pass";
        let words = ["exec", "--memory", "256M", "--cpu", "1", "--", "/usr/bin/python3", "-c", script];
        let outcome = outside.tell(outside.stage.luasocketd(&words)).run();
        let expected = "(268435456, 268435456) (1, 2)\nno memory\n";
        assert_eq!(outcome.text(), expected, "{outcome}");
        let signal = std::os::unix::process::ExitStatusExt::signal(&outcome.status);
        let by_xcpu = signal == Some(Signal::XCPU.as_raw())
            || outcome.status.code() == Some(128 + Signal::XCPU.as_raw());
        assert!(by_xcpu, "{outcome}");
    }
}

#[test]
fn the_documentation_lists_each_attempt() {
    let stage = Stage::new(User::Current);
    let path = |name: &str| stage.path(name).display().to_string();
    let mut tried: BTreeSet<String> = names(&[path("attempts")]).into_iter().collect();
    tried.extend(names(&["/usr/bin/python3".to_owned(), path("attempts.py")]));
    tried.extend(names(&["/usr/bin/lua5.4".to_owned(), path("attempts.lua")]));
    tried.extend(OWN.map(str::to_owned));
    let text = fs::read_to_string(repository("docs/security.md")).expect("the page can be read");
    let listed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with('-') && !name.starts_with('/'))
        .collect();
    assert_eq!(tried, listed, "left: tried, right: listed");
}
