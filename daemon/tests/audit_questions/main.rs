//! The questions to the audit trail, by the library.

#![allow(clippy::unwrap_used)] // helpers panic where a test would

mod documented;
mod index;
mod suggest;
mod trail;
