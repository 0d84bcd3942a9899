//! Who a client is, and which clients a profile is for.

use std::collections::BTreeSet;
use std::fmt;

/// What is known of a client. All but its name is the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: &'a [u32],
    /// What it calls itself: anything, so it is never enough to be let in.
    pub client: &'a str,
    /// The listening path that it came in by, if it came in by one.
    pub socket: Option<&'a str>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} gid {}", self.uid, self.gid)?;
        if !self.groups.is_empty() {
            let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
            write!(f, " groups {}", groups.join(","))?;
        }
        write!(f, " client `{}`", self.client.escape_default())?;
        self.socket.map_or(Ok(()), |path| write!(f, " on {path}"))
    }
}

/// Which clients a profile is for: all conditions hold, each by one of its values. One without values holds
/// always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Users.
    pub uids: BTreeSet<u32>,
    /// Groups, the client's own.
    pub gids: BTreeSet<u32>,
    /// Groups, the client's own or a supplementary one.
    pub groups: BTreeSet<u32>,
    /// What clients call themselves.
    pub clients: Vec<ClientName>,
    /// Listening paths.
    pub sockets: BTreeSet<String>,
}

impl Who {
    /// Whether it says nothing: such a profile is for those that no other one is for.
    pub fn is_anybody(&self) -> bool {
        *self == Who::default()
    }

    /// Whether it says something that the kernel can confirm.
    pub(super) fn is_confirmed(&self) -> bool {
        self.clients.is_empty() || *self != Who { clients: self.clients.clone(), ..Who::default() }
    }

    /// Whether the client is one of them.
    pub fn fits(&self, subject: &Subject<'_>) -> bool {
        let in_group = || {
            self.groups.contains(&subject.gid) || subject.groups.iter().any(|gid| self.groups.contains(gid))
        };
        (self.uids.is_empty() || self.uids.contains(&subject.uid))
            && (self.gids.is_empty() || self.gids.contains(&subject.gid))
            && (self.groups.is_empty() || in_group())
            && (self.clients.is_empty() || self.clients.iter().any(|name| name.fits(subject.client)))
            && (self.sockets.is_empty() || subject.socket.is_some_and(|path| self.sockets.contains(path)))
    }

    /// Whether some client certainly fits both, as far as that can be told without knowing who is in which
    /// group.
    pub(super) fn overlaps(&self, other: &Who) -> bool {
        let meet = meets(&self.uids, &other.uids)
            && meets(&self.gids, &other.gids)
            && meets(&self.sockets, &other.sockets)
            && names_meet(&self.clients, &other.clients);
        meet && match (self.groups.is_empty(), other.groups.is_empty()) {
            (true, true) => true,
            (false, false) => meets(&self.groups, &other.groups),
            // Whether one user is in a group is not known; but if whoever fits the narrower one fits the
            // wider one anyway, it does not matter.
            (true, false) => self.includes_but_for_groups(other),
            (false, true) => other.includes_but_for_groups(self),
        }
    }

    fn includes_but_for_groups(&self, other: &Who) -> bool {
        includes(&self.uids, &other.uids)
            && includes(&self.gids, &other.gids)
            && includes(&self.sockets, &other.sockets)
            && (self.clients.is_empty()
                || (!other.clients.is_empty()
                    && other.clients.iter().all(|name| self.clients.contains(name))))
    }
}

/// Whether some value is in both; no values stand for all of them.
fn meets<T: Ord>(one: &BTreeSet<T>, other: &BTreeSet<T>) -> bool {
    one.is_empty() || other.is_empty() || !one.is_disjoint(other)
}

fn includes<T: Ord>(wide: &BTreeSet<T>, narrow: &BTreeSet<T>) -> bool {
    wide.is_empty() || (!narrow.is_empty() && wide.is_superset(narrow))
}

fn names_meet(one: &[ClientName], other: &[ClientName]) -> bool {
    let meet = |name: &ClientName| other.iter().any(|known| name.meets(known));
    one.is_empty() || other.is_empty() || one.iter().any(meet)
}

/// What a client calls itself: a name, or with a `*` at its end or its beginning what comes before or after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// Just so.
    Exactly(String),
    /// `NAME*`
    Before(String),
    /// `*NAME`
    After(String),
}

impl ClientName {
    /// Reads a name or a pattern; `None` for a star in another place, or nothing at all.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, kind): (&str, fn(String) -> ClientName) =
            match (text.strip_suffix('*'), text.strip_prefix('*')) {
                (Some(start), _) => (start, ClientName::Before),
                (None, Some(end)) => (end, ClientName::After),
                (None, None) => (text, ClientName::Exactly),
            };
        (!name.is_empty() && !name.contains('*')).then(|| kind(name.to_owned()))
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            ClientName::Exactly(whole) => whole == name,
            ClientName::Before(start) => name.starts_with(start.as_str()),
            ClientName::After(end) => name.ends_with(end.as_str()),
        }
    }

    /// Whether some name fits both.
    fn meets(&self, other: &ClientName) -> bool {
        match (self, other) {
            (ClientName::Exactly(name), pattern) | (pattern, ClientName::Exactly(name)) => pattern.fits(name),
            (ClientName::Before(one), ClientName::Before(other)) => {
                one.starts_with(other.as_str()) || other.starts_with(one.as_str())
            }
            (ClientName::After(one), ClientName::After(other)) => {
                one.ends_with(other.as_str()) || other.ends_with(one.as_str())
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(uids: &[u32], groups: &[u32], clients: &[&str]) -> Who {
        Who {
            uids: uids.iter().copied().collect(),
            groups: groups.iter().copied().collect(),
            clients: clients.iter().map(|name| ClientName::parse(name).unwrap()).collect(),
            ..Who::default()
        }
    }

    #[test]
    fn every_condition_has_to_hold() {
        let subject = Subject { uid: 1, gid: 2, groups: &[3, 4], client: "a.lua", socket: Some("/run/x") };
        assert!(who(&[9, 1], &[4], &["*.lua"]).fits(&subject) && who(&[], &[2], &["a*"]).fits(&subject));
        assert!(!who(&[9], &[4], &[]).fits(&subject) && !who(&[1], &[5], &[]).fits(&subject));
        assert!(!who(&[1], &[], &["b.lua"]).fits(&subject));
        let by_path = Who { sockets: ["/run/x".to_owned()].into(), ..Who::default() };
        assert!(by_path.fits(&subject) && !by_path.fits(&Subject { socket: None, ..subject }));
    }

    #[test]
    fn only_what_is_certain_is_an_overlap() {
        let cases = [
            (who(&[1], &[], &[]), who(&[1, 2], &[], &[]), true),
            (who(&[1], &[], &[]), who(&[2], &[], &[]), false),
            (who(&[1], &[], &["a"]), who(&[1], &[], &["b"]), false),
            (who(&[1], &[], &["a*"]), who(&[1], &[], &["*b"]), true),
            (who(&[1], &[], &["a*"]), who(&[1], &[], &["b*"]), false),
            (who(&[], &[5], &[]), who(&[], &[5, 6], &[]), true),
            (who(&[], &[5], &[]), who(&[], &[6], &[]), false),
            // Whether user 1 is in group 5 is not known here.
            (who(&[1], &[], &[]), who(&[], &[5], &[]), false),
            (who(&[1], &[], &[]), who(&[1], &[5], &[]), true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), expected, "{other:?} {one:?}");
        }
    }
}
