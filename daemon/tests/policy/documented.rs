//! What `docs/policy.md` lists is what there is.

use luasocketd::core::LOOPS_MAX;
use luasocketd::core::policy::{Audit, Durability, IPV4, IPV6, ROTATE_AGE, ROTATE_BYTES, Verb};

const DOCUMENTED: &str = include_str!("../../../docs/policy.md");

#[test]
fn every_special_range_and_every_verb_is_listed() {
    for special in IPV4.iter().chain(IPV6) {
        let (name, range) = (special.name(), format!("`{}`", special.network()));
        assert!(DOCUMENTED.contains(name) && DOCUMENTED.contains(&range), "{name} {range}");
    }
    for verb in Verb::ALL {
        assert!(DOCUMENTED.contains(&format!("| `{}` |", verb.name())), "{verb:?}");
    }
}

#[test]
fn how_many_loops_there_may_be_is_listed() {
    let row = DOCUMENTED.lines().find(|line| line.starts_with("| `workers` |")).unwrap();
    assert!(row.contains(&format!("1 (default) to {LOOPS_MAX}")), "{row}");
}

#[test]
fn what_an_audit_trail_is_unless_it_is_said_otherwise_is_listed() {
    let audit = Audit::new("/var/log/luasocketd");
    for durability in Durability::ALL {
        let default = if *durability == audit.durability { " (default)" } else { "" };
        let name = format!("`\"{}\"`{default}", durability.name());
        assert!(DOCUMENTED.contains(&name), "{name}");
    }
    let rows = [
        ("rotate_size", audit.rotate_bytes, *ROTATE_BYTES.start(), *ROTATE_BYTES.end()),
        ("rotate_age", audit.rotate_age.as_secs(), ROTATE_AGE.start().as_secs(), ROTATE_AGE.end().as_secs()),
    ];
    for (key, default, least, most) in rows {
        let row = DOCUMENTED.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap();
        assert!(row.contains(&format!("{least} to {most} (default {default})")), "{row}");
    }
}
