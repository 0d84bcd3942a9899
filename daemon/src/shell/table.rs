//! The shell's halves of what the core keeps, under the core's keys.

use crate::core::Key;

/// Values in the slots that the core has chosen. A stale key finds nothing.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    slots: Vec<Option<(K, T)>>,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Table { slots: Vec::new() }
    }
}

impl<K: Key + PartialEq, T> Table<K, T> {
    pub(crate) fn insert(&mut self, key: K, value: T) {
        let slot = key.parts().0 as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((key, value));
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let entry = self.slots.get(key.parts().0 as usize)?.as_ref();
        entry.filter(|(found, _)| *found == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let entry = self.slots.get_mut(key.parts().0 as usize)?.as_mut();
        entry.filter(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Whatever is in a slot now.
    pub(crate) fn in_slot(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|(_, value)| value)
    }

    /// All that is there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let entry = self.slots.get_mut(key.parts().0 as usize)?;
        if entry.as_ref().is_none_or(|(found, _)| *found != key) {
            return None;
        }
        entry.take().map(|(_, value)| value)
    }
}
