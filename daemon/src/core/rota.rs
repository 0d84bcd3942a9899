//! Whose turn it is: a round gives each client that has work a share of it, and who has had little goes first.
//!
//! It is the scheme of FQ-CoDel (RFC 8290, 4.2), without its dropping: round robin with deficits over two lines. Who comes
//! with work after a pause stands in the first as long as he has not had much lately, whoever has more work than that in the
//! other. So what a modest client waits does not depend on how many greedy ones there are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a round lasts until the system is looked at again: what a modest client waits for at least.
pub const ROUND: Duration = Duration::from_millis(1);

/// The least share of one client: some dozen calls. Smaller ones would cost more in reading and writing than they give in
/// patience.
pub const SHARE_MIN: Duration = Duration::from_micros(64);

/// What a modest client may have had lately at the most, and the part of the time in which it is forgotten: a script that
/// connects, asks and closes a hundred times a second stays modest.
const ALLOWANCE: i64 = 4_000_000;
const FORGOTTEN_PART: i64 = 20;

/// What a round keeps for the greedy where modest ones have enough work for all of it.
const GREEDY_PART: i64 = nanos(ROUND) / 4;

/// The clients that have work, by their keys.
#[derive(Debug)]
pub struct Rota<K> {
    modest: VecDeque<K>,
    greedy: VecDeque<K>,
    /// How many of each line have not had their turn in this round.
    waiting: [usize; 2],
    /// What is left of this round, in nanoseconds.
    left: i64,
    /// One client's share in this one.
    share: i64,
}

/// A client's place in it. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    line: Option<Line>,
    /// What is left of its shares; below zero when it has taken more, which it waits for.
    left: i64,
    /// What it has had lately, by then.
    had: i64,
    at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Modest,
    Greedy,
}

impl<K> Default for Rota<K> {
    fn default() -> Self {
        let (modest, greedy, waiting) = Default::default();
        let all = nanos(ROUND);
        Rota { modest, greedy, waiting, left: all, share: all }
    }
}

impl<K> Rota<K> {
    /// Whether nobody has work.
    pub fn is_empty(&self) -> bool {
        self.modest.is_empty() && self.greedy.is_empty()
    }

    /// Whether more than one has work: then it has to be known how long each one takes.
    pub fn is_shared(&self) -> bool {
        self.modest.len() + self.greedy.len() > 1
    }

    /// Somebody has work; who stands in a line already keeps his place.
    pub fn join(&mut self, key: K, place: &mut Place, now: impl FnOnce() -> Instant) {
        if place.line.is_some() {
            return;
        }
        let now = now();
        let since = place.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        place.had = (place.had - nanos(since) / FORGOTTEN_PART).max(0);
        place.at = Some(now);
        self.stand(key, place, if place.had < ALLOWANCE { Line::Modest } else { Line::Greedy });
    }

    /// Begins a round, in which everybody who has work by now has one turn at the most.
    pub fn begin_round(&mut self) {
        self.left = nanos(ROUND);
        self.waiting = [self.modest.len(), self.greedy.len()];
        let all = i64::try_from(self.modest.len() + self.greedy.len()).unwrap_or(i64::MAX).max(1);
        self.share = (nanos(ROUND) / all).max(nanos(SHARE_MIN));
    }

    /// Whose turn it is, until the round is over.
    pub fn call(&mut self) -> Option<K> {
        if self.left <= 0 {
            return None;
        }
        let [modest, greedy] = &mut self.waiting;
        let is_modests = *modest > 0 && (self.left > GREEDY_PART || *greedy == 0);
        let (waiting, line) =
            if is_modests { (modest, &mut self.modest) } else { (greedy, &mut self.greedy) };
        *waiting = waiting.checked_sub(1)?;
        line.pop_front()
    }

    /// What somebody may spend whose turn it is; nothing as long as he has had too much before.
    pub fn grant(&mut self, place: &mut Place) -> Duration {
        place.left = match place.line {
            Some(Line::Greedy) => (place.left + self.share).min(self.share),
            Some(Line::Modest) | None => self.share,
        };
        Duration::from_nanos(place.left.max(0) as u64)
    }

    /// Somebody has had his turn, and may have more work.
    pub fn leave(&mut self, key: K, place: &mut Place, spent: Duration, has_work: bool) {
        self.left -= nanos(spent);
        place.left -= nanos(spent);
        // What is beyond twice the allowance is waited for in another way.
        place.had = (place.had + nanos(spent)).min(2 * ALLOWANCE);
        let was_modest = place.line.take() == Some(Line::Modest);
        if has_work {
            let is_modest = was_modest && place.had < ALLOWANCE;
            self.stand(key, place, if is_modest { Line::Modest } else { Line::Greedy });
        }
    }

    fn stand(&mut self, key: K, place: &mut Place, line: Line) {
        place.line = Some(line);
        match line {
            Line::Modest => self.modest.push_back(key),
            Line::Greedy => self.greedy.push_back(key),
        }
    }
}

/// Long enough for centuries.
const fn nanos(time: Duration) -> i64 {
    time.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients that want so much of every turn, and what each has had.
    struct Crowd {
        rota: Rota<usize>,
        now: Instant,
        places: Vec<Place>,
        wants: Vec<Duration>,
        had: Vec<Duration>,
    }

    const LITTLE: Duration = Duration::from_micros(4);

    /// A call that takes long, and cannot be cut.
    const LONG: Duration = Duration::from_millis(2);

    impl Crowd {
        fn new(wants: Vec<Duration>) -> Crowd {
            let all = wants.len();
            let mut crowd = Crowd {
                rota: Rota::default(),
                now: Instant::now(),
                places: vec![Place::default(); all],
                wants,
                had: vec![Duration::ZERO; all],
            };
            (0..all).for_each(|who| crowd.join(who));
            crowd
        }

        fn join(&mut self, who: usize) {
            self.rota.join(who, &mut self.places[who], || self.now);
        }

        /// One round; who had a turn in it, and what came before that.
        fn round(&mut self) -> Vec<(usize, Duration)> {
            let (mut before, mut turns) = (Duration::ZERO, Vec::new());
            self.rota.begin_round();
            while let Some(who) = self.rota.call() {
                let (grant, wants) = (self.rota.grant(&mut self.places[who]), self.wants[who]);
                let spent = match wants {
                    _ if grant.is_zero() => Duration::ZERO,
                    LONG => LONG,
                    wants => wants.min(grant),
                };
                if !spent.is_zero() {
                    turns.push((who, before));
                }
                before += spent;
                self.had[who] += spent;
                self.rota.leave(who, &mut self.places[who], spent, wants > LITTLE);
            }
            self.now += before;
            turns
        }

        fn least_and_most(&self, of: std::ops::Range<usize>) -> (Duration, Duration) {
            let had = &self.had[of];
            (*had.iter().min().unwrap(), *had.iter().max().unwrap())
        }
    }

    #[test]
    fn the_documented_times_are_these() {
        let documented = include_str!("../../../docs/limits.md").replace('\n', " ");
        let allowance = Duration::from_nanos(ALLOWANCE as u64).as_millis();
        assert_eq!((FORGOTTEN_PART, nanos(ROUND) / GREEDY_PART), (20, 4));
        for words in [
            format!("in rounds of {} ms", ROUND.as_millis()),
            format!("less than {allowance} ms of the loop's processor time lately (a twentieth of"),
            "a quarter of each round".to_owned(),
        ] {
            assert!(documented.contains(&words), "docs/limits.md has no `{words}`");
        }
    }

    #[test]
    fn a_modest_client_waits_for_no_greedy_one() {
        let mut crowd = Crowd::new([vec![Duration::MAX; 500], vec![LITTLE]].concat());
        // Until it shows who they are.
        (0..2000).for_each(|_| drop(crowd.round()));
        for _ in 0..1000 {
            crowd.join(500);
            let turns = crowd.round();
            assert_eq!(turns.first(), Some(&(500, Duration::ZERO)), "{turns:?}");
        }
    }

    #[test]
    fn whoever_wants_more_gets_as_much_as_every_other_one() {
        let mut crowd = Crowd::new(vec![Duration::MAX; 501]);
        for _ in 0..20_000 {
            crowd.round();
        }
        let (least, most) = crowd.least_and_most(0..501);
        assert!(most - least <= 4 * SHARE_MIN, "{least:?} to {most:?}");
    }

    #[test]
    fn a_call_that_takes_long_is_waited_for_by_its_own_client() {
        let mut crowd = Crowd::new([vec![LONG; 50], vec![SHARE_MIN; 50]].concat());
        for _ in 0..20_000 {
            crowd.round();
        }
        let (least, _) = crowd.least_and_most(50..100);
        let (_, most) = crowd.least_and_most(0..50);
        assert!(
            most <= least + LONG + Duration::from_nanos(2 * ALLOWANCE as u64),
            "{least:?} for who takes little, {most:?} for who takes long"
        );
    }

    #[test]
    fn who_pauses_again_and_again_keeps_nobody_waiting_for_long() {
        let mut crowd = Crowd::new([vec![Duration::MAX; 500], vec![LITTLE]].concat());
        let mut waited = 0;
        for round in 0..20_000 {
            // They let go of their places, and come again.
            for who in 0..500 {
                if round % 50 == who % 50 {
                    crowd.wants[who] = LITTLE;
                } else {
                    crowd.wants[who] = Duration::MAX;
                    crowd.join(who);
                }
            }
            crowd.join(500);
            waited = if crowd.round().iter().any(|&(who, _)| who == 500) { 0 } else { waited + 1 };
            assert!(waited <= 500 * nanos(SHARE_MIN) / (nanos(ROUND) - GREEDY_PART) + 2, "round {round}");
        }
    }

    #[test]
    fn a_crowd_of_modest_clients_does_not_starve_a_greedy_one() {
        let mut crowd = Crowd::new([vec![LITTLE; 2000], vec![Duration::MAX]].concat());
        for _ in 0..2000 {
            (0..2000).for_each(|who| crowd.join(who));
            crowd.round();
        }
        assert!(crowd.had[2000] >= 400 * SHARE_MIN, "{:?}", crowd.had[2000]);
        assert!(crowd.had[..2000].iter().all(|had| !had.is_zero()));
    }

    #[test]
    fn a_round_is_bounded_and_one_client_may_have_all_of_it() {
        let mut crowd = Crowd::new(vec![Duration::MAX]);
        assert_eq!((crowd.round().len(), crowd.had[0]), (1, ROUND));
        let mut crowd = Crowd::new(vec![Duration::MAX; 10_000]);
        let turns = crowd.round();
        assert_eq!(turns.len() as u128, ROUND.as_nanos().div_ceil(SHARE_MIN.as_nanos()));
        assert!(!crowd.rota.is_empty());
    }
}
