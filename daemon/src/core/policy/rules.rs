//! The rules of one profile, arranged so that a question meets only those that can be about it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::address::{Faces, Network};
use super::host::{Pattern, Target, is_plain_path};
use super::rule::{Rule, Verb};
use super::special::{Special, special, special_v4};
use super::verdict::{Decision, Verdict, Why};

/// Rules in any order: the order changes no decision.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order of the file; the first of several that decide alike is the one that is named.
    all: Vec<Arc<Rule>>,
    /// What is asked of every rule first, side by side in memory.
    briefs: Vec<Brief>,
    /// Rules for every host, once for each range of their ports.
    stars: Vec<(RangeInclusive<u16>, usize)>,
    names: HashMap<String, Vec<usize>>,
    below: HashMap<String, Vec<usize>>,
    networks: HashMap<Network, Vec<usize>>,
    /// The prefix lengths that there are, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
    paths: HashMap<String, Vec<usize>>,
    directories: HashMap<String, Vec<usize>>,
    /// What forbids or reports some name.
    closed_names: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Brief {
    effect: Decision,
    verb: Option<Verb>,
    has_every_port: bool,
}

impl Brief {
    fn is_for(&self, verb: Verb) -> bool {
        self.verb.is_none_or(|only| only == verb)
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let mut arranged = Rules::default();
        rules.into_iter().for_each(|rule| arranged.add(rule));
        arranged
    }
}

impl Rules {
    fn add(&mut self, rule: Rule) {
        let position = self.all.len();
        let (effect, ports) = (rule.effect(), rule.ports());
        let brief = Brief { effect, verb: rule.verb(), has_every_port: ports.is_every() };
        match &rule.pattern {
            Pattern::Everything | Pattern::Hosts => {
                self.stars.extend(ports.ranges().iter().map(|range| (range.clone(), position)));
            }
            Pattern::Name(name) => self.names.entry(name.clone()).or_default().push(position),
            Pattern::Below(name) => self.below.entry(name.clone()).or_default().push(position),
            Pattern::Network(network) => {
                self.networks.entry(*network).or_default().push(position);
                self.lengths[usize::from(!network.is_ipv4())].insert(network.prefix());
            }
            Pattern::Path(path) => self.paths.entry(path.clone()).or_default().push(position),
            Pattern::Directory(path) => self.directories.entry(path.clone()).or_default().push(position),
        }
        if rule.pattern.is_name() && effect != Decision::Allow {
            self.closed_names.push(position);
        }
        self.briefs.push(brief);
        self.all.push(Arc::new(rule));
    }

    /// Whether some rule is about local sockets by their paths.
    pub fn name_paths(&self) -> bool {
        !self.paths.is_empty() || !self.directories.is_empty()
    }

    /// Every rule, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.all.iter().map(|rule| &**rule)
    }

    /// Whether `address`, asked for as `host`, may be connected to, listened on or sent to.
    pub(super) fn decide_address(&self, verb: Verb, host: &str, address: SocketAddr) -> Verdict {
        let faces = Faces::of(address.ip());
        let special = special(&faces);
        let mut tally = Tally::new(self);
        let mut count = |position: usize| {
            if self.is_about(position, verb, address.port()) {
                let opens =
                    special.is_none_or(|(_, special)| opens(&self.all[position], verb, &faces, special));
                tally.count(position, self.briefs[position].effect, opens);
            }
        };
        self.matching_stars(Some(address.port()), &mut count);
        self.matching_names(&Target::parse(host), &mut count);
        self.matching_networks(&faces, &mut count);
        self.closing_unspecified(verb, faces.own, &mut count);
        tally.verdict(special.map(|(face, special)| Why::Special { ip: faces.own, face, special }))
    }

    /// What the rules on names say to a name at this port, whatever its address.
    pub(super) fn decide_name(&self, verb: Verb, host: &str, port: u16) -> Verdict {
        let mut tally = Tally::new(self);
        let mut count = |position: usize| {
            if self.is_about(position, verb, port) {
                tally.count(position, self.briefs[position].effect, true);
            }
        };
        self.matching_stars(Some(port), &mut count);
        self.matching_names(&Target::parse(host), &mut count);
        tally.verdict(None)
    }

    /// Whether `host` may be looked up: for the sake of `purpose`, or for its own.
    ///
    /// Without this question a script that may reach nothing could still send bytes to a name server,
    /// inside the names it asks for.
    pub(super) fn decide_lookup(&self, purpose: Option<Verb>, host: &str) -> Verdict {
        match Target::parse(host) {
            Target::Address(_) => Verdict::new(Decision::Allow, Why::Address),
            target => self.decide_question(purpose, |count| self.matching_names(&target, count)),
        }
    }

    /// Whether the name of this address may be looked up.
    pub(super) fn decide_reverse(&self, ip: IpAddr) -> Verdict {
        let faces = Faces::of(ip);
        self.decide_question(None, |count| self.matching_networks(&faces, count))
    }

    /// Whether a name server may be asked; `matching` gives the rules that are about what it is asked.
    fn decide_question(
        &self,
        purpose: Option<Verb>,
        matching: impl FnOnce(&mut dyn FnMut(usize)),
    ) -> Verdict {
        let mut tally = Tally::new(self);
        let mut count = |position: usize| {
            if let Some(effect) = lookup_effect(self.briefs[position], purpose) {
                tally.count(position, effect, true);
            }
        };
        self.matching_stars(None, &mut count);
        matching(&mut count);
        tally.verdict(None)
    }

    /// Whether the local socket at this path may be used.
    pub(super) fn decide_path(&self, verb: Verb, path: &str) -> Verdict {
        let is_plain = is_plain_path(path);
        // Names without a file (unix(7)); no path leads to one.
        let is_nameless = path.is_empty() || path.starts_with('\0');
        let mut tally = Tally::new(self);
        let mut count = |position: usize| {
            let brief = self.briefs[position];
            if brief.is_for(verb) && self.all[position].pattern != Pattern::Hosts {
                tally.count(position, brief.effect, true);
            }
        };
        self.matching_stars(None, &mut count);
        if is_plain {
            self.paths.get(path).into_iter().flatten().copied().for_each(&mut count);
            let directory = path.rsplit_once('/').and_then(|(directory, _)| self.directories.get(directory));
            directory.into_iter().flatten().copied().for_each(&mut count);
        } else if !is_nameless {
            // It may be any path: what forbids or reports some forbids or reports it.
            let closed = |rule: &Rule| rule.pattern.is_path() && rule.effect() != Decision::Allow;
            (0..self.all.len()).filter(|&position| closed(&self.all[position])).for_each(&mut count);
        }
        tally.verdict((!is_plain && !is_nameless).then_some(Why::Path))
    }

    fn is_about(&self, position: usize, verb: Verb, port: u16) -> bool {
        let brief = self.briefs[position];
        brief.is_for(verb) && (brief.has_every_port || self.all[position].ports().contains(port))
    }

    fn matching_stars(&self, port: Option<u16>, count: &mut dyn FnMut(usize)) {
        let about = |range: &RangeInclusive<u16>| port.is_none_or(|port| range.contains(&port));
        self.stars.iter().filter(|(range, _)| about(range)).for_each(|(_, position)| count(*position));
    }

    fn matching_names(&self, target: &Target, count: &mut dyn FnMut(usize)) {
        match target {
            Target::Name(name) => {
                self.names.get(name).into_iter().flatten().copied().for_each(&mut *count);
                if self.below.is_empty() {
                    return;
                }
                for (dot, _) in name.match_indices('.') {
                    self.below.get(&name[dot + 1..]).into_iter().flatten().copied().for_each(&mut *count);
                }
            }
            // It may be any name: what forbids or reports some forbids or reports it.
            Target::Odd => self.closed_names.iter().copied().for_each(count),
            Target::Address(_) | Target::Wildcard => {}
        }
    }

    fn matching_networks(&self, faces: &Faces, count: &mut dyn FnMut(usize)) {
        self.matching_address(faces.own, count);
        for (position, ip) in faces.embedded().enumerate() {
            // Teredo's server is only on the way: who may reach it may not reach what is behind it.
            let is_way = position > 0;
            self.matching_address(ip.into(), &mut |rule| {
                if !is_way || self.briefs[rule].effect != Decision::Allow {
                    count(rule);
                }
            });
        }
    }

    /// The rules that close what an unspecified address leads to: who connects to one reaches loopback (Linux
    /// has it so), and who listens on one listens on every address, those included that a rule forbids.
    fn closing_unspecified(&self, verb: Verb, ip: IpAddr, count: &mut dyn FnMut(usize)) {
        let mut close = |rule: usize| {
            if self.briefs[rule].effect != Decision::Allow {
                count(rule);
            }
        };
        match ip {
            ip if !ip.is_unspecified() => {}
            IpAddr::V4(_) if verb != Verb::Listen => {
                self.matching_address(Ipv4Addr::LOCALHOST.into(), &mut close)
            }
            IpAddr::V6(_) if verb != Verb::Listen => {
                self.matching_address(Ipv6Addr::LOCALHOST.into(), &mut close)
            }
            _ => self.networks.values().flatten().copied().for_each(close),
        }
    }

    fn matching_address(&self, ip: IpAddr, count: &mut dyn FnMut(usize)) {
        for &length in &self.lengths[usize::from(ip.is_ipv6())] {
            let rules = Network::around(ip, length).and_then(|network| self.networks.get(&network));
            rules.into_iter().flatten().copied().for_each(&mut *count);
        }
    }
}

/// What a rule says to a lookup made for this purpose, or for its own sake.
fn lookup_effect(rule: Brief, purpose: Option<Verb>) -> Option<Decision> {
    let verb = match rule.verb {
        None | Some(Verb::Resolve) => return Some(rule.effect),
        Some(verb) => verb,
    };
    // A lookup for its own sake is fit for any use; what forbids to connect forbids it, too.
    let fits = purpose.is_none_or(|purpose| purpose == verb);
    // What is forbidden at some ports may be allowed at others.
    let closes = purpose.unwrap_or(Verb::Connect) == verb && rule.has_every_port;
    match rule.effect {
        Decision::Deny => closes.then_some(Decision::Deny),
        Decision::Report if closes => Some(Decision::Report),
        Decision::Report | Decision::Allow => fits.then_some(Decision::Allow),
    }
}

/// Whether a rule that covers a special address is meant for it.
fn opens(rule: &Rule, verb: Verb, faces: &Faces, special: &Special) -> bool {
    match &rule.pattern {
        Pattern::Everything => true,
        // Whoever may listen on every address of this machine may listen on the special ones.
        Pattern::Hosts => verb == Verb::Listen,
        Pattern::Network(network) => {
            let open = |ip| network.contains(IpAddr::V4(ip)) || special_v4(ip).is_none();
            network.contains(faces.own) || (faces.embedded != [None, None] && faces.embedded().all(open))
        }
        name => name.is_localhost() && special.is_loopback() && faces.embedded == [None, None],
    }
}

/// The rules that are about a question, counted: deny beats report, report beats allow.
struct Tally<'a> {
    rules: &'a Rules,
    deny: Option<usize>,
    report: Option<usize>,
    allow: Option<usize>,
    /// Whether some rule that lets through is meant for the address, special or not.
    open: bool,
}

impl<'a> Tally<'a> {
    fn new(rules: &'a Rules) -> Self {
        Tally { rules, deny: None, report: None, allow: None, open: false }
    }

    fn count(&mut self, position: usize, effect: Decision, opens: bool) {
        let first = match effect {
            Decision::Deny => &mut self.deny,
            Decision::Report => {
                self.open |= opens;
                &mut self.report
            }
            Decision::Allow if opens => {
                self.open = true;
                &mut self.allow
            }
            Decision::Allow => return,
        };
        *first = Some(first.map_or(position, |known| known.min(position)));
    }

    /// `closed` is what forbids it if no rule opens it.
    fn verdict(self, closed: Option<Why>) -> Verdict {
        let by = |decision, position: usize| {
            Verdict::new(decision, Why::Rule(Arc::clone(&self.rules.all[position])))
        };
        match (self.deny, self.report.filter(|_| self.open), self.allow) {
            (Some(deny), ..) => by(Decision::Deny, deny),
            (None, Some(report), _) => by(Decision::Report, report),
            (None, None, Some(allow)) => by(Decision::Allow, allow),
            (None, None, None) => Verdict::new(Decision::Deny, closed.unwrap_or(Why::NoRule)),
        }
    }
}
