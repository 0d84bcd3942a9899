//! The policy file: TOML, read strictly. What is not known refuses the file, with the line and what would be
//! right.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::account::UserLimits;
use super::super::budget::Resource;
use super::super::machine::PIPE_BYTES;
use super::audit::{Audit, Durability, ROTATE_AGE, ROTATE_BYTES};
use super::profile::Profile;
use super::rates::Rates;
use super::rule::{Place, Rule};
use super::verdict::Decision;
use super::who::{ClientName, Who};
use super::workers::Workers;
use super::{Policy, host};

/// What the file may say outside of profiles, in one, and in the tables.
const FILE_KEYS: &[&str] = &["enforce_now", "workers", "user_limits", "audit", "profile"];
const PROFILE_KEYS: &[&str] = &[
    "name",
    "uid",
    "gid",
    "group",
    "client",
    "socket",
    "allow",
    "deny",
    "report",
    "otherwise",
    "limits",
    "timeouts",
];
const AUDIT_KEYS: &[&str] = &["directory", "durability", "rotate_size", "rotate_age", "keep"];
const TIMEOUT_KEYS: &[&str] = &["connect", "linger"];

/// The longest time that an operator can give, a day: nobody means more.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

/// What a client has to be let hold to be served at all: its pipe, and one small window.
const BYTES_MIN: u64 = PIPE_BYTES + 4096;

/// Who knows the users and groups of this machine.
pub trait Accounts {
    /// The number of the user of this name; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// Why the system cannot say.
    fn user(&self, name: &str) -> Result<Option<u32>, String>;

    /// The number of the group of this name; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// Why the system cannot say.
    fn group(&self, name: &str) -> Result<Option<u32>, String>;
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {text}")]
pub struct FileError {
    place: Place,
    text: String,
}

impl Policy {
    /// Reads the text of the policy file `file`.
    ///
    /// # Errors
    /// [`FileError`] says in which line what is wrong, and what would be right.
    pub fn from_toml(file: &str, text: &str, accounts: &dyn Accounts) -> Result<Self, FileError> {
        let source = Source { file: file.into(), text, accounts };
        let root = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            source.error(span, error.message().trim_end())
        })?;
        source.policy(root.get_ref())
    }
}

type Value<'a> = Spanned<DeValue<'a>>;

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    accounts: &'a dyn Accounts,
}

impl Source<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Place { file: Arc::clone(&self.file), line }
    }

    fn error(&self, span: Range<usize>, text: impl Into<String>) -> FileError {
        FileError { place: self.place(&span), text: text.into() }
    }

    fn policy(&self, root: &DeTable<'_>) -> Result<Policy, FileError> {
        self.check_keys(root, "the file", FILE_KEYS)?;
        let mut profiles: Vec<(Range<usize>, Profile)> = Vec::new();
        let missing =
            || self.error(0..0, "there is no profile: write `[[profile]]`, and what it allows below");
        let found = root.get("profile").ok_or_else(missing)?;
        let DeValue::Array(found_profiles) = found.get_ref() else {
            return Err(self.error(found.span(), "a profile begins with `[[profile]]`, in two brackets"));
        };
        for value in found_profiles.iter() {
            let profile = self.profile(value)?;
            self.check_alone(&value.span(), &profile, &profiles)?;
            profiles.push((value.span(), profile));
        }
        if profiles.is_empty() {
            return Err(missing());
        }
        let mut policy = Policy::of(profiles.into_iter().map(|(_, profile)| profile).collect());
        policy.enforce_now = self.flag(root, "enforce_now")?;
        policy.workers = root.get("workers").map(|value| self.workers(value)).transpose()?;
        policy.user_limits = self.user_limits(root)?;
        policy.audit = root.get("audit").map(|value| self.audit(value)).transpose()?;
        Ok(policy)
    }

    /// Refuses a profile that is for the clients of another one, too.
    fn check_alone(
        &self,
        span: &Range<usize>,
        profile: &Profile,
        others: &[(Range<usize>, Profile)],
    ) -> Result<(), FileError> {
        for (other_span, other) in others {
            let place = format!("`{}` in line {}", other.name, self.place(other_span).line);
            if profile.name == other.name {
                let text = format!("the profile {place} has this name already; give this one another");
                return Err(self.error(span.clone(), text));
            }
            let both_anybody = profile.who.is_anybody() && other.who.is_anybody();
            if both_anybody {
                let text = format!(
                    "`{}` and the profile {place} are both for whoever no other one is for; give one of them a \
                    `uid`, `gid`, `group` or `socket`",
                    profile.name
                );
                return Err(self.error(span.clone(), text));
            }
            let either_anybody = profile.who.is_anybody() || other.who.is_anybody();
            if !either_anybody && profile.who.overlaps(&other.who) {
                let text = format!(
                    "`{}` and the profile {place} are for the same clients; give them a `uid`, `gid`, `group`, \
                    `client` or `socket` that no client has both of, or make them one",
                    profile.name
                );
                return Err(self.error(span.clone(), text));
            }
        }
        Ok(())
    }

    fn profile(&self, value: &Value<'_>) -> Result<Profile, FileError> {
        let table = self.table(value, "profile")?;
        self.check_keys(table, "a profile", PROFILE_KEYS)?;
        let name = table.get("name").ok_or_else(|| {
            self.error(
                value.span(),
                "the profile has no name: write `name = \"NAME\"`, for people and records",
            )
        })?;
        let who = self.who(table)?;
        if !who.is_confirmed() {
            let text = "`client` is what the client says of itself, so it cannot be all there is to know: add a \
                        `uid`, `gid`, `group` or `socket`";
            return Err(self.error(value.span(), text));
        }
        let mut profile = Profile { name: self.text(name, "name")?.to_owned(), who, ..Profile::default() };
        if profile.name.is_empty() {
            return Err(self.error(name.span(), "a profile's name is not empty"));
        }
        profile.rules = self.rules(table)?.into_iter().collect();
        profile.reports_the_rest = self.otherwise(table)?;
        self.limits(table, &mut profile)?;
        self.timeouts(table, &mut profile)?;
        Ok(profile)
    }

    fn who(&self, table: &DeTable<'_>) -> Result<Who, FileError> {
        let mut who = Who {
            uids: self.accounts(table, "uid", "user", |name| self.accounts.user(name))?,
            gids: self.accounts(table, "gid", "group", |name| self.accounts.group(name))?,
            groups: self.accounts(table, "group", "group", |name| self.accounts.group(name))?,
            ..Who::default()
        };
        for value in self.one_or_many(table, "client")? {
            let text = self.text(value, "client")?;
            let wrong = "a client is a name, or one with a `*` at its end or its beginning";
            who.clients.push(ClientName::parse(text).ok_or_else(|| self.error(value.span(), wrong))?);
        }
        for value in self.one_or_many(table, "socket")? {
            let path = self.text(value, "socket")?;
            if !host::is_plain_path(path) {
                let wrong = "a socket is the absolute path that `--socket` has, without `.`, `..` and `//`";
                return Err(self.error(value.span(), wrong));
            }
            who.sockets.insert(path.to_owned());
        }
        Ok(who)
    }

    /// Numbers of users or groups, given as such or by name.
    fn accounts(
        &self,
        table: &DeTable<'_>,
        key: &str,
        kind: &str,
        find: impl Fn(&str) -> Result<Option<u32>, String>,
    ) -> Result<BTreeSet<u32>, FileError> {
        let mut numbers = BTreeSet::new();
        for value in self.one_or_many(table, key)? {
            let number = match value.get_ref() {
                DeValue::Integer(number) => {
                    u32::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
                        self.error(
                            value.span(),
                            format!("`{key}` is a number from 0 to {}, or a name", u32::MAX),
                        )
                    })?
                }
                DeValue::String(name) => match find(name) {
                    Ok(Some(number)) => number,
                    Ok(None) => {
                        let text = format!("there is no {kind} `{}` here", name.escape_default());
                        return Err(self.error(value.span(), text));
                    }
                    Err(error) => {
                        let text = format!("cannot look up the {kind} `{}`: {error}", name.escape_default());
                        return Err(self.error(value.span(), text));
                    }
                },
                other => return Err(self.wrong_type(value, key, "a number or a name", other)),
            };
            numbers.insert(number);
        }
        Ok(numbers)
    }

    fn rules(&self, table: &DeTable<'_>) -> Result<Vec<Rule>, FileError> {
        let mut rules = Vec::new();
        for effect in [Decision::Allow, Decision::Deny, Decision::Report] {
            for value in self.one_or_many(table, effect.name())? {
                let text = self.text(value, effect.name())?;
                let place = Some(self.place(&value.span()));
                let rule = Rule::parse(text, effect, place);
                rules.push(rule.map_err(|error| self.error(value.span(), error.to_string()))?);
            }
        }
        // Of several that decide alike the first in the file is the one that is named.
        rules.sort_by_key(|rule| rule.place().map(|place| place.line));
        Ok(rules)
    }

    fn otherwise(&self, table: &DeTable<'_>) -> Result<bool, FileError> {
        let Some(value) = table.get("otherwise") else { return Ok(false) };
        match self.text(value, "otherwise")? {
            "deny" => Ok(false),
            "report" => Ok(true),
            other => Err(self.error(
                value.span(),
                format!("`otherwise` is `\"deny\"` or `\"report\"`, and not `{}`", other.escape_default()),
            )),
        }
    }

    fn limits(&self, table: &DeTable<'_>, profile: &mut Profile) -> Result<(), FileError> {
        let Some(value) = table.get("limits") else { return Ok(()) };
        let limits = self.table(value, "limits")?;
        let resources = Resource::ALL.iter().map(|resource| resource.key());
        let keys: Vec<&str> = resources.chain(Rates::KEYS.iter().map(|(key, _)| *key)).collect();
        self.check_keys(limits, "`limits`", &keys)?;
        for (key, value) in limits.iter() {
            let key = key.get_ref().as_ref();
            match Resource::ALL.iter().find(|resource| resource.key() == key) {
                Some(&resource) => profile.limits.push((resource, self.limit(value, resource)?)),
                None => {
                    profile.rates.set(key, self.number(value, key, 1)?);
                }
            }
        }
        Ok(())
    }

    fn user_limits(&self, root: &DeTable<'_>) -> Result<UserLimits, FileError> {
        let mut limits = UserLimits::default();
        let Some(value) = root.get("user_limits") else { return Ok(limits) };
        let table = self.table(value, "user_limits")?;
        let resources = Resource::ALL.iter().map(|resource| resource.key());
        self.check_keys(table, "`user_limits`", &resources.chain(["clients"]).collect::<Vec<_>>())?;
        for resource in Resource::ALL {
            if let Some(value) = table.get(resource.key()) {
                limits.held.set(*resource, self.number(value, resource.key(), 0)?);
            }
        }
        if let Some(value) = table.get("clients") {
            limits.clients = self.number(value, "clients", 1)?;
        }
        Ok(limits)
    }

    fn limit(&self, value: &Value<'_>, resource: Resource) -> Result<u64, FileError> {
        let least = match resource {
            Resource::Bytes => BYTES_MIN,
            Resource::Sockets | Resource::Lookups => 0,
            Resource::Calls => 1,
        };
        self.number(value, resource.key(), least)
    }

    fn timeouts(&self, table: &DeTable<'_>, profile: &mut Profile) -> Result<(), FileError> {
        let Some(value) = table.get("timeouts") else { return Ok(()) };
        let timeouts = self.table(value, "timeouts")?;
        self.check_keys(timeouts, "`timeouts`", TIMEOUT_KEYS)?;
        let time = |key| timeouts.get(key).map(|value| self.seconds(value, key)).transpose();
        (profile.connect_timeout, profile.linger) = (time("connect")?, time("linger")?);
        Ok(())
    }

    fn audit(&self, value: &Value<'_>) -> Result<Audit, FileError> {
        let table = self.table(value, "audit")?;
        self.check_keys(table, "`audit`", AUDIT_KEYS)?;
        let missing =
            "the audit trail has no directory: write `directory = \"/PATH\"`, one that nothing else uses";
        let directory = table.get("directory").ok_or_else(|| self.error(value.span(), missing))?;
        let path = self.text(directory, "directory")?;
        if !host::is_plain_path(path) {
            let wrong = "`directory` is an absolute path, without `.`, `..` and `//`";
            return Err(self.error(directory.span(), wrong));
        }
        let mut audit = Audit::new(path);
        if let Some(value) = table.get("durability") {
            audit.durability = self.durability(value)?;
        }
        if let Some(value) = table.get("rotate_size") {
            let (least, most) = (ROTATE_BYTES.start(), ROTATE_BYTES.end());
            let wrong = format!("`rotate_size` is a number of bytes, from {least} to {most}");
            let bytes = self.number(value, "rotate_size", 0)?;
            let bytes = Some(bytes).filter(|bytes| ROTATE_BYTES.contains(bytes));
            audit.rotate_bytes = bytes.ok_or_else(|| self.error(value.span(), wrong))?;
        }
        if let Some(value) = table.get("rotate_age") {
            let (least, most) = (ROTATE_AGE.start().as_secs(), ROTATE_AGE.end().as_secs());
            let wrong = format!("`rotate_age` is a number of whole seconds, from {least} to {most}");
            let age = Duration::from_secs(self.number(value, "rotate_age", 0)?);
            let age = Some(age).filter(|age| ROTATE_AGE.contains(age));
            audit.rotate_age = age.ok_or_else(|| self.error(value.span(), wrong))?;
        }
        audit.keep = table.get("keep").map(|value| self.number(value, "keep", 1)).transpose()?;
        Ok(audit)
    }

    fn workers(&self, value: &Value<'_>) -> Result<Workers, FileError> {
        let workers = match value.get_ref() {
            DeValue::String(text) => text.parse(),
            _ => Workers::count(self.number(value, "workers", 0)?),
        };
        workers.map_err(|error| self.error(value.span(), format!("`workers`: {error}")))
    }

    fn durability(&self, value: &Value<'_>) -> Result<Durability, FileError> {
        let text = self.text(value, "durability")?;
        let found = Durability::ALL.iter().find(|durability| durability.name() == text).copied();
        found.ok_or_else(|| {
            let names: Vec<String> =
                Durability::ALL.iter().map(|durability| format!("`\"{}\"`", durability.name())).collect();
            let text = text.escape_default();
            self.error(value.span(), format!("`durability` is {}, and not `{text}`", names.join(" or ")))
        })
    }

    fn check_keys(&self, table: &DeTable<'_>, what: &str, known: &[&str]) -> Result<(), FileError> {
        for (key, _) in table.iter() {
            if !known.contains(&key.get_ref().as_ref()) {
                let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
                let found = key.get_ref().escape_default();
                let text = format!("{what} has no key `{found}`; its keys are {}", known.join(", "));
                return Err(self.error(key.span(), text));
            }
        }
        Ok(())
    }

    fn table<'v, 'a>(&self, value: &'v Value<'a>, key: &str) -> Result<&'v DeTable<'a>, FileError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => Err(self.wrong_type(value, key, "a table", other)),
        }
    }

    /// The values of a key: one, or those of an array.
    fn one_or_many<'v, 'a>(
        &self,
        table: &'v DeTable<'a>,
        key: &str,
    ) -> Result<Vec<&'v Value<'a>>, FileError> {
        let Some(value) = table.get(key) else { return Ok(Vec::new()) };
        match value.get_ref() {
            DeValue::Array(values) if values.is_empty() && !is_rules(key) => {
                let text = format!("`{key}` has no values: give it some, or leave it out");
                Err(self.error(value.span(), text))
            }
            DeValue::Array(values) => Ok(values.iter().collect()),
            _ => Ok(vec![value]),
        }
    }

    fn text<'v>(&self, value: &'v Value<'_>, key: &str) -> Result<&'v str, FileError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text),
            other => Err(self.wrong_type(value, key, "a text in quotes", other)),
        }
    }

    fn flag(&self, table: &DeTable<'_>, key: &str) -> Result<bool, FileError> {
        match table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(false),
            Some((_, DeValue::Boolean(flag))) => Ok(*flag),
            Some((value, other)) => Err(self.wrong_type(value, key, "`true` or `false`", other)),
        }
    }

    fn number(&self, value: &Value<'_>, key: &str, least: u64) -> Result<u64, FileError> {
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(self.wrong_type(value, key, "a whole number", value.get_ref()));
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        number
            .filter(|number| (least..=u64::from(u32::MAX) << 20).contains(number))
            .ok_or_else(|| self.error(value.span(), format!("`{key}` is a whole number, {least} or more")))
    }

    fn seconds(&self, value: &Value<'_>, key: &str) -> Result<Duration, FileError> {
        let seconds: Option<f64> = match value.get_ref() {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            other => return Err(self.wrong_type(value, key, "a number of seconds", other)),
        };
        let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= TIMEOUT_MAX.as_secs_f64());
        let wrong =
            || self.error(value.span(), format!("`{key}` is a time in seconds, above 0 and at most a day"));
        seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
    }

    fn wrong_type(&self, value: &Value<'_>, key: &str, wanted: &str, found: &DeValue<'_>) -> FileError {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a broken number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(value.span(), format!("`{key}` is {wanted}, and not {found}"))
    }
}

/// Whether the key has rules, of which there may be none.
fn is_rules(key: &str) -> bool {
    [Decision::Allow, Decision::Deny, Decision::Report].iter().any(|effect| effect.name() == key)
}
