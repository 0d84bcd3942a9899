//! Chance that can be repeated: the same seed throws the same numbers on every machine.

/// SplitMix64, as Sebastiano Vigna published it: small, and good enough to choose faults with.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice for one purpose: those with another seed or another number throw something else.
    pub fn new(seed: u64, number: u64) -> Dice {
        let mut dice = Dice(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.throw();
        dice
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is above 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw() % limit
    }

    /// One of them, of which there is at least one.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A number from 0 to `limit`, small ones as often as large ones: what has been chosen first is how long it is.
    pub fn size(&mut self, limit: u64) -> u64 {
        let bits = self.below(u64::from(limit.max(1).ilog2()) + 2);
        self.below(1 << bits).min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same() {
        let throws = |seed, number| {
            let mut dice = Dice::new(seed, number);
            [(); 4].map(|()| dice.throw())
        };
        assert_eq!(throws(1, 1), throws(1, 1));
        assert_ne!(throws(1, 1), throws(1, 2));
        assert_ne!(throws(1, 1), throws(2, 1));
    }

    #[test]
    fn sizes_are_small_and_large_and_never_above_the_limit() {
        let mut dice = Dice::new(3, 4);
        let sizes: Vec<u64> = (0..1000).map(|_| dice.size(1 << 20)).collect();
        assert!(sizes.iter().all(|size| *size <= 1 << 20));
        assert!(sizes.iter().any(|size| *size < 16) && sizes.iter().any(|size| *size > 1 << 18));
    }
}
