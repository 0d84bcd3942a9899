//! Those that have a profile at the same time, on whatever loop each of them is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many clients have a profile. What is cloned counts the same ones.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<AtomicU64>);

/// One of a crowd; dropped, it has left.
#[derive(Debug)]
pub struct Seat(Crowd);

impl Crowd {
    /// One more of at most `limit`, if there is room.
    pub fn join(&self, limit: u64) -> Option<Seat> {
        let more = |count| (count < limit).then_some(count + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Seat(self.clone()))
    }

    /// One more, whatever the limit is: of those that are there already.
    pub fn admit(&self) -> Seat {
        self.0.fetch_add(1, Ordering::AcqRel);
        Seat(self.clone())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Seat {
    /// Whether it is one of this crowd.
    pub fn is_of(&self, crowd: &Crowd) -> bool {
        Arc::ptr_eq(&self.0.0, &crowd.0)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_leaves_makes_room() {
        let crowd = Crowd::default();
        let _one = crowd.admit();
        let two = crowd.join(2).unwrap();
        assert!(crowd.join(2).is_none() && two.is_of(&crowd) && !two.is_of(&Crowd::default()));
        drop(two);
        assert!(crowd.join(2).is_some());
        assert_eq!(crowd.count(), 1);
    }

    #[test]
    fn the_limit_holds_for_all_threads_together() {
        let crowd = Crowd::default();
        let seats: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter_map(|_| crowd.join(1500)).collect::<Vec<_>>()))
                .collect();
            let seats: Vec<Seat> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            seats.len()
        });
        assert_eq!((seats, crowd.count()), (1500, 0));
    }
}
