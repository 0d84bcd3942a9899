//! For whom the suggested profiles are: whoever was recorded with them, told apart.

use std::collections::BTreeSet;
use std::fmt;

use super::{Fact, quoted};

/// Whoever was recorded with a profile.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    sockets: BTreeSet<String>,
    clients: BTreeSet<String>,
    /// Whether each of these was known of everybody.
    has: [bool; 3],
    /// Which of these it takes, besides the user, to tell it from other profiles.
    uses: [bool; 3],
}

/// What tells profiles of one user apart, the kernel's word first.
const SOCKET: usize = 0;
const GROUP: usize = 1;
const CLIENT: usize = 2;

/// The facts of each profile, with its name and for whom it is. Profiles that nothing tells apart become one.
pub(super) fn split(facts: &[Fact]) -> Vec<(String, Who, Vec<&Fact>)> {
    let mut profiles: Vec<(String, Who, Vec<&Fact>)> = Vec::new();
    let mut names: Vec<&str> = facts.iter().map(|fact| fact.profile.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let own: Vec<&Fact> = facts.iter().filter(|fact| fact.profile == name).collect();
        let shown = if name.is_empty() { "suggested" } else { name };
        profiles.push((shown.to_owned(), Who::of(&own), own));
    }
    while let Some((one, other)) = find_same(&mut profiles) {
        let (name, _, facts) = profiles.remove(other);
        let Some(kept) = profiles.get_mut(one) else { break };
        kept.0 = format!("{} and {name}", kept.0);
        kept.2.extend(facts);
        kept.1 = Who::of(&kept.2);
        profiles.iter_mut().for_each(|(_, who, _)| who.uses = [false; 3]);
    }
    profiles
}

/// Two profiles that nothing tells apart, the first one first; tells all others apart.
fn find_same(profiles: &mut [(String, Who, Vec<&Fact>)]) -> Option<(usize, usize)> {
    for other in 1..profiles.len() {
        let (before, rest) = profiles.split_at_mut(other);
        let Some((_, who, _)) = rest.first_mut() else { continue };
        for (one, (_, known, _)) in before.iter_mut().enumerate() {
            if known.overlaps(who) && !known.tell_apart(who) {
                return Some((one, other));
            }
        }
    }
    None
}

impl Who {
    fn of(facts: &[&Fact]) -> Self {
        let sockets: Option<BTreeSet<String>> = facts.iter().map(|fact| fact.socket.clone()).collect();
        let gids: Option<BTreeSet<u32>> = facts.iter().map(|fact| fact.gid).collect();
        let is_name = |name: &str| !name.is_empty() && !name.contains('*');
        let has_names = facts.iter().all(|fact| is_name(&fact.client));
        Who {
            uids: facts.iter().filter_map(|fact| fact.uid).collect(),
            has: [sockets.is_some(), gids.is_some(), has_names],
            sockets: sockets.unwrap_or_default(),
            gids: gids.unwrap_or_default(),
            clients: facts.iter().map(|fact| fact.client.clone()).collect(),
            uses: [false; 3],
        }
    }

    /// Whether somebody's user is in both; a profile without users is for whoever no other one is for.
    fn overlaps(&self, other: &Who) -> bool {
        (self.uids.is_empty() && other.uids.is_empty()) || !self.uids.is_disjoint(&other.uids)
    }

    /// Finds what tells them apart.
    fn tell_apart(&mut self, other: &mut Who) -> bool {
        let are_apart = [
            self.sockets.is_disjoint(&other.sockets),
            self.gids.is_disjoint(&other.gids),
            // What clients say of themselves narrows what the kernel says, and is not enough alone.
            self.clients.is_disjoint(&other.clients) && !self.uids.is_empty(),
        ];
        let found = (0..are_apart.len()).find(|&by| are_apart[by] && self.has[by] && other.has[by]);
        if let Some(by) = found {
            self.uses[by] = true;
            other.uses[by] = true;
        }
        found.is_some()
    }
}

impl fmt::Display for Who {
    /// As lines of a profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = |numbers: &BTreeSet<u32>| numbers.iter().map(u32::to_string).collect::<Vec<_>>();
        let texts = |texts: &BTreeSet<String>| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>();
        let mut line = |key: &str, values: Vec<String>| match values.as_slice() {
            [] => Ok(()),
            [one] => writeln!(f, "{key} = {one}"),
            many => writeln!(f, "{key} = [{}]", many.join(", ")),
        };
        line("uid", numbers(&self.uids))?;
        let mut used =
            |by: usize, key, values: Vec<String>| if self.uses[by] { line(key, values) } else { Ok(()) };
        used(GROUP, "gid", numbers(&self.gids))?;
        used(SOCKET, "socket", texts(&self.sockets))?;
        used(CLIENT, "client", texts(&self.clients))
    }
}
