//! The results in the forms that they are wanted in.

mod chart;
mod json;
mod markdown;
mod text;

pub use chart::svg;
pub use json::{json, machine};
pub use markdown::markdown;
pub use text::{Look, text, trimmed};
