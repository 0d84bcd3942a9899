//! Of whom the operator was told, and when: one line for each offender, not for each offence, so that nobody can
//! fill the log.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::client::Credentials;
use super::words::words;

/// What goes on for so long is told in one more line with a count.
const PERIOD: Duration = Duration::from_secs(60);

/// Offenders that are told apart; those past that are one together. With [`PERIOD`] this bounds the lines: some
/// tens a second at the very worst.
const OFFENDERS_MAX: usize = 1024;

words! {
    /// What the operator should hear of.
    Offence {
        /// It was not taken in.
        Refused = "was not taken in",
        /// It was let go for what it did.
        Disconnected = "was disconnected",
        /// It asked for what it may not.
        Denied = "was denied something",
        /// It did what enforcing would forbid.
        Reported = "did what will be denied",
        /// A limit was in its way.
        Limited = "has met a limit",
    }
}

/// Who offends: a process of a user, so that a new pipe makes no new offender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offender {
    /// This process; 0 for all those of the user that the daemon cannot see.
    Process {
        /// Its user.
        uid: u32,
        /// Its number.
        pid: i32,
    },
    /// Anybody else.
    Others,
}

impl From<Credentials> for Offender {
    fn from(credentials: Credentials) -> Self {
        Offender::Process { uid: credentials.uid, pid: credentials.pid }
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Offender::Process { uid, pid } => write!(f, "pid {pid} uid {uid}"),
            Offender::Others => f.write_str("others"),
        }
    }
}

/// What there was besides the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Further {
    /// Who.
    pub who: Offender,
    /// What.
    pub what: Offence,
    /// How often.
    pub times: u64,
}

/// Those of whom the operator was told.
#[derive(Debug, Default)]
pub struct Offenders {
    told: HashMap<(Offender, Offence), Told>,
    /// When their periods end, the first of them first.
    ends: VecDeque<(Instant, (Offender, Offence))>,
}

/// Since somebody was told of.
#[derive(Debug, Default)]
struct Told {
    further: u64,
    /// Whether its count was told in this period.
    counted: bool,
}

impl Offenders {
    /// Notes an offence; says whether the operator is told of it now. If not, it is counted.
    pub fn on_offence(&mut self, who: Offender, what: Offence, now: Instant) -> bool {
        let is_known = self.told.contains_key(&(who, what));
        let key =
            if is_known || self.told.len() < OFFENDERS_MAX { (who, what) } else { (Offender::Others, what) };
        match self.told.get_mut(&key) {
            Some(told) => {
                told.further += 1;
                false
            }
            None => {
                self.told.insert(key, Told::default());
                self.ends.push_back((now + PERIOD, key));
                true
            }
        }
    }

    /// What an offender has done besides, as it ends; only once in a period.
    pub fn on_end(&mut self, who: Offender) -> Vec<Further> {
        let mut all = Vec::new();
        for what in Offence::ALL {
            if let Some(told) = self.told.get_mut(&(who, *what))
                && !told.counted
                && told.further > 0
            {
                told.counted = true;
                all.push(Further { who, what: *what, times: std::mem::take(&mut told.further) });
            }
        }
        all
    }

    /// What was done besides by those whose period is over. Who has done nothing more is forgotten.
    pub fn on_time(&mut self, now: Instant) -> Vec<Further> {
        let mut all = Vec::new();
        while let Some((end, key)) = self.ends.front().copied().filter(|(end, _)| *end <= now) {
            self.ends.pop_front();
            let Some(told) = self.told.get_mut(&key) else { continue };
            if told.further == 0 {
                self.told.remove(&key);
                continue;
            }
            all.push(Further { who: key.0, what: key.1, times: told.further });
            *told = Told::default();
            self.ends.push_back((end.max(now) + PERIOD, key));
        }
        all
    }

    /// When [`Offenders::on_time`] is due.
    pub fn next(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Offender = Offender::Process { uid: 1000, pid: 7 };

    #[test]
    fn a_thousand_offences_are_one_line_and_a_count() {
        let (mut offenders, start) = (Offenders::default(), Instant::now());
        let told = (0..1000).filter(|_| offenders.on_offence(SCRIPT, Offence::Denied, start)).count();
        assert_eq!((told, offenders.next()), (1, Some(start + PERIOD)));
        assert_eq!(offenders.on_time(start + PERIOD / 2), []);
        let further = Further { who: SCRIPT, what: Offence::Denied, times: 999 };
        assert_eq!(offenders.on_time(start + PERIOD), [further]);
        assert_eq!(further.who.to_string(), "pid 7 uid 1000");
        // It has stopped: nothing more is said, and it is forgotten.
        assert_eq!(offenders.on_time(start + 2 * PERIOD), []);
        assert_eq!(offenders.next(), None);
        assert!(offenders.on_offence(SCRIPT, Offence::Denied, start + 3 * PERIOD), "told anew");
    }

    #[test]
    fn the_count_comes_with_the_end_but_not_with_every_one() {
        let (mut offenders, start) = (Offenders::default(), Instant::now());
        let mut lines = 0;
        for _ in 0..100 {
            lines += usize::from(offenders.on_offence(SCRIPT, Offence::Disconnected, start));
            lines += usize::from(offenders.on_offence(SCRIPT, Offence::Disconnected, start));
            lines += offenders.on_end(SCRIPT).len();
        }
        assert_eq!(lines, 2, "a client that comes again and again is no new one");
        let rest = offenders.on_time(start + PERIOD);
        assert_eq!(rest.iter().map(|further| further.times).sum::<u64>(), 198);
    }

    #[test]
    fn one_offence_alone_needs_no_count() {
        let (mut offenders, start) = (Offenders::default(), Instant::now());
        assert!(offenders.on_offence(SCRIPT, Offence::Limited, start));
        assert!(offenders.on_offence(SCRIPT, Offence::Denied, start), "another one is told, too");
        assert_eq!(offenders.on_end(SCRIPT), []);
        assert_eq!(offenders.on_time(start + PERIOD), []);
    }

    #[test]
    fn a_crowd_is_told_as_one() {
        let (mut offenders, now) = (Offenders::default(), Instant::now());
        let crowd = (0..10 * OFFENDERS_MAX as i32).map(|pid| Offender::Process { uid: 1, pid });
        let told = crowd.filter(|who| offenders.on_offence(*who, Offence::Refused, now)).count();
        assert_eq!(told, OFFENDERS_MAX + 1);
        let further = offenders.on_time(now + PERIOD);
        assert_eq!(further.len(), 1);
        assert_eq!((further[0].who, further[0].times), (Offender::Others, 9 * OFFENDERS_MAX as u64 - 1));
    }
}
