//! The connections of a pipe by their ids. A script stays with one of them for many calls, so that the one that was
//! looked up last is found without a search.

use std::collections::HashMap;

use luasocketd_protocol::SocketId;
use slab::Slab;

use super::id_hash::IdHash;
use crate::stream::Stream;

/// Connections. Invariant: `places` and `last` lead to no entry but that of their id.
#[derive(Debug, Default)]
pub(super) struct Streams {
    entries: Slab<Stream>,
    places: HashMap<SocketId, usize, IdHash>,
    last: Option<(SocketId, usize)>,
}

impl Streams {
    /// A connection.
    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Stream> {
        let place = match self.last {
            Some((last, place)) if last == id => place,
            _ => {
                let place = *self.places.get(&id)?;
                self.last = Some((id, place));
                place
            }
        };
        self.entries.get_mut(place)
    }

    /// Adds one, in the place of one of the same id.
    pub(super) fn insert(&mut self, id: SocketId, stream: Stream) {
        self.remove(id);
        self.places.insert(id, self.entries.insert(stream));
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: SocketId) -> Option<Stream> {
        self.last = self.last.filter(|(last, _)| *last != id);
        let place = self.places.remove(&id)?;
        self.entries.try_remove(place)
    }

    /// All of them.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.entries.iter_mut().map(|(_, stream)| stream)
    }

    /// All of them, to be looked at.
    #[cfg(fuzzing)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Stream> {
        self.entries.iter().map(|(_, stream)| stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SocketId = SocketId::new(1, 1);
    const TWO: SocketId = SocketId::new(2, 1);

    fn credit(streams: &mut Streams, id: SocketId) -> Option<usize> {
        streams.get_mut(id).map(|stream| stream.credit())
    }

    #[test]
    fn each_id_leads_to_its_own() {
        let mut streams = Streams::default();
        streams.insert(ONE, Stream::new(1, 0));
        streams.insert(TWO, Stream::new(2, 0));
        for _ in 0..2 {
            assert_eq!([ONE, ONE, TWO].map(|id| credit(&mut streams, id)), [Some(1), Some(1), Some(2)]);
        }
        assert_eq!(streams.all_mut().count(), 2);
    }

    #[test]
    fn what_was_taken_out_is_not_found_and_neither_is_what_has_its_place() {
        let mut streams = Streams::default();
        streams.insert(ONE, Stream::new(1, 0));
        assert_eq!(credit(&mut streams, ONE), Some(1));
        assert!(streams.remove(ONE).is_some() && streams.remove(ONE).is_none());
        assert_eq!(credit(&mut streams, ONE), None);
        streams.insert(TWO, Stream::new(2, 0));
        assert_eq!([ONE, TWO].map(|id| credit(&mut streams, id)), [None, Some(2)]);
    }

    #[test]
    fn an_id_that_comes_again_has_the_newer_one() {
        let mut streams = Streams::default();
        streams.insert(ONE, Stream::new(1, 0));
        assert_eq!(credit(&mut streams, ONE), Some(1));
        streams.insert(ONE, Stream::new(2, 0));
        assert_eq!((credit(&mut streams, ONE), streams.all_mut().count()), (Some(2), 1));
    }
}
