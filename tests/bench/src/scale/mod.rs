//! Scale.
use crate::cli::ScaleOptions;
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Part {
    Idle,
}
pub fn measure(_o: &ScaleOptions) -> Result<bool, String> {
    Ok(true)
}
pub fn hold() -> Result<bool, String> {
    Ok(true)
}
