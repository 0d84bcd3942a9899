//! One loop among several: each has a core of its own, and together they are one daemon to its operator.
//!
//! Loops number what they have by themselves, each from 0. For people the numbers are interleaved: of three loops the
//! first one has the slots 0, 3, 6, the second one 1, 4, 7. So no mark comes twice in a daemon, a mark tells its loop, and
//! with one loop nothing is changed.

use super::mark::Mark;
use super::slots::Key;
use super::trail::TrailId;
use super::view::{ClientRow, PAGE_ROWS, Page, SocketRow};

/// The most loops of a daemon: more than there is anything to gain by for scripts, few enough that their numbers fit
/// into marks (see [`super::slots::SLOTS_MAX`]).
pub const LOOPS_MAX: u32 = 64;

/// Which of how many loops a core is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    index: u32,
    of: u32,
}

impl Default for Lane {
    fn default() -> Self {
        Lane::ONLY
    }
}

impl Lane {
    /// That of a daemon with one loop.
    pub const ONLY: Lane = Lane { index: 0, of: 1 };

    /// All lanes of a daemon with so many loops, [`LOOPS_MAX`] at most and one at least.
    pub fn all(loops: usize) -> impl Iterator<Item = Lane> {
        let of = Lane::count(loops);
        (0..of).map(move |index| Lane { index, of })
    }

    /// The first one of a daemon with so many loops.
    pub fn first(loops: usize) -> Lane {
        Lane { index: 0, of: Lane::count(loops) }
    }

    /// Which one it is, counted from 0.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Whether it is the first one.
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    /// The loop of what the operator calls `key`, one of so many, and what it is called there.
    pub fn locate<K: Key>(key: K, loops: usize) -> (Lane, K) {
        let (slot, generation) = key.parts();
        let of = Lane::count(loops);
        (Lane { index: slot % of, of }, K::from_parts(slot / of, generation))
    }

    /// As [`Lane::locate`], of a mark.
    pub fn locate_mark(mark: Mark, loops: usize) -> (Lane, Mark) {
        match mark {
            Mark::Client(id) => {
                let (lane, id) = Lane::locate(id, loops);
                (lane, Mark::Client(id))
            }
            Mark::Socket(id) => {
                let (lane, id) = Lane::locate(id, loops);
                (lane, Mark::Socket(id))
            }
        }
    }

    /// What the operator calls something on this loop.
    pub fn mark(self, local: Mark) -> Mark {
        match local {
            Mark::Client(id) => Mark::Client(self.name(id)),
            Mark::Socket(id) => Mark::Socket(self.name(id)),
        }
    }

    fn name<K: Key>(self, key: K) -> K {
        let (slot, generation) = key.parts();
        K::from_parts(self.spread(slot), generation)
    }

    fn count(loops: usize) -> u32 {
        u32::try_from(loops).unwrap_or(LOOPS_MAX).clamp(1, LOOPS_MAX)
    }

    /// The number of the first record, and how much further each next one is.
    pub(crate) fn records(self) -> (TrailId, u64) {
        (TrailId(u64::from(self.index) + 1), u64::from(self.of))
    }

    /// Its first slot that is not before the operator's slot `from`.
    pub fn from(self, from: u32) -> u32 {
        from.saturating_sub(self.index).div_ceil(self.of)
    }

    /// How many rows it may have of a page.
    pub fn rows(self) -> usize {
        (PAGE_ROWS / self.of as usize).max(1)
    }

    fn spread(self, local: u32) -> u32 {
        // A table has at most SLOTS_MAX slots.
        local.saturating_mul(self.of).saturating_add(self.index)
    }

    /// Names a page as the operator knows it.
    pub fn page<T: Row>(self, page: Page<T>) -> Page<T> {
        let Page { mut rows, next } = page;
        rows.iter_mut().for_each(|row| row.rename(self));
        Page { rows, next: next.map(|slot| self.spread(slot)) }
    }
}

/// A row that is named on one loop, and can be named for the operator.
pub trait Row {
    /// Names it as the operator does.
    fn rename(&mut self, lane: Lane);
    /// What it is called.
    fn id(&self) -> Mark;
}

impl Row for ClientRow {
    fn rename(&mut self, lane: Lane) {
        self.id = lane.mark(self.id);
    }

    fn id(&self) -> Mark {
        self.id
    }
}

impl Row for SocketRow {
    fn rename(&mut self, lane: Lane) {
        (self.id, self.client) = (lane.mark(self.id), lane.mark(self.client));
    }

    fn id(&self) -> Mark {
        self.id
    }
}

/// The page that the pages of several loops are together, in the order of the operator's slots: up to where the first of
/// them ends.
pub fn join<T: Row>(pages: impl IntoIterator<Item = Page<T>>) -> Page<T> {
    let (mut rows, mut next) = (Vec::new(), None);
    for page in pages {
        rows.extend(page.rows);
        next = next.into_iter().chain(page.next).min();
    }
    if let Some(end) = next {
        rows.retain(|row: &T| slot(row.id()) < end);
    }
    rows.sort_by_key(|row| slot(row.id()));
    Page { rows, next }
}

fn slot(mark: Mark) -> u32 {
    match mark {
        Mark::Client(id) => id.parts().0,
        Mark::Socket(id) => id.parts().0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use super::super::client::Credentials;
    use super::super::machine::{Config, Core};
    use super::super::slots::{ClientId, SLOTS_MAX};
    use super::*;

    fn mark(text: &str) -> Mark {
        text.parse().unwrap()
    }

    #[test]
    fn with_one_loop_marks_are_what_they_are() {
        assert_eq!(Lane::ONLY.mark(mark("c3.1")), mark("c3.1"));
        assert_eq!(Lane::locate_mark(mark("s7.2"), 1), (Lane::ONLY, mark("s7.2")));
        assert_eq!((Lane::ONLY.from(5), Lane::ONLY.rows()), (5, PAGE_ROWS));
    }

    #[test]
    fn no_mark_comes_twice_and_each_leads_to_its_loop() {
        for loops in [2, 3, LOOPS_MAX as usize] {
            let mut seen = HashSet::new();
            for lane in Lane::all(loops) {
                for local in ["c0.1", "c1.1", "c1.2", "s1.1", "s90.1"].map(mark) {
                    let named = lane.mark(local);
                    assert!(seen.insert(named), "{named} twice");
                    assert_eq!(Lane::locate_mark(named, loops), (lane, local));
                }
            }
        }
    }

    #[test]
    fn the_last_slot_of_the_last_loop_has_a_mark() {
        let last = Lane::all(LOOPS_MAX as usize).last().unwrap();
        let local = Mark::Client(ClientId::from_parts(SLOTS_MAX - 1, 1));
        assert_eq!(Lane::locate_mark(last.mark(local), LOOPS_MAX as usize), (last, local));
    }

    #[test]
    fn no_record_has_the_number_of_another_loops() {
        let mut seen = HashSet::new();
        for lane in Lane::all(3) {
            let (TrailId(first), step) = lane.records();
            (0..100).for_each(|count| assert!(seen.insert(first + count * step)));
        }
        assert_eq!((seen.iter().min(), seen.len()), (Some(&1), 300));
    }

    /// Cores with so many clients each; the user of each client is the number of its core.
    fn crowd(counts: &[u32]) -> Vec<Core> {
        let now = Instant::now();
        let filled = |(uid, count): (usize, &u32)| {
            let mut core = Core::new(Config::default(), now);
            for pid in 0..*count as i32 {
                core.add_client(Credentials { uid: uid as u32, gid: 0, pid }, now).unwrap();
            }
            core
        };
        counts.iter().enumerate().map(filled).collect()
    }

    #[test]
    fn pages_of_several_loops_have_every_client_once_and_in_order() {
        for counts in [&[300, 0, 70][..], &[1, 500], &[0, 0, 0, 9], &[128]] {
            let (cores, now) = (crowd(counts), Instant::now());
            let lanes: Vec<Lane> = Lane::all(cores.len()).collect();
            let (mut marks, mut next) = (Vec::new(), Some(0));
            while let Some(from) = next {
                let pages = lanes.iter().zip(&cores);
                let page = join(
                    pages.map(|(lane, core)| lane.page(core.client_page(lane.from(from), lane.rows(), now))),
                );
                assert!(page.rows.len() <= PAGE_ROWS, "{counts:?}: {}", page.rows.len());
                for row in &page.rows {
                    assert_eq!(
                        Lane::locate_mark(row.id, cores.len()).0.index(),
                        row.uid as usize,
                        "{}",
                        row.id
                    );
                }
                marks.extend(page.rows.iter().map(|row| row.id));
                assert!(page.next.is_none_or(|next| next > from), "{counts:?}");
                next = page.next;
            }
            assert!(marks.is_sorted_by_key(|mark| slot(*mark)), "{counts:?}");
            let count = marks.iter().collect::<HashSet<_>>().len();
            assert_eq!(
                (marks.len(), count),
                (counts.iter().sum::<u32>() as usize, marks.len()),
                "{counts:?}"
            );
        }
    }
}
