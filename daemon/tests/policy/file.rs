//! The policy file: what it may say, and what is said of one that is wrong.

use std::time::Duration;

use luasocketd::core::account::UserLimits;
use luasocketd::core::budget::{Limits, Resource};
use luasocketd::core::policy::{
    Accounts, Audit, Decision, Durability, Policy, Profile, Subject, Unfit, Workers,
};

use super::connect;

/// A machine with two users and two groups.
struct Machine;

impl Accounts for Machine {
    fn user(&self, name: &str) -> Result<Option<u32>, String> {
        match name {
            "alice" => Ok(Some(1000)),
            "bob" => Ok(Some(1001)),
            "broken" => Err("the directory does not answer".to_owned()),
            _ => Ok(None),
        }
    }

    fn group(&self, name: &str) -> Result<Option<u32>, String> {
        Ok(match name {
            "lua" => Some(500),
            "staff" => Some(50),
            _ => None,
        })
    }
}

fn read(text: &str) -> Result<Policy, String> {
    Policy::from_toml("p.toml", text, &Machine).map_err(|error| error.to_string())
}

fn subject<'a>(uid: u32, groups: &'a [u32], client: &'a str) -> Subject<'a> {
    Subject { uid, gid: uid, groups, client, socket: Some("/run/a.sock") }
}

fn name_of(policy: &Policy, subject: Subject<'_>) -> Result<String, Unfit> {
    policy.choose(&subject).map(|profile| profile.name.clone())
}

const WHOLE: &str = r#"
enforce_now = true

[audit]
directory = "/var/log/luasocketd"
durability = "relaxed"
rotate_size = 0x1000000
rotate_age = 3600
keep = 30

[[profile]]
name = "web"
uid = ["alice", 2000]
client = ["*.lua", "job*"]
allow = [
    "*.example.com:443",
    "listen:127.0.0.1:8000-8099",
]
deny = "secret.example.com"
report = "trial.example.com"

[profile.limits]
sockets = 10
bytes_held = 4_000_000
connections_per_second = 5
bytes_in_all = 0x100000

[profile.timeouts]
connect = 2.5
linger = 1

[[profile]]
name = "staff"
group = "staff"
socket = "/run/a.sock"
allow = "*"

[[profile]]
name = "rest"
otherwise = "report"
"#;

#[test]
fn all_that_it_may_say_is_read() {
    let policy = read(WHOLE).unwrap();
    assert!(policy.enforce_now);
    let [web, staff, rest] = policy.profiles() else { panic!("{policy:?}") };
    let decision = |profile: &Profile, host: &str| connect(profile, host, "1.2.3.4:443").decision;
    assert_eq!(decision(web, "a.example.com"), Decision::Allow);
    assert_eq!(decision(web, "secret.example.com"), Decision::Deny);
    assert_eq!(decision(web, "trial.example.com"), Decision::Report);
    assert_eq!((decision(staff, "x"), decision(rest, "x")), (Decision::Allow, Decision::Report));
    let verdict = connect(web, "secret.example.com", "1.2.3.4:443");
    let place = verdict.rule().and_then(|rule| rule.place()).unwrap();
    assert_eq!((&*place.file, place.line), ("p.toml", 19));
    assert_eq!(verdict.to_string(), "deny, by the rule `deny connect:secret.example.com` (p.toml:19)");
    let limits = web.limits(&Limits::default());
    assert_eq!((limits.sockets, limits.bytes, limits.lookups), (10, 4_000_000, Limits::default().lookups));
    assert_eq!((web.rates.connections_per_second, web.rates.bytes_in_all), (Some(5), Some(1 << 20)));
    assert_eq!(web.connect_timeout, Some(Duration::from_millis(2500)));
    assert_eq!((web.linger, staff.linger), (Some(Duration::from_secs(1)), None));
}

#[test]
fn how_many_loops_there_are_is_read_and_need_not_be_said() {
    let of = |line: &str| read(&format!("{line}\n[[profile]]\nname = \"x\"\n"));
    assert_eq!(of("").unwrap().workers, None);
    assert_eq!(of("workers = 3").unwrap().workers, Some(Workers::count(3).unwrap()));
    assert_eq!(of("workers = \"auto\"").unwrap().workers, Some(Workers::Auto));
    for wrong in ["workers = 0", "workers = 65", "workers = \"x\"", "workers = -1", "workers = true"] {
        let error = of(wrong).unwrap_err().to_string();
        assert!(error.starts_with("p.toml:1: `workers`"), "{wrong}: {error}");
    }
}

#[test]
fn what_a_users_clients_may_hold_together_is_read_and_need_not_be_said() {
    let of = |line: &str| read(&format!("{line}\n[[profile]]\nname = \"x\"\n"));
    assert_eq!(of("").unwrap().user_limits, UserLimits::default());
    let limits =
        of("user_limits = { sockets = 7, bytes_held = 0x1000000, clients = 3 }").unwrap().user_limits;
    let held = Limits { sockets: 7, bytes: 1 << 24, ..Limits::of_a_user() };
    assert_eq!(limits, UserLimits { held, clients: 3 });
    for (wrong, text) in [
        ("user_limits = 1", "`user_limits` is a table"),
        ("user_limits = { socket = 1 }", "`user_limits` has no key `socket`"),
        ("user_limits = { clients = 0 }", "`clients` is a whole number, 1 or more"),
        ("user_limits = { bytes_held = \"1\" }", "`bytes_held` is a whole number, and not a text"),
        ("user_limits = { sockets = -1 }", "`sockets` is a whole number, 0 or more"),
    ] {
        let error = of(wrong).unwrap_err().to_string();
        assert!(error.starts_with(&format!("p.toml:1: {text}")), "{wrong}: {error}");
    }
}

#[test]
fn where_the_audit_trail_is_kept_is_read_and_need_not_be_said() {
    let whole = Audit {
        directory: "/var/log/luasocketd".into(),
        durability: Durability::Relaxed,
        rotate_bytes: 16 << 20,
        rotate_age: Duration::from_secs(3600),
        keep: Some(30),
    };
    assert_eq!(read(WHOLE).unwrap().audit, Some(whole));
    let profile = "[[profile]]\nname = \"x\"\n";
    assert_eq!(read(profile).unwrap().audit, None);
    let least = read(&format!("audit.directory = \"/a\"\n{profile}")).unwrap().audit.unwrap();
    assert_eq!(least, Audit::new("/a"));
    assert_eq!(
        (least.durability, least.keep),
        (Durability::Strict, None),
        "nothing is lost unless somebody says so"
    );
    let strict =
        read(&format!("audit = {{ directory = \"/a\", durability = \"strict\" }}\n{profile}")).unwrap();
    assert_eq!(strict.audit, Some(least));
}

#[test]
fn each_client_has_the_one_profile_that_is_for_it() {
    let policy = read(WHOLE).unwrap();
    assert_eq!(name_of(&policy, subject(1000, &[], "a.lua")).unwrap(), "web");
    assert_eq!(name_of(&policy, subject(2000, &[], "job 7")).unwrap(), "web");
    assert_eq!(name_of(&policy, subject(1000, &[], "other")).unwrap(), "rest");
    assert_eq!(name_of(&policy, subject(7, &[1, 50], "other")).unwrap(), "staff");
    assert_eq!(name_of(&policy, Subject { socket: None, ..subject(7, &[50], "") }).unwrap(), "rest");
    // Whether a user is in a group shows only when a client comes.
    let both = name_of(&policy, subject(1000, &[50], "a.lua")).unwrap_err().to_string();
    assert!(both.contains("`web` and `staff`") && both.contains("uid 1000"), "{both}");
    let only = read("[[profile]]\nname = \"x\"\nuid = \"alice\"\n").unwrap();
    let nobody = name_of(&only, subject(7, &[8, 9], "a\nb")).unwrap_err().to_string();
    assert_eq!(
        nobody,
        "no profile of the policy is for uid 7 gid 7 groups 8,9 client `a\\nb` on /run/a.sock"
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_line_and_what_would_be_right() {
    let profile = |text: &str| format!("[[profile]]\nname = \"x\"\n{text}\n");
    let audit = |value: &str| format!("audit = {value}\n{}", profile(""));
    let cases = [
        (String::new(), 1, "write `[[profile]]`"),
        ("profile = []".to_owned(), 1, "write `[[profile]]`"),
        ("[profile]\nname = \"x\"".to_owned(), 1, "in two brackets"),
        (
            "colour = 1\n[[profile]]\nname = \"x\"".to_owned(),
            1,
            "the file has no key `colour`; its keys are `enforce_now`, `workers`, `user_limits`, `audit`, `profile`",
        ),
        (
            "enforce_now = \"yes\"\n[[profile]]\nname = \"x\"".to_owned(),
            1,
            "`enforce_now` is `true` or `false`, and not a text",
        ),
        ("[[profile]]\nallow = \"*\"".to_owned(), 1, "has no name"),
        ("[[profile]]\nname = 7".to_owned(), 2, "`name` is a text in quotes, and not a whole number"),
        ("[[profile]]\nname = \"\"".to_owned(), 2, "not empty"),
        (profile("alow = \"*\""), 3, "a profile has no key `alow`; its keys are `name`, `uid`"),
        (profile("allow = 443"), 3, "`allow` is a text in quotes, and not a whole number"),
        (
            profile("allow = [\n  \"*:443\",\n  true,\n]"),
            5,
            "`allow` is a text in quotes, and not true or false",
        ),
        (
            profile("allow = [\n  \"a.com\",\n  \"10.0.0.1/8\",\n]"),
            5,
            "rule `10.0.0.1/8`: there are bits beyond the prefix: write `10.0.0.0/8`",
        ),
        (profile("deny = \"10.0.0.0/33\""), 3, "from 0 to 32"),
        (profile("deny = \"x:9-1\""), 3, "`9-1` is no port"),
        (profile("report = \"x:70000\""), 3, "`70000` is no port"),
        (profile("allow = \"http:x\""), 3, "is no port"),
        (profile("uid = \"nobody here\""), 3, "there is no user `nobody here` here"),
        (profile("uid = \"broken\""), 3, "cannot look up the user `broken`: the directory does not answer"),
        (profile("uid = -1"), 3, "`uid` is a number from 0 to 4294967295, or a name"),
        (profile("uid = 4294967296"), 3, "`uid` is a number from 0"),
        (profile("uid = 1.5"), 3, "`uid` is a number or a name, and not a broken number"),
        (profile("uid = []"), 3, "`uid` has no values"),
        (profile("gid = \"alice\""), 3, "there is no group `alice` here"),
        (profile("group = {}"), 3, "`group` is a number or a name, and not a table"),
        (profile("uid = 1\nclient = \"a*b\""), 4, "a `*` at its end or its beginning"),
        (profile("client = \"a.lua\""), 1, "cannot be all there is to know"),
        (profile("socket = \"run/a.sock\""), 3, "the absolute path"),
        (profile("otherwise = \"allow\""), 3, "`otherwise` is `\"deny\"` or `\"report\"`, and not `allow`"),
        (profile("limits = 5"), 3, "`limits` is a table, and not a whole number"),
        (
            profile("[profile.limits]\nsocket = 5"),
            4,
            "`limits` has no key `socket`; its keys are `bytes_held`, `sockets`",
        ),
        (profile("[profile.limits]\nsockets = -5"), 4, "`sockets` is a whole number, 0 or more"),
        (profile("[profile.limits]\nsockets = \"5\""), 4, "`sockets` is a whole number, and not a text"),
        (profile("[profile.limits]\nbytes_held = 5"), 4, "`bytes_held` is a whole number, 2101248 or more"),
        (
            profile("[profile.limits]\nconnections_per_second = 0"),
            4,
            "`connections_per_second` is a whole number, 1 or more",
        ),
        (
            profile("[profile.timeouts]\nhello = 5"),
            4,
            "`timeouts` has no key `hello`; its keys are `connect`, `linger`",
        ),
        (profile("[profile.timeouts]\nconnect = 0"), 4, "above 0 and at most a day"),
        (profile("[profile.timeouts]\nconnect = 1e9"), 4, "above 0 and at most a day"),
        (profile("[profile.timeouts]\nlinger = nan"), 4, "above 0 and at most a day"),
        (audit("[]"), 1, "`audit` is a table, and not an array"),
        (audit("{}"), 1, "the audit trail has no directory: write `directory = \"/PATH\"`"),
        (audit("{ directory = 1 }"), 1, "`directory` is a text in quotes, and not a whole number"),
        (audit("{ directory = \"var/log\" }"), 1, "`directory` is an absolute path"),
        (audit("{ directory = \"/a/../b\" }"), 1, "without `.`, `..` and `//`"),
        (audit("{ directory = \"/a\", file = 1 }"), 1, "`audit` has no key `file`; its keys are `directory`"),
        (
            audit("{ directory = \"/a\", durability = \"some\" }"),
            1,
            "`durability` is `\"strict\"` or `\"relaxed\"`, and not `some`",
        ),
        (
            audit("{ directory = \"/a\", rotate_size = 1048575 }"),
            1,
            "`rotate_size` is a number of bytes, from 1048576 to 4294967296",
        ),
        (audit("{ directory = \"/a\", rotate_size = 4294967297 }"), 1, "to 4294967296"),
        (audit("{ directory = \"/a\", rotate_size = \"1M\" }"), 1, "is a whole number, and not a text"),
        (
            audit("{ directory = \"/a\", rotate_age = 59 }"),
            1,
            "`rotate_age` is a number of whole seconds, from 60 to 31622400",
        ),
        (audit("{ directory = \"/a\", rotate_age = 31622401 }"), 1, "to 31622400"),
        (audit("{ directory = \"/a\", keep = 0 }"), 1, "`keep` is a whole number, 1 or more"),
        (profile("allow = \"a\"\nallow = \"b\""), 4, "duplicate key"),
        (profile("allow = \"a"), 3, "invalid basic string"),
        (profile("allow = 'a' 'b'"), 3, "newline"),
        (
            profile("uid = 1\n[[profile]]\nname = \"x\"\nuid = 2"),
            4,
            "the profile `x` in line 1 has this name already",
        ),
        (profile("[[profile]]\nname = \"y\""), 3, "are both for whoever no other one is for"),
        (
            profile("uid = 1000\n[[profile]]\nname = \"y\"\nuid = [\"alice\", \"bob\"]"),
            4,
            "`y` and the profile `x` in line 1 are for the same clients",
        ),
        (
            profile("group = \"lua\"\n[[profile]]\nname = \"y\"\ngroup = [500, 50]"),
            4,
            "are for the same clients",
        ),
        (
            profile("uid = 1\nclient = \"a*\"\n[[profile]]\nname = \"y\"\nuid = 1\nclient = \"*b\""),
            5,
            "are for the same clients",
        ),
    ];
    for (text, line, right) in cases {
        let error = read(&text).expect_err(&text);
        assert!(error.starts_with(&format!("p.toml:{line}: ")), "{text}\n{error}");
        assert!(error.contains(right), "{text}\n{error}");
    }
}

#[test]
fn profiles_that_nobody_fits_both_of_are_taken() {
    for text in [
        "uid = 1\n[[profile]]\nname = \"y\"\nuid = 2",
        "uid = 1\nclient = \"a\"\n[[profile]]\nname = \"y\"\nuid = 1\nclient = \"b\"",
        "uid = 1\nsocket = \"/a\"\n[[profile]]\nname = \"y\"\nuid = 1\nsocket = \"/b\"",
        "group = 1\n[[profile]]\nname = \"y\"\ngroup = 2",
        "uid = 1\n[[profile]]\nname = \"y\"\ngroup = 2",
        "uid = 1\n[[profile]]\nname = \"y\"",
    ] {
        read(&format!("[[profile]]\nname = \"x\"\n{text}\n"))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn every_limit_has_a_key() {
    for resource in Resource::ALL {
        let text = format!("[[profile]]\nname = \"x\"\n[profile.limits]\n{} = 9_000_000\n", resource.key());
        let policy = read(&text).unwrap();
        let limits = policy.profiles()[0].limits(&Limits::default());
        assert_eq!(limits.of(*resource), 9_000_000, "{resource}");
    }
}

#[test]
fn no_text_is_more_than_refused() {
    use proptest::prelude::*;
    proptest!(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }, |(
        cut in 0..WHOLE.len(), insert in "[\\[\\]=\"'a-z0-9 \\n.#{},]{0,6}"
    )| {
        // A file that is cut short or scribbled into is a policy or an error with a line, and no panic.
        let scribbled = format!("{}{insert}{}", &WHOLE[..cut], &WHOLE[cut..]);
        for text in [&WHOLE[..cut], &scribbled] {
            if let Err(error) = read(text) {
                prop_assert!(error.starts_with("p.toml:"), "{error}");
            }
        }
    });
}
