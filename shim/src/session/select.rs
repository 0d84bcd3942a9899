//! Which of many objects are ready.

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use super::Session;
use super::socket::{Key, Line, State};
use crate::limits::Until;
use crate::pipe::{Host, Interrupted, Pipe, wait_for};

/// What is wanted of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Receive,
    Send,
}

/// Something that `select` looks at.
#[derive(Debug)]
pub(crate) enum Watched<'fd> {
    /// An object of this session.
    Object(Key),
    /// A descriptor that somebody else has opened.
    Descriptor(BorrowedFd<'fd>),
}

/// The positions of what is ready, in the list that was given.
type Ready = Vec<usize>;

/// A descriptor of the list is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOpen;

impl Session {
    /// Waits until something of the list is ready. Nothing ready means that the time is over.
    ///
    /// # Errors
    /// When the host ends the wait, or a descriptor of the list is none.
    pub(crate) fn select(
        &self,
        host: &dyn Host,
        list: &[(Interest, Watched<'_>)],
        until: Until,
    ) -> Result<Result<Ready, NotOpen>, Interrupted> {
        let pipes = self.pipes_of(list);
        for pipe in &pipes {
            pipe.look();
        }
        let mut synced = false;
        loop {
            let mut ready = self.ready_objects(list);
            let over = until.is_over(Instant::now());
            let asked = pipes.iter().fold(false, |asked, pipe| asked | pipe.mux().take_new_watch());
            if (asked || ready.is_empty() && over) && !synced {
                // What has come already must be seen, as with a kernel.
                synced = true;
                for pipe in &pipes {
                    pipe.sync(host)?;
                }
                continue;
            }
            // With something ready, the rest is only looked at.
            let patience = if ready.is_empty() { until } else { Until::At(Instant::now()) };
            match self.wait_for_any(host, list, &pipes, patience)? {
                Ok(come) => ready.extend(come),
                Err(not_open) => return Ok(Err(not_open)),
            }
            if !ready.is_empty() || over {
                return Ok(Ok(ready));
            }
        }
    }

    /// The objects that are ready now; listening ones are asked for, to be told when they are.
    fn ready_objects(&self, list: &[(Interest, Watched<'_>)]) -> Ready {
        let ready = list.iter().enumerate().filter(|(_, (interest, watched))| match watched {
            Watched::Object(key) => self.is_ready(*key, *interest),
            Watched::Descriptor(_) => false,
        });
        ready.map(|(position, _)| position).collect()
    }

    /// Whether a call on an object would not wait.
    fn is_ready(&self, key: Key, interest: Interest) -> bool {
        self.settle(key);
        let ready = self.with(key, |socket| match (&socket.state, interest) {
            (State::Connected(Line { pipe, id }), _) => {
                let mut mux = pipe.mux();
                match mux.stream(*id) {
                    Some(stream) if interest == Interest::Receive => stream.is_readable(),
                    Some(stream) => stream.is_writable(),
                    None => true,
                }
            }
            (State::Listening(Line { pipe, id }), Interest::Receive) => pipe.mux().watch(*id),
            // Both, as with a kernel.
            (State::Failed(..), _) => true,
            (State::Listening(_), Interest::Send) | (State::Connecting { .. }, _) => false,
            (State::Idle(line), _) if socket.kind.is_datagram() => match line.pipe.mux().mailbox(line.id) {
                Some(mailbox) if interest == Interest::Receive => mailbox.is_readable(),
                // How full the kernel is shows when a datagram is sent.
                Some(_) | None => true,
            },
            // A kernel reports sockets that were never connected as hung up.
            (State::Idle(_), _) => true,
            (State::Closed, _) => false,
        });
        ready.unwrap_or(false)
    }

    /// The pipes that the objects of the list are on; a state has more than one after its daemon died.
    fn pipes_of(&self, list: &[(Interest, Watched<'_>)]) -> Vec<Rc<Pipe>> {
        let mut pipes: Vec<Rc<Pipe>> = Vec::new();
        for (_, watched) in list {
            let Watched::Object(key) = watched else { continue };
            let pipe = self.with(*key, |socket| {
                let pipe = socket.state.pipe()?;
                let known = pipes.iter().any(|known| Rc::ptr_eq(known, pipe));
                (!known).then(|| Rc::clone(pipe))
            });
            pipes.extend(pipe.flatten());
        }
        pipes
    }

    /// Waits for a frame on a pipe or for a foreign descriptor; gives the positions of those.
    fn wait_for_any(
        &self,
        host: &dyn Host,
        list: &[(Interest, Watched<'_>)],
        pipes: &[Rc<Pipe>],
        until: Until,
    ) -> Result<Result<Ready, NotOpen>, Interrupted> {
        let mut foreign = Vec::new();
        let mut positions = Vec::new();
        for (position, (interest, watched)) in list.iter().enumerate() {
            if let Watched::Descriptor(fd) = watched {
                let wanted = match interest {
                    Interest::Receive => PollFlags::IN,
                    Interest::Send => PollFlags::OUT,
                };
                foreign.push(PollFd::from_borrowed_fd(*fd, wanted));
                positions.push(position);
            }
        }
        // A dead pipe makes its objects ready, so at most one that lives is waited for.
        match pipes.iter().find(|pipe| pipe.is_alive()) {
            Some(pipe) => pipe.wait_with(host, until, &mut foreign)?,
            None => wait_for(host, &mut foreign, until)?,
        };
        if foreign.iter().any(|poll| poll.revents().contains(PollFlags::NVAL)) {
            return Ok(Err(NotOpen));
        }
        let come = foreign.iter().zip(positions).filter(|(poll, _)| !poll.revents().is_empty());
        Ok(Ok(come.map(|(_, position)| position).collect()))
    }
}
