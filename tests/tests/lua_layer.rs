//! LuaSocket's own Lua files, as Debian installs them, run unchanged on our core: http, ftp, smtp, ltn12, mime,
//! and Copas, which is made for LuaSocket.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use luasocketd_tests::build::{modules_for, repository};
use luasocketd_tests::interpreter::find_command;
use luasocketd_tests::process::Outcome;
use luasocketd_tests::{Daemon, Interpreter, Job, Running, network};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What every fetched body repeats.
const PATTERN: &[u8] = b"0123456789abcdef";
/// A large body takes some seconds, more on a busy machine.
const LARGE_LIMIT: Duration = Duration::from_secs(180);

/// A script for which ours comes first, and everything that we have not from the machine's LuaSocket.
fn layered(interpreter: Interpreter, text: &str, daemon: &Daemon) -> Job {
    let modules = modules_for(interpreter.version());
    let job = interpreter.inline(text, daemon);
    job.env("LUA_PATH", modules.lua + ";;").env("LUA_CPATH", modules.c + ";;")
}

/// Runs a script with arguments on each interpreter; it has to print `expected`.
fn all_print(text: &str, args: &[&str], expected: &str) {
    let daemon = Daemon::start();
    for interpreter in Interpreter::JUDGED {
        let outcome = layered(interpreter, text, &daemon).args(args).run();
        assert_eq!(outcome.success(), expected, "on {}: {outcome}", interpreter.name());
    }
}

/// A server of `tests/peers`, and the port that it says.
fn peer(name: &str) -> (Running, String) {
    let mut running = Job::new("python3").arg(repository("tests/peers").join(name)).start();
    let port = running.line();
    (running, port)
}

/// nginx with a file of 1 MB and one of 100 MB, under `/` with their length and under `/chunked` without.
fn nginx(directory: &Path) -> (Running, u16) {
    for (name, megabytes) in [("1m", 1), ("100m", 100)] {
        let mut file = std::fs::File::create(directory.join(name)).expect("a file can be created");
        let block = PATTERN.repeat(65536);
        (0..megabytes).for_each(|_| file.write_all(&block).expect("a file can be written"));
    }
    std::os::unix::fs::symlink(directory, directory.join("chunked")).expect("a link can be made");
    let nginx = find_command("nginx").expect("nginx is missing; run: apt-get install nginx-light");
    network::served(|port| {
        let config = directory.join("nginx.conf");
        std::fs::write(&config, nginx_config(directory, port)).expect("a file can be written");
        let job = Job::new(&nginx).arg("-p").arg(directory).arg("-c").arg(config).args(["-e", "stderr"]);
        job.limit(LARGE_LIMIT * 6)
    })
}

/// Server-side includes leave the length open, so such a body comes in chunks.
fn nginx_config(directory: &Path, port: u16) -> String {
    let place = directory.display();
    format!(
        "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
            uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
            server {{
                listen 127.0.0.1:{port};
                root {place};
                location /chunked/ {{ ssi on; ssi_types *; }}
            }}
        }}"
    )
}

/// Fetches a body, checks each of its bytes, and prints its length and how it came.
const FETCH: &str = r#"
    local http, ltn12 = require "socket.http", require "ltn12"
    assert(package.loaded["socket.core"] and not tostring(package.searchpath or ""):find("nothing"))
    local pattern, total = ("0123456789abcdef"):rep(1024), 0
    local function sink(chunk)
        if chunk then
            local at = total % 16
            local wanted = #chunk + at <= #pattern and pattern or pattern:rep(math.ceil(#chunk / #pattern) + 1)
            assert(chunk == wanted:sub(at + 1, at + #chunk), "a wrong byte behind " .. total)
            total = total + #chunk
        end
        return 1
    end
    local fine, code, headers = http.request{url = arg[1], sink = sink}
    print(fine, code, ("%d"):format(total), headers and headers["transfer-encoding"] or "length")
"#;

#[test]
fn http_fetches_bodies_of_1_and_100_megabytes_from_nginx() {
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let (_server, port) = nginx(directory.path());
    let daemon = Daemon::start();
    let fetch = |interpreter: Interpreter, path: &str, expected: &str| {
        let job = layered(interpreter, FETCH, &daemon).arg(format!("http://127.0.0.1:{port}{path}"));
        let outcome = job.limit(LARGE_LIMIT).run();
        assert_eq!(outcome.success(), expected, "{path} on {}: {outcome}", interpreter.name());
    };
    for interpreter in Interpreter::JUDGED {
        fetch(interpreter, "/1m", "1\t200\t1048576\tlength\n");
        fetch(interpreter, "/chunked/1m", "1\t200\t1048576\tchunked\n");
    }
    for interpreter in [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit] {
        fetch(interpreter, "/100m", "1\t200\t104857600\tlength\n");
        fetch(interpreter, "/chunked/100m", "1\t200\t104857600\tchunked\n");
    }
}

#[test]
fn http_follows_posts_asks_heads_and_goes_through_proxies() {
    let (_server, port) = peer("http_server.py");
    let script = r#"
        local http, ltn12, mime = require "socket.http", require "ltn12", require "mime"
        local base = "http://127.0.0.1:" .. arg[1]
        local function show(body, code, headers) print(body, code, headers and headers["x-found"]) end
        show(http.request(base .. "/found"))
        show(http.request(base .. "/moved"))
        show(http.request(base .. "/nothing"))
        show(http.request(base .. "/echo", "posted by lua"))
        show(http.request(base .. "/chunks"))
        show(http.request{url = base .. "/found", method = "HEAD"})
        show(http.request{url = base .. "/moved", redirect = false})
        show(http.request{url = base .. "/around", maxredirects = 3})
        show(http.request(base:gsub("http://", "http://user:pass@") .. "/secret"))
        show(http.request(base .. "/secret"))
        local parts, big = {}, ("0123456789"):rep(100000)
        print(http.request{url = base .. "/echo", method = "PUT", source = ltn12.source.string(big),
            headers = {["content-length"] = #big}, sink = ltn12.sink.table(parts)})
        print(table.concat(parts) == big)
        parts = {}
        print((http.request{url = base .. "/echo", method = "POST", source = ltn12.source.string("in chunks"),
            headers = {["transfer-encoding"] = "chunked"}, sink = ltn12.sink.table(parts)}), table.concat(parts))
        show(http.request{url = "http://elsewhere.example/page", proxy = base, method = "GET",
            sink = ltn12.sink.null()})
        http.PROXY = base
        print((http.request("http://elsewhere.example/other")))
        http.PROXY = nil
        print(mime.b64("user:pass"), mime.unb64("dXNlcjpwYXNz"))
    "#;
    let daemon = Daemon::start();
    for interpreter in Interpreter::JUDGED {
        let stock = interpreter.stock_inline(script).arg(&port).run();
        let ours = layered(interpreter, script, &daemon).arg(&port).run();
        assert!(stock.success().lines().count() >= 15, "the judge itself failed\n{stock}");
        // Headers are a table, whose address differs.
        assert_eq!(without_addresses(&ours), without_addresses(&stock), "on {}: {ours}", interpreter.name());
        assert!(ours.text().contains("proxied http://elsewhere.example"), "{ours}");
    }
}

fn without_addresses(outcome: &Outcome) -> String {
    let words = outcome.success();
    let words = words.split('\t').map(|word| if word.starts_with("table: 0x") { "table" } else { word });
    words.collect::<Vec<_>>().join("\t")
}

#[test]
fn smtp_sends_a_mail_with_an_attachment() {
    let script = r#"
        local smtp, mime, ltn12 = require "socket.smtp", require "mime", require "ltn12"
        local message = smtp.message{
            headers = {subject = "a test", to = "you@example.com"},
            body = {
                {body = "hello\r\n.a line with a dot\r\n"},
                {headers = {["content-type"] = 'text/plain; name="x"', ["content-transfer-encoding"] = "BASE64"},
                 body = ltn12.source.chain(ltn12.source.string(("attached "):rep(20)),
                    ltn12.filter.chain(mime.encode("base64"), mime.wrap()))},
            },
        }
        print(smtp.send{from = "<me@example.com>", rcpt = {"<you@example.com>", "<him@example.com>"},
            source = message, server = "127.0.0.1", port = arg[1], domain = "test.example"})
    "#;
    let daemon = Daemon::start();
    for interpreter in Interpreter::JUDGED {
        let (server, port) = peer("smtp_server.py");
        let outcome = layered(interpreter, script, &daemon).arg(port).run();
        assert_eq!(outcome.success().trim_end(), "1", "on {}: {outcome}", interpreter.name());
        let told = server.finish().success();
        let wanted = [
            "C: EHLO test.example",
            "C: MAIL FROM:<me@example.com>",
            "C: RCPT TO:<you@example.com>",
            "C: RCPT TO:<him@example.com>",
            "D: Subject: a test",
            "D: ..a line with a dot",
            "D: YXR0YWNoZWQgYXR0YWNoZWQg",
            "D: .",
            "C: QUIT",
        ];
        let missing: Vec<_> = wanted.iter().filter(|line| !told.contains(**line)).collect();
        assert!(missing.is_empty(), "on {}: {missing:?} is not in\n{told}", interpreter.name());
    }
}

#[test]
fn ftp_gets_and_puts_files() {
    let (_server, port) = peer("ftp_server.py");
    let script = r#"
        local ftp, ltn12 = require "socket.ftp", require "ltn12"
        local base = "ftp://user:pass@127.0.0.1:" .. arg[1]
        io.write((ftp.get(base .. "/greeting.txt;type=i")))
        local large = ftp.get(base .. "/large.bin;type=i")
        print(large and #large)
        print(ftp.put(base .. "/new.txt;type=i", "put by lua"))
        print((ftp.get(base .. "/new.txt;type=i")))
        local nothing, err = ftp.get(base .. "/nothing;type=i")
        print(nothing, err)
    "#;
    let expected = |ten: &str| format!("hello by ftp\n1048576\n{ten}\nput by lua\nnil\t550 no\n");
    let daemon = Daemon::start();
    for interpreter in Interpreter::JUDGED {
        let stock = interpreter.stock_inline(script).arg(&port).run();
        let ours = layered(interpreter, script, &daemon).arg(&port).run();
        assert_eq!(ours.success(), stock.success(), "on {}: {ours}", interpreter.name());
        let floats = matches!(interpreter, Interpreter::Lua53 | Interpreter::Lua54);
        assert_eq!(ours.text(), expected(if floats { "10.0" } else { "10" }), "{ours}");
    }
}

#[test]
fn url_headers_and_tp_come_from_luasocket() {
    let script = r#"
        local url, headers, tp = require "socket.url", require "socket.headers", require "socket.tp"
        print(url.parse("http://host:80/path?query#part").port, url.absolute("http://a/b/c", "../d"))
        print(headers.canonic["content-type"], type(tp.connect))
        print(require("socket").sinkt["http-chunked"] == nil)
        require "socket.http"
        print(type(require("socket").sinkt["http-chunked"]), type(require("socket").sourcet["http-chunked"]))
    "#;
    all_print(script, &[], "80\thttp://a/d\nContent-Type\tfunction\ntrue\nfunction\tfunction\n");
}

#[test]
fn without_luasocket_our_own_file_is_complete() {
    let script = r#"
        local socket = require "socket"
        local words = {}
        for key, value in pairs(socket) do words[#words + 1] = key .. " " .. type(value) end
        for key, value in pairs(socket.dns) do words[#words + 1] = "dns." .. key .. " " .. type(value) end
        for key, value in pairs(require "socket.unix") do words[#words + 1] = "unix." .. key .. " " .. type(value) end
        table.sort(words)
        print(table.concat(words, "\n"))
    "#;
    let daemon = Daemon::start();
    for interpreter in Interpreter::JUDGED {
        let stock = interpreter.stock_inline(script).run();
        let ours = interpreter.inline(script, &daemon).run();
        assert_eq!(ours.success(), stock.success(), "on {}", interpreter.name());
    }
}

/// Raises this process's own limit of descriptors to what a test needs.
fn raise_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum });
        raised.unwrap_or_else(|error| panic!("{needed} descriptors are needed (ulimit -Hn): {error}"));
    }
}

#[test]
fn copas_serves_1000_clients_at_once() {
    const CLIENTS: usize = 1000;
    raise_descriptors(CLIENTS as u64 + 200);
    let script = r#"
        local copas, socket = require "copas", require "socket"
        local server = assert(socket.bind("127.0.0.1", 0, 1024))
        local open, most = 0, 0
        copas.addserver(server, function(client)
            client = copas.wrap(client)
            open = open + 1
            if open > most then most = open end
            while true do
                local line = client:receive("*l")
                if not line then break end
                if line == "how many" then line = tostring(most) end
                client:send("echo " .. line .. "\n")
            end
            open = open - 1
        end)
        print((select(2, server:getsockname())))
        io.stdout:flush()
        copas.loop()
    "#;
    // Debian has Copas for these.
    for interpreter in [Interpreter::Lua51, Interpreter::Lua52, Interpreter::LuaJit] {
        let daemon = Daemon::start();
        let mut server = layered(interpreter, script, &daemon).limit(LARGE_LIMIT).start();
        let port: u16 = server.line().parse().expect("it says its port");
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| BufReader::new(network::connect(port))).collect();
        for round in 0..2 {
            for (number, client) in clients.iter_mut().enumerate() {
                writeln!(client.get_mut(), "{number} {round}").expect("the server reads");
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(line(client), format!("echo {number} {round}\n"), "on {}", interpreter.name());
            }
        }
        writeln!(clients[0].get_mut(), "how many").expect("the server reads");
        assert_eq!(line(&mut clients[0]), format!("echo {CLIENTS}\n"), "on {}", interpreter.name());
    }
}

#[test]
fn luaevent_waits_on_the_descriptor_that_getfd_answers() {
    let script = r#"
        local luaevent, socket = require "luaevent", require "socket"
        local server = assert(socket.bind("127.0.0.1", 0, 100))
        server:settimeout(0)
        luaevent.addserver(server, function(client)
            while true do
                local line = luaevent.receive(client, "*l")
                if not line then break end
                luaevent.send(client, "echo " .. line .. "\n")
            end
            client:close()
        end)
        print((select(2, server:getsockname())))
        io.stdout:flush()
        luaevent.loop()
    "#;
    for interpreter in Interpreter::JUDGED {
        let daemon = Daemon::start();
        let mut server = layered(interpreter, script, &daemon).limit(LARGE_LIMIT).start();
        let port: u16 = server.line().parse().expect("it says its port");
        let mut clients: Vec<_> = (0..50).map(|_| BufReader::new(network::connect(port))).collect();
        // So many that the pipe gets a ring on the way: the descriptor still says what comes.
        for round in 0..40 {
            for (number, client) in clients.iter_mut().enumerate() {
                writeln!(client.get_mut(), "{number} {round}").expect("the server reads");
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(line(client), format!("echo {number} {round}\n"), "on {}", interpreter.name());
            }
        }
    }
}

fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    client.read_line(&mut text).expect("the server answers in time");
    text
}

#[test]
fn select_finds_ten_of_10000_sockets() {
    const SOCKETS: usize = 10_000;
    const READY: [usize; 10] = [1, 2, 999, 1024, 1025, 4096, 5000, 8191, 9999, 10_000];
    raise_descriptors(SOCKETS as u64 + 200);
    let script = r#"
        local socket = require "socket"
        local server = assert(socket.bind("127.0.0.1", 0, 1024))
        print((select(2, server:getsockname())))
        io.stdout:flush()
        local all, number = {}, {}
        for i = 1, tonumber(arg[1]) do
            all[i] = assert(server:accept())
            number[all[i]] = i
        end
        print(#socket.select(all, nil, 0), #(select(2, socket.select(nil, all, 5))))
        io.stdout:flush()
        local ready
        repeat ready = socket.select(all, nil, 10) until #ready >= 10 or #ready == 0
        local words = {}
        for i, object in ipairs(ready) do words[i] = number[object] end
        table.sort(words)
        print(table.concat(words, " "))
    "#;
    let daemon = Daemon::start();
    for interpreter in [Interpreter::Lua51, Interpreter::Lua54, Interpreter::LuaJit] {
        let mut running =
            interpreter.inline(script, &daemon).arg(SOCKETS.to_string()).limit(LARGE_LIMIT).start();
        let port: u16 = running.line().parse().expect("it says its port");
        let mut peers: Vec<TcpStream> = (0..SOCKETS).map(|_| network::connect(port)).collect();
        assert_eq!(running.line(), format!("0\t{SOCKETS}"), "on {}", interpreter.name());
        for index in READY {
            peers[index - 1].write_all(b"x").expect("the script reads");
        }
        let expected = READY.map(|index| index.to_string()).join(" ");
        assert_eq!(running.finish().success(), expected + "\n", "on {}", interpreter.name());
    }
}

#[test]
fn too_many_sockets_are_an_error_with_the_systems_text() {
    let script = r#"
        local socket = require "socket"
        local held, object, err = {}, nil, nil
        for i = 1, 200 do
            object, err = socket.tcp4()
            if not object then break end
            held[i] = object
        end
        print(object, err) -- covers: 2.3/too-many
    "#;
    let limited = Daemon::with_descriptor_limit(64);
    for interpreter in Interpreter::JUDGED {
        let shell = Job::new("sh").args(["-c", "ulimit -n 64; exec \"$0\" \"$1\""]).arg(interpreter.path());
        let stock = shell.script(script).run();
        let ours = interpreter.inline(script, &limited).run();
        assert_eq!(stock.success(), "nil\tToo many open files\n", "{stock}");
        assert_eq!(ours.success(), stock.text(), "on {}: {ours}", interpreter.name()); // covers: 2.3/too-many
    }
}
