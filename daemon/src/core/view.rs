//! What operators see: rows of clients and of sockets, a page at a time, so that no number of them costs the loop a
//! long turn.

use std::collections::HashMap;
use std::time::Instant;

use luasocketd_protocol::{Kind, SocketId};
use serde::{Deserialize, Serialize};

use super::budget::Resource;
use super::client::{Client, Phase};
use super::machine::Core;
use super::mark::Mark;
use super::slots::{ClientId, Key, Slots};
use super::socket::{Socket, State};
use super::tally::{ByProfile, Times};
use super::words::words;

/// The most rows of a page. Most of its cost is in asking the system for addresses: twice as many took half a
/// millisecond and more (measured with 12,000 sockets on a busy machine).
pub const PAGE_ROWS: usize = 128;

/// The most slots that are looked at for a page, those included that are empty or another client's.
const PAGE_SLOTS: usize = 8192;

/// Rows in the order of their slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<u32>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// What it is called here.
    pub id: Mark,
    /// Its process, unless that lives where the daemon cannot see it.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The program that the process runs, where it can be seen.
    pub executable: Option<String>,
    /// What it calls itself; unknown before it has said hello.
    pub name: Option<String>,
    /// Its Lua version, as it says.
    pub lua: Option<String>,
    /// Its profile in the policy.
    pub profile: Option<String>,
    /// The listening path that it came in by.
    pub path: Option<String>,
    /// Its sockets, those included that still deliver after their close.
    pub sockets: u64,
    /// Its requests that are not answered yet.
    pub calls: u64,
    /// What it makes the daemon hold, in bytes.
    pub held: u64,
    /// Bytes that it has sent to the network.
    pub sent: u64,
    /// Bytes that it has received from there.
    pub received: u64,
    /// How long it has been here, in milliseconds.
    pub age_ms: u64,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketRow {
    /// What it is called here.
    pub id: Mark,
    /// Whose it is, or was.
    pub client: Mark,
    /// Of which kind.
    pub kind: Kind,
    /// What it is doing.
    pub state: SocketState,
    /// Its own address, as the system says.
    pub local: Option<String>,
    /// The peer's address, as the system says.
    pub peer: Option<String>,
    /// The host or path that the script has asked for.
    pub host: Option<String>,
    /// Bytes that went to the network.
    pub sent: u64,
    /// Bytes that came from there.
    pub received: u64,
    /// Bytes that the script has sent and the network has not taken yet.
    pub queued: u64,
    /// Bytes that the script has agreed to take and has not got yet.
    pub credit: u64,
    /// The script's time limit per wait in milliseconds.
    pub timeout_block_ms: Option<u64>,
    /// The script's time limit per call in milliseconds.
    pub timeout_total_ms: Option<u64>,
    /// How long it has been there, in milliseconds.
    pub age_ms: u64,
}

words! {
    /// What a socket is doing, in LuaSocket's words where it has one.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    SocketState {
        /// A stream that is neither connected nor listening.
        Master = "master",
        /// It waits for the resolver.
        Resolving = "resolving",
        /// It is being made, bound or told to listen.
        Binding = "binding",
        /// It is being connected.
        Connecting = "connecting",
        /// A connected stream.
        Client = "client",
        /// A listening stream.
        Server = "server",
        /// Datagrams, without a peer.
        Unconnected = "unconnected",
        /// Datagrams, with a peer.
        Connected = "connected",
        /// Its script has closed it; what that had sent is being delivered.
        Closing = "closing",
        /// Its connection has failed, and its script has not closed it yet.
        Broken = "broken",
    }
}

/// Everything together, since the start and now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Clients that are there.
    pub clients: u64,
    /// Clients that have come since the start.
    pub clients_total: u64,
    /// Sockets that are there.
    pub sockets: u64,
    /// Sockets that were made since the start.
    pub sockets_total: u64,
    /// Lookups under way.
    pub lookups: u64,
    /// Bytes that went to the network since the start.
    pub sent_bytes_total: u64,
    /// Bytes that came from there since the start.
    pub received_bytes_total: u64,
    /// Whether nothing new is begun any more.
    pub draining: bool,
    /// What each profile has led to, that without a name being for clients without one.
    pub profiles: Vec<ProfileRow>,
    /// How long lookups took.
    pub lookup_times: Times,
    /// How long it took until connections were there.
    pub connect_times: Times,
}

/// What one profile of the policy has led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Its name; empty for clients without a profile.
    pub profile: String,
    /// Clients that have it now.
    pub clients: u64,
    /// Questions that were answered with `allow`.
    pub allowed: u64,
    /// With `deny`.
    pub denied: u64,
    /// With `report`.
    pub reported: u64,
    /// How often a limit was in a client's way.
    pub limits_reached: u64,
}

impl Totals {
    /// Adds what another loop of the same daemon has counted.
    pub fn add(&mut self, other: Totals) {
        let Totals {
            clients,
            clients_total,
            sockets,
            sockets_total,
            lookups,
            sent_bytes_total,
            received_bytes_total,
            draining,
            profiles,
            lookup_times,
            connect_times,
        } = other;
        self.clients += clients;
        self.clients_total += clients_total;
        self.sockets += sockets;
        self.sockets_total += sockets_total;
        self.lookups += lookups;
        self.sent_bytes_total = self.sent_bytes_total.saturating_add(sent_bytes_total);
        self.received_bytes_total = self.received_bytes_total.saturating_add(received_bytes_total);
        self.draining |= draining;
        for row in profiles {
            // While a new policy comes, one loop may know a profile that another one does not.
            match self.profiles.binary_search_by(|other| other.profile.cmp(&row.profile)) {
                Ok(found) => self.profiles[found].add(&row),
                Err(between) => self.profiles.insert(between, row),
            }
        }
        self.lookup_times.add(&lookup_times);
        self.connect_times.add(&connect_times);
    }
}

impl ProfileRow {
    fn add(&mut self, other: &ProfileRow) {
        self.clients += other.clients;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.reported += other.reported;
        self.limits_reached += other.limits_reached;
    }
}

impl Core {
    /// Everything together. It looks at every client, and at no socket.
    pub fn totals(&self) -> Totals {
        let tally = &self.tally;
        let mut clients: HashMap<&str, u64> = HashMap::new();
        for (_, client) in self.clients.iter() {
            let name = client.profile.as_ref().map_or("", |profile| profile.name.as_str());
            *clients.entry(name).or_default() += 1;
        }
        let profile = |(name, counts): (&str, &ByProfile)| ProfileRow {
            profile: name.to_owned(),
            clients: clients.get(name).copied().unwrap_or(0),
            allowed: counts.allowed,
            denied: counts.denied,
            reported: counts.reported,
            limits_reached: counts.limits_reached,
        };
        let [sent, received] = tally.traffic;
        Totals {
            clients: self.clients.len() as u64,
            clients_total: tally.clients,
            sockets: self.sockets.len() as u64,
            sockets_total: tally.sockets,
            lookups: self.lookups.len() as u64,
            sent_bytes_total: sent.bytes,
            received_bytes_total: received.bytes,
            draining: self.is_draining(),
            profiles: tally.profiles().map(profile).collect(),
            lookup_times: tally.lookups.times(),
            connect_times: tally.connects.times(),
        }
    }

    /// The clients from slot `from` on, `most` of them or fewer.
    pub fn client_page(&self, from: u32, most: usize, now: Instant) -> Page<ClientRow> {
        page(&self.clients, from, most, |id, client| Some(client_row(id, client, now)))
    }

    /// One client, if it is there.
    pub fn client_row(&self, id: ClientId, now: Instant) -> Option<ClientRow> {
        self.clients.get(id).map(|client| client_row(id, client, now))
    }

    /// One socket, if it is there.
    pub fn socket_row(&self, id: SocketId, now: Instant) -> Option<SocketRow> {
        self.sockets.get(id).and_then(|socket| socket_row(id, socket, now))
    }

    /// Whose a socket is, or was.
    pub fn owner(&self, id: SocketId) -> Option<ClientId> {
        self.sockets.get(id).map(|socket| socket.client)
    }

    /// The sockets from slot `from` on, of all clients or of one, `most` of them or fewer.
    pub fn socket_page(&self, of: Option<ClientId>, from: u32, most: usize, now: Instant) -> Page<SocketRow> {
        let is_wanted = |socket: &Socket| of.is_none_or(|client| client == socket.client);
        page(
            &self.sockets,
            from,
            most,
            |id, socket| {
                if is_wanted(socket) { socket_row(id, socket, now) } else { None }
            },
        )
    }
}

/// What `row` makes of a table from slot `from` on, `most` rows or fewer.
fn page<K: Key, T, R>(
    table: &Slots<K, T>,
    from: u32,
    most: usize,
    row: impl Fn(K, &T) -> Option<R>,
) -> Page<R> {
    let mut rows = Vec::new();
    let mut next = from;
    for (slot, entry) in table.slots(from).take(PAGE_SLOTS) {
        if rows.len() == most {
            break;
        }
        rows.extend(entry.and_then(|(key, value)| row(key, value)));
        next = slot.saturating_add(1);
    }
    let more = table.slots(next).next().is_some();
    Page { rows, next: more.then_some(next) }
}

fn client_row(id: ClientId, client: &Client, now: Instant) -> ClientRow {
    let (name, lua) = match &client.phase {
        Phase::Welcome { name, lua } => (Some(name.clone()), Some(lua.clone())),
        Phase::Greeting(_) | Phase::Refused => (None, None),
    };
    let credentials = client.credentials;
    ClientRow {
        id: Mark::Client(id),
        pid: (credentials.pid != 0).then_some(credentials.pid),
        uid: credentials.uid,
        gid: credentials.gid,
        executable: client.party.executable.clone(),
        name,
        lua,
        profile: client.profile.as_ref().map(|profile| profile.name.clone()),
        path: client.socket.clone(),
        sockets: client.budget.used(Resource::Sockets),
        calls: client.calls.len() as u64,
        held: client.budget.used(Resource::Bytes),
        sent: client.traffic[0].bytes,
        received: client.traffic[1].bytes,
        age_ms: millis(client.since, now),
    }
}

/// Nothing for a socket that only the daemon knows of yet.
fn socket_row(id: SocketId, socket: &Socket, now: Instant) -> Option<SocketRow> {
    let state = state(socket)?;
    let (queued, credit) = match &socket.state {
        State::Connected(flow) | State::Closing { flow, .. } => {
            (u64::from(flow.held()), flow.push_credit() as u64)
        }
        State::Datagrams(datagrams) => (0, datagrams.credit() as u64),
        _ => (0, 0),
    };
    let [sent, received] = socket.traffic;
    Some(SocketRow {
        id: Mark::Socket(id),
        client: Mark::Client(socket.client),
        kind: socket.kind,
        state,
        local: None,
        peer: None,
        host: host(socket).map(|host| host.chars().flat_map(char::escape_default).collect()),
        sent: sent.bytes,
        received: received.bytes,
        queued,
        credit,
        timeout_block_ms: socket.timeout.as_ref().and_then(|timeout| timeout.block_ms),
        timeout_total_ms: socket.timeout.as_ref().and_then(|timeout| timeout.total_ms),
        age_ms: millis(socket.since, now),
    })
}

fn state(socket: &Socket) -> Option<SocketState> {
    Some(match &socket.state {
        State::Reserved => return None,
        State::Idle { .. } => SocketState::Master,
        State::Resolving { .. } => SocketState::Resolving,
        State::Opening { .. } | State::Binding { .. } | State::Starting { .. } => SocketState::Binding,
        State::Dialing { .. } | State::DialingPath { .. } => SocketState::Connecting,
        State::Listening { .. } => SocketState::Server,
        State::Datagrams(datagrams) if datagrams.lookup().is_some() => SocketState::Resolving,
        State::Datagrams(datagrams) if datagrams.peer().is_some() => SocketState::Connected,
        State::Datagrams(_) => SocketState::Unconnected,
        State::Connected(flow) if flow.failed => SocketState::Broken,
        State::Connected(_) => SocketState::Client,
        State::Closing { .. } => SocketState::Closing,
    })
}

/// What the script has asked for, last of all.
fn host(socket: &Socket) -> Option<&str> {
    use super::socket::Plan;
    match &socket.state {
        State::Resolving { plan: Plan::Connect(connect), .. } => Some(&connect.host),
        State::Resolving { plan: Plan::Bind(bind), .. } | State::Binding { bind, .. } => Some(&bind.host),
        State::Idle { bound: Some((host, _)), .. } => Some(host),
        _ => socket.admitted.last().map(|admitted| admitted.host.as_str()),
    }
}

fn millis(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::client::Credentials;
    use super::super::machine::Config;
    use super::*;

    fn crowd(count: i32) -> Core {
        let now = Instant::now();
        let mut core = Core::new(Config::default(), now);
        for pid in 1..=count {
            core.add_client(Credentials { uid: 1000, gid: 1000, pid }, now).unwrap();
        }
        core
    }

    #[test]
    fn every_client_is_on_one_page() {
        let (core, now) = (crowd(300), Instant::now());
        let (mut pids, mut from, mut sizes) = (Vec::new(), Some(0), Vec::new());
        while let Some(begin) = from {
            let page = core.client_page(begin, PAGE_ROWS, now);
            sizes.push(page.rows.len());
            pids.extend(page.rows.iter().filter_map(|row| row.pid));
            from = page.next;
        }
        assert_eq!(sizes, [PAGE_ROWS, PAGE_ROWS, 300 - 2 * PAGE_ROWS]);
        assert_eq!(pids, (1..=300).collect::<Vec<i32>>());
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_slots() {
        let mut slots: Slots<ClientId, u32> = Slots::default();
        let keys: Vec<ClientId> =
            (0..2 * PAGE_SLOTS as u32).map(|value| slots.insert(value).unwrap()).collect();
        keys[1..].iter().for_each(|key| _ = slots.remove(*key));
        let first = page(&slots, 0, PAGE_ROWS, |_, value| Some(*value));
        assert_eq!((first.rows.as_slice(), first.next), (&[0][..], Some(PAGE_SLOTS as u32)));
        let second = page(&slots, PAGE_SLOTS as u32, PAGE_ROWS, |_, value| Some(*value));
        assert_eq!((second.rows.len(), second.next), (0, None));
        assert_eq!(page(&slots, u32::MAX, PAGE_ROWS, |_, value| Some(*value)).next, None);
    }

    #[test]
    fn nothing_is_known_of_a_client_that_has_not_said_hello() {
        let core = crowd(1);
        let row = core.client_page(0, PAGE_ROWS, Instant::now()).rows.remove(0);
        assert_eq!((row.id.to_string(), row.name, row.profile), ("c0.1".to_owned(), None, None));
        let totals = core.totals();
        assert_eq!((totals.clients, totals.clients_total, totals.profiles[0].clients), (1, 1, 1));
    }

    #[test]
    fn what_loops_have_counted_is_added_up() {
        let row = |profile: &str, clients| ProfileRow {
            profile: profile.to_owned(),
            clients,
            allowed: 1,
            denied: 2,
            reported: 3,
            limits_reached: 4,
        };
        let (mut all, mut other) = (crowd(2).totals(), crowd(3).totals());
        (all.profiles, other.profiles) = (vec![row("", 1), row("b", 1)], vec![row("a", 2), row("b", 1)]);
        (other.draining, other.sent_bytes_total) = (true, 7);
        other.connect_times.add(&other.connect_times.clone());
        all.add(other);
        assert_eq!((all.clients, all.clients_total, all.sent_bytes_total, all.draining), (5, 5, 7, true));
        let told: Vec<_> = all.profiles.iter().map(|row| (&*row.profile, row.clients, row.denied)).collect();
        assert_eq!(told, [("", 1, 2), ("a", 2, 2), ("b", 2, 4)]);
    }

    #[test]
    fn every_state_is_documented() {
        let documented = include_str!("../../../docs/admin.md");
        for state in SocketState::ALL {
            assert!(documented.contains(&format!("| `{}` |", state.word())), "{}", state.word());
        }
    }
}
