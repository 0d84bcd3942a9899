//! Tables whose keys carry a generation, so that a stale key never reaches a newer entry.

use std::fmt;
use std::marker::PhantomData;

use luasocketd_protocol::SocketId;

use super::lane::LOOPS_MAX;

/// The most values of one table: as many loops as there may be have no more than 2³² together.
pub const SLOTS_MAX: u32 = u32::MAX / LOOPS_MAX;

/// A key that is made of a slot and the slot's generation.
pub trait Key: Copy {
    /// The key of `slot` in its `generation`.
    fn from_parts(slot: u32, generation: u32) -> Self;
    /// The slot and the generation.
    fn parts(self) -> (u32, u32);
}

impl Key for SocketId {
    fn from_parts(slot: u32, generation: u32) -> Self {
        SocketId::new(slot, generation)
    }

    fn parts(self) -> (u32, u32) {
        (self.slot(), self.generation())
    }
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            slot: u32,
            generation: u32,
        }

        impl Key for $name {
            fn from_parts(slot: u32, generation: u32) -> Self {
                $name { slot, generation }
            }

            fn parts(self) -> (u32, u32) {
                (self.slot, self.generation)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.slot, self.generation)
            }
        }
    )+};
}

keys! {
    /// Names one client, that is one pipe.
    ClientId,
    /// Names one name lookup.
    LookupId,
}

/// Values under generational keys.
#[derive(Debug)]
pub struct Slots<K, T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    len: usize,
    key: PhantomData<K>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<K, T> Default for Slots<K, T> {
    fn default() -> Self {
        Slots { entries: Vec::new(), free: Vec::new(), len: 0, key: PhantomData }
    }
}

impl<K: Key, T> Slots<K, T> {
    /// Puts `value` into a free slot, or `None` when all [`SLOTS_MAX`] are taken.
    pub fn insert(&mut self, value: T) -> Option<K> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.entries.len()).ok().filter(|slot| *slot < SLOTS_MAX)?;
                self.entries.push(Entry { generation: 0, value: None });
                slot
            }
        };
        let entry = &mut self.entries[slot as usize];
        entry.generation += 1;
        entry.value = Some(value);
        self.len += 1;
        Some(K::from_parts(slot, entry.generation))
    }

    /// The value under `key`, unless it is gone.
    pub fn get(&self, key: K) -> Option<&T> {
        let (slot, generation) = key.parts();
        self.entries.get(slot as usize).filter(|entry| entry.generation == generation)?.value.as_ref()
    }

    /// The value under `key`, unless it is gone.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (slot, generation) = key.parts();
        self.entries.get_mut(slot as usize).filter(|entry| entry.generation == generation)?.value.as_mut()
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: K) -> Option<T> {
        let (slot, generation) = key.parts();
        let entry = self.entries.get_mut(slot as usize).filter(|entry| entry.generation == generation)?;
        let value = entry.value.take()?;
        self.len -= 1;
        // A slot whose generations are used up retires, so that no key ever comes twice.
        if generation < u32::MAX {
            self.free.push(slot);
        }
        Some(value)
    }

    /// Every key and value, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| {
            let value = entry.value.as_ref()?;
            Some((K::from_parts(slot as u32, entry.generation), value))
        })
    }

    /// Every key and value, in the order of their slots, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let value = entry.value.as_mut()?;
            Some((K::from_parts(slot as u32, entry.generation), value))
        })
    }

    /// The slots from `from` on, each with its key and value if it has any.
    pub(crate) fn slots(&self, from: u32) -> impl Iterator<Item = (u32, Option<(K, &T)>)> {
        let rest = self.entries.get(from as usize..).unwrap_or_default();
        rest.iter().zip(from..).map(|(entry, slot)| {
            (slot, entry.value.as_ref().map(|value| (K::from_parts(slot, entry.generation), value)))
        })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slots: Slots<ClientId, u8> = Slots::default();
        let first = slots.insert(1).unwrap();
        assert_eq!(slots.remove(first), Some(1));
        let second = slots.insert(2).unwrap();
        assert_eq!(second.parts().0, first.parts().0);
        assert_eq!((slots.remove(first), slots.get(first), slots.get(second)), (None, None, Some(&2)));
    }

    #[test]
    fn a_slot_retires_with_its_last_generation() {
        let mut slots: Slots<ClientId, u8> = Slots::default();
        slots.entries.push(Entry { generation: u32::MAX - 1, value: None });
        slots.free.push(0);
        let last = slots.insert(1).unwrap();
        assert_eq!(slots.remove(last), Some(1));
        assert_eq!(slots.insert(2).unwrap().parts().0, 1);
    }
}
