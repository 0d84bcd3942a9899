//! What a function gives back to Lua, described without touching the stack.

use std::fmt;

use super::function::Class;
use crate::pattern::Piece;
use crate::session::{FoundText, Key, Trouble};

/// The most results of one function.
pub(crate) const VALUES_MAX: usize = 4;

/// One result.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Nil,
    Flag(bool),
    /// A number that is a float where Lua has integers, as nearly all of LuaSocket's are.
    Number(f64),
    /// A number that is an integer where Lua has them.
    Integer(i64),
    Word(&'static str),
    /// The text that `Call::say` has left.
    Said,
    /// An argument, by its position.
    Argument(i32),
    /// Bytes that the function's own object has received, after the argument at `prefix` (0 for none).
    Received {
        piece: Piece,
        prefix: i32,
    },
    /// The name of who sent the datagram that the function's own object receives.
    Sender,
    /// The object that the function makes.
    New(Key),
    /// A `{on =, timeout =}` table.
    Linger(bool, u16),
    /// The list of addresses that a lookup has left, so many.
    Addresses(usize),
    /// What a lookup has left of a host: a table with so many aliases and addresses.
    HostEntry {
        aliases: usize,
        addresses: usize,
    },
    /// The list of names that a lookup has left, so many.
    Names(usize),
    /// A text that a lookup has left.
    Found(FoundText),
}

/// Results, and what happens with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    values: [Value; VALUES_MAX],
    count: usize,
    /// The class that the function's own object gets.
    pub(crate) class: Option<Class>,
    /// Bytes that are consumed once the results are safe in Lua.
    pub(crate) take: usize,
    /// Whether the function has more to give and is called again.
    pub(crate) more: bool,
}

impl Answer {
    /// The results themselves.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values[..self.count]
    }
}

/// How a function ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// It returns.
    Return(Answer),
    /// It raises an error about the argument at this position, with the text that `Call::say` has left.
    RaiseArgument(i32),
    /// It raises the text that `Call::say` has left, behind the place of the call.
    Raise,
    /// It raises the error that lies on the stack already.
    RaiseReady,
    /// It is called once more after a collection of garbage.
    Collect,
}

impl Action {
    /// Returns these values, four at the most.
    pub(crate) fn values(values: &[Value]) -> Action {
        let mut all = [Value::Nil; VALUES_MAX];
        let count = values.len().min(VALUES_MAX);
        all[..count].copy_from_slice(&values[..count]);
        Action::Return(Answer { values: all, count, class: None, take: 0, more: false })
    }

    /// Returns nothing.
    pub(crate) fn nothing() -> Action {
        Action::values(&[])
    }

    /// LuaSocket 3.1's mark of success.
    pub(crate) fn one() -> Action {
        Action::values(&[Value::Number(1.0)])
    }

    /// Consumes bytes once the results are safe.
    pub(crate) fn taking(self, take: usize) -> Action {
        self.with(|answer| answer.take = take)
    }

    /// Gives the function's own object another class.
    pub(crate) fn becoming(self, class: Class) -> Action {
        self.with(|answer| answer.class = Some(class))
    }

    /// Has the function called again for more results.
    pub(crate) fn and_more(self) -> Action {
        self.with(|answer| answer.more = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Answer)) -> Action {
        if let Action::Return(answer) = &mut self {
            change(answer);
        }
        self
    }
}

/// Whoever a function can leave a text with, for its answer.
pub(crate) trait Say {
    /// Keeps a text until the answer is pushed.
    fn say(&self, text: fmt::Arguments<'_>) -> Value;

    /// Whether garbage was collected already for this call.
    fn has_collected(&self) -> bool;

    /// What a call gives that did not succeed: what `words` says of the trouble, or another try.
    fn trouble(
        &self,
        trouble: Trouble,
        words: impl FnOnce(&Self, luasocketd_protocol::Failure) -> Action,
    ) -> Action
    where
        Self: Sized,
    {
        if trouble.is_exhaustion() && !self.has_collected() {
            return Action::Collect;
        }
        match trouble {
            Trouble::Failed(failure) => words(self, failure),
            Trouble::NoPipe(why) => Action::values(&[Value::Nil, self.say(format_args!("{why}"))]),
            Trouble::Interrupted => Action::RaiseReady,
        }
    }
}
