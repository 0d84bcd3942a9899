//! A C host registers LuaSocket 1.0 through `lua_socklibopen`, as hosts did in the year 2000; and a host is watched by valgrind.

use std::path::Path;
use std::time::Duration;

use luasocketd_tests::build::{module_dir, modules_for, repository};
use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::{Daemon, Job, Peer};

/// What a script of such a host finds: eight globals, and no module to require.
const SCRIPT: &str = r#"
    for _, name in ipairs({"connect", "bind", "listen", "accept", "close", "send", "receive", "timeout"}) do
        assert(type(_G[name]) == "function", name)
    end
    local server, ip, port = bind("127.0.0.1", 0)
    listen(server, 2)
    local client = connect(ip, port)
    local other = accept(server)
    timeout(client, 5)
    send(client, "hello ", "host\r\n")
    print(receive(other))
    print(other:send("back\n"))
    print(client:receive("*l"))
    close(client)
    print(receive(other, "*a"))
    close(server)
"#;

/// Compiles the host against one Lua and runs the script in it.
fn host_runs(headers: &str, library: &str, version: &str, package: &str) {
    let include = Path::new("/usr/include").join(headers);
    let hint = format!("the headers of {headers} are missing; run: apt-get install {package}");
    assert!(include.join("lua.h").is_file(), "{hint}");
    let compiler = find_command("cc").expect("a C compiler is missing; run: apt-get install gcc");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let host = directory.path().join("host");
    Job::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&host)
        .arg(repository("tests/c_host/host.c"))
        .arg(format!("-I{}", include.display()))
        .args([&format!("-l{library}"), "-ldl"])
        .run()
        .success();
    modules_for(version); // says what to run if they are missing
    let daemon = Daemon::start();
    let outcome = Job::new(&host)
        .arg(module_dir(version).join("luasocketd.so"))
        .script(SCRIPT)
        .env("LUA_PATH", "")
        .env("LUA_CPATH", "")
        .env("LUASOCKETD_SOCKET", daemon.socket())
        .run();
    assert_eq!(outcome.success(), "hello host\tnil\nnil\t5\nback\tnil\n\tnil\n", "{outcome}");
}

#[test]
fn on_lua54() {
    host_runs("lua5.4", "lua5.4", "5.4", "liblua5.4-dev");
}

#[test]
fn on_lua51() {
    host_runs("lua5.1", "lua5.1", "5.1", "liblua5.1-0-dev");
}

#[test]
fn on_luajit() {
    host_runs("luajit-2.1", "luajit-5.1", "5.1", "libluajit-5.1-dev");
}

#[test]
fn a_host_under_valgrind_sends_and_receives_and_touches_no_memory_that_is_not_its_own() {
    let (daemon, peer, modules) = (Daemon::start(), Peer::start(), modules_for("5.4"));
    let script = r#"
        local c = assert(require("socket").connect("127.0.0.1", ...))
        assert(c:send("echo\n"))
        for _ = 1, 500 do
            assert(c:send("a line\n") == 7)
            assert(c:receive() == "a line")
        end
        print(#require("socket").select({c}, nil, 0))
    "#;
    let file = daemon.directory().join("lines.lua");
    std::fs::write(&file, script).expect("a file can be written");
    let valgrind = Job::new("valgrind").args(["--quiet", "--error-exitcode=9", "lua5.4"]);
    let job = valgrind.arg(&file).arg(peer.port().to_string()).limit(Duration::from_secs(60));
    let job = job.env("LUA_PATH", modules.lua).env("LUA_CPATH", modules.c);
    let outcome = job.env("LUASOCKETD_SOCKET", daemon.socket()).run();
    assert_eq!(outcome.success(), "0\n", "{outcome}");
}
