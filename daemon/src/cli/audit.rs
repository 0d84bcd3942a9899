//! What can be asked of the audit trail.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use ipnet::IpNet;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};
use luasocketd::audit::{Dimension, Filter, Moment, OWN_MATTER, Order, Point, State};
use luasocketd::core::policy::Decision;
use luasocketd::core::trail::{End, Matter};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("question").multiple(false))]
pub struct AuditOptions {
    /// The trail's directory [default: /var/log/luasocketd for root, else $XDG_STATE_HOME/luasocketd or
    /// ~/.local/state/luasocketd].
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
    #[command(flatten)]
    pub what: FilterOptions,
    /// Count in groups: how often, how much, and when last.
    #[arg(long, value_name = "FIELD", value_parser = parse_dimension, group = "question")]
    pub by: Option<Dimension>,
    /// What comes first: the latest (`time`, the default), what has moved most (`bytes`, the default with --by), what
    /// has lasted longest or came most often (`count`), or `name`, with --by.
    #[arg(long, value_name = "ORDER", value_parser = parse_order)]
    pub sort: Option<Order>,
    /// Print at most so many [default: 40 in a table, else all].
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// As a table, as a JSON object in each line, or as CSV.
    #[arg(long, value_name = "FORMAT", default_value = "table", conflicts_with = "json")]
    pub format: Format,
    /// The same as --format json.
    #[arg(long)]
    pub json: bool,
    /// Check that no line was changed, removed or added: the lines are chained by their hashes. Asks no question.
    #[arg(long, group = "question")]
    pub verify: bool,
    /// With --verify: the line SEQ has had this hash, as you have noted it elsewhere.
    #[arg(long, value_name = "SEQ:HASH", requires = "verify")]
    pub anchor: Option<Point>,
    /// Print the smallest policy that would have allowed what is selected: what was allowed or reported, with
    /// `--verdict deny` what was denied.
    #[arg(long, group = "question", conflicts_with_all = ["json", "limit", "sort", "format"])]
    pub suggest_policy: bool,
    /// Make the index anew first; it is made from the lines, and nothing is lost.
    #[arg(long)]
    pub rebuild: bool,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// What is selected. In globs `*` stands for anything and `?` for one character.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct FilterOptions {
    /// What was decided from then on: a time (`2026-03-01`, `2026-03-01T12:00`, local unless it says otherwise), or how
    /// long ago (`90s`, `1h`, `2d`, `1w`).
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "verify")]
    since: Option<Moment>,
    /// What was decided before then.
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "verify")]
    until: Option<Moment>,
    /// What the client calls itself.
    #[arg(long, value_name = "GLOB", conflicts_with = "verify")]
    client: Option<String>,
    /// The script's process.
    #[arg(long, value_name = "PID", conflicts_with = "verify")]
    pid: Option<i32>,
    /// Its user, by number or name.
    #[arg(long, value_name = "USER", conflicts_with = "verify", value_parser = parse_user)]
    uid: Option<u32>,
    /// The client's profile.
    #[arg(long, value_name = "GLOB", conflicts_with = "verify")]
    profile: Option<String>,
    /// The name, address or path that was asked for.
    #[arg(long, value_name = "GLOB", conflicts_with = "verify")]
    host: Option<String>,
    /// The other side's address, or a range of them.
    #[arg(long, value_name = "IP[/LENGTH]", conflicts_with = "verify", value_parser = parse_network)]
    ip: Option<IpNet>,
    /// The port, or a range of them.
    #[arg(long, value_name = "N[-M]", conflicts_with = "verify", value_parser = parse_ports)]
    port: Option<RangeInclusive<u16>>,
    /// The policy's word.
    #[arg(long, value_name = "VERDICT", conflicts_with = "verify", value_parser = parse_verdict)]
    verdict: Option<Decision>,
    /// What it is.
    #[arg(long, value_name = "MATTER", conflicts_with = "verify", value_parser = parse_matter)]
    matter: Option<&'static str>,
    /// Why it ended.
    #[arg(long, value_name = "REASON", conflicts_with = "verify", value_parser = parse_end)]
    end: Option<&'static str>,
    /// Sent and received bytes together: a number, with K, M, G or T powers of 1024.
    #[arg(long, value_name = "SIZE", conflicts_with = "verify", value_parser = parse_size)]
    min_bytes: Option<u64>,
    /// What goes on.
    #[arg(long, conflicts_with_all = ["past", "end", "verify"])]
    live: bool,
    /// What has ended, or was refused.
    #[arg(long, conflicts_with = "verify")]
    past: bool,
    /// One thing by its `event.id`, and what is a part of it.
    #[arg(long, value_name = "ID", conflicts_with = "verify")]
    id: Option<String>,
}

impl AuditOptions {
    /// How the answer is printed.
    pub fn shown_as(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// What comes first.
    pub fn order(&self) -> Order {
        let usual = match self.by {
            None => Order::Time,
            Some(Dimension::Day | Dimension::Hour) => Order::Name,
            Some(_) => Order::Bytes,
        };
        self.sort.unwrap_or(usual)
    }
}

impl FilterOptions {
    /// What is selected.
    ///
    /// # Errors
    /// When nothing can be.
    pub fn filter(&self) -> Result<Filter, String> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err("--since is not before --until, so there is nothing between".to_owned());
        }
        if self.matter == Some(OWN_MATTER) {
            let of_others = [
                (self.verdict.is_some(), "--verdict"),
                (self.live, "--live"),
                (self.end.is_some(), "--end"),
                (self.host.is_some(), "--host"),
            ];
            if let Some((_, option)) = of_others.iter().find(|(is_given, _)| *is_given) {
                return Err(format!("the trail's own lines have nothing that {option} could ask for"));
            }
        }
        if self.verdict == Some(Decision::Deny) && (self.live || self.end.is_some()) {
            return Err("what was denied is never live and has no end".to_owned());
        }
        let state = match (self.live, self.past) {
            (true, _) => Some(State::Live),
            (_, true) => Some(State::Past),
            _ => None,
        };
        Ok(Filter {
            since: self.since,
            until: self.until,
            client: self.client.clone(),
            pid: self.pid,
            uid: self.uid,
            profile: self.profile.clone(),
            host: self.host.clone(),
            ip: self.ip,
            port: self.port.clone(),
            verdict: self.verdict,
            matter: self.matter,
            end: self.end,
            min_bytes: self.min_bytes,
            state,
            id: self.id.clone(),
        })
    }
}

/// One of several words, or which there are.
fn parse_word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    let all = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("it is one of {}", all()))
}

fn parse_dimension(text: &str) -> Result<Dimension, String> {
    let words: Vec<_> = Dimension::ALL.iter().map(|by| (by.name(), *by)).collect();
    parse_word(text, &words)
}

fn parse_order(text: &str) -> Result<Order, String> {
    let words =
        [("time", Order::Time), ("bytes", Order::Bytes), ("count", Order::Count), ("name", Order::Name)];
    parse_word(text, &words)
}

fn parse_verdict(text: &str) -> Result<Decision, String> {
    let words = [Decision::Allow, Decision::Deny, Decision::Report].map(|verdict| (verdict.name(), verdict));
    parse_word(text, &words)
}

fn parse_matter(text: &str) -> Result<&'static str, String> {
    let words = Matter::ALL.iter().map(|matter| matter.word()).chain([OWN_MATTER]);
    parse_word(text, &words.map(|word| (word, word)).collect::<Vec<_>>())
}

fn parse_end(text: &str) -> Result<&'static str, String> {
    let words: Vec<_> = End::ALL.iter().map(|end| (end.word(), end.word())).collect();
    parse_word(text, &words)
}

fn parse_user(text: &str) -> Result<u32, String> {
    use luasocketd::core::policy::Accounts;
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    luasocketd::shell::SystemAccounts.user(text)?.ok_or_else(|| "there is no such user here".to_owned())
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<std::net::IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => text.parse().map_err(|_| "an address or ADDRESS/LENGTH is wanted".to_owned())?,
    };
    Ok(network.trunc())
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "a port from 0 to 65535 or a range LOW-HIGH is wanted".to_owned();
    let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    match text.split_once('-') {
        None => port(text).map(|port| port..=port),
        Some((low, high)) => {
            let (low, high) = (port(low)?, port(high)?);
            if low <= high { Ok(low..=high) } else { Err(wrong()) }
        }
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes is wanted, maybe with K, M, G or T".to_owned();
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(1 << shift).filter(|size| i64::try_from(*size).is_ok()).ok_or_else(wrong)
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    moment(text, &ZonedDateTime::now())
}

/// A time, or one so long ago.
fn moment(text: &str, now: &ZonedDateTime) -> Result<Moment, String> {
    let wrong = || {
        "a time is wanted, as 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00:00Z, or how long ago, as 90s, 1h or 2d"
            .to_owned()
    };
    let as_moment = |time: Timestamp| Moment(time.as_microsecond());
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(as_moment(time));
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let time = local.to_zoned_datetime(now.time_zone().clone()).map_err(|error| error.to_string())?;
        return Ok(as_moment(time.timestamp()));
    }
    let ago: Span = text.trim_end_matches(" ago").parse().map_err(|_| wrong())?;
    if ago.is_negative() {
        return Err(wrong());
    }
    let then = now.checked_sub(ago).map_err(|error| error.to_string())?;
    Ok(as_moment(then.with_time_zone(TimeZone::UTC).timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_or_so_long_ago() {
        let now: ZonedDateTime = "2026-03-10T12:00:00+01:00[+01:00]".parse().unwrap();
        let at = |text: &str| moment(text, &now).map(|moment| moment.0 / 1_000_000);
        let noon = now.timestamp().as_second();
        assert_eq!(at("1h"), Ok(noon - 3600));
        assert_eq!(at("2d"), Ok(noon - 2 * 86_400));
        assert_eq!(at("90s"), Ok(noon - 90));
        assert_eq!(at("1w"), Ok(noon - 7 * 86_400));
        assert_eq!(at("2026-03-10"), Ok(noon - 12 * 3600));
        assert_eq!(at("2026-03-10T11:00"), Ok(noon - 3600));
        assert_eq!(at("2026-03-10 11:00:30"), Ok(noon - 3570));
        assert_eq!(at("2026-03-10T11:00:00Z"), Ok(noon));
        for wrong in ["", "-1h", "yesterday", "1", "2026-13-01"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_ports() {
        assert_eq!(parse_size("10"), Ok(10));
        assert_eq!(parse_size("3M"), Ok(3 << 20));
        assert!(parse_size("K").is_err() && parse_size("99999999999T").is_err() && parse_size("").is_err());
        assert_eq!(parse_ports("80"), Ok(80..=80));
        assert_eq!(parse_ports("1-3"), Ok(1..=3));
        assert!(parse_ports("3-1").is_err() && parse_ports("70000").is_err());
    }
}
