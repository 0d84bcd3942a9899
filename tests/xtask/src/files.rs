//! Files put in their place whole: who has the old one open or mapped keeps it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies a file, whatever the mode of the original.
pub fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    replace(to, |path| {
        fs::copy(from, path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    })
}

/// Writes a text file.
pub fn write(to: &Path, text: &str) -> io::Result<()> {
    replace(to, |path| {
        fs::write(path, text)?;
        fs::set_permissions(path, Permissions::from_mode(0o644))
    })
}

/// Makes something beside its place, and its directory if need be, then moves it there.
pub fn replace(to: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.{}", std::process::id()));
    make(&new).and_then(|()| fs::rename(&new, to)).inspect_err(|_| {
        // The error that counts is the one above.
        let _ = fs::remove_file(&new);
    })
}
