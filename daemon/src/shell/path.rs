//! The paths of local sockets: what was judged is what is bound and dialled.
//!
//! Where single paths are allowed, a symbolic link in one would lead to where no rule points: such a path is
//! refused. The file that was looked at is the one that is dialled, and the directory that was looked at the one that
//! is bound in, whatever is renamed meanwhile.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use landlock::{
    AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use socket2::{SockAddr, Socket};

use crate::core::Place;

/// Whether the log was told that the kernel lacks what a bind to a path needs: it will go on lacking it.
static LANDLOCK_MISSED: AtomicBool = AtomicBool::new(false);

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
/// As [`pin`], and what bind(2) says; `EOPNOTSUPP` where links matter and the kernel has no Landlock.
pub(crate) fn bind(socket: &Socket, path: &str, follow: bool) -> io::Result<()> {
    let address = SockAddr::unix(path)?;
    if follow || path.is_empty() || path.starts_with('\0') {
        return socket.bind(&address);
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = Path::new(if parent.is_empty() { "/" } else { parent });
    let directory = open_without_links(parent, OFlags::DIRECTORY)?;
    bind_in(socket, &address, &directory, name)
}

/// Binds by a name whose directory was looked at.
///
/// bind(2) knows no directory but by name, and peers are to see a name that can be answered to. So it is called in a
/// thread that can make a socket file below this directory only: a link that is slipped in meanwhile leads to where
/// the kernel refuses it.
fn bind_in(socket: &Socket, address: &SockAddr, directory: &OwnedFd, name: &str) -> io::Result<()> {
    let bind = || {
        keep_in(directory).map_err(|error| {
            if !LANDLOCK_MISSED.swap(true, Ordering::Relaxed) {
                tracing::warn!("cannot bind to paths where rules name single ones: {error}");
            }
            io::Error::from(Errno::OPNOTSUPP)
        })?;
        socket.bind(address)
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("bind".to_owned()).spawn_scoped(scope, bind)?;
        thread.join().unwrap_or_else(|_| Err(Errno::IO.into()))
    })?;
    // It may be further below.
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(file) if FileType::from_raw_mode(file.st_mode) == FileType::Socket => Ok(()),
        Ok(_) | Err(_) => Err(Errno::LOOP.into()),
    }
}

/// Lets this thread make socket files below the directory only, for good.
fn keep_in(directory: &OwnedFd) -> Result<(), RulesetError> {
    let right = AccessFs::MakeSock;
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(right)?
        .create()?
        .add_rule(PathBeneath::new(directory, right))?
        .restrict_self()?;
    Ok(())
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

    use socket2::{Domain, Type};

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
    fn peers_see_the_name_that_was_bound_to_and_it_may_be_as_long_as_any() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        let longest = "x".repeat(107 - 1 - real.to_str().unwrap().len());
        for name in ["x.sock", &longest] {
            let path = real.join(name);
            for kind in [Type::STREAM, Type::DGRAM] {
                let socket = Socket::new(Domain::UNIX, kind, None).unwrap();
                bind(&socket, path.to_str().unwrap(), false).unwrap();
                assert_eq!(socket.local_addr().unwrap().as_pathname(), Some(path.as_path()));
                std::fs::remove_file(&path).unwrap();
            }
        }
    }

    #[test]
    fn a_link_that_is_slipped_in_after_the_look_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let [seen, other, below] = ["seen", "other", "seen/below"].map(|name| directory.path().join(name));
        for path in [&seen, &other, &below] {
            std::fs::create_dir(path).unwrap();
        }
        let looked_at = open_without_links(&seen, OFlags::DIRECTORY).unwrap();
        for (kind, target, errno) in [
            (Type::STREAM, &other, Errno::ACCESS),
            (Type::DGRAM, &other, Errno::ACCESS),
            (Type::DGRAM, &below, Errno::LOOP),
        ] {
            let link = directory.path().join("link");
            symlink(target, &link).unwrap();
            let socket = Socket::new(Domain::UNIX, kind, None).unwrap();
            let address = SockAddr::unix(link.join("x.sock")).unwrap();
            let refused = bind_in(&socket, &address, &looked_at, "x.sock").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(errno.raw_os_error()), "{target:?}");
            std::fs::remove_file(&link).unwrap();
        }
        assert!(!other.join("x.sock").exists() && !seen.join("x.sock").exists());
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
