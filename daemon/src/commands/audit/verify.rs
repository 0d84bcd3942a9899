//! `luasocketd audit --verify`: whether the lines are what was written.

use std::path::Path;
use std::process::ExitCode;

use luasocketd::audit::{Point, Verification, verify as check};
use serde_json::json;

use super::super::failed;
use super::words::{number, shown};
use crate::cli::Format;

/// Checks the chain, and says what was found.
pub fn verify(dir: &Path, anchor: Option<Point>, format: Format) -> ExitCode {
    match check(dir, anchor) {
        Ok(found) => {
            match format {
                Format::Table => print(&found),
                Format::Json | Format::Csv => print_json(&found),
            }
            if found.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => failed(format!("cannot check {}: {error}", dir.display())),
    }
}

fn print_json(found: &Verification) {
    let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    let object = json!({
        "whole": found.is_sound(),
        "files": found.files,
        "lines": found.lines,
        "first": found.first,
        "anchor": found.last.map(|last| last.to_string()),
        "unfinished_bytes": found.unfinished,
        "fault_count": found.fault_count,
        "faults": faults,
    });
    println!("{object}");
}

fn print(found: &Verification) {
    for fault in &found.faults {
        println!("fault   {}", shown(&fault.to_string()));
    }
    let more = found.fault_count - found.faults.len() as u64;
    if more > 0 {
        println!("faults  {} more", number(more));
    }
    println!("files   {}", found.files);
    println!("lines   {}", number(found.lines));
    if let Some(last) = found.last {
        println!("anchor  {last}");
    }
    println!("whole   {}", if found.is_sound() { "yes" } else { "no" });
}
