//! What `docs/policy.md` lists is what there is.

use luasocketd::core::policy::{IPV4, IPV6, Verb};

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
