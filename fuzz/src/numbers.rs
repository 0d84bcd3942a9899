//! Numbers that a fuzzer chooses, so that what a mutation changes is a decision.

/// Gives the numbers that an input holds, then such that follow from its first ones alone: however short an input is, it
/// stands for a whole story, and a mutation at its end changes only the end.
#[derive(Debug)]
pub struct Numbers {
    input: Vec<u8>,
    at: usize,
    state: u64,
}

/// Bytes at the beginning that say how it goes on behind the end.
const SEED_BYTES: usize = 2;

impl Numbers {
    /// The numbers of an input.
    pub fn new(input: &[u8]) -> Self {
        let (seed, rest) = input.split_at(input.len().min(SEED_BYTES));
        let state = seed.iter().fold(1, |state, &byte| state << 8 | u64::from(byte));
        Numbers { input: rest.to_vec(), at: 0, state }
    }

    /// Whether the input has numbers left.
    pub fn has_more(&self) -> bool {
        self.at < self.input.len()
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.of_bytes(8)
    }

    /// A number below `bound`; a small one takes one byte of the input.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bytes = match bound {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            0x1_0001..=0x1_0000_0000 => 4,
            _ => 8,
        };
        self.of_bytes(bytes) % bound.max(1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several, if there are any.
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.below(from.len() as u64) as usize)
    }

    /// So many bytes of the input, or what is left of it.
    pub fn bytes(&mut self, length: usize) -> &[u8] {
        let from = self.at;
        self.at = self.input.len().min(from.saturating_add(length));
        &self.input[from..self.at]
    }

    fn of_bytes(&mut self, bytes: usize) -> u64 {
        match self.bytes(bytes) {
            [] => self.follow(),
            taken => taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
        }
    }

    /// What follows from the first bytes alone (splitmix64).
    fn follow(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
