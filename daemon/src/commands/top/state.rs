//! What `top` knows and shows: answers and keys come in, nothing goes out.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use luasocketd::admin::Stats;
use luasocketd::core::{ClientRow, Mark};

use super::super::stats::Rates;

/// Samples that a graph can show: wider than any screen.
pub const HISTORY_MAX: usize = 512;

/// A key, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Enough.
    Quit,
    /// Select a row so much further down.
    Move(isize),
    /// Sort by the column with this letter.
    Sort(char),
    /// Sort the other way round.
    Reverse,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It does.
    On,
    /// It does not.
    Quit,
}

macro_rules! columns {
    ($($variant:ident = $letter:literal, $name:literal, $rising:literal;)+) => {
        /// What rows are sorted by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sort {
            $(#[doc = $name] $variant,)+
        }

        impl Sort {
            /// Every one.
            pub const ALL: &[Sort] = &[$(Sort::$variant),+];

            /// The key that chooses it.
            pub const fn letter(self) -> char {
                match self { $(Sort::$variant => $letter),+ }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Sort::$variant => $name),+ }
            }

            /// Whether the least comes first.
            const fn is_rising(self) -> bool {
                match self { $(Sort::$variant => $rising),+ }
            }
        }
    };
}

columns! {
    Traffic = 't', "traffic", false;
    Bytes = 'b', "bytes", false;
    Sockets = 's', "sockets", false;
    Calls = 'c', "calls", false;
    Age = 'a', "age", false;
    Pid = 'p', "pid", true;
    Name = 'n', "name", true;
}

/// One client, with how fast it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What the daemon says of it.
    pub client: ClientRow,
    /// Bytes a second to the network.
    pub sent: u64,
    /// Bytes a second from there.
    pub received: u64,
}

/// Bytes a second, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Both ways together.
    pub samples: VecDeque<u64>,
}

impl History {
    fn push(&mut self, rate: u64) {
        if self.samples.len() == HISTORY_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(rate);
    }
}

/// Everything that `top` knows.
#[derive(Debug)]
pub struct Top {
    /// Whether it may use colours.
    pub colours: bool,
    /// What the daemon has said last.
    pub stats: Option<Stats>,
    /// How fast everything goes.
    pub rates: Rates,
    /// The clients, in the order of the screen.
    pub lines: Vec<Line>,
    /// What they are sorted by.
    pub sort: Sort,
    /// Whether they are sorted the other way round.
    pub reversed: bool,
    /// How fast everything went.
    pub total: History,
    selected: Option<Mark>,
    histories: HashMap<Mark, History>,
}

impl Top {
    /// Nothing is known yet.
    pub fn new(colours: bool) -> Self {
        Top {
            colours,
            stats: None,
            rates: Rates::default(),
            lines: Vec::new(),
            sort: Sort::Traffic,
            reversed: false,
            total: History::default(),
            selected: None,
            histories: HashMap::new(),
        }
    }

    /// Takes in what the daemon has said.
    pub fn on_answer(&mut self, clients: Vec<ClientRow>, stats: Stats) {
        let elapsed_ms = match &self.stats {
            Some(before) if before.pid == stats.pid => {
                self.rates = Rates::between(before, &stats);
                stats.uptime_ms.saturating_sub(before.uptime_ms)
            }
            // There is nothing to compare with.
            _ => 0,
        };
        let before: HashMap<Mark, (u64, u64)> = self
            .lines
            .iter()
            .map(|line| (line.client.id, (line.client.sent, line.client.received)))
            .collect();
        self.lines = clients
            .into_iter()
            .map(|client| {
                // All that a new client has moved came since the last look.
                let (sent, received) = before.get(&client.id).copied().unwrap_or((0, 0));
                let rate = |now: u64, then: u64| per_second(now.saturating_sub(then), elapsed_ms);
                Line { sent: rate(client.sent, sent), received: rate(client.received, received), client }
            })
            .collect();
        self.total.push((self.rates.sent_bytes + self.rates.received_bytes) as u64);
        let mut histories = std::mem::take(&mut self.histories);
        for line in &self.lines {
            let mut history = histories.remove(&line.client.id).unwrap_or_default();
            history.push(line.sent + line.received);
            // Those of clients that have gone go, too.
            self.histories.insert(line.client.id, history);
        }
        self.stats = Some(stats);
        self.arrange();
    }

    /// Does what a key means.
    pub fn on_key(&mut self, key: Key) -> Step {
        match key {
            Key::Quit => return Step::Quit,
            Key::Move(by) => self.select(by),
            Key::Reverse => self.reversed = !self.reversed,
            Key::Sort(letter) => {
                if let Some(sort) = Sort::ALL.iter().find(|sort| sort.letter() == letter) {
                    (self.sort, self.reversed) = (*sort, false);
                }
            }
        }
        self.arrange();
        Step::On
    }

    /// The row that is selected: the first one until somebody chooses, the same client wherever it goes to.
    pub fn selected(&self) -> Option<usize> {
        let found = self.lines.iter().position(|line| Some(line.client.id) == self.selected);
        found.or(if self.lines.is_empty() { None } else { Some(0) })
    }

    /// The selected client, and how fast it went.
    pub fn focus(&self) -> Option<(&Line, &History)> {
        let line = self.lines.get(self.selected()?)?;
        Some((line, self.histories.get(&line.client.id)?))
    }

    fn select(&mut self, by: isize) {
        let Some(now) = self.selected() else { return };
        let last = self.lines.len().saturating_sub(1);
        let next = now.saturating_add_signed(by).min(last);
        self.selected = self.lines.get(next).map(|line| line.client.id);
    }

    fn arrange(&mut self) {
        let (sort, turned) = (self.sort, self.reversed == self.sort.is_rising());
        self.lines.sort_by(|a, b| {
            let order = compare(sort, a, b);
            let order = if turned { order.reverse() } else { order };
            order.then(a.client.id.cmp(&b.client.id))
        });
    }
}

fn compare(sort: Sort, a: &Line, b: &Line) -> Ordering {
    match sort {
        Sort::Traffic => (a.sent + a.received).cmp(&(b.sent + b.received)),
        Sort::Bytes => {
            let all = |line: &Line| line.client.sent.saturating_add(line.client.received);
            all(a).cmp(&all(b))
        }
        Sort::Sockets => a.client.sockets.cmp(&b.client.sockets),
        Sort::Calls => a.client.calls.cmp(&b.client.calls),
        Sort::Age => a.client.age_ms.cmp(&b.client.age_ms),
        Sort::Pid => a.client.pid.cmp(&b.client.pid),
        Sort::Name => a.client.name.cmp(&b.client.name),
    }
}

fn per_second(count: u64, elapsed_ms: u64) -> u64 {
    count.saturating_mul(1000).checked_div(elapsed_ms).unwrap_or(0)
}

#[cfg(test)]
pub mod tests {
    use luasocketd::core::Totals;

    use super::super::super::ps::tests::client;
    use super::*;

    pub fn stats(uptime_ms: u64, sent: u64) -> Stats {
        Stats {
            daemon: "luasocketd 0.1.0".to_owned(),
            pid: 7,
            uptime_ms,
            totals: Totals {
                clients: 3,
                clients_total: 9,
                sockets: 6,
                sockets_total: 20,
                lookups: 0,
                sent_bytes_total: sent,
                received_bytes_total: 2 * sent,
                draining: false,
                profiles: vec![],
                lookup_times: Default::default(),
                connect_times: Default::default(),
            },
            workers: 1,
            turn_times: Default::default(),
            audit: None,
        }
    }

    /// Three clients, two looks a second apart: the second of them is the fastest.
    pub fn looked_twice() -> Top {
        let mut top = Top::new(false);
        top.on_answer(vec![client(0, 100), client(1, 100), client(2, 100)], stats(1000, 300));
        top.on_answer(vec![client(0, 200), client(1, 5100), client(2, 100)], stats(2000, 5400));
        top
    }

    fn order(top: &Top) -> Vec<String> {
        top.lines.iter().map(|line| line.client.id.to_string()).collect()
    }

    #[test]
    fn the_fastest_is_on_top_and_rates_are_by_the_second() {
        let top = looked_twice();
        assert_eq!(order(&top), ["c1.1", "c0.1", "c2.1"]);
        assert_eq!((top.lines[0].sent, top.lines[0].received), (5000, 10_000));
        assert_eq!(top.total.samples, [0, 15_300]);
        assert_eq!(top.focus().unwrap().1.samples, [0, 15_000]);
    }

    #[test]
    fn the_selected_client_stays_selected_wherever_it_goes() {
        let mut top = looked_twice();
        assert_eq!(top.selected(), Some(0));
        top.on_key(Key::Move(1));
        assert_eq!(top.focus().unwrap().0.client.id.to_string(), "c0.1");
        top.on_key(Key::Reverse);
        assert_eq!(order(&top), ["c2.1", "c0.1", "c1.1"]);
        top.on_key(Key::Move(isize::MAX));
        assert_eq!(top.selected(), Some(2));
        top.on_answer(vec![client(1, 5100)], stats(3000, 5400));
        assert_eq!((top.selected(), top.lines[0].sent), (Some(0), 0));
        top.on_answer(vec![], stats(4000, 5400));
        assert_eq!((top.selected(), top.focus().is_none()), (None, true));
        assert_eq!(top.on_key(Key::Move(1)), Step::On);
    }

    #[test]
    fn every_letter_sorts_and_none_is_taken_twice() {
        let mut top = looked_twice();
        for sort in Sort::ALL {
            assert_eq!(top.on_key(Key::Sort(sort.letter())), Step::On);
            assert_eq!(top.sort, *sort);
            assert!(!"qkjgGr".contains(sort.letter()));
        }
        assert_eq!(order(&top), ["c0.1", "c1.1", "c2.1"]);
        top.on_key(Key::Sort('?'));
        assert_eq!((top.sort, top.on_key(Key::Quit)), (Sort::Name, Step::Quit));
    }

    #[test]
    fn another_daemon_has_no_rates_yet() {
        let mut top = looked_twice();
        top.on_answer(vec![client(1, 9_000_000)], Stats { pid: 8, ..stats(10, 9_000_000) });
        assert_eq!(top.lines[0].sent, 0);
    }

    #[test]
    fn a_history_ends() {
        let mut history = History::default();
        (0..2 * HISTORY_MAX as u64).for_each(|rate| history.push(rate));
        assert_eq!((history.samples.len(), history.samples[0]), (HISTORY_MAX, HISTORY_MAX as u64));
    }
}
