//! The questions to the audit trail, by the library.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod documented;
mod index;
mod suggest;
mod trail;
