//! What was recorded, as facts.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rusqlite::{Connection, Result};

use super::super::index::schema::{NO_PORT, TRANSPORTS, VERDICTS, matter_word, word};
use super::super::query::Selection;
use super::super::{Filter, Index, IndexError, Moment};
use super::Fact;
use crate::core::policy::{Decision, Profile, Rule, Verb, parse_address};
use crate::core::trail::Matter;

/// The addresses that a name alone does not lead to.
const SPECIAL: &str =
    "CREATE TEMP TABLE IF NOT EXISTS special (address INTEGER PRIMARY KEY); DELETE FROM temp.special";

const FACTS: &str = "p.profile, p.uid, p.gid, p.client, p.socket, k.matter, k.transport, \
    (SELECT text FROM host WHERE id = k.host) AS host, k.port, \
    (SELECT text FROM phrase WHERE id = k.service) AS service, k.verdict, n, last, k.id \
    FROM kind AS k CROSS JOIN party AS p ON p.id = k.party";

impl Index {
    /// What `filter` selects, as facts for a policy: what was denied only if the filter asks for that.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn facts(&self, filter: &Filter) -> Result<Vec<Fact>, IndexError> {
        self.reading(|connection| {
            let selection = Selection::prepare(connection, filter, None)?;
            let ips = special_ips(connection, &selection)?;
            let facts = format!(
                "WITH sums AS ({}) SELECT {FACTS} CROSS JOIN sums ON sums.kind = k.id",
                selection.by_kind()
            );
            let mut statement = connection.prepare(&facts)?;
            let mut rows = statement.query([])?;
            let mut facts = Vec::new();
            while let Some(row) = rows.next()? {
                let verdict = word(VERDICTS.iter().copied(), row.get(10)?);
                if verdict == Decision::Deny.name() && filter.verdict != Some(Decision::Deny) {
                    continue;
                }
                facts.extend(read(row, &ips)?);
            }
            Ok(facts)
        })
    }
}

fn read(row: &rusqlite::Row<'_>, ips: &HashMap<i64, Vec<IpAddr>>) -> Result<Option<Fact>> {
    let matter = matter_word(row.get(5)?);
    let is_path = TRANSPORTS[3..].contains(&word(TRANSPORTS.iter().copied(), row.get(6)?));
    let Some(matter) = Matter::ALL.iter().find(|known| known.word() == matter) else { return Ok(None) };
    let verb = match matter {
        Matter::Connection => Verb::Connect,
        Matter::Listener => Verb::Listen,
        // A local datagram is sent as one connects.
        Matter::DatagramPeer if is_path => Verb::Connect,
        Matter::DatagramPeer => Verb::Datagram,
        Matter::Lookup => Verb::Resolve,
        // Whoever may listen may accept.
        Matter::Accepted => return Ok(None),
    };
    let Some(host) = row.get::<_, Option<String>>(7)? else { return Ok(None) };
    let service: Option<String> = row.get(9)?;
    // The system chooses a port for 0, and 0 is what was judged.
    let port = if service.as_deref() == Some("0") { 0 } else { row.get(8)? };
    let port = u16::try_from(port).ok().filter(|_| port != NO_PORT && verb != Verb::Resolve && !is_path);
    let number = |column| row.get::<_, i64>(column).map(|number| u32::try_from(number).ok());
    let socket: String = row.get(4)?;
    Ok(Some(Fact {
        profile: row.get(0)?,
        uid: number(1)?,
        gid: number(2)?,
        client: row.get(3)?,
        socket: Some(socket).filter(|socket| !socket.is_empty()),
        verb,
        host,
        is_path,
        port,
        ips: ips.get(&row.get(13)?).cloned().unwrap_or_default(),
        count: u64::try_from(row.get::<_, i64>(11)?).unwrap_or_default(),
        last: Moment(row.get(12)?),
    }))
}

/// The special addresses that each kind has led to.
fn special_ips(connection: &Connection, selection: &Selection) -> Result<HashMap<i64, Vec<IpAddr>>> {
    connection.execute_batch(SPECIAL)?;
    // What every name leads to.
    let everybody = Profile::new("", Rule::parse("*:*", Decision::Allow, None));
    let mut add = connection.prepare("INSERT INTO temp.special VALUES (?1)")?;
    let mut all = connection.prepare("SELECT id, text FROM address")?;
    let mut rows = all.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let Some(ip) = parse_address(row.get_ref(1)?.as_str()?) else { continue };
        let address = SocketAddr::new(ip, 1);
        if !everybody.decide_address(Verb::Connect, "name.example", address).lets_through() {
            add.execute([row.get::<_, i64>(0)?])?;
            count += 1;
        }
    }
    let mut ips: HashMap<i64, Vec<IpAddr>> = HashMap::new();
    if count == 0 {
        return Ok(ips);
    }
    let found = format!(
        "SELECT a.kind, (SELECT text FROM address WHERE id = a.peer_ip) {} \
         AND a.peer_ip IN (SELECT address FROM temp.special) GROUP BY a.kind, a.peer_ip",
        selection.rows()
    );
    let mut statement = connection.prepare(&found)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let ip = parse_address(row.get_ref(1)?.as_str()?);
        ips.entry(row.get(0)?).or_default().extend(ip);
    }
    Ok(ips)
}
