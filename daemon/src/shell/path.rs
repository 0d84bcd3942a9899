//! The paths of local sockets: what was judged is what is bound and dialled.
//!
//! Where single paths are allowed, a symbolic link in one would lead to where no rule points: such a path is
//! refused, and the file that was looked at is the one that is dialled, whatever is renamed meanwhile.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use socket2::{SockAddr, Socket, Type};

use crate::core::Place;

/// The address of a path to dial. What it is made of has to be held until it is used.
pub(crate) struct Pinned {
    pub(crate) address: SockAddr,
    _file: Option<OwnedFd>,
}

/// Finds the socket file of a path.
///
/// # Errors
/// `ELOOP` for a path through a symbolic link unless it may `follow` one, else what the system says.
pub(crate) fn pin(path: &str, follow: bool) -> io::Result<Pinned> {
    if follow || path.starts_with('\0') {
        return Ok(Pinned { address: SockAddr::unix(path)?, _file: None });
    }
    let file = open_without_links(Path::new(path), OFlags::empty())?;
    let address = SockAddr::unix(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(Pinned { address, _file: Some(file) })
}

/// Binds to a path.
///
/// # Errors
/// As [`pin`], and what bind(2) says.
pub(crate) fn bind(socket: &Socket, path: &str, follow: bool) -> io::Result<()> {
    let address = SockAddr::unix(path)?;
    if follow || path.is_empty() || path.starts_with('\0') {
        return socket.bind(&address);
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = Path::new(if parent.is_empty() { "/" } else { parent });
    let directory = open_without_links(parent, OFlags::DIRECTORY)?;
    if socket.r#type()? == Type::STREAM {
        // No link can be slipped in: the directory is the one that was looked at.
        return socket.bind(&SockAddr::unix(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?);
    }
    // Who gets a datagram has to see a name that can be answered to, so this is bound by name. A link that is slipped
    // in meanwhile is noticed if it is still there.
    let before = rustix::fs::fstat(&directory)?;
    socket.bind(&address)?;
    let after = rustix::fs::fstat(open_without_links(parent, OFlags::DIRECTORY)?)?;
    if (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino) {
        Ok(())
    } else {
        Err(Errno::LOOP.into())
    }
}

fn open_without_links(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
    Ok(rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?)
}

/// The place that a system's address names.
///
/// # Errors
/// `EINVAL` for a family that no socket here has.
pub(crate) fn place(address: &SockAddr) -> io::Result<Place> {
    if let Some(address) = address.as_socket() {
        return Ok(Place::Net(address));
    }
    if !address.is_unix() {
        return Err(Errno::INVAL.into());
    }
    let path = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(name)) => format!("\0{}", String::from_utf8_lossy(name)),
        (None, None) => String::new(),
    };
    Ok(Place::Path(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use socket2::Domain;

    use super::*;

    fn stream() -> Socket {
        Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()
    }

    #[test]
    fn a_link_is_followed_only_where_every_path_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let text = |path: &Path| path.join("x.sock").to_str().unwrap().to_owned();
        let listener = stream();
        assert_eq!(bind(&listener, &text(&link), false).unwrap_err().raw_os_error(), Some(40));
        bind(&listener, &text(&real), false).unwrap();
        listener.listen(1).unwrap();
        assert_eq!(pin(&text(&link), false).err().and_then(|error| error.raw_os_error()), Some(40));
        for (path, follow) in [(&real, false), (&real, true), (&link, true)] {
            let pinned = pin(&text(path), follow).unwrap();
            stream().connect(&pinned.address).unwrap();
            listener.accept().unwrap();
        }
    }

    #[test]
    fn every_kind_of_local_name_is_told() {
        let socket = stream();
        assert_eq!(place(&socket.local_addr().unwrap()).unwrap(), Place::Path(String::new()));
        bind(&socket, "", false).unwrap();
        let Place::Path(name) = place(&socket.local_addr().unwrap()).unwrap() else { panic!() };
        assert!(name.starts_with('\0') && name.len() == 6, "{name:?}");
    }
}
