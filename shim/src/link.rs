//! The way of the frames: the pipe, or the ring beside it. It moves bytes; what they mean is not its business.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use luasocketd_protocol::{BadMark, RING_SIZE, RING_WAKE, Ring};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg,
};

/// Why bytes do not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// There is no room, or nothing to read, at the moment.
    Now,
    /// The pipe has failed.
    Failed(Errno),
    /// The daemon has broken the rules of the ring.
    BadMark,
}

impl From<BadMark> for Stuck {
    fn from(_: BadMark) -> Self {
        Stuck::BadMark
    }
}

impl From<Errno> for Stuck {
    fn from(errno: Errno) -> Self {
        if errno == Errno::AGAIN { Stuck::Now } else { Stuck::Failed(errno) }
    }
}

/// Which way frames go, each direction for itself.
#[derive(Debug, Default)]
pub(crate) struct Link {
    ring: Option<Box<Ring>>,
    reads_ring: bool,
    writes_ring: bool,
    /// The daemon may hand a descriptor over.
    expects_file: bool,
    /// What it has handed over.
    file: Option<OwnedFd>,
}

impl Link {
    /// Both directions go through this ring.
    #[cfg(test)]
    pub(crate) fn with_ring(ring: Ring) -> Link {
        Link { ring: Some(Box::new(ring)), reads_ring: true, writes_ring: true, ..Link::default() }
    }

    /// From here on the daemon may hand over the ring's descriptor, or may not.
    pub(crate) fn expect_file(&mut self, expects: bool) {
        self.expects_file = expects;
    }

    /// Opens the ring whose descriptor was handed over; whether that went well. It may be no ring, and the process may
    /// have no room for it.
    pub(crate) fn open_ring(&mut self) -> bool {
        self.expects_file = false;
        let file = self.file.take();
        self.ring = file.and_then(|file| Ring::open(&file).ok()).map(Box::new);
        self.ring.is_some()
    }

    /// The daemon's frames come through the ring from here on, or through the pipe again; whether that can be.
    pub(crate) fn read_from_ring(&mut self, reads_ring: bool) -> bool {
        if self.ring.is_none() || self.reads_ring == reads_ring {
            return false;
        }
        self.reads_ring = reads_ring;
        true
    }

    /// From here on frames are written the other way.
    pub(crate) fn turn_writing(&mut self) {
        self.writes_ring = !self.writes_ring && self.ring.is_some();
        if !self.writes_ring && !self.reads_ring {
            self.ring = None;
        }
    }

    /// Whether the daemon's frames come through the ring.
    pub(crate) fn reads_ring(&self) -> bool {
        self.reads_ring
    }

    /// Whether frames are written to the ring.
    pub(crate) fn writes_ring(&self) -> bool {
        self.writes_ring
    }

    /// Writes the pieces one behind the other, as far as there is room.
    pub(crate) fn write(&mut self, pipe: BorrowedFd<'_>, pieces: [&[u8]; 2]) -> Result<usize, Stuck> {
        let Some(ring) = self.ring.as_mut().filter(|_| self.writes_ring) else {
            return Ok(send(pipe, &pieces.map(IoSlice::new))?);
        };
        match ring.sender.write(&pieces)? {
            0 => Err(Stuck::Now),
            written => {
                if ring.sender.takes_wake() {
                    ring_bell(pipe)?;
                }
                Ok(written)
            }
        }
    }

    /// Writes the pieces to the ring, one behind the other, if there is room for all of them; whether there was.
    pub(crate) fn write_whole(&mut self, pipe: BorrowedFd<'_>, pieces: [&[u8]; 2]) -> Result<bool, Stuck> {
        let Some(ring) = self.ring.as_mut().filter(|_| self.writes_ring) else { return Ok(false) };
        if !ring.sender.write_whole(&pieces)? {
            return Ok(false);
        }
        if ring.sender.takes_wake() {
            ring_bell(pipe)?;
        }
        Ok(true)
    }

    /// Reads what is in the ring, as far as there is room for it.
    pub(crate) fn read_ring(&mut self, pipe: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Stuck> {
        let Some(ring) = self.ring.as_mut().filter(|_| self.reads_ring) else { return Err(Stuck::Now) };
        match ring.receiver.read(space)? {
            0 => Err(Stuck::Now),
            length => {
                if ring.receiver.takes_wake() {
                    ring_bell(pipe)?;
                }
                Ok(length)
            }
        }
    }

    /// Copies out what is next in the ring without taking it, if that is enough to fill `bytes`; whether it was.
    pub(crate) fn peek_ring(&self, bytes: &mut [u8]) -> Result<bool, Stuck> {
        match &self.ring {
            Some(ring) if self.reads_ring => Ok(ring.receiver.peek(bytes)?),
            _ => Ok(false),
        }
    }

    /// Takes what was looked at before.
    pub(crate) fn pass_ring(&mut self, pipe: BorrowedFd<'_>, length: usize) -> Result<(), Stuck> {
        if let Some(ring) = &mut self.ring {
            ring.receiver.pass(length)?;
            if ring.receiver.takes_wake() {
                ring_bell(pipe)?;
            }
        }
        Ok(())
    }

    /// How much waits in the ring.
    pub(crate) fn waiting(&self) -> Result<usize, Stuck> {
        match &self.ring {
            Some(ring) if self.reads_ring => Ok(ring.receiver.waiting()?),
            _ => Ok(0),
        }
    }

    /// Reads what is in the pipe; 0 for its end.
    pub(crate) fn read_pipe(&mut self, pipe: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Stuck> {
        loop {
            let received = if self.expects_file {
                self.receive_with_file(pipe, space)
            } else {
                rustix::net::recv(pipe, &mut *space, RecvFlags::empty()).map(|(_, length)| length)
            };
            match received {
                Err(Errno::INTR) => {}
                received => return Ok(received?),
            }
        }
    }

    fn receive_with_file(&mut self, pipe: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Errno> {
        let mut control = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut control);
        let mut into = [std::io::IoSliceMut::new(space)];
        let received = recvmsg(pipe, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.last().or(self.file.take());
            }
        }
        Ok(received.bytes)
    }

    /// Says that this side is going to wait until the ring brings something or, if it `writes`, has room. `false`
    /// when it need not wait.
    pub(crate) fn sleeps(&mut self, writes: bool) -> Result<bool, Stuck> {
        let Some(ring) = &mut self.ring else { return Ok(true) };
        let nothing_to_read = !self.reads_ring || ring.receiver.sleeps(0)?;
        let no_room = !self.writes_ring || !writes || ring.sender.sleeps()?;
        Ok(nothing_to_read && no_room)
    }

    /// Says that this side waits until the ring brings more than what is in it.
    pub(crate) fn sleeps_anyway(&mut self) -> Result<(), Stuck> {
        match &mut self.ring {
            // No more than this can be there, so the word stays.
            Some(ring) if self.reads_ring => Ok(ring.receiver.sleeps(RING_SIZE as usize).map(drop)?),
            _ => Ok(()),
        }
    }
}

/// Wakes a daemon that sleeps until something changes in the ring.
fn ring_bell(pipe: BorrowedFd<'_>) -> Result<(), Errno> {
    match send(pipe, &[IoSlice::new(RING_WAKE)]) {
        // So much lies there unread that it is awake, or will be.
        Err(Errno::AGAIN) => Ok(()),
        Ok(length) if length == RING_WAKE.len() => Ok(()),
        // Half a frame.
        Ok(_) => Err(Errno::IO),
        Err(errno) => Err(errno),
    }
}

fn send(pipe: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
    loop {
        let mut control = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(pipe, pieces, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent,
        }
    }
}
