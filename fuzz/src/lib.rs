//! What the fuzz targets share: numbers that come from an input, and the inputs to begin with.

pub mod numbers;
pub mod seeds;
