//! The core under a seeded simulator: random clients, a random network, a virtual clock, and a shadow
//! of what has to hold after every step.
//!
//! `LUASOCKETD_SEEDS=n` says how many worlds. A failure prints its seed; `LUASOCKETD_SEED=n cargo test -p luasocketd --test simulation` repeats it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

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
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("LUASOCKETD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LUASOCKETD_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(None);
    let simulate_all = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.lock().unwrap().is_some() {
                return;
            }
            if std::panic::catch_unwind(|| simulate(seed)).is_err() {
                failed.lock().unwrap().get_or_insert(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(simulate_all);
        }
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        panic!("seed {seed} failed; repeat it with LUASOCKETD_SEED={seed}");
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
