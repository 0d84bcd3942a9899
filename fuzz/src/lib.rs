//! What the fuzz targets share: numbers that come from an input, and the inputs to begin with.

#[path = "../../protocol/tests/examine/mod.rs"]
pub mod examine;
pub mod numbers;
#[path = "../../protocol/tests/samples/mod.rs"]
pub mod samples;
pub mod seeds;
