//! `luasocketd audit --verify`: whether the lines are what was written.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::super::failed;
use crate::cli::{Anchor, Format};

/// What was found.
pub struct Verified {
    /// How many lines were checked.
    pub lines: u64,
    /// The number and the hash of the last good one: to be noted elsewhere, and given with --anchor the next time.
    pub last: Option<(u64, [u8; 32])>,
    /// What is wrong, with the file and the line, in words.
    pub faults: Vec<String>,
}

/// Checks the chain, and says what was found.
pub fn verify(dir: &Path, anchor: Option<&Anchor>, format: Format) -> ExitCode {
    match check(dir, anchor) {
        Ok(found) => {
            print(&found, format);
            if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => failed(error),
    }
}

/// What the lines say.
fn check(dir: &Path, _anchor: Option<&Anchor>) -> Result<Verified, String> {
    Err(format!("{}: this build has nothing that checks the chain", dir.display()))
}

fn print(found: &Verified, format: Format) {
    let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let last = found.last.as_ref().map(|(sequence, hash)| format!("{sequence}:{}", hex(hash)));
    if format != Format::Table {
        let is_whole = found.faults.is_empty();
        let object = json!({"whole": is_whole, "lines": found.lines, "anchor": last, "faults": found.faults});
        return println!("{object}");
    }
    for fault in &found.faults {
        println!("fault   {}", super::words::shown(fault));
    }
    println!("lines   {}", super::words::number(found.lines));
    if let Some(last) = last {
        println!("anchor  {last}");
    }
    if found.faults.is_empty() {
        println!("whole   yes");
    }
}
