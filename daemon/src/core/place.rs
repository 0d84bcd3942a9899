//! Where a socket is, or shall be: an address of the network, or a path of this machine.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use luasocketd_protocol::{Address, Code, Failure, Family, PATH_MAX};

use super::numbers::errno;
use super::policy::is_plain_path;

/// What the policy judges and the system is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An IP address and a port.
    Net(SocketAddr),
    /// The path of a local socket; empty for none, with a leading NUL for an abstract name (unix(7)).
    Path(String),
}

impl Place {
    /// Its family.
    pub fn family(&self) -> Family {
        match self {
            Place::Net(address) => Family::of(address.ip()),
            Place::Path(_) => Family::Unix,
        }
    }

    /// Its port, of an address.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Place::Net(address) => Some(address.port()),
            Place::Path(_) => None,
        }
    }

    /// Itself as a host that is asked for.
    pub(crate) fn host(&self) -> Cow<'_, str> {
        match self {
            Place::Net(address) => address.ip().to_string().into(),
            Place::Path(path) => path.into(),
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Place::Net(address)
    }
}

impl From<Place> for Address {
    fn from(place: Place) -> Self {
        match place {
            Place::Net(address) => address.into(),
            Place::Path(path) => Address::path(path),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Net(address) => address.fmt(f),
            Place::Path(path) => write!(f, "unix:{}", path.escape_default()),
        }
    }
}

/// Checks that a path is one that can be judged as it is spelt: absolute, without detours, of a length that
/// the system takes. An abstract name is any text behind a NUL.
///
/// # Errors
/// What the system answers to such a path.
pub(crate) fn check_path(path: &str) -> Result<(), Failure> {
    if path.len() > PATH_MAX {
        return Err(Failure::os(errno::ENAMETOOLONG));
    }
    if path.starts_with('\0') || is_plain_path(path) {
        return Ok(());
    }
    let message =
        format!("{}: the path has to be absolute, without `.`, `..` and `//`", path.escape_default());
    Err(Failure { code: Code::Os, detail: errno::EINVAL, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_judged_as_it_is_spelt_or_not_at_all() {
        for path in ["/run/x.sock", "/x", "/a b/ä", "\0abstract", "\0../x"] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
        for path in ["", "x", "./x", "/", "/a/", "/a//b", "/a/../b", "/./a", "/a\0b", "/.."] {
            assert_eq!(check_path(path).map_err(|failure| failure.detail), Err(errno::EINVAL), "{path:?}");
        }
        let long = format!("/{}", "x".repeat(PATH_MAX));
        assert_eq!(check_path(&long).map_err(|failure| failure.detail), Err(errno::ENAMETOOLONG));
        assert_eq!(check_path(&long[..PATH_MAX]), Ok(()));
    }
}
