//! Answers in groups: who, to whom, how often, how much.

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::{Connection, Result, Row};

use super::super::index::schema::{
    DAY_US, DENY, EVER, HOUR_US, NO_PORT, VERDICTS, end_word, matter_word, word,
};
use super::filter::{Moment, Order};
use super::select::Selection;

macro_rules! dimensions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $field:literal, $of:ident, $key:literal;)+) => {
        /// What groups are made by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Dimension {
            $($(#[$doc])* $variant,)+
        }

        impl Dimension {
            /// Every one.
            pub const ALL: &[Dimension] = &[$(Dimension::$variant),+];

            /// Its name on the command line, and over its column.
            pub const fn name(self) -> &'static str {
                match self { $(Dimension::$variant => $name),+ }
            }

            /// The field of the trail's lines that it is.
            pub const fn field(self) -> &'static str {
                match self { $(Dimension::$variant => $field),+ }
            }

            const fn of(self) -> Of {
                match self { $(Dimension::$variant => Of::$of),+ }
            }

            const fn key(self) -> &'static str {
                match self { $(Dimension::$variant => $key),+ }
            }
        }
    };
}

/// What a group's key can be worked out from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The kind, which has sums.
    Kind,
    /// The day, which has, too.
    Day,
    /// The row itself.
    Row,
}

dimensions! {
    /// The name, address or path that was asked for.
    Host = "host", "destination.address", Kind, "(SELECT text FROM host WHERE id = key)";
    /// What the client calls itself.
    Client = "client", "luasocketd.client.name", Kind, "p.client";
    /// The script's user.
    Uid = "uid", "user.id", Kind, "p.uid";
    /// The port.
    Port = "port", "destination.port", Kind, "k.port";
    /// The policy's word.
    Verdict = "verdict", "luasocketd.verdict", Kind, "k.verdict";
    /// The client's profile.
    Profile = "profile", "rule.ruleset", Kind, "p.profile";
    /// The rule that has decided.
    Rule = "rule", "rule.name", Kind, "(SELECT text FROM rule WHERE id = key)";
    /// What it is.
    Matter = "matter", "luasocketd.matter", Kind, "k.matter";
    /// The program that the script's process runs.
    Executable = "executable", "process.executable", Kind, "p.executable";
    /// The other side's address.
    Ip = "ip", "destination.ip", Row, "(SELECT text FROM address WHERE id = key)";
    /// The script's process.
    Pid = "pid", "process.pid", Row, "a.pid";
    /// Why it ended.
    End = "end", "luasocketd.end", Row, "a.end";
    /// The day, in UTC.
    Day = "day", "event.start", Day, "day";
    /// The hour, in UTC.
    Hour = "hour", "event.start", Row, "hour";
}

/// What has the same key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Which; nothing where the field is not there.
    pub key: String,
    /// How many decisions.
    pub count: u64,
    /// How many of them to deny.
    pub denied: u64,
    /// Bytes to the network.
    pub sent: u64,
    /// Bytes from the network.
    pub received: u64,
    /// When the last was decided.
    pub last: Moment,
}

/// The statement that gives the groups.
pub(super) fn statement(selection: &Selection, by: Dimension, order: Order) -> String {
    let is_party = by.key().starts_with("p.");
    let key = match by {
        Dimension::Host => "k.host".to_owned(),
        Dimension::Rule => "k.rule".to_owned(),
        Dimension::Ip => "a.peer_ip".to_owned(),
        Dimension::Day => format!("a.started / {DAY_US}"),
        Dimension::Hour => format!("a.started / {HOUR_US}"),
        _ if is_party => "k.party".to_owned(),
        _ => by.key().to_owned(),
    };
    let is_summed = selection.is_summed && by.of() != Of::Row;
    let groups = if is_summed {
        let key = key.replace(&format!("a.started / {DAY_US}"), "s.day");
        let own = if selection.has_kinds { "" } else { " WHERE k.matter <> 0" };
        let summed = summed(selection, by == Dimension::Day);
        format!("SELECT {key} AS key, {SUMS} FROM ({summed}) AS s {JOIN}{own} GROUP BY 1")
    } else {
        let sums = SUMS.replace("s.n", "1").replace("s.last", "a.started").replace("s.", "a.");
        format!("SELECT {key} AS key, {sums} {} GROUP BY 1", selection.rows())
    };
    // There are few parties: only their sums have to find out what they are called.
    let groups = if is_party {
        format!(
            "SELECT {} AS key, sum(n) AS n, sum(denied) AS denied, sum(sent) AS sent, sum(received) AS received, \
             max(last) AS last FROM ({groups}) AS one CROSS JOIN party AS p ON p.id = one.key GROUP BY 1",
            by.key()
        )
    } else {
        groups
    };
    let shown = if by.key().starts_with('(') { by.key() } else { "key" };
    let order = match order {
        Order::Time => "last DESC, key",
        Order::Bytes => "sent + received DESC, n DESC, key",
        Order::Count => "n DESC, key",
        Order::Name => "1",
    };
    // What has ended as another kind than it began leaves groups of nothing.
    format!("SELECT {shown}, n, denied, sent, received, last FROM ({groups}) WHERE n > 0 ORDER BY {order}")
}

/// Keys that are added up in memory, some dozen MiB of them.
const KEYS_MAX: usize = 200_000;

const SUMS: &str = "sum(s.n) AS n, sum(s.n) FILTER (WHERE k.verdict = 2) AS denied, sum(s.sent) AS sent, \
    sum(s.received) AS received, max(s.last) AS last";
const JOIN: &str = "CROSS JOIN kind AS k ON k.id = s.kind";

/// The statement that gives the number of rows.
pub(super) fn count(selection: &Selection) -> String {
    if !selection.is_summed {
        return format!("SELECT count(*) {}", selection.rows());
    }
    let own = if selection.has_kinds { "" } else { " WHERE k.matter <> 0" };
    format!(
        "SELECT coalesce(sum(s.n), 0) FROM ({}) AS s CROSS JOIN kind AS k ON k.id = s.kind{own}",
        summed(selection, false)
    )
}

impl Selection {
    /// The statement that gives the sums of each kind.
    pub(crate) fn by_kind(&self) -> String {
        if self.is_summed {
            format!(
                "SELECT kind, sum(n) AS n, max(last) AS last FROM ({}) GROUP BY kind",
                summed(self, false)
            )
        } else {
            format!(
                "SELECT a.kind AS kind, count(*) AS n, max(a.started) AS last {} GROUP BY a.kind",
                self.rows()
            )
        }
    }
}

/// The sums of whole days, and the rows of those that are not whole.
fn summed(selection: &Selection, by_day: bool) -> String {
    let chosen = if selection.has_kinds { " AND kind IN (SELECT kind FROM temp.chosen)" } else { "" };
    let rows = |from: Option<i64>, to: Option<i64>| {
        let from = from.map(|from| format!(" AND started >= {from}")).unwrap_or_default();
        let to = to.map(|to| format!(" AND started < {to}")).unwrap_or_default();
        format!(
            "SELECT started / {DAY_US} AS day, kind, 1 AS n, sent, received, started AS last \
             FROM act INDEXED BY act_by_start WHERE 1{from}{to}{chosen}"
        )
    };
    if selection.is_ever() && !by_day {
        return format!(
            "SELECT day, kind, count AS n, sent, received, last FROM tally WHERE day = {EVER}{chosen}"
        );
    }
    let first_whole =
        selection.since.map(|since| since.div_euclid(DAY_US) + i64::from(since.rem_euclid(DAY_US) > 0));
    let end_whole = selection.until.map(|until| until.div_euclid(DAY_US));
    if let (Some(first), Some(end)) = (first_whole, end_whole)
        && first >= end
    {
        return rows(selection.since, selection.until);
    }
    let since = first_whole.map(|first| format!(" AND day >= {first}")).unwrap_or_default();
    let until = end_whole.map(|end| format!(" AND day < {end}")).unwrap_or_default();
    let mut parts = vec![format!(
        "SELECT day, kind, count AS n, sent, received, last FROM tally WHERE day > {EVER}{since}{until}{chosen}"
    )];
    parts.extend(first_whole.map(|first| rows(selection.since, Some(first * DAY_US))));
    parts.extend(end_whole.map(|end| rows(Some(end * DAY_US), selection.until)));
    parts.join(" UNION ALL ")
}

/// Adds the rows up by a key of their own, here: it takes a third of the time that SQLite needs to sort them all. `None`
/// when there are too many keys for that.
pub(super) fn fold(
    connection: &Connection,
    selection: &Selection,
    by: Dimension,
) -> Result<Option<Vec<Group>>> {
    let key = match by {
        Dimension::Ip => "a.peer_ip".to_owned(),
        Dimension::Hour => format!("a.started / {HOUR_US}"),
        _ if by.of() == Of::Row => by.key().to_owned(),
        _ => return Ok(None),
    };
    let statement = format!("SELECT {key}, k.verdict, a.sent, a.received, a.started {}", selection.rows());
    let mut sums: HashMap<Option<i64>, Group> = HashMap::new();
    let mut statement = connection.prepare(&statement)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let unsigned =
            |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or_default());
        let sum = sums.entry(row.get(0)?).or_default();
        sum.count += 1;
        sum.denied += u64::from(row.get::<_, i64>(1)? == DENY);
        sum.sent += unsigned(2)?;
        sum.received += unsigned(3)?;
        sum.last = sum.last.max(Moment(row.get(4)?));
        if sums.len() > KEYS_MAX {
            return Ok(None);
        }
    }
    let mut address = connection.prepare("SELECT text FROM address WHERE id = ?1")?;
    let mut groups = Vec::with_capacity(sums.len());
    for (key, mut group) in sums {
        group.key = match (by, key) {
            (_, None) => String::new(),
            (Dimension::Ip, Some(key)) => address.query_row([key], |row| row.get(0))?,
            (Dimension::End, Some(key)) => end_word(key).to_owned(),
            (Dimension::Hour, Some(key)) => utc(key * HOUR_US, "%Y-%m-%d %H:00"),
            (_, Some(key)) => key.to_string(),
        };
        groups.push(group);
    }
    Ok(Some(groups))
}

/// Brings groups into an order.
pub(super) fn sort(groups: &mut [Group], order: Order) {
    groups.sort_by(|one, other| one.key.cmp(&other.key));
    match order {
        Order::Time => groups.sort_by_key(|group| Reverse(group.last)),
        Order::Bytes => groups.sort_by_key(|group| Reverse((group.sent + group.received, group.count))),
        Order::Count => groups.sort_by_key(|group| Reverse(group.count)),
        Order::Name => {}
    }
}

/// One group.
pub(super) fn read(row: &Row<'_>, by: Dimension) -> Result<Group> {
    let number = |column| row.get::<_, Option<i64>>(column).map(|number| number.unwrap_or_default());
    let unsigned = |column| number(column).map(|number| u64::try_from(number).unwrap_or_default());
    let key = match by {
        Dimension::Host | Dimension::Client | Dimension::Profile => {
            row.get::<_, Option<String>>(0)?.unwrap_or_default()
        }
        Dimension::Rule | Dimension::Executable | Dimension::Ip => {
            row.get::<_, Option<String>>(0)?.unwrap_or_default()
        }
        Dimension::Uid | Dimension::Port | Dimension::Pid => match row.get::<_, Option<i64>>(0)? {
            None | Some(NO_PORT) => String::new(),
            Some(number) => number.to_string(),
        },
        Dimension::Verdict => word(VERDICTS.iter().copied(), number(0)?).to_owned(),
        Dimension::Matter => matter_word(number(0)?).to_owned(),
        Dimension::End => row.get::<_, Option<i64>>(0)?.map(end_word).unwrap_or_default().to_owned(),
        Dimension::Day => utc(number(0)? * DAY_US, "%Y-%m-%d"),
        Dimension::Hour => utc(number(0)? * HOUR_US, "%Y-%m-%d %H:00"),
    };
    Ok(Group {
        key,
        count: unsigned(1)?,
        denied: unsigned(2)?,
        sent: unsigned(3)?,
        received: unsigned(4)?,
        last: Moment(number(5)?),
    })
}

fn utc(micros: i64, format: &str) -> String {
    Moment(micros).time().strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_know_what_a_denial_is() {
        assert!(SUMS.contains(&format!("k.verdict = {DENY}")));
    }
}
