//! What one daemon is to hold out, with the numbers that say so.

use serde_json::{Value, json};

/// How a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// How many times as much.
    Times,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// A number with it.
    pub fn text(self, number: f64) -> String {
        match self {
            Unit::Count => format!("{number:.0}"),
            Unit::Bytes if number.abs() < 16.0 * 1024.0 => format!("{number:.0} B"),
            Unit::Bytes => format!("{:.1} MiB", number / 1024.0 / 1024.0),
            Unit::Times => format!("{number:.2} ×"),
            Unit::Milliseconds => format!("{number:.2} ms"),
        }
    }
}

/// On which side of the target a number is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

/// Something that is to be reached.
#[derive(Debug)]
pub struct Goal {
    /// Its name in JSON.
    pub name: &'static str,
    /// What people read.
    pub title: &'static str,
    /// How its number is shown.
    pub unit: Unit,
    /// The target.
    pub bound: Bound,
}

macro_rules! goals {
    ($($goal:ident: $name:literal, $title:literal, $unit:ident, $bound:ident $target:literal;)*) => {
        $(#[doc = $title]
        pub const $goal: Goal =
            Goal { name: $name, title: $title, unit: Unit::$unit, bound: Bound::$bound($target) };)*
    };
}

goals! {
    HELD: "idle_held", "idle connections held by one daemon", Count, AtLeast 50_000.0;
    MEMORY_EACH: "idle_memory", "the daemon's memory for each of them", Bytes, AtMost 2048.0;
    BUSY: "busy_cost", "a busy socket's round trip, with them against without", Times, AtMost 1.05;
    WAKE_UP: "wake_up_instructions", "instructions for a round trip, with them against with 100", Times, AtMost 1.05;
    SLOWEST: "slowest_client", "client processes at once: the slowest against the median", Times, AtLeast 0.5;
    MUTE: "mute_memory", "the daemon's memory for a client that never reads", Bytes, AtMost 268_435_456.0;
    LOOPS: "two_loops", "throughput of many clients, two loops against one", Times, AtLeast 1.5;
    RUN: "run_empty", "`luasocketd run` of an empty script", Milliseconds, AtMost 30.0;
    FIRST_CONNECT: "first_connect", "a script's first connect, over LuaSocket's", Milliseconds, AtMost 1.0;
}

/// What was found about a goal.
#[derive(Debug)]
pub struct Finding {
    /// The goal.
    pub goal: &'static Goal,
    /// The number.
    pub found: f64,
    /// What else a reader wants to know.
    pub note: String,
    /// The numbers that it comes from.
    pub numbers: Value,
}

impl Finding {
    /// Whether the goal is reached.
    pub fn is_met(&self) -> bool {
        match self.goal.bound {
            Bound::AtLeast(target) => self.found >= target,
            Bound::AtMost(target) => self.found <= target,
        }
    }

    /// The target for people.
    pub fn target(&self) -> String {
        match self.goal.bound {
            Bound::AtLeast(target) => format!("≥ {}", self.goal.unit.text(target)),
            Bound::AtMost(target) => format!("≤ {}", self.goal.unit.text(target)),
        }
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let (side, target) = match self.goal.bound {
            Bound::AtLeast(target) => ("at_least", target),
            Bound::AtMost(target) => ("at_most", target),
        };
        json!({
            "name": self.goal.name,
            "title": self.goal.title,
            "found": self.found,
            side: target,
            "met": self.is_met(),
            "note": self.note,
            "numbers": self.numbers,
        })
    }
}
