//! Facts become rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::Moment;
use super::{Fact, Uses, day};
use crate::core::policy::{Decision, Profile, Rule, Verb, parse_address};

/// So many names below one name become `*.NAME`; fewer are listed.
const SUBDOMAINS_MIN: usize = 4;

/// How often something was used, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    count: u64,
    last: i64,
    /// How many names a rule stands for, if for more than one.
    names: usize,
}

impl Used {
    fn of(fact: &Fact) -> Self {
        Used { count: fact.count, last: fact.last.0, names: 0 }
    }

    fn add(&mut self, other: Used) {
        self.count += other.count;
        self.last = self.last.max(other.last);
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        write!(f, "{times}, last {}", day(Moment(self.last)))?;
        if self.names > 0 { write!(f, ", {} names", self.names) } else { Ok(()) }
    }
}

/// Ports, and the use of each rule that has them.
type Ports = BTreeSet<u16>;

/// What is allowed of one verb, before it is put together.
#[derive(Default)]
struct Wanted {
    names: BTreeMap<String, (Ports, Used)>,
    addresses: BTreeMap<IpAddr, (Ports, Used)>,
    paths: BTreeMap<String, Used>,
    /// Every address of this machine, where it is not known which one it was.
    everywhere: (Ports, Used),
}

/// The rules that allow all of these, and what no such rule can allow.
pub(super) fn rules(facts: &[&Fact]) -> (Uses, Uses) {
    let mut wanted: Vec<(Verb, Wanted)> = Verb::ALL.iter().map(|verb| (*verb, Wanted::default())).collect();
    let mut left = Uses::new();
    for fact in facts {
        let Some((_, wanted)) = wanted.iter_mut().find(|(verb, _)| *verb == fact.verb) else { continue };
        if !wanted.take(fact) {
            let what = format!("{} {}", fact.verb.doing(), fact.host.escape_default());
            left.entry(what).or_default().add(Used::of(fact));
        }
    }
    // Whoever may use a name may look it up.
    let used: BTreeSet<String> = wanted
        .iter()
        .filter(|(verb, _)| *verb != Verb::Resolve)
        .flat_map(|(_, wanted)| wanted.names.keys().cloned())
        .collect();
    if let Some((_, lookups)) = wanted.iter_mut().find(|(verb, _)| *verb == Verb::Resolve) {
        lookups.names.retain(|name, _| !used.contains(name));
    }
    let mut rules = Uses::new();
    for (verb, wanted) in wanted {
        wanted.put_together(verb, &mut rules);
    }
    (rules, left)
}

impl Wanted {
    /// Takes a fact; `false` when no rule of its own can allow it.
    fn take(&mut self, fact: &Fact) -> bool {
        let used = Used::of(fact);
        if fact.is_path {
            let is_plain = !fact.host.contains('*') && is_rule(&path_rule(fact.verb, &fact.host));
            if is_plain {
                self.paths.entry(fact.host.clone()).or_default().add(used);
            }
            return is_plain;
        }
        if let Some(ip) = parse_address(&fact.host) {
            add(&mut self.addresses, ip, fact.port, used);
            return true;
        }
        if fact.host == "*" && fact.verb == Verb::Listen {
            for ip in &fact.ips {
                add(&mut self.addresses, *ip, fact.port, used);
            }
            if fact.ips.is_empty() {
                self.everywhere.0.extend(fact.port);
                self.everywhere.1.add(used);
            }
            return true;
        }
        let name = fact.host.trim_end_matches('.').to_ascii_lowercase();
        // What begins with a star would be a rule, but for more than this.
        if name.contains('*') || !is_rule(&name) {
            return false;
        }
        for ip in &fact.ips {
            if !is_opened_by_name(fact.verb, &name, *ip, fact.port) {
                add(&mut self.addresses, ip.to_canonical(), fact.port, used);
            }
        }
        add(&mut self.names, name, fact.port, used);
        true
    }

    fn put_together(self, verb: Verb, rules: &mut Uses) {
        let prefix = if verb == Verb::Connect { String::new() } else { format!("{}:", verb.name()) };
        let mut say = |host: &str, ports: &Ports, used: Used| {
            let rule = format!("{prefix}{host}{}", port_list(ports));
            rules.entry(rule).or_default().clone_from(&used);
        };
        for (name, (ports, used)) in gather_names(self.names) {
            say(&name, &ports, used);
        }
        for (network, ports, used) in gather_addresses(self.addresses) {
            let host = match network {
                IpNet::V4(network) if network.prefix_len() == 32 => network.addr().to_string(),
                IpNet::V6(network) if network.prefix_len() == 128 => format!("[{}]", network.addr()),
                IpNet::V4(network) => network.to_string(),
                IpNet::V6(network) => format!("[{}]/{}", network.addr(), network.prefix_len()),
            };
            say(&host, &ports, used);
        }
        let (ports, used) = self.everywhere;
        if used.count > 0 {
            let ports = if ports.is_empty() { Ports::from([0]) } else { ports };
            say("*", &ports, used);
        }
        for (path, used) in self.paths {
            rules.insert(path_rule(verb, &path), used);
        }
    }
}

fn add<K: Ord>(wanted: &mut BTreeMap<K, (Ports, Used)>, key: K, port: Option<u16>, used: Used) {
    let entry = wanted.entry(key).or_default();
    entry.0.extend(port);
    entry.1.add(used);
}

fn path_rule(verb: Verb, path: &str) -> String {
    if verb == Verb::Listen { format!("listen:unix:{path}") } else { format!("unix:{path}") }
}

fn is_rule(text: &str) -> bool {
    Rule::parse(text, Decision::Allow, None).is_ok()
}

/// Whether a rule for the name is enough to reach this address of it: special ones want a rule of their own.
fn is_opened_by_name(verb: Verb, name: &str, ip: IpAddr, port: Option<u16>) -> bool {
    let rule = Rule::parse(&format!("{}:{name}", verb.name()), Decision::Allow, None);
    let profile = Profile::new("", rule);
    let address = SocketAddr::new(ip, port.unwrap_or_default());
    verb == Verb::Resolve || profile.decide_address(verb, name, address).lets_through()
}

/// Names with the same ports below the same name become one pattern if they are many.
fn gather_names(names: BTreeMap<String, (Ports, Used)>) -> BTreeMap<String, (Ports, Used)> {
    let mut below: BTreeMap<(String, Ports), Vec<String>> = BTreeMap::new();
    for (name, (ports, _)) in &names {
        if let Some((_, parent)) = name.split_once('.')
            && may_be_gathered(parent)
        {
            below.entry((parent.to_owned(), ports.clone())).or_default().push(name.clone());
        }
    }
    let mut gathered = names;
    for ((parent, ports), names) in below {
        if names.len() < SUBDOMAINS_MIN {
            continue;
        }
        let mut all = Used { names: names.len(), ..Used::default() };
        for name in names {
            if let Some((_, used)) = gathered.remove(&name) {
                all.add(used);
            }
        }
        // The same pattern may stand for names with other ports already.
        let pattern = gathered.entry(format!("*.{parent}")).or_default();
        pattern.0.extend(ports);
        pattern.1.add(all);
        pattern.1.names += all.names;
    }
    gathered
}

/// Whether everybody below this name is likely to be one: not below `com`, nor below `co.uk`.
fn may_be_gathered(parent: &str) -> bool {
    let labels: Vec<&str> = parent.split('.').collect();
    match labels.as_slice() {
        [second, top] => top.len() > 2 || second.len() > 3,
        [] | [_] => false,
        _ => true,
    }
}

/// Addresses with the same ports become the ranges that have these and no others.
fn gather_addresses(addresses: BTreeMap<IpAddr, (Ports, Used)>) -> Vec<(IpNet, Ports, Used)> {
    let mut alike: BTreeMap<&Ports, (Vec<Ipv4Net>, Vec<Ipv6Net>)> = BTreeMap::new();
    for (ip, (ports, _)) in &addresses {
        let (v4, v6) = alike.entry(ports).or_default();
        match ip {
            IpAddr::V4(ip) => v4.push((*ip).into()),
            IpAddr::V6(ip) => v6.push((*ip).into()),
        }
    }
    let mut gathered = Vec::new();
    for (ports, (v4, v6)) in alike {
        let v4 = Ipv4Net::aggregate(&v4).into_iter().map(IpNet::V4);
        let networks = v4.chain(Ipv6Net::aggregate(&v6).into_iter().map(IpNet::V6));
        for network in networks {
            let mut all = Used::default();
            let inside = addresses.range(network.network()..=network.broadcast());
            inside.filter(|(_, (own, _))| own == ports).for_each(|(_, (_, used))| all.add(*used));
            gathered.push((network, ports.clone(), all));
        }
    }
    gathered
}

/// Ports as a rule has them; none for a lookup.
fn port_list(ports: &Ports) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match ranges.last_mut() {
            Some((_, high)) if high.checked_add(1) == Some(port) => *high = port,
            _ => ranges.push((port, port)),
        }
    }
    let range = |&(low, high): &(u16, u16)| match high - low {
        0 => low.to_string(),
        1 => format!("{low},{high}"),
        _ => format!("{low}-{high}"),
    };
    let list: Vec<String> = ranges.iter().map(range).collect();
    if list.is_empty() { String::new() } else { format!(":{}", list.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed_shortly() {
        let list = |ports: &[u16]| port_list(&ports.iter().copied().collect());
        assert_eq!(list(&[]), "");
        assert_eq!(list(&[80, 443]), ":80,443");
        assert_eq!(list(&[1, 2, 3, 5, 6, 65534, 65535]), ":1-3,5,6,65534,65535");
    }

    #[test]
    fn nobody_owns_a_top_level_domain() {
        for (parent, may) in
            [("com", false), ("co.uk", false), ("example.com", true), ("a.co.uk", true), ("heise.de", true)]
        {
            assert_eq!(may_be_gathered(parent), may, "{parent}");
        }
    }
}
