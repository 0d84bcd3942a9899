//! The soak: real Lua scripts and peers in Rust exchange bytes that either side can check by itself, while a seeded schedule
//! kills, stops and starves whatever lies between them. What is established: every byte that `send` accepted is delivered, or
//! an error on that socket says that it was not; no byte twice, none out of order.
//!
//! [`pattern`], [`arrival`], [`report`], [`plan`], [`schedule`], [`verdict`] and [`table`] are pure; the other modules run
//! processes and threads, and decide nothing about what is right.

#![allow(clippy::unwrap_used)] // a harness panics where a test would

pub mod arrival;
pub mod dice;
pub mod load;
pub mod pattern;
pub mod peers;
pub mod phases;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod schedule;
pub mod stage;
pub mod table;
pub mod tally;
pub mod verdict;
