//! What the index is made of.
//!
//! One row of `act` is one thing: a decision, and its end. What many of them share is in tables of its own: to whom
//! (`party`), and with what and how it was decided (`kind`). So a row is small, and a question about names is
//! answered by looking through the few thousands that there are. `tally` has the sums of each kind, by
//! day and in all.

use super::super::super::core::trail::{End, Matter};
use super::super::words::OWN_MATTER;

/// What is written in the place of a text that there is not; no dictionary has this number.
pub(crate) const NOTHING: i64 = 0;
/// What is written in the place of a port that there is not.
pub(crate) const NO_PORT: i64 = -1;

/// How many bits of a row's number are the number within one run of the daemon; the run's are above.
pub(crate) const RUN_SHIFT: u32 = 40;
/// Runs that can be told apart.
pub(crate) const RUNS_MAX: i64 = 1 << 22;

/// What a day is in the index's times.
pub(crate) const DAY_US: i64 = 86_400_000_000;
/// In the place of a day: the sums of all days.
pub(crate) const EVER: i64 = -1_000_000_000;
/// What an hour is in the index's times.
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// The tables.
pub(super) const TABLES: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER, offset INTEGER NOT NULL, tail BLOB NOT NULL,
    lines INTEGER NOT NULL, unreadable INTEGER NOT NULL, lost INTEGER NOT NULL, pruned INTEGER NOT NULL
);
INSERT INTO state VALUES (1, NULL, 0, x'', 0, 0, 0, 0);
CREATE TABLE run (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE host (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE address (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE rule (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE phrase (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE party (
    id INTEGER PRIMARY KEY,
    client TEXT NOT NULL, lua TEXT NOT NULL, socket TEXT NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
    executable TEXT NOT NULL, profile TEXT NOT NULL,
    UNIQUE (client, lua, socket, uid, gid, executable, profile)
);
CREATE TABLE kind (
    id INTEGER PRIMARY KEY,
    host INTEGER NOT NULL, port INTEGER NOT NULL, service INTEGER NOT NULL, party INTEGER NOT NULL,
    matter INTEGER NOT NULL, transport INTEGER NOT NULL, verdict INTEGER NOT NULL, would_deny INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    UNIQUE (host, port, service, party, matter, transport, verdict, would_deny, rule)
);
CREATE TABLE act (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL, started INTEGER NOT NULL, open INTEGER NOT NULL,
    sent INTEGER NOT NULL, received INTEGER NOT NULL,
    pid INTEGER, peer_ip INTEGER, end INTEGER, lasted INTEGER, line INTEGER NOT NULL, end_line INTEGER,
    own_ip INTEGER, source_port INTEGER, outcome INTEGER, reason INTEGER,
    error_code INTEGER, error_message INTEGER, sent_packets INTEGER, received_packets INTEGER,
    lookup_time INTEGER, connect_time INTEGER, parent INTEGER,
    judged INTEGER, answers INTEGER, own_path INTEGER, action INTEGER, lost INTEGER
);
CREATE TABLE tally (
    day INTEGER NOT NULL CHECK (day >= -1000000000), kind INTEGER NOT NULL,
    count INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (day, kind)
) WITHOUT ROWID;
";

/// The indexes, made once all lines are read that there were: so they are dense, and making them is quick.
/// `act_by_end` leaves out how nearly everything ends.
pub(super) const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS act_by_start ON act (started, kind);
CREATE INDEX IF NOT EXISTS act_by_kind ON act (kind, started);
CREATE INDEX IF NOT EXISTS act_by_peer ON act (peer_ip, started);
CREATE INDEX IF NOT EXISTS act_open ON act (started) WHERE open = 1;
CREATE INDEX IF NOT EXISTS act_by_parent ON act (parent) WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS act_by_end ON act (end, started) WHERE end NOT IN ('closed', 'peer-ended', 'answered');
";

/// How nearly everything ends; [`INDEXES`] has no place for them.
pub(crate) const USUAL_ENDS: &[End] = &[End::Closed, End::PeerEnded, End::Answered];

/// The number of a matter in the index.
pub(crate) fn matter_code(word: &str) -> Option<i64> {
    code(matters(), word)
}

/// The matter of a number.
pub(crate) fn matter_word(code: i64) -> &'static str {
    word(matters(), code)
}

fn matters() -> impl Iterator<Item = &'static str> {
    std::iter::once(OWN_MATTER).chain(Matter::ALL.iter().map(|matter| matter.word()))
}

/// The number of an end in the index.
pub(crate) fn end_code(word: &str) -> Option<i64> {
    code(ends(), word)
}

/// The end of a number.
pub(crate) fn end_word(code: i64) -> &'static str {
    word(ends(), code)
}

fn ends() -> impl Iterator<Item = &'static str> {
    End::ALL.iter().map(|end| end.word())
}

/// Verdicts by their numbers in the index; 0 is none.
pub(crate) const VERDICTS: &[&str] = &["", "allow", "deny", "report"];
/// The number of `deny`.
pub(crate) const DENY: i64 = 2;
/// Transports by their numbers in the index.
pub(crate) const TRANSPORTS: &[&str] = &["", "tcp", "udp", "unix", "unix-datagram"];
/// Outcomes by their numbers in the index.
pub(crate) const OUTCOMES: &[&str] = &["unknown", "success", "failure"];

/// The number of a word.
pub(crate) fn code(words: impl IntoIterator<Item = &'static str>, word: &str) -> Option<i64> {
    words.into_iter().position(|known| known == word).and_then(|position| i64::try_from(position).ok())
}

/// The word of a number; nothing for one that there is not.
pub(crate) fn word(words: impl IntoIterator<Item = &'static str>, code: i64) -> &'static str {
    usize::try_from(code).ok().and_then(|code| words.into_iter().nth(code)).unwrap_or_default()
}

/// All the indexes, with the numbers that the words in them have.
pub(super) fn indexes() -> String {
    USUAL_ENDS.iter().fold(INDEXES.to_owned(), |text, end| {
        let number = end_code(end.word()).unwrap_or_default().to_string();
        text.replace(&format!("'{}'", end.word()), &number)
    })
}

/// What tells an index of this form from others: it changes with the tables and with the numbers of all words, so
/// nobody has to remember that. Never 0, which a new file has.
pub(super) fn version() -> i32 {
    let words = matters().chain(ends()).chain(VERDICTS.iter().copied()).chain(TRANSPORTS.iter().copied());
    let texts = [TABLES, INDEXES].into_iter().chain(words).chain(OUTCOMES.iter().copied());
    // FNV-1a.
    let hash = texts
        .flat_map(|text| text.bytes().chain([0]))
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i32::try_from(hash >> 1).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_number() {
        for matter in Matter::ALL {
            assert_eq!(matter_code(matter.word()).map(matter_word), Some(matter.word()));
        }
        for end in End::ALL {
            assert_eq!(end_code(end.word()).map(end_word), Some(end.word()));
        }
        assert_eq!(matter_code(OWN_MATTER), Some(0));
        assert_eq!((end_code("nonsense"), end_word(99)), (None, ""));
        assert_eq!(VERDICTS[DENY as usize], "deny");
        assert!(TABLES.contains(&format!("day >= {EVER}")));
        assert!(!indexes().contains('\''), "{}", indexes());
    }
}
