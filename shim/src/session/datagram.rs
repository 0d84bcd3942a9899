//! Datagrams: each is one request, or one note of the daemon's.

use std::net::Ipv6Addr;
use std::rc::Rc;

use luasocketd_protocol::{Call, ClearPeer, Code, Failure, Family, Peer, SendTo, SetPeer, aton};
use rustix::io::Errno;

use super::socket::{Key, Line, State};
use super::transfer::{Clock, Stopped};
use super::{Outcome, Session, Trouble, control};
use crate::mailbox::{Letter, window_of};
use crate::mux::Reply;
use crate::pipe::{Host, Interrupted, Woken};
use crate::stream::closed;
use crate::text::gai;

/// Whether a text is an address of either family, or stands for one.
fn is_numeric(text: &str) -> bool {
    let address = text.split('%').next().unwrap_or_default();
    text == "*" || aton(text).is_some() || address.parse::<Ipv6Addr>().is_ok()
}

/// Who a datagram is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receiver<'a> {
    /// The object's peer.
    Peer,
    /// A numeric address and a port.
    Address(&'a str, &'a str),
    /// A local socket.
    Path(&'a str),
}

impl Session {
    /// Waits for a datagram within the object's limits; gives its length and its sender's port. It stays
    /// where it is until [`Session::commit`].
    pub(crate) fn receive_datagram(
        &self,
        host: &dyn Host,
        key: Key,
    ) -> Result<Result<(usize, u16), Stopped>, Interrupted> {
        let mut clock = Clock::default();
        let mut patience = self.patience(key, &mut clock);
        let Some(Line { pipe, id }) = self.idle(key) else { return Ok(Err(Stopped::Eof)) };
        pipe.mux().look_at(id);
        // An error that has come goes before the datagrams that came before it.
        pipe.look_sometimes();
        loop {
            {
                let mut mux = pipe.mux();
                let Some(mailbox) = mux.mailbox(id) else { return Ok(Err(Stopped::Eof)) };
                if let Some(failure) = mailbox.take_error().or_else(|| mailbox.end()) {
                    return Ok(Err(Stopped::Failed(failure)));
                }
                if let Some(letter) = mailbox.first() {
                    return Ok(Ok((letter.bytes.len(), letter.from.port)));
                }
            }
            if patience.wait(host, &pipe)? == Woken::Timeout {
                return Ok(Err(Stopped::Timeout));
            }
        }
    }

    /// Gives the datagram that is received next to `read`.
    pub(crate) fn with_letter<T>(&self, key: Key, read: impl FnOnce(&Letter) -> T) -> Option<T> {
        let Line { pipe, id } = self.idle(key)?;
        pipe.mux().mailbox(id)?.first().map(read)
    }

    /// Drops the datagram that the script has got now.
    pub(super) fn drop_letter(&self, line: &Line) {
        let mut mux = line.pipe.mux();
        let due = mux.mailbox(line.id).map_or(0, |mailbox| mailbox.take());
        mux.grant(line.id, due);
        drop(mux);
        if due > 0 {
            line.pipe.flush();
        }
    }

    /// Sends a datagram, waiting for room within the object's limits; says how many bytes were sent.
    pub(crate) fn send_datagram(
        &self,
        host: &dyn Host,
        key: Key,
        receiver: Receiver<'_>,
        bytes: &[u8],
    ) -> Outcome<usize> {
        let Some(Line { pipe, id }) = self.idle(key) else { return Err(closed().into()) };
        // What became of an earlier datagram is told first, and nothing is sent then.
        pipe.look();
        if let Some(failure) = pipe.mux().mailbox(id).and_then(|mailbox| mailbox.take_error()) {
            return Err(failure.into());
        }
        // No datagram is that long, and no frame of the pipe.
        if bytes.len() > self.kind(key).datagram_max() {
            return Err(Failure::os(Errno::MSGSIZE.raw_os_error()).into());
        }
        let (name, port) = match receiver {
            Receiver::Peer => (None, ""),
            Receiver::Address(name, port) => (Some(name), port),
            Receiver::Path(path) => (Some(path), ""),
        };
        let time = self.time_for(key);
        let timeout_ms = time.timeout_ms;
        let call = Call::SendTo(SendTo { socket: id, host: name, port, timeout_ms, bytes });
        match pipe.call(host, &call, time.patience)?? {
            Reply::Sent(sent) => Ok(usize::try_from(sent).unwrap_or(usize::MAX)),
            _ => Err(closed().into()),
        }
    }

    /// Sends a datagram to a numeric address. An object that never had a socket gets one of the address'
    /// family, unless the address is none.
    pub(crate) fn send_to(
        &self,
        host: &dyn Host,
        key: Key,
        family: Family,
        receiver: Receiver<'_>,
        bytes: &[u8],
    ) -> Outcome<usize> {
        let is_closed = self.is_closed(key);
        let fresh = self.family(key) == Family::Unspec && is_closed;
        if let Receiver::Address(name, _) = receiver
            && is_closed
            && !fresh
            && !is_numeric(name)
        {
            // LuaSocket looks at the address before the socket.
            return Err(Failure { detail: gai::NONAME, ..Failure::new(Code::Resolve, "no address") }.into());
        }
        if fresh {
            self.set_family(key, family);
            if let Err(trouble) = self.open(host, key) {
                self.set_family(key, Family::Unspec);
                return Err(trouble);
            }
        }
        let sent = self.send_datagram(host, key, receiver, bytes);
        let is_none = matches!(&sent, Err(Trouble::Failed(failure)) if failure.code == Code::Resolve);
        if fresh && is_none {
            self.close(key);
            self.set_family(key, Family::Unspec);
        }
        sent
    }

    /// Gives an object its one peer, and a socket if it has none. When it fails nothing has changed.
    pub(crate) fn set_peer(&self, host: &dyn Host, key: Key, name: &str, port: &str) -> Outcome<()> {
        let time = self.time_for(key);
        let (pipe, own) = self.socket_or_pipe(host, key, time.until)?;
        let call = Call::SetPeer(SetPeer {
            socket: own,
            host: name,
            port,
            family: self.family(key),
            timeout_ms: time.of_lookup(),
            window: if own.is_none() { window_of(self.kind(key)) } else { 0 },
        });
        let Reply::Peer(Peer { socket, local, .. }) = pipe.call(host, &call, time.patience)?? else {
            return Err(closed().into());
        };
        self.set_family(key, local.family);
        self.become_state(key, State::Idle(Line { pipe: Rc::clone(&pipe), id: socket }));
        Ok(())
    }

    /// Takes an object's peer away.
    pub(crate) fn clear_peer(&self, host: &dyn Host, key: Key) -> Outcome<()> {
        let Some(Line { pipe, id }) = self.idle(key) else { return Ok(()) };
        pipe.call(host, &Call::ClearPeer(ClearPeer { socket: id }), control())??;
        Ok(())
    }

    /// The object's socket, while it is neither connected nor listening.
    pub(super) fn idle(&self, key: Key) -> Option<Line> {
        self.with(key, |socket| match &socket.state {
            State::Idle(line) => Some(line.clone()),
            _ => None,
        })
        .flatten()
    }

    fn set_family(&self, key: Key, family: Family) {
        self.with(key, |socket| socket.family = family);
    }
}
