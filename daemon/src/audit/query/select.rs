//! Which rows are asked for, and the way to them that costs least.
//!
//! What many rows share is decided first, in the table of kinds, and kept in a table of the connection's own. The
//! sums of the kinds say how many rows they have, so it is known beforehand whether it is cheaper to fetch them kind
//! by kind, or to go through time and pick them.

use std::net::IpAddr;

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension, Result, types::Value};

use super::super::index::schema::{
    DAY_US, EVER, RUN_SHIFT, USUAL_ENDS, VERDICTS, code, end_code, matter_code,
};
use super::super::index::split_id;
use super::filter::{Filter, Order, State, glob};

/// The rows that a question is about.
pub(crate) struct Selection {
    /// Where rows come from, `a` being the row.
    from: String,
    /// What holds for each of them.
    conditions: Vec<String>,
    /// Whether nothing but the kind and the time of a row is asked for, so that sums can answer.
    pub(super) is_summed: bool,
    /// Whether some kinds are chosen.
    pub(super) has_kinds: bool,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

/// The kinds that a question is about; only this connection sees it.
const CHOSEN: &str =
    "CREATE TEMP TABLE IF NOT EXISTS chosen (kind INTEGER PRIMARY KEY); DELETE FROM temp.chosen";
/// The addresses that a question is about.
const CHOSEN_ADDRESSES: &str = "CREATE TEMP TABLE IF NOT EXISTS chosen_address (address INTEGER PRIMARY KEY); DELETE FROM temp.chosen_address";

/// How much dearer a row is that is fetched by its kind than one that is passed on the way through time.
const FETCH_COST: i64 = 4;

/// Rows in the order of time.
const BY_TIME: &str = "act AS a INDEXED BY act_by_start";

impl Selection {
    /// Finds out which kinds `filter` is about, and how the rows are reached when only the first `limit` of them are
    /// wanted.
    pub(crate) fn prepare(connection: &Connection, filter: &Filter, limit: Option<u64>) -> Result<Self> {
        let since = filter.since.map(|moment| moment.0);
        let until = filter.until.map(|moment| moment.0);
        let has_kinds = choose_kinds(connection, filter)?;
        let mut conditions = Vec::new();
        conditions.extend(since.map(|since| format!("a.started >= {since}")));
        conditions.extend(until.map(|until| format!("a.started < {until}")));
        let rows = row_conditions(filter);
        let mut selection = Selection {
            from: BY_TIME.to_owned(),
            is_summed: rows.is_empty() && filter.ip.is_none() && filter.id.is_none(),
            has_kinds,
            since,
            until,
            conditions,
        };
        selection.conditions.extend(rows);
        if let Some(ip) = &filter.ip {
            choose_addresses(connection, ip)?;
        }
        selection.go(connection, filter, limit)?;
        Ok(selection)
    }

    /// Chooses the way.
    fn go(&mut self, connection: &Connection, filter: &Filter, limit: Option<u64>) -> Result<()> {
        let is_rare_end = filter.end.is_some_and(|end| USUAL_ENDS.iter().all(|usual| usual.word() != end));
        let mut is_by_kind = false;
        if let Some(id) = &filter.id {
            let id = row_id(connection, id)?;
            // `a.id` may be one or be a part of one: each has an index.
            self.from = format!(
                "(SELECT {id} AS id UNION SELECT id FROM act INDEXED BY act_by_parent WHERE parent = {id}) AS picked \
                 CROSS JOIN act AS a ON a.id = picked.id"
            );
        } else if filter.state == Some(State::Live) {
            self.from = "act AS a INDEXED BY act_open".to_owned();
        } else if filter.ip.is_some() {
            self.from =
                "temp.chosen_address AS c CROSS JOIN act AS a INDEXED BY act_by_peer ON a.peer_ip = c.address"
                    .to_owned();
        } else if is_rare_end {
            self.from = "act AS a INDEXED BY act_by_end".to_owned();
            let usual: Vec<String> = USUAL_ENDS
                .iter()
                .filter_map(|end| end_code(end.word()))
                .map(|code| code.to_string())
                .collect();
            // As the index says it, or it is not used.
            self.conditions.push(format!("a.end NOT IN ({})", usual.join(", ")));
        } else if self.has_kinds && self.is_few(connection, limit)? {
            self.from =
                "temp.chosen AS c CROSS JOIN act AS a INDEXED BY act_by_kind ON a.kind = c.kind".to_owned();
            is_by_kind = true;
        }
        if filter.ip.is_some() && !self.from.contains("chosen_address") {
            self.conditions.push("a.peer_ip IN (SELECT address FROM temp.chosen_address)".to_owned());
        }
        if self.has_kinds && !is_by_kind {
            self.conditions.push("a.kind IN (SELECT kind FROM temp.chosen)".to_owned());
        }
        Ok(())
    }

    /// Whether the chosen kinds have so few rows that it is cheaper to fetch them all.
    fn is_few(&self, connection: &Connection, limit: Option<u64>) -> Result<bool> {
        let days = self.days();
        let sums = format!(
            "SELECT coalesce(sum(count) FILTER (WHERE kind IN (SELECT kind FROM temp.chosen)), 0), \
             coalesce(sum(count), 0) FROM tally WHERE {days}"
        );
        let (matched, all): (i64, i64) =
            connection.query_row(&sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let passed = match limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)) {
            Some(limit) if matched > 0 => limit.saturating_mul(all / matched).min(all),
            _ => all,
        };
        Ok(matched.saturating_mul(FETCH_COST) < passed)
    }

    /// What holds for the day of whatever is selected.
    fn days(&self) -> String {
        if self.is_ever() {
            return format!("day = {EVER}");
        }
        let since = self.since.map(|since| format!(" AND day >= {}", since.div_euclid(DAY_US)));
        let until = self.until.map(|until| format!(" AND day <= {}", until.div_euclid(DAY_US)));
        format!("day > {EVER}{}{}", since.unwrap_or_default(), until.unwrap_or_default())
    }

    /// Whether it does not matter when it was.
    pub(super) fn is_ever(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// `FROM ... WHERE ...`, with `a` for the row and `k` for its kind.
    pub(crate) fn rows(&self) -> String {
        // Whoever needs all of them and no order reads them as they lie.
        let is_all = self.from == BY_TIME && self.is_ever();
        self.rows_from(if is_all { "act AS a NOT INDEXED" } else { &self.from })
    }

    fn rows_from(&self, from: &str) -> String {
        let conditions = self.conditions.iter().map(|condition| format!(" AND {condition}"));
        let own = if self.has_kinds { "" } else { " AND k.matter <> 0" };
        format!(
            "FROM {} CROSS JOIN kind AS k ON k.id = a.kind WHERE 1{own}{}",
            from,
            conditions.collect::<String>()
        )
    }

    /// The statement that gives the rows' numbers.
    pub(super) fn ids(&self, order: Order, limit: Option<u64>) -> String {
        let is_by_time = matches!(order, Order::Time | Order::Name);
        let order = match order {
            Order::Time | Order::Name => "a.started DESC",
            Order::Bytes => "a.sent + a.received DESC, a.started DESC",
            Order::Count => "a.lasted DESC, a.started DESC",
        };
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        let rows = if is_by_time { self.rows_from(&self.from) } else { self.rows() };
        format!("SELECT a.id {rows} ORDER BY {order}, a.id DESC{limit}")
    }
}

/// Fills the table of chosen kinds; `false` if all are meant but the trail's own lines.
fn choose_kinds(connection: &Connection, filter: &Filter) -> Result<bool> {
    let (conditions, texts) = kind_conditions(filter);
    if conditions.is_empty() {
        return Ok(false);
    }
    connection.execute_batch(CHOSEN)?;
    let choose = format!(
        "INSERT INTO temp.chosen SELECT k.id FROM kind AS k JOIN party AS p ON p.id = k.party WHERE {}",
        conditions.join(" AND ")
    );
    connection.execute(&choose, rusqlite::params_from_iter(texts))?;
    Ok(true)
}

/// What holds for the kinds that are asked for, and the texts in it; nothing if all are.
fn kind_conditions(filter: &Filter) -> (Vec<String>, Vec<Value>) {
    let (mut conditions, mut texts) = (Vec::new(), Vec::new());
    let mut fits = |condition: &str, pattern: String| {
        conditions.push(condition.to_owned());
        texts.push(Value::Text(pattern));
    };
    if let Some(client) = &filter.client {
        fits("p.client GLOB ?", glob(client));
    }
    if let Some(profile) = &filter.profile {
        fits("p.profile GLOB ?", glob(profile));
    }
    if let Some(host) = &filter.host {
        let pattern = glob(host.trim_end_matches('.')).to_ascii_lowercase();
        fits("k.host IN (SELECT id FROM host WHERE rtrim(lower(text), '.') GLOB ?)", pattern);
    }
    conditions.extend(filter.uid.map(|uid| format!("p.uid = {uid}")));
    let ports = filter.port.as_ref();
    conditions.extend(ports.map(|ports| format!("k.port BETWEEN {} AND {}", ports.start(), ports.end())));
    let verdict = filter.verdict.and_then(|verdict| code(VERDICTS.iter().copied(), verdict.name()));
    conditions.extend(verdict.map(|verdict| format!("k.verdict = {verdict}")));
    match filter.matter.and_then(matter_code) {
        Some(matter) => conditions.push(format!("k.matter = {matter}")),
        None if !conditions.is_empty() => conditions.push("k.matter <> 0".to_owned()),
        None => {}
    }
    (conditions, texts)
}

/// What holds for single rows.
fn row_conditions(filter: &Filter) -> Vec<String> {
    let mut conditions = Vec::new();
    conditions.extend(filter.pid.map(|pid| format!("a.pid = {pid}")));
    conditions.extend(filter.end.and_then(end_code).map(|end| format!("a.end = {end}")));
    conditions.extend(filter.min_bytes.map(|bytes| format!("a.sent + a.received >= {bytes}")));
    conditions.extend(filter.state.map(|state| match state {
        State::Live => "a.open = 1".to_owned(),
        State::Past => "a.open = 0".to_owned(),
    }));
    conditions
}

/// Fills the table of chosen addresses.
fn choose_addresses(connection: &Connection, ip: &IpNet) -> Result<()> {
    connection.execute_batch(CHOSEN_ADDRESSES)?;
    let mut all = connection.prepare("SELECT id, text FROM address")?;
    let mut choose = connection.prepare("INSERT INTO temp.chosen_address VALUES (?1)")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str()?;
        if text.parse::<IpAddr>().is_ok_and(|address| ip.contains(&address)) {
            choose.execute([row.get::<_, i64>(0)?])?;
        }
    }
    Ok(())
}

/// The number of the row of this id; one that no row has if there is none.
fn row_id(connection: &Connection, id: &str) -> Result<i64> {
    let Some((run, number)) = split_id(id) else { return Ok(0) };
    let find = "SELECT id FROM run WHERE text = ?1";
    let run: Option<i64> = connection.query_row(find, [run], |row| row.get(0)).optional()?;
    Ok(run.map_or(0, |run| run << RUN_SHIFT | number))
}
