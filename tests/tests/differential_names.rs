//! Names, line by line: the scripts of `tests/differential/names_*.lua` in a namespace with a hosts file and a
//! name server of the test's own. LuaSocket runs inside it; of ours the daemon does, and the script outside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use luasocketd_tests::build::repository;
use luasocketd_tests::process::Job;
use luasocketd_tests::{Daemon, Interpreter, judge, network, scripts};

/// Lookups that fail are tried again by the system's resolver, which takes its time.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// What the namespace's names are.
const HOSTS: &str = "\
127.0.0.1 localhost
::1 localhost
127.0.0.1 main.test alias-one alias-two
127.0.0.1 two.test
127.0.0.2 two.test
::1 both.test
127.0.0.1 both.test
::1 six.test
";

/// Makes the namespace's own loopback interface, names and name server, and becomes the command.
const PREPARE: &str = r#"
    set -e
    directory=$1; server=$2; shift 2
    ip link set lo up
    mount --bind "$directory/hosts" /etc/hosts
    mount --bind "$directory/resolv.conf" /etc/resolv.conf
    mount --bind "$directory/nsswitch.conf" /etc/nsswitch.conf
    timeout 300 python3 "$server" &
    sleep 1
    exec "$@"
"#;

/// A directory with the files of the namespace.
fn names() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("a file can be written");
    };
    write("hosts", HOSTS);
    write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n");
    write("nsswitch.conf", "hosts: files dns\nservices: files\n");
    directory
}

/// A command in a namespace of its own with these names.
fn with_names(directory: &Path) -> Job {
    network::in_namespace(PREPARE).arg(directory).arg(repository("tests/peers/name_server.py"))
}

fn scripts_of_names() -> Vec<PathBuf> {
    let mut all = scripts::scripts_in("differential");
    all.retain(|script| scripts::is_about_names(script));
    assert!(!all.is_empty(), "there are no scripts of names");
    all
}

fn agrees(interpreter: Interpreter) {
    let directory = names();
    let daemon = Daemon::launched(|program, socket| {
        let serve =
            with_names(directory.path()).arg(program).args(["serve", "--no-audit", "--socket"]).arg(socket);
        serve.args(["--allow", "*"])
    });
    let all = scripts_of_names();
    let mut failures = Vec::new();
    for script in &all {
        let stock = with_names(directory.path()).env("LUA_PATH", lua_path(script));
        let stock = stock.arg(interpreter.path()).arg(script).limit(SCRIPT_LIMIT).run();
        judge::assert_ran(&stock);
        let ours = interpreter.job(script, &daemon).limit(SCRIPT_LIMIT).start().finish_or_kill();
        if let Some(difference) = judge::difference(&stock, &ours) {
            failures.push(format!("{} on {}: {difference}", scripts::name(script), interpreter.name()));
        }
    }
    scripts::report(&failures, all.len());
}

fn lua_path(script: &Path) -> String {
    let beside = script.parent().expect("a script lies in a directory");
    format!("{}/?.lua;;", beside.display())
}

luasocketd_tests::each_judge!(agrees);
