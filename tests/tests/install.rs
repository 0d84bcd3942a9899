//! What installs the product: `luarocks make`, `cargo xtask install`, `cargo install`. Each goes into a
//! temporary directory and takes what is built already.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use luasocketd_tests::build::{repository, target};
use luasocketd_tests::{Daemon, Job, Peer};
use tempfile::TempDir;

/// Installs what the tests were built with.
const DEBUG: &[&str] = if cfg!(debug_assertions) { &["--debug"] } else { &[] };

/// Every name of the module in one script: they have to be faces of one object.
const FETCH: &str = r#"
    local socket = require "socket"
    local core, v1 = require "socket.core", require "luasocketd.v1"
    assert(core.tcp and v1.connect and require "luasocketd")
    local mapped = {}
    for line in io.lines("/proc/self/maps") do
        local path = line:match("/.*socket.*%.so$")
        if path then mapped[path] = true end
    end
    local path = assert(next(mapped), "it is mapped")
    assert(not next(mapped, path), "and nothing else that could be")
    local client = assert(socket.connect("127.0.0.1", os.getenv("PEER")))
    client:send("say fetched\n")
    print(path, (client:receive("*a")))
"#;

/// The fetching script under an interpreter that `setup`, a shell line, has prepared; where it found the
/// module.
fn fetch_after(setup: &str, interpreter: &str) -> PathBuf {
    let (daemon, peer) = (Daemon::start(), Peer::start());
    let outcome = Job::new("sh")
        .args(["-c", &format!(r#"{setup}; exec {interpreter} "$0""#)])
        .script(FETCH)
        .env("LUASOCKETD_SOCKET", daemon.socket())
        .env("PEER", peer.port().to_string())
        .run();
    let text = outcome.success();
    let (path, fetched) = text.trim_end().split_once('\t').unwrap_or_else(|| panic!("{outcome}"));
    assert_eq!(fetched, "fetched", "{outcome}");
    path.into()
}

fn directory() -> TempDir {
    // In its real place, as the tests compare paths with what the system says.
    let place = std::env::temp_dir().canonicalize().expect("there is a directory for temporary files");
    tempfile::tempdir_in(place).expect("a temporary directory")
}

/// A job that builds where the tests were built, from what cargo has already.
fn building(job: Job) -> Job {
    job.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true").limit(Duration::from_secs(600))
}

fn cargo(args: &[&str]) -> Job {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    building(Job::new(cargo)).args(args)
}

fn xtask_install(args: &[&str]) -> Job {
    let job = cargo(&["run", "--quiet", "--package", "xtask", "--", "install", "--no-build"]);
    job.args(DEBUG).args(args)
}

/// One installation that several tests look at. It stays until the next run makes it anew.
static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
    let prefix = target().join("tmp/installed");
    let _ = fs::remove_dir_all(&prefix);
    let text = xtask_install(&["--prefix", &prefix.display().to_string()]).run().success();
    let columns: Vec<usize> = text.lines().filter_map(|line| line.find('/')).collect();
    assert_eq!(columns.len(), text.lines().count(), "every line names a file:\n{text}");
    assert!(columns.iter().all(|column| *column == columns[0]), "aligned:\n{text}");
    for line in text.lines() {
        let path = Path::new(&line[columns[0]..]);
        assert!(path.exists() && path.starts_with(&prefix), "{line}");
    }
    prefix
});

fn installed(path: &str) -> PathBuf {
    PREFIX.join(path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn luarocks_make_installs_a_module_that_works() {
    for version in ["5.1", "5.4"] {
        let tree = directory();
        let rocks = format!("luarocks --lua-version {version} --tree {}", tree.path().display());
        let line = format!(r#"cd "$0" && {rocks} make"#);
        let make = building(Job::new("sh")).args(["-c", &line]).arg(repository("."));
        let flags = DEBUG.first().copied().unwrap_or_default();
        make.env("LUASOCKETD_ROCK_FLAGS", flags).run().success();
        let path = fetch_after(&format!(r#"eval "$({rocks} path)""#), &format!("lua{version}"));
        assert_eq!(path, tree.path().join("lib/lua").join(version).join("luasocketd.so"));
    }
}

#[test]
fn the_installed_program_finds_the_installed_modules() {
    for (version, interpreter) in [("5.1", "luajit"), ("5.3", "lua5.3"), ("5.4", "lua5.4")] {
        let program = installed("bin/luasocketd");
        let setup = format!(r#"eval "$({} path --lua {version})""#, program.display());
        let path = fetch_after(&setup, interpreter);
        assert_eq!(path, installed("lib/luasocketd/lua").join(version).join("luasocketd.so"));
    }
}

#[test]
fn modes_are_those_of_files_for_everybody() {
    for (path, expected) in [
        ("bin/luasocketd", 0o755),
        ("lib/luasocketd/lua/5.2/luasocketd.so", 0o755),
        ("lib/luasocketd/lua/5.5/socket.lua", 0o644),
        ("lib/systemd/system/luasocketd.service", 0o644),
        ("share/man/man1/luasocketd.1", 0o644),
    ] {
        assert_eq!(mode(&installed(path)), expected, "{path}");
    }
}

#[test]
fn the_unit_is_one() {
    let unit = installed("lib/systemd/system/luasocketd.service");
    let outcome = Job::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).run();
    outcome.success();
    // A warning is no failure to it.
    assert!(!outcome.errors().contains("luasocketd.service"), "{outcome}");
}

#[test]
fn the_pages_are_well_formed_and_name_the_commands() {
    let pages = installed("share/man/man1");
    let page = |name: &str| {
        let job = Job::new("man").args(["--warnings", "--local-file"]).arg(pages.join(name));
        let outcome = job.env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat").run();
        assert!(outcome.stderr.is_empty(), "{outcome}");
        outcome.success()
    };
    let main = page("luasocketd.1");
    for section in
        ["NAME", "SYNOPSIS", "DESCRIPTION", "SUBCOMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"]
    {
        assert!(main.lines().any(|line| line == section), "{section} in:\n{main}");
    }
    assert!(!main.contains("__"), "what is hidden stays so:\n{main}");
    for command in ["run", "serve", "path"] {
        assert!(main.contains(&format!("luasocketd-{command}(1)")), "{command} in:\n{main}");
        let text = page(&format!("luasocketd-{command}.1"));
        assert!(text.contains("OPTIONS"), "{text}");
    }
}

#[test]
fn shells_complete_commands_and_options() {
    let share = installed("share").display().to_string();
    let bash = format!(
        r#". '{share}/bash-completion/completions/luasocketd'
        COMP_WORDS=(luasocketd "$1") COMP_CWORD=1; _luasocketd luasocketd "$1" luasocketd; echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(luasocketd serve --dr) COMP_CWORD=2; _luasocketd luasocketd --dr serve; echo "${{COMPREPLY[@]}}""#
    );
    let outcome = Job::new("bash").args(["--norc", "-euc", &bash, "bash", "se"]).run();
    assert_eq!(outcome.success(), "serve\n--drain-timeout\n", "{outcome}");
    assert!(outcome.stderr.is_empty(), "{outcome}");

    let fish = format!(
        "source '{share}/fish/vendor_completions.d/luasocketd.fish'; complete --do-complete 'luasocketd se'"
    );
    let home = directory();
    let outcome = Job::new("fish").args(["--no-config", "-c", &fish]).env("HOME", home.path()).run();
    assert!(outcome.success().starts_with("serve\t"), "{outcome}");

    // Its own completions cannot be asked for without a terminal.
    let zsh = format!(
        "fpath=('{share}/zsh/site-functions' $fpath); autoload -U compinit; compinit -D -u; echo $_comps[luasocketd]"
    );
    let outcome = Job::new("zsh").args(["-f", "-c", &zsh]).run();
    assert_eq!(outcome.success(), "_luasocketd\n", "{outcome}");
}

#[test]
fn a_package_is_made_in_a_directory_of_its_own() {
    let destdir = directory();
    let place = destdir.path().display().to_string();
    xtask_install(&["--prefix", "/opt/sockets/", "--destdir", &place]).run().success();
    let unit = destdir.path().join("opt/sockets/lib/systemd/system/luasocketd.service");
    let unit = fs::read_to_string(unit).expect("the unit is there");
    assert!(unit.contains("\nExecStart=/opt/sockets/bin/luasocketd serve "), "{unit}");
    assert!(!unit.contains(&place) && !unit.contains("@PREFIX@"), "{unit}");
    let link = destdir.path().join("opt/sockets/lib/luasocketd/lua/5.4/socket/core.so");
    assert_eq!(fs::read_link(link).expect("a link"), Path::new("../luasocketd.so"));
}

#[test]
fn a_prefix_that_cannot_be_one_is_wrong_usage() {
    for prefix in ["relative", "/with space", "/with%percent"] {
        let outcome = xtask_install(&["--prefix", prefix]).run();
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    }
}

#[test]
fn cargo_installs_the_daemon_alone() {
    let root = directory();
    let daemon = repository("daemon");
    let install = cargo(&["install", "--locked", "--no-track"]).args(DEBUG);
    install.arg("--path").arg(daemon).arg("--root").arg(root.path()).run().success();
    let program = root.path().join("bin/luasocketd");
    let text = Job::new(program).arg("--version").run().success();
    assert!(text.starts_with("luasocketd "), "{text}");
}
