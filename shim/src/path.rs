//! The paths of local sockets, between the script's text and the pipe.

use luasocketd_protocol::PATH_MAX;

/// A path that can travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalPath {
    /// What `getsockname` answers for a socket that is bound to it; nothing for an abstract name.
    pub(crate) given: String,
    /// What the daemon gets: absolute, since it works in another directory.
    pub(crate) absolute: String,
}

/// Why a path cannot travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    /// It has more bytes than a socket's address holds.
    TooLong,
    /// It is no UTF-8, which paths are on the pipe.
    NotText,
    /// It is relative, and the script's directory is gone.
    NoDirectory,
}

/// Reads a path as LuaSocket hands it to the kernel: a name that begins with a NUL is an abstract one, every
/// other ends at its first NUL. `directory` is where a relative one begins.
pub(crate) fn local_path(
    text: &[u8],
    directory: impl FnOnce() -> Option<String>,
) -> Result<LocalPath, BadPath> {
    if text.len() > PATH_MAX {
        return Err(BadPath::TooLong);
    }
    let end = match memchr::memchr(0, text) {
        None | Some(0) => text.len(),
        Some(end) => end,
    };
    let name = str::from_utf8(&text[..end]).map_err(|_| BadPath::NotText)?;
    let absolute = match name.as_bytes().first() {
        None | Some(0) => name.to_owned(),
        Some(b'/') => without_detours(name),
        Some(_) => without_detours(&format!("{}/{name}", directory().ok_or(BadPath::NoDirectory)?)),
    };
    if absolute.len() > PATH_MAX {
        return Err(BadPath::TooLong);
    }
    let given = if name.starts_with('\0') { String::new() } else { name.to_owned() };
    Ok(LocalPath { given, absolute })
}

/// The same path without `.` and doubled slashes, which the daemon does not judge. What `..` leads to only the file
/// system knows.
fn without_detours(path: &str) -> String {
    if path.ends_with('/') {
        return path.to_owned();
    }
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| format!("{path}/{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<(String, String), BadPath> {
        local_path(text, || Some("/home/lua".to_owned())).map(|path| (path.given, path.absolute))
    }

    fn both(given: &str, absolute: &str) -> Result<(String, String), BadPath> {
        Ok((given.to_owned(), absolute.to_owned()))
    }

    #[test]
    fn a_path_travels_from_the_root() {
        assert_eq!(read(b"/run/a"), both("/run/a", "/run/a"));
        assert_eq!(read(b"a"), both("a", "/home/lua/a"));
        assert_eq!(read(b"./a"), both("./a", "/home/lua/a"));
        assert_eq!(read(b"/run//./a"), both("/run//./a", "/run/a"));
        assert_eq!(read(b"/run/../a"), both("/run/../a", "/run/../a"));
        assert_eq!(read(b"/"), both("/", "/"), "it is no name for a socket");
        assert_eq!(local_path(b"a", || Some("/".to_owned())).unwrap().absolute, "/a");
        assert_eq!(local_path(b"a", || None), Err(BadPath::NoDirectory));
        assert_eq!(local_path(b"/a", || None).unwrap().absolute, "/a");
    }

    #[test]
    fn names_of_other_kinds_stay_as_they_are() {
        assert_eq!(read(b""), both("", ""));
        assert_eq!(read(b"\0abstract\0name"), both("", "\0abstract\0name"));
        assert_eq!(read(b"/run/a\0rest"), both("/run/a", "/run/a"));
    }

    #[test]
    fn what_cannot_travel_is_refused() {
        assert_eq!(read(&[b'/'; PATH_MAX + 1]), Err(BadPath::TooLong));
        assert!(read(&[b'/'; PATH_MAX]).is_ok());
        assert_eq!(read(&[b'a'; PATH_MAX]), Err(BadPath::TooLong), "the directory counts");
        assert_eq!(read(b"/\xff"), Err(BadPath::NotText));
    }
}
