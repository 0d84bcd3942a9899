//! What waits for a thread of the resolver: in turn from each client, and first from whoever has nothing under way.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::core::Lookup;

/// Lookups of askers that are known by their keys.
#[derive(Debug)]
pub(crate) struct Questions<K> {
    askers: HashMap<K, Asker>,
    /// Askers with waiting questions and nothing under way, and those with something.
    firsts: VecDeque<K>,
    others: VecDeque<K>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Asker {
    waiting: VecDeque<Lookup>,
    running: usize,
    /// Whether it stands in one of the lines.
    stands: bool,
}

impl<K> Default for Questions<K> {
    fn default() -> Self {
        let (askers, firsts, others, waiting) = Default::default();
        Questions { askers, firsts, others, waiting }
    }
}

impl<K: Copy + Eq + Hash> Questions<K> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// One more waits.
    pub(crate) fn push(&mut self, key: K, lookup: Lookup) {
        self.waiting += 1;
        let asker = self.askers.entry(key).or_default();
        asker.waiting.push_back(lookup);
        if !std::mem::replace(&mut asker.stands, true) {
            let line = if asker.running == 0 { &mut self.firsts } else { &mut self.others };
            line.push_back(key);
        }
    }

    /// Whether an asker waits for the only thing that it wants to know.
    pub(crate) fn is_first(&self, key: K) -> bool {
        self.askers.get(&key).is_some_and(|asker| asker.running == 0 && asker.waiting.len() == 1)
    }

    /// The next one, which is under way from here on; of those alone, if so wished, whose asker has nothing under way.
    pub(crate) fn pop(&mut self, firsts_only: bool) -> Option<(K, Lookup)> {
        loop {
            let key = match self.firsts.pop_front() {
                Some(key) => key,
                None if firsts_only => return None,
                None => self.others.pop_front()?,
            };
            let Some(asker) = self.askers.get_mut(&key) else { continue };
            asker.stands = false;
            let Some(lookup) = asker.waiting.pop_front() else {
                // They were taken back.
                self.forget_idle(key);
                continue;
            };
            self.waiting -= 1;
            asker.running += 1;
            if !asker.waiting.is_empty() {
                asker.stands = true;
                self.others.push_back(key);
            }
            return Some((key, lookup));
        }
    }

    /// One of an asker's is not under way any more.
    pub(crate) fn end(&mut self, key: K) {
        let Some(asker) = self.askers.get_mut(&key) else { return };
        asker.running = asker.running.saturating_sub(1);
        self.forget_idle(key);
    }

    /// Forgets an asker with nothing under way that stands in no line.
    fn forget_idle(&mut self, key: K) {
        if self.askers.get(&key).is_some_and(|asker| asker.running == 0 && !asker.stands) {
            self.askers.remove(&key);
        }
    }

    /// Takes back what is meant, if it waits; whether it did.
    pub(crate) fn remove(&mut self, is_meant: impl Fn(&K, &Lookup) -> bool) -> bool {
        let before = self.waiting;
        for (key, asker) in &mut self.askers {
            let all = asker.waiting.len();
            asker.waiting.retain(|lookup| !is_meant(key, lookup));
            self.waiting -= all - asker.waiting.len();
        }
        self.waiting < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Key, LookupId, Question};

    fn lookup(number: u32) -> Lookup {
        Lookup { lookup: LookupId::from_parts(number, 0), question: Question::Host(String::new()) }
    }

    fn number(popped: Option<(char, Lookup)>) -> Option<(char, u32)> {
        popped.map(|(key, lookup)| (key, lookup.lookup.parts().0))
    }

    #[test]
    fn each_asker_has_its_turn_and_whoever_has_nothing_under_way_goes_first() {
        let mut questions = Questions::default();
        (0..3).for_each(|n| questions.push('a', lookup(n)));
        questions.push('b', lookup(10));
        questions.push('b', lookup(11));
        assert!(!questions.is_first('a'));
        assert_eq!(number(questions.pop(true)), Some(('a', 0)));
        assert_eq!(number(questions.pop(false)), Some(('b', 10)));
        questions.push('c', lookup(20));
        assert!(questions.is_first('c'));
        assert_eq!(number(questions.pop(true)), Some(('c', 20)));
        assert_eq!((number(questions.pop(true)), questions.len()), (None, 3));
        let rest: Vec<_> = std::iter::from_fn(|| number(questions.pop(false))).collect();
        assert_eq!(rest, [('a', 1), ('b', 11), ('a', 2)]);
        for key in ['a', 'a', 'a', 'b', 'b', 'c'] {
            questions.end(key);
        }
        assert!(questions.askers.is_empty() && questions.len() == 0);
    }

    #[test]
    fn what_is_taken_back_is_not_asked() {
        let mut questions = Questions::default();
        questions.push('a', lookup(1));
        questions.push('b', lookup(2));
        let is_one = |_: &char, it: &Lookup| it.lookup.parts().0 == 1;
        assert!(questions.remove(is_one) && !questions.remove(is_one));
        assert_eq!((number(questions.pop(false)), number(questions.pop(false))), (Some(('b', 2)), None));
        questions.push('a', lookup(3));
        assert_eq!(number(questions.pop(true)), Some(('a', 3)));
        questions.end('a');
        questions.end('b');
        questions.push('c', lookup(4));
        assert!(questions.remove(|key, _| *key == 'c') && questions.pop(false).is_none());
        assert!(questions.askers.is_empty(), "of who wants nothing any more nothing is kept");
    }
}
