//! The questions to the audit trail, by the library.

mod documented;
mod index;
mod suggest;
mod trail;
