//! A name server that answers otherwise each time: a name that a rule allows never leads to an address that no
//! rule allows.

use std::fs;

use luasocketd_tests::network::in_namespace;
use luasocketd_tests::{Daemon, Interpreter};

/// Answers every question with the next one of these, all without a time to live: addresses of this machine and
/// its neighbours, alone, after and before the one public address. Beside it, at all addresses of the namespace,
/// a server says where it was reached and notes it.
const SERVERS: &str = r#"
import itertools, socket, struct, sys, threading
public = "93.184.216.34"
v4 = [[public], ["127.0.0.1"], ["10.0.0.1", public], ["169.254.169.254"], [public, "127.0.0.1"], ["0.0.0.0"],
      ["192.168.0.1"], ["127.0.0.1", "10.0.0.1", public], ["100.64.0.1"], [public, "169.254.169.254"]]
v6 = [[], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["fd00::1"], ["::"]]
answers = {1: (socket.AF_INET, itertools.cycle(v4)), 28: (socket.AF_INET6, itertools.cycle(v6))}

def names(server):
    while True:
        question, peer = server.recvfrom(512)
        end = question.index(b"\0", 12) + 5
        kind = struct.unpack(">H", question[end - 4:end - 2])[0]
        family, turns = answers[kind]
        records = [socket.inet_pton(family, text) for text in next(turns)]
        head = question[:2] + struct.pack(">HHHHH", 0x8580, 1, len(records), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(r)) + r for r in records)
        server.sendto(head + question[12:end] + body, peer)

def reached(server, log):
    while True:
        stream, _ = server.accept()
        where = stream.getsockname()[0]
        log.write(where + "\n"); log.flush()
        stream.sendall((where + "\n").encode()); stream.close()

log = open(sys.argv[1] + ".reached", "w")
server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 8000)); server.listen(100)
threading.Thread(target=reached, args=(server, log), daemon=True).start()
questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
questions.bind(("127.0.0.1", 53))
open(sys.argv[1] + ".up", "w").close()
names(questions)
"#;

/// A daemon in namespaces of its own, where all these addresses lead to the servers.
fn with_fickle_name_server(rules: &[&str]) -> Daemon {
    Daemon::launched(|program, socket| {
        let line = r#"
            set -e
            ip link set lo up
            for address in 10.0.0.1/32 169.254.169.254/32 192.168.0.1/32 100.64.0.1/32 93.184.216.34/32 \
                fd00::1/128 64:ff9b::7f00:1/128 2002:7f00:1::/128; do
                ip address add "$address" dev lo
            done
            echo 'nameserver 127.0.0.1' > "$2.resolv"
            mount --bind "$2.resolv" /etc/resolv.conf
            python3 -c "$3" "$2" &
            for _ in $(seq 200); do [ -e "$2.up" ] && break; sleep 0.05; done
            program=$1 socket=$2
            shift 3
            exec "$program" serve --no-audit --socket "$socket" "$@"
        "#;
        let job = in_namespace(line).arg(program).arg(socket).arg(SERVERS);
        rules.iter().fold(job, |job, rule| job.args(["--allow", rule]))
    })
}

/// Connects to a name many times, and says where it came out.
const SCRIPT: &str = r#"
    local socket, v1 = require "socket", require "luasocketd.v1"
    for turn = 1, 100 do
        local client, why
        if turn % 2 == 0 then client, why = socket.connect("fickle.example", 8000)
        else client, why = v1.connect("fickle.example", 8000) end
        if client then print(client:receive() or "nothing") client:close() else print(why) end
    end
"#;

fn reached(daemon: &Daemon) -> Vec<String> {
    let path = daemon.socket().with_extension("sock.reached");
    let log = fs::read_to_string(path).expect("the server keeps a log");
    log.lines().map(|line| line.trim_start_matches("::ffff:").to_owned()).collect()
}

#[test]
fn a_name_that_is_allowed_never_leads_to_an_address_that_is_not() {
    for rules in [&["fickle.example:8000"][..], &["*.example"], &["*:8000"], &["*:*", "localhost"]] {
        let daemon = with_fickle_name_server(rules);
        let outcome = Interpreter::Lua54.inline(SCRIPT, &daemon).run();
        let text = outcome.success();
        let mut came_out: Vec<&str> = text.lines().map(|line| line.trim_start_matches("::ffff:")).collect();
        assert_eq!(came_out.len(), 100, "{outcome}");
        came_out.sort_unstable();
        came_out.dedup();
        assert_eq!(came_out, ["93.184.216.34", "access denied", "permission denied"], "{rules:?}: {outcome}");
        let reached = reached(&daemon);
        assert!(reached.iter().all(|address| address == "93.184.216.34"), "{rules:?}: {reached:?}");
    }
}

#[test]
fn the_same_name_server_leads_everywhere_once_everything_is_allowed() {
    // Shows that the test above could fail: the servers are there and are reached.
    let daemon = with_fickle_name_server(&["*"]);
    let outcome = Interpreter::Lua54.inline(SCRIPT, &daemon).run();
    outcome.success();
    let reached = reached(&daemon);
    for address in ["93.184.216.34", "127.0.0.1", "10.0.0.1", "169.254.169.254"] {
        assert!(reached.iter().any(|found| found == address), "{address}: {reached:?} {outcome}");
    }
}
