//! Single rules: what they cover, what beats what, what is no rule.

use luasocketd::core::policy::{Decision, Profile, Rule, Verb, Why};

use super::{connect, profile};

fn may(profile: &Profile, host: &str, address: &str) -> bool {
    connect(profile, host, address).decision == Decision::Allow
}

fn listens(profile: &Profile, host: &str, address: &str) -> bool {
    profile.decide_address(Verb::Listen, host, address.parse().unwrap()).decision == Decision::Allow
}

fn looks_up(profile: &Profile, purpose: Option<Verb>, host: &str) -> bool {
    profile.decide_lookup(purpose, host).decision == Decision::Allow
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    let none = Profile::default();
    assert!(!may(&none, "example.com", "1.2.3.4:80") && !listens(&none, "*", "0.0.0.0:0"));
    assert!(!looks_up(&none, None, "example.com") && !looks_up(&none, Some(Verb::Connect), "localhost"));
    assert_eq!(connect(&none, "example.com", "1.2.3.4:80").why, Why::NoRule);
    assert_eq!(none.decide_path(Verb::Connect, "/run/x").decision, Decision::Deny);
}

#[test]
fn a_bare_star_allows_everything() {
    let all = profile(&["allow *"]);
    assert!(may(&all, "x", "[::1]:1") && may(&all, "169.254.169.254", "169.254.169.254:80"));
    assert!(listens(&all, "*", "[::]:0") && looks_up(&all, None, "x y"));
    assert_eq!(all.decide_path(Verb::Connect, "relative/../path").decision, Decision::Allow);
    let address = "224.0.0.1:5".parse().unwrap();
    assert_eq!(all.decide_address(Verb::Datagram, "224.0.0.1", address).decision, Decision::Allow);
}

#[test]
fn a_bare_star_with_a_verb_is_everything_for_that_verb() {
    let connects = profile(&["allow connect:*"]);
    assert!(may(&connects, "x", "127.0.0.1:1") && !listens(&connects, "*", "0.0.0.0:1"));
    assert!(looks_up(&connects, Some(Verb::Connect), "x") && !looks_up(&connects, Some(Verb::Listen), "x"));
}

#[test]
fn a_star_with_ports_leaves_special_ranges_closed() {
    let web = profile(&["allow *:443"]);
    assert!(may(&web, "example.com", "93.184.216.34:443") && may(&web, "1.1.1.1", "1.1.1.1:443"));
    assert!(!may(&web, "example.com", "93.184.216.34:80") && !may(&web, "example.com", "127.0.0.1:443"));
    assert!(!may(&profile(&["allow *:*"]), "localhost", "127.0.0.1:443"));
    // What forbids covers them, too.
    let mailless = profile(&["allow *", "deny *:25"]);
    assert!(!may(&mailless, "127.0.0.1", "127.0.0.1:25") && may(&mailless, "127.0.0.1", "127.0.0.1:26"));
    // Who may listen everywhere may listen on the special ones.
    let server = profile(&["allow listen:*:8000"]);
    for (host, address) in [("*", "0.0.0.0:8000"), ("*", "[::]:8000"), ("127.0.0.1", "127.0.0.1:8000")] {
        assert!(listens(&server, host, address), "{address}");
    }
    assert!(!listens(&server, "*", "0.0.0.0:8001"));
}

#[test]
fn a_name_allows_the_name_and_its_ports_only() {
    let one = profile(&["allow Example.com.:80"]);
    assert!(may(&one, "example.COM.", "1.2.3.4:80"));
    assert!(!may(&one, "example.com", "1.2.3.4:81") && !may(&one, "a.example.com", "1.2.3.4:80"));
    assert!(!may(&one, "1.2.3.4", "1.2.3.4:80") && !listens(&one, "example.com", "1.2.3.4:80"));
    assert!(looks_up(&one, Some(Verb::Connect), "example.com") && looks_up(&one, None, "example.com"));
    assert!(
        !looks_up(&one, None, "secret.example.com") && !looks_up(&one, Some(Verb::Listen), "example.com")
    );
}

#[test]
fn a_glob_is_for_what_is_below_a_name() {
    let glob = profile(&["allow *.example.com"]);
    for host in ["a.example.com", "a.b.c.example.com", "A.EXAMPLE.com."] {
        assert!(may(&glob, host, "1.2.3.4:80"), "{host}");
    }
    for host in
        ["example.com", "badexample.com", "a.example.com.evil.net", ".example.com.evil", "a.example.org"]
    {
        assert!(!may(&glob, host, "1.2.3.4:80"), "{host}");
    }
}

#[test]
fn a_name_opens_no_special_range_but_localhost_its_own() {
    let named = profile(&["allow db.internal:5432", "allow localhost:8000"]);
    assert!(!may(&named, "db.internal", "10.0.0.5:5432"));
    assert!(matches!(connect(&named, "db.internal", "10.0.0.5:5432").why, Why::Special { .. }));
    let opened = profile(&["allow db.internal:5432", "allow 10.0.0.0/8:5432"]);
    assert!(may(&opened, "db.internal", "10.0.0.5:5432"));
    for address in ["127.0.0.1:8000", "127.0.1.1:8000", "[::1]:8000", "[::ffff:127.0.0.1]:8000"] {
        assert!(may(&named, "localhost", address), "{address}");
    }
    for address in
        ["10.0.0.1:8000", "169.254.169.254:8000", "[64:ff9b::7f00:1]:8000", "0.0.0.0:8000", "[::]:8000"]
    {
        assert!(!may(&named, "localhost", address), "{address}");
    }
    assert!(!may(&named, "127.0.0.1", "127.0.0.1:8000") && !may(&named, "other", "127.0.0.1:8000"));
}

#[test]
fn an_address_is_judged_by_its_value_and_a_range_by_its_prefix() {
    let one = profile(&["allow 127.0.0.1:8000-8080,9000", "allow [::1]:*", "allow 10.0.0.0/8:5432"]);
    assert!(may(&one, "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:8080") && may(&one, "0:0::1", "[::1]:9"));
    assert!(may(&one, "x", "127.0.0.1:9000") && may(&one, "10.255.255.255", "10.255.255.255:5432"));
    assert!(!may(&one, "127.0.0.1", "127.0.0.1:7999") && !may(&one, "127.0.0.2", "127.0.0.2:8000"));
    assert!(!may(&one, "11.0.0.0", "11.0.0.0:5432") && !may(&one, "10.0.0.1", "10.0.0.1:5433"));
}

#[test]
fn a_teredo_server_is_on_the_way_and_not_the_end() {
    // By way of 10.1.2.3 to 8.8.8.8.
    let there = "[2001:0:a01:203::f7f7:f7f7]:80";
    assert!(!may(&profile(&["allow 10.0.0.0/8"]), "x", there), "who may reach the server may not go on");
    assert!(!may(&profile(&["allow 8.8.8.8"]), "x", there), "the server is private");
    assert!(may(&profile(&["allow 8.8.8.8", "allow [2001::]/32"]), "x", there));
    assert!(!may(&profile(&["allow *", "deny 10.0.0.0/8"]), "x", there));
    assert!(!may(&profile(&["allow *", "deny 8.8.8.8"]), "x", there));
}

#[test]
fn an_unspecified_address_is_no_way_around_a_rule_to_deny() {
    let fenced = profile(&["allow *", "deny 127.0.0.0/8", "deny [::1]", "deny listen:10.0.0.0/8:80"]);
    for address in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
        assert!(!may(&fenced, "x", address), "{address}");
        let address = address.parse().unwrap();
        // What denies to connect does not deny to send datagrams.
        assert!(fenced.decide_address(Verb::Datagram, "x", address).lets_through(), "{address}");
    }
    assert!(!listens(&fenced, "*", "0.0.0.0:80") && !listens(&fenced, "*", "[::]:80"));
    assert!(listens(&fenced, "*", "0.0.0.0:81") && listens(&fenced, "127.0.0.1", "127.0.0.1:80"));
    // It is no way around the lack of a rule to allow either.
    assert!(!may(&profile(&["allow 127.0.0.1"]), "0.0.0.0", "0.0.0.0:1"));
}

#[test]
fn a_verb_allows_nothing_else() {
    let address = "1.2.3.4:9".parse().unwrap();
    for &verb in Verb::ALL.iter().filter(|&&verb| verb != Verb::Resolve) {
        let one = profile(&[&format!("allow {}:1.2.3.4", verb.name())]);
        for &asked in Verb::ALL.iter().filter(|&&verb| verb != Verb::Resolve) {
            let decision = one.decide_address(asked, "1.2.3.4", address).decision;
            assert_eq!(decision == Decision::Allow, asked == verb, "{verb:?} {asked:?}");
        }
    }
    let named = profile(&["allow listen:localhost:*"]);
    assert!(looks_up(&named, Some(Verb::Listen), "localhost") && looks_up(&named, None, "localhost"));
    assert!(!looks_up(&named, Some(Verb::Connect), "localhost"));
    let resolves = profile(&["allow resolve:*.example.com", "allow 10.0.0.0/8"]);
    assert!(
        looks_up(&resolves, None, "a.example.com")
            && looks_up(&resolves, Some(Verb::Connect), "a.example.com")
    );
    assert!(may(&resolves, "a.example.com", "10.0.0.1:1") && !may(&resolves, "a.example.com", "1.2.3.4:1"));
}

#[test]
fn what_forbids_connecting_at_every_port_forbids_the_lookup() {
    let fenced = profile(&["allow *", "deny evil.com", "deny web.com:80", "deny listen:lan.com"]);
    assert!(!looks_up(&fenced, None, "evil.com") && !looks_up(&fenced, Some(Verb::Connect), "EVIL.com."));
    assert!(looks_up(&fenced, Some(Verb::Connect), "web.com") && looks_up(&fenced, None, "lan.com"));
    assert!(!looks_up(&fenced, Some(Verb::Listen), "lan.com"));
    assert!(!may(&fenced, "web.com", "1.2.3.4:80") && may(&fenced, "web.com", "1.2.3.4:81"));
    let reverse = |ip: &str| fenced.decide_reverse(ip.parse().unwrap()).decision;
    assert_eq!(reverse("1.2.3.4"), Decision::Allow);
    let some = profile(&["allow 1.2.3.0/24:80", "deny 1.2.3.4"]);
    let reverse = |ip: &str| some.decide_reverse(ip.parse().unwrap()).decision;
    assert_eq!(
        [reverse("1.2.3.5"), reverse("1.2.3.4"), reverse("1.2.4.4")].map(|d| d == Decision::Allow),
        [true, false, false]
    );
}

#[test]
fn deny_beats_report_and_report_beats_allow() {
    let trial = profile(&["allow *:443", "report evil.com:443", "deny worse.com", "report worse.com"]);
    let decision = |host: &str, address: &str| connect(&trial, host, address).decision;
    assert_eq!(decision("good.com", "1.2.3.4:443"), Decision::Allow);
    assert_eq!(decision("evil.com", "1.2.3.4:443"), Decision::Report);
    assert_eq!(decision("worse.com", "1.2.3.4:443"), Decision::Deny);
    // A report opens no special range either.
    assert_eq!(decision("evil.com", "127.0.0.1:443"), Decision::Deny);
    let verdict = connect(&trial, "evil.com", "1.2.3.4:443");
    assert_eq!(verdict.rule().unwrap().to_string(), "connect:evil.com:443");
    // What is reported at some port is looked up for it.
    let alone = profile(&["report evil.com:443"]);
    assert!(alone.decide_lookup(Some(Verb::Connect), "evil.com").lets_through());
    assert!(!alone.decide_lookup(Some(Verb::Listen), "evil.com").lets_through());
}

#[test]
fn a_profile_may_report_what_no_rule_speaks_of() {
    let mut soft = profile(&["allow a.com", "deny b.com"]);
    soft.reports_the_rest = true;
    let decision = |host: &str, address: &str| connect(&soft, host, address).decision;
    assert_eq!(decision("a.com", "1.2.3.4:443"), Decision::Allow);
    assert_eq!(decision("b.com", "1.2.3.4:443"), Decision::Deny);
    assert_eq!(decision("c.com", "1.2.3.4:443"), Decision::Report);
    assert_eq!(decision("c.com", "10.0.0.1:443"), Decision::Deny, "special ranges stay closed");
    assert_eq!(soft.decide_lookup(None, "c.com").decision, Decision::Report);
}

#[test]
fn a_path_is_the_path_or_a_file_of_the_directory() {
    let local = profile(&["allow unix:/run/app.sock", "allow unix:/run/apps/*", "allow listen:unix:/tmp/x"]);
    let decide = |verb, path: &str| local.decide_path(verb, path).decision == Decision::Allow;
    for path in ["/run/app.sock", "/run/apps/a", "/run/apps/b.sock"] {
        assert!(decide(Verb::Connect, path) && !decide(Verb::Listen, path), "{path}");
    }
    assert!(decide(Verb::Listen, "/tmp/x") && !decide(Verb::Connect, "/tmp/x"));
    let others = [
        "/run/docker.sock",
        "/run/apps",
        "/run/apps/",
        "/run/apps/a/b",
        "/run/apps/../docker.sock",
        "/run/./app.sock",
        "//run/app.sock",
        "/run//app.sock",
        "run/app.sock",
        "",
        "/",
        "\0abstract",
        "/run/apps/\0",
        "/RUN/app.sock",
    ];
    for path in others {
        assert!(!decide(Verb::Connect, path), "{path:?}");
    }
    let fenced = profile(&["allow *", "deny unix:/run/docker.sock"]);
    let decide = |path: &str| fenced.decide_path(Verb::Connect, path).decision == Decision::Allow;
    assert!(decide("/run/app.sock") && !decide("/run/docker.sock"));
    assert!(!decide("/run/../run/docker.sock") && !decide("docker.sock"), "it may be the forbidden one");
    // A star with ports is about hosts.
    assert_eq!(profile(&["allow *:*"]).decide_path(Verb::Connect, "/run/x").decision, Decision::Deny);
}

#[test]
fn what_is_no_rule_is_refused_with_what_would_be_right() {
    let cases = [
        ("", "the host is missing"),
        (":80", "the host is missing"),
        ("connect:", "the host is missing"),
        ("x:", "`` is no port"),
        ("x:65536", "`65536` is no port"),
        ("x:-1", "`-1` is no port"),
        ("x:9-1", "`9-1` is no port"),
        ("x:1-", "`1-` is no port"),
        ("x:http", "`http` is no port"),
        ("x:80,", "`` is no port"),
        ("x:80,90-70", "`90-70` is no port"),
        ("x:+80", "`+80` is no port"),
        ("x: 80", "` 80` is no port"),
        ("::1:80", "stands in brackets"),
        ("[::1:80", "stands in brackets"),
        ("[x]:80", "stands in brackets"),
        ("[::1]80", "stands in brackets"),
        ("[2001:db8::/32]", "stands in brackets"),
        ("[127.0.0.1]", "stands in brackets"),
        ("fe80::1%eth0", "stands in brackets"),
        ("[fe80::1%eth0]", "stands in brackets"),
        ("10.0.0.1/8:80", "write `10.0.0.0/8`"),
        ("[2001:db8::1]/32", "write `[2001:db8::]/32`"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/+8", "from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "from 0 to 32"),
        ("[::]/129", "of an IPv6 address to 128"),
        ("10.1/16", "write the address as `10.0.0.1`"),
        ("127.1:80", "write the address as `127.0.0.1`"),
        ("0177.0.0.1", "write the address as `127.0.0.1`"),
        ("0x7f000001", "write the address as `127.0.0.1`"),
        ("2130706433:80", "write the address as `127.0.0.1`"),
        ("256.1.1.1", "does not end in a number"),
        ("1.2.3.4.5", "does not end in a number"),
        ("example.0x7f", "does not end in a number"),
        ("*.1.2.3", "does not end in a number"),
        ("*x.com", "one `*.` in front"),
        ("a.*.com", "one `*.` in front"),
        ("*.*.com", "one `*.` in front"),
        ("**", "one `*.` in front"),
        ("a b:80", "a name of letters"),
        ("a..b", "a name of letters"),
        (".a", "a name of letters"),
        ("*.", "one `*.` in front"),
        (".", "a name of letters"),
        ("a.b..", "a name of letters"),
        ("user@host", "a name of letters"),
        ("host/path", "a name of letters"),
        ("bücher.example", "in Punycode"),
        ("unix:", "a path is absolute"),
        ("unix:run/x", "a path is absolute"),
        ("unix:/run/../x", "a path is absolute"),
        ("unix:/run//x", "a path is absolute"),
        ("unix:/run/*/x", "a path is absolute"),
        ("unix:/run/x*", "a path is absolute"),
        ("datagram:unix:/run/x", "`connect` and `listen` only"),
        ("resolve:unix:/run/x", "`connect` and `listen` only"),
        ("resolve:example.com:53", "a lookup has no port"),
        ("http://example.com", "is no port"),
    ];
    for (words, right) in cases {
        let error = words.parse::<Rule>().expect_err(words).to_string();
        assert!(error.contains(right), "{words}: {error}");
        assert!(error.starts_with(&format!("rule `{words}`: ")), "{error}");
    }
    let long = format!("{}.example", "a".repeat(64));
    assert!(long.parse::<Rule>().is_err() && "a.".repeat(130).parse::<Rule>().is_err());
}

#[test]
fn a_refusal_says_why() {
    let web = profile(&["allow *:443", "deny evil.com"]);
    let why = |host: &str, address: &str| connect(&web, host, address).why.to_string();
    assert_eq!(
        why("a", "127.0.0.1:443"),
        "127.0.0.1 is loopback (127.0.0.0/8): only a rule for the address itself opens that"
    );
    assert_eq!(
        why("a", "[64:ff9b::a00:1]:443"),
        "64:ff9b::a00:1 stands for 10.0.0.1, which is private (10.0.0.0/8): only a rule for the address itself \
         opens that"
    );
    assert_eq!(why("a", "[4000::]:443"), "4000:: is reserved: only a rule for the address itself opens that");
    assert_eq!(why("a", "1.2.3.4:80"), "no rule allows it");
    assert_eq!(why("evil.com", "1.2.3.4:443"), "a rule to deny says so");
    assert_eq!(
        connect(&web, "evil.com", "1.2.3.4:443").to_string(),
        "deny, by the rule `deny connect:evil.com`"
    );
}
