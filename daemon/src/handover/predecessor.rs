//! The new daemon's side.

use std::os::unix::net::UnixStream;
use std::process;

use luasocketd::shell::Claim;
use rustix::net::RecvFlags;

use super::Way;

/// The daemon whose place this one takes.
#[derive(Debug)]
pub struct Predecessor {
    way: Way,
    /// To the files of the sockets, once this daemon has taken its place.
    claim: Claim,
    is_over: bool,
}

impl Predecessor {
    /// The daemon at the other end of `stream`.
    pub(super) fn new(stream: UnixStream, claim: Claim) -> Self {
        Predecessor { way: Way::new(stream), claim, is_over: false }
    }

    /// Says that all is in place but the trail, and waits until that was given up.
    ///
    /// # Errors
    /// That the other one has thought better of it.
    pub fn prepare(&mut self) -> Result<(), String> {
        self.exchange(&format!("prepared {}", process::id()), "go")
    }

    /// Says that this daemon serves, and waits until the other one has told whoever has to know.
    ///
    /// # Errors
    /// As [`Predecessor::prepare`].
    pub fn take_over(&mut self) -> Result<(), String> {
        self.exchange("ready", "yours")?;
        self.way.say("mine").map_err(|error| format!("the daemon before this one is gone: {error}"))?;
        self.is_over = true;
        self.claim.stake();
        Ok(())
    }

    /// A copy of the stream, over which the other one's records come when this one has its place.
    ///
    /// # Errors
    /// When the system has no descriptor for it.
    pub fn way(&self) -> Result<UnixStream, String> {
        self.way.stream.try_clone().map_err(|error| format!("cannot copy a descriptor: {error}"))
    }

    /// Says why this daemon does not serve.
    pub fn fail(&mut self, why: &str) {
        if self.is_over {
            return;
        }
        // It is in the log anyway.
        let _ = self.way.say(&format!("failed {why}"));
    }

    /// Whether the daemon at the other end of `stream` has not ended yet.
    pub fn is_there(stream: &UnixStream) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(rustix::net::recv(stream, &mut byte, flags), Ok((_, 0)))
    }

    fn exchange(&mut self, line: &str, answer: &str) -> Result<(), String> {
        let said = self.way.say(line).and_then(|()| self.way.hear());
        match said {
            Ok(Some(heard)) if heard == answer => Ok(()),
            Ok(_) => Err("the daemon before this one goes on itself".to_owned()),
            Err(error) => Err(format!("the daemon before this one does not answer: {error}")),
        }
    }
}
