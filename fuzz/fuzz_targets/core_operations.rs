//! The daemon's core in the world of its simulator, in which the fuzzer decides what happens next.
#![no_main]
// What a world of the simulator has, and is not needed here.
#![allow(dead_code)]

/// The simulator's world, with the fuzzer's numbers in the place of random ones.
#[path = "../../daemon/tests/simulation"]
mod simulation {
    pub mod random {
        pub type Random = luasocketd_fuzz::numbers::Numbers;
    }

    pub mod world;
}

use libfuzzer_sys::fuzz_target;
use luasocketd_fuzz::numbers::Numbers;
use luasocketd_fuzz::seeds;
use simulation::world::World;

/// Steps in one world: as many as the simulator takes.
const STEPS_MAX: usize = 500;

/// Steps behind the end of an input.
const STEPS_BEHIND: usize = 20;

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let mut numbers = Numbers::new(input);
        let mut world = World::new(&mut numbers);
        let mut behind = STEPS_BEHIND;
        for _ in 0..STEPS_MAX {
            if !numbers.has_more() {
                if behind == 0 {
                    break;
                }
                behind -= 1;
            }
            world.step(&mut numbers);
            world.check();
        }
        world.end(&mut numbers);
    }
);

/// Worlds of the simulator.
fn inputs() -> Vec<Vec<u8>> {
    let length = |number: u8| 64 << (number % 6);
    let bytes = |number: u8| {
        let mut numbers = Numbers::new(&[]);
        (0..number).for_each(|_| {
            numbers.next();
        });
        (0..length(number)).map(|_| numbers.below(256) as u8).collect()
    };
    (0..48).map(bytes).collect()
}
