//! The core under a seeded simulator: random clients, a random network, a virtual clock, and a shadow
//! of what has to hold after every step.
//!
//! A failure prints its seed; `LUASOCKETD_SEED=n cargo test -p luasocketd --test simulation` repeats it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod random;
mod world;

use random::Random;
use world::World;

/// Seeds of an ordinary run, each a world of its own.
const SEEDS: u64 = 2_000;

/// Steps in one world.
const STEPS: usize = 500;

fn simulate(seed: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random);
    for _ in 0..STEPS {
        world.step(&mut random);
        world.check();
    }
    world.end(&mut random);
}

#[test]
fn what_must_hold_holds_in_every_world() {
    let seeds = match std::env::var("LUASOCKETD_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("LUASOCKETD_SEED is a number"),
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        assert!(outcome.is_ok(), "seed {seed} failed; repeat it with LUASOCKETD_SEED={seed}");
    }
}

#[test]
fn a_world_is_the_same_every_time() {
    let trace = |seed| {
        let mut random = Random::new(seed);
        let mut world = World::new(&mut random);
        world.keep_trace();
        (0..STEPS).for_each(|_| world.step(&mut random));
        world.trace().map(str::to_owned)
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
