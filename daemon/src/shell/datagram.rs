//! Datagrams on their way: from the network to a client's pipe, and from the core to the network.

use std::io;
use std::time::Instant;

use luasocketd_protocol::{
    DATAGRAM_OVERHEAD, DaemonNote, Datagram, Family, Kind, MAX_FRAME, SocketId, UNIX_DGRAM_MAX, encode_note,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketAddrAny, SocketAddrUnix};
use socket2::{SockAddr, Socket};

use super::path::pin;
use super::pipe::DATA_OUT_MAX;
use super::socket::{Phase, Stall};
use super::system::{self, errno};
use super::worker::{Work, Worker};
use crate::core::{Input, Names, Place};

/// The most datagrams of one socket in one turn of the loop, so that a flood of them lets the others have
/// theirs: as many small ones as a frame of stream data has packets.
const DATAGRAMS_PER_TURN: usize = 64;

/// What came of one attempt to receive.
enum Received {
    More,
    Nothing,
}

impl Worker {
    /// Gives datagrams that have come to the socket's client, as far as its turn and its credit go.
    pub(crate) fn receive_datagrams(&mut self, id: SocketId) {
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.receive_datagram(id) {
                Received::More => {}
                Received::Nothing => return,
            }
        }
        self.schedule(Work::Socket(id));
    }

    fn receive_datagram(&mut self, id: SocketId) -> Received {
        let Some(socket) = self.sockets.get_mut(id) else { return Received::Nothing };
        let Phase::Datagrams(client) = socket.phase else { return Received::Nothing };
        let Some(pipe) = self.pipes.get_mut(client) else { return Received::Nothing };
        // The core wakes the socket when credit comes.
        if !socket.readable || self.core.push_credit(id, Instant::now()) == 0 {
            // Who waits for credit goes before nobody any more.
            if let Some(socket) =
                self.sockets.get_mut(id).filter(|socket| matches!(socket.stall, Stall::Called(_)))
            {
                socket.stall = Stall::No;
            }
            return Received::Nothing;
        }
        let others_wait = !pipe.stalled.is_empty() && !matches!(socket.stall, Stall::Called(_));
        if others_wait || pipe.queued() + MAX_FRAME > DATA_OUT_MAX {
            if socket.stall != Stall::Waiting {
                socket.stall = Stall::Waiting;
                pipe.stalled.push_back(id);
            }
            return Received::Nothing;
        }
        socket.stall = Stall::No;
        let Some(io) = &socket.io else { return Received::Nothing };
        self.datagram.resize(UNIX_DGRAM_MAX, 0);
        match rustix::net::recvfrom(io, &mut self.datagram[..], RecvFlags::empty()) {
            Ok((_, length, from)) => self.push_datagram(id, length, from),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                socket.readable = false;
                return Received::Nothing;
            }
            Err(errno) => self.handle(Input::SocketError { socket: id, errno: errno.raw_os_error() }),
        }
        Received::More
    }

    /// Queues the datagram in the buffer for the socket's client, if the policy lets it have that.
    fn push_datagram(&mut self, id: SocketId, length: usize, from: Option<SocketAddrAny>) {
        let from = from.map_or_else(|| Place::Path(String::new()), sender);
        let Some(Phase::Datagrams(client)) = self.sockets.get(id).map(|socket| socket.phase) else { return };
        if !self.core.admit_datagram(id, &from, length) {
            tracing::debug!(socket = %id, "dropped a datagram from {from}: no rule allows it");
            return;
        }
        let mut from = from.into();
        system::name_scope(&mut from);
        let bytes = std::mem::take(&mut self.datagram);
        let note = Datagram { socket: id, from, bytes: &bytes[..length] };
        self.tell(client, |out| encode_note(out, &DaemonNote::Datagram(note)));
        self.datagram = bytes;
        self.core.on_pushed(id, length + DATAGRAM_OVERHEAD, Instant::now());
    }

    /// Gives a datagram socket its peer, making the system's socket where there is none.
    pub(crate) fn set_peer(&mut self, id: SocketId, place: &Place, follow: bool) -> io::Result<Names> {
        if let Ok(io) = self.io(id) {
            return join(io, place, follow);
        }
        // Adopted only once it has its peer: the next address may be of another family.
        let kind = kind_of(place);
        let io = system::open(kind, place.family())?;
        let names = join(&io, place, follow)?;
        self.adopt(id, kind, io)?;
        Ok(names)
    }

    pub(crate) fn clear_peer(&mut self, id: SocketId) -> io::Result<()> {
        // What the system knows nothing of yet has no peer.
        self.io(id).map_or(Ok(()), |io| Ok(rustix::net::connect_unspec(io)?))
    }

    pub(crate) fn send_datagram(
        &mut self,
        id: SocketId,
        request: u32,
        to: Option<&Place>,
        follow: bool,
        bytes: Vec<u8>,
    ) {
        let sent = self.io(id).and_then(|io| match to {
            None => io.send(&bytes),
            Some(Place::Net(address)) => io.send_to(&bytes, &SockAddr::from(*address)),
            Some(Place::Path(path)) => io.send_to(&bytes, &pin(path, follow)?.address),
        });
        let result = sent.map_err(|error| errno(&error));
        self.stirred |= result.is_ok();
        self.feed(Input::Sent { socket: id, request, result, bytes });
    }
}

fn join(io: &Socket, place: &Place, follow: bool) -> io::Result<Names> {
    match place {
        Place::Net(address) => io.connect(&SockAddr::from(*address))?,
        Place::Path(path) => io.connect(&pin(path, follow)?.address)?,
    }
    Ok(Names { local: system::local_name(io)?, peer: place.clone() })
}

fn kind_of(place: &Place) -> Kind {
    match place.family() {
        Family::Unix => Kind::UnixDgram,
        Family::Inet | Family::Inet6 | Family::Unspec | Family::Dual => Kind::Udp,
    }
}

/// Who has sent a datagram.
fn sender(address: SocketAddrAny) -> Place {
    if let Ok(address) = std::net::SocketAddr::try_from(address.clone()) {
        return Place::Net(address);
    }
    let Ok(address) = SocketAddrUnix::try_from(address) else { return Place::Path(String::new()) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Place::Path(match (address.path_bytes(), address.abstract_name()) {
        (_, Some(name)) => format!("\0{}", text(name)),
        (Some(path), None) => text(path),
        (None, None) => String::new(),
    })
}
