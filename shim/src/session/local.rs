//! Sockets that are named by a path. What fails takes the socket with it, as in LuaSocket.

use luasocketd_protocol::{Bind, Call, Connect, Failure, Family, SetPeer};
use rustix::io::Errno;

use super::connect::RECEIVE_WINDOW;
use super::socket::{Key, Line};
use super::{Outcome, Session, control};
use crate::mux::Reply;
use crate::path::LocalPath;
use crate::pipe::Host;
use crate::stream::closed;

impl Session {
    /// Binds an object to a path.
    pub(crate) fn bind_path(&self, host: &dyn Host, key: Key, path: LocalPath) -> Outcome<()> {
        let Some(line) = self.idle(key) else {
            return Err(Failure::os(Errno::BADF.raw_os_error()).into());
        };
        let call = Call::Bind(Bind {
            socket: Some(line.id),
            kind: self.kind(key),
            host: &path.absolute,
            port: "",
            family: Family::Unix,
            reuse_address: false,
            timeout_ms: None,
            window: 0,
        });
        self.or_close(key, line.pipe.call(host, &call, control())?)?;
        self.with(key, |socket| socket.path = path.given);
        Ok(())
    }

    /// Connects an object to a path: a stream waits within its limits while the other side's backlog is full.
    pub(crate) fn connect_path(&self, host: &dyn Host, key: Key, path: &LocalPath) -> Outcome<()> {
        let Some(Line { pipe, id }) = self.idle(key) else { return Err(closed().into()) };
        let time = self.time_for(key);
        let timeout_ms = time.timeout_ms;
        let (socket, name, port, family) = (Some(id), &*path.absolute, "", Family::Unix);
        let call = if self.kind(key).is_datagram() {
            Call::SetPeer(SetPeer { socket, host: name, port, family, timeout_ms, window: 0 })
        } else {
            let window = RECEIVE_WINDOW;
            Call::Connect(Connect { socket, host: name, port, family, timeout_ms, window })
        };
        match self.or_close(key, pipe.call(host, &call, time.patience)?)? {
            Reply::Endpoint(endpoint) => self.on_connected(key, &pipe, endpoint, false),
            _ => Ok(()),
        }
    }

    /// The path that an object was bound to, as the script gave it.
    pub(crate) fn path(&self, key: Key) -> Outcome<String> {
        self.line(key)?;
        Ok(self.with(key, |socket| socket.path.clone()).unwrap_or_default())
    }

    fn or_close(&self, key: Key, answer: Result<Reply, Failure>) -> Outcome<Reply> {
        answer.map_err(|failure| {
            self.close(key);
            failure.into()
        })
    }
}
