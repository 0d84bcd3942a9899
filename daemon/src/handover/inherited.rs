//! The descriptors that a daemon is started with: by the service manager, or by the daemon before it.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use luasocketd::shell::{Claim, PipeListener, take_inherited};
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::Predecessor;

/// The variable that says which descriptors come from the daemon before this one: `NAME=NUMBER`, with blanks between.
pub const VARIABLE: &str = "LUASOCKETD_INHERIT";

/// The first descriptor of a service manager (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// The names that mean something. Any other one is a path for clients.
pub(super) const CLIENTS: &str = "clients";
pub(super) const ADMIN: &str = "admin";
pub(super) const METRICS: &str = "metrics";
pub(super) const LOCK: &str = "lock";
pub(super) const WAY: &str = "way";

/// What this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    clients: Vec<PipeListener>,
    admin: Option<PipeListener>,
    metrics: Option<TcpListener>,
    way: Option<UnixStream>,
    /// Whether the files of the sockets are this daemon's.
    claim: Claim,
}

impl Inherited {
    /// Takes it. To be called before anything else opens a descriptor.
    ///
    /// # Errors
    /// Which descriptor is not what its name says.
    pub fn take() -> Result<Inherited, String> {
        let own = env::var(VARIABLE).ok();
        let manager = || {
            let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
            let is_ours = number("LISTEN_PID") == Some(std::process::id());
            let count = number("LISTEN_FDS").filter(|_| is_ours)?;
            Some(activated(count, &env::var("LISTEN_FDNAMES").unwrap_or_default()))
        };
        let list = match own {
            Some(text) => parse(&text)?,
            None => manager().unwrap_or_default(),
        };
        let mut taken = Vec::new();
        for (name, number) in list {
            let descriptor = take_inherited(number)
                .map_err(|error| format!("the inherited descriptor {number} ({name}): {error}"))?;
            taken.push((name, descriptor));
        }
        Inherited::sort(taken)
    }

    fn sort(taken: Vec<(String, OwnedFd)>) -> Result<Inherited, String> {
        let mut inherited = Inherited::default();
        let mut taken = taken.into_iter().peekable();
        while let Some((name, descriptor)) = taken.next() {
            let wrong =
                |error: io::Error| format!("the inherited descriptor `{name}` cannot be used: {error}");
            // A lock comes behind the socket that it is of.
            let lock = taken.next_if(|(next, _)| next == LOCK).map(|(_, lock)| lock);
            match name.as_str() {
                WAY => inherited.way = Some(UnixStream::from(descriptor)),
                METRICS => {
                    check(&descriptor, &[AddressFamily::INET, AddressFamily::INET6]).map_err(wrong)?;
                    let listener = TcpListener::from(descriptor);
                    listener.set_nonblocking(true).map_err(wrong)?;
                    inherited.metrics = Some(listener);
                }
                _ => {
                    check(&descriptor, &[AddressFamily::UNIX]).map_err(wrong)?;
                    let listener =
                        PipeListener::inherit(descriptor, lock, &inherited.claim).map_err(wrong)?;
                    match name.as_str() {
                        ADMIN => inherited.admin = Some(listener),
                        _ => inherited.clients.push(listener),
                    }
                }
            }
        }
        Ok(inherited)
    }

    /// The one for clients at this path, if there is.
    pub fn take_clients_at(&mut self, path: &Path) -> Option<PipeListener> {
        let position = self.clients.iter().position(|listener| listener.path() == path)?;
        Some(self.clients.remove(position))
    }

    /// Whether there is any for clients.
    pub fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Those for clients that are left.
    pub fn take_clients(&mut self) -> Vec<PipeListener> {
        std::mem::take(&mut self.clients)
    }

    /// That for operators.
    pub fn take_admin(&mut self) -> Option<PipeListener> {
        self.admin.take()
    }

    /// That for metrics.
    pub fn take_metrics(&mut self) -> Option<TcpListener> {
        self.metrics.take()
    }

    /// The daemon before this one.
    pub fn take_predecessor(&mut self) -> Option<Predecessor> {
        Some(Predecessor::new(self.way.take()?, self.claim.clone()))
    }
}

/// A stream socket of one of these families that listens.
fn check(descriptor: &OwnedFd, families: &[AddressFamily]) -> io::Result<()> {
    let is_stream = sockopt::socket_type(descriptor)? == SocketType::STREAM;
    let is_known = families.contains(&sockopt::socket_domain(descriptor)?);
    if !is_known || !is_stream || !sockopt::socket_acceptconn(descriptor)? {
        return Err(io::Error::other("it is no listening stream socket of the kind that its name says"));
    }
    Ok(())
}

/// The descriptors of a service manager.
fn activated(count: u32, names: &str) -> Vec<(String, RawFd)> {
    let mut names = names.split(':');
    let name = |name: Option<&str>| match name {
        Some(name @ (ADMIN | METRICS)) => name.to_owned(),
        _ => CLIENTS.to_owned(),
    };
    (FIRST..).take(count as usize).map(|number| (name(names.next()), number)).collect()
}

fn parse(text: &str) -> Result<Vec<(String, RawFd)>, String> {
    let one = |word: &str| {
        let (name, number) = word.split_once('=')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    let words = text.split(' ').filter(|word| !word.is_empty());
    words
        .map(|word| one(word).ok_or_else(|| format!("{VARIABLE}={text} is no list of descriptors")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_known_by_their_names() {
        let named = |name: &str, number| (name.to_owned(), number);
        assert_eq!(
            activated(3, "luasocketd.socket:admin"),
            [named("clients", 3), named("admin", 4), named("clients", 5)]
        );
        // These two are the daemon's own business.
        assert_eq!(activated(2, "way:lock"), [named("clients", 3), named("clients", 4)]);
        assert_eq!(parse("clients=7 lock=8"), Ok(vec![named("clients", 7), named("lock", 8)]));
        assert!(parse("clients").is_err() && parse("a=b").is_err() && parse("").is_ok());
    }

    #[test]
    fn what_is_no_listening_socket_is_refused() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(Inherited::sort(vec![(CLIENTS.to_owned(), one.into())]).is_err());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Inherited::sort(vec![(ADMIN.to_owned(), tcp.into())]).is_err());
    }

    #[test]
    fn a_socket_has_its_path_and_its_files_stay_without_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.sock");
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut inherited = Inherited::sort(vec![("x".to_owned(), socket.into())]).unwrap();
        assert!(inherited.take_clients_at(Path::new("/other")).is_none());
        drop(inherited.take_clients_at(&path).unwrap());
        assert!(path.exists());
    }
}
