//! Signals, as events of the loop.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// Numbers of the signals that a daemon or a runner listens to.
pub mod number {
    pub use signal_hook::consts::{
        SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
    };
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which one.
    pub number: i32,
    /// Whether another process sent it to this one, as `kill` does. A terminal's signals come from the
    /// kernel, and go to every process that runs on it.
    pub sent: bool,
}

impl From<Origin> for Caught {
    fn from(origin: Origin) -> Self {
        Caught { number: origin.signal, sent: matches!(origin.cause, Cause::Sent(_)) }
    }
}

/// The signals that the loop is told of.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

impl Signals {
    /// Catches these signals from here on.
    ///
    /// # Errors
    /// When the system has no descriptors for it, or the signal cannot be caught.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), signals)?;
        Ok(Signals { delivery })
    }

    /// The descriptor that becomes readable with a signal.
    pub(crate) fn fd(&self) -> i32 {
        self.delivery.get_read().as_raw_fd()
    }

    /// The signals that came, each once however often it came.
    pub(crate) fn take(&mut self) -> Vec<Caught> {
        self.delivery.pending().map(Caught::from).collect()
    }
}
