//! `luasocketd ps`: the clients of a running daemon, and their sockets.

use std::process::ExitCode;

use luasocketd::admin::{Clients, Request, Sockets, line};
use luasocketd::core::{ClientRow, Mark, SocketRow};
use luasocketd_protocol::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failed;
use super::operator::Operator;
use super::table::{Side, Table, age, bytes, colours, or_dash};
use crate::cli::PsOptions;

/// Prints them.
pub fn ps(options: PsOptions) -> ExitCode {
    match Listing::ask(&options) {
        Ok(listing) => {
            match options.admin.json {
                true => print!("{}", line(&listing)),
                false => print!("{}", listing.text(colours())),
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(error),
    }
}

/// All pages in one.
#[derive(Debug, Serialize)]
struct Listing {
    clients: Vec<ClientRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<Vec<SocketRow>>,
}

impl Listing {
    fn ask(options: &PsOptions) -> Result<Self, String> {
        let mut operator = Operator::connect(&options.admin.daemon)?;
        let clients = operator.clients(options.client)?;
        let wanted = options.sockets || options.client.is_some();
        let sockets = if wanted { Some(operator.sockets(options.client)?) } else { None };
        Ok(Listing { clients, sockets })
    }

    fn text(&self, colours: bool) -> String {
        let clients = client_table(&self.clients).text(colours);
        let sockets = self.sockets.as_ref().map(|sockets| socket_table(sockets).text(colours));
        sockets.map_or(clients.clone(), |sockets| format!("{clients}\n{sockets}"))
    }
}

impl Operator {
    /// All clients, or one.
    ///
    /// # Errors
    /// As [`Operator::ask`].
    pub fn clients(&mut self, client: Option<Mark>) -> Result<Vec<ClientRow>, String> {
        let page = |from| Request::Ps { client, from };
        self.pages(page, |Clients { clients, next }| (clients, next))
    }

    /// All sockets, or those of one client.
    ///
    /// # Errors
    /// As [`Operator::ask`].
    pub fn sockets(&mut self, client: Option<Mark>) -> Result<Vec<SocketRow>, String> {
        let page = |from| Request::Sockets { client, from };
        self.pages(page, |Sockets { sockets, next }| (sockets, next))
    }

    /// All that `page` asks for from 0 on, told apart into rows and the next page by `parts`.
    fn pages<T: DeserializeOwned, R>(
        &mut self,
        page: impl Fn(u32) -> Request,
        parts: impl Fn(T) -> (Vec<R>, Option<u32>),
    ) -> Result<Vec<R>, String> {
        let (mut all, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let (rows, after) = parts(self.ask_for(&page(from))?);
            all.extend(rows);
            next = after.filter(|after| *after > from);
        }
        Ok(all)
    }
}

/// What a kind is called on the pipe, too.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Tcp => "tcp",
        Kind::Udp => "udp",
        Kind::UnixStream => "unix-stream",
        Kind::UnixDgram => "unix-dgram",
    }
}

fn client_table(clients: &[ClientRow]) -> Table {
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("CLIENT", Left),
        ("PID", Right),
        ("UID", Right),
        ("NAME", Left),
        ("LUA", Left),
        ("PROFILE", Left),
        ("SOCKETS", Right),
        ("CALLS", Right),
        ("SENT", Right),
        ("RECEIVED", Right),
        ("AGE", Right),
        ("EXECUTABLE", Left),
    ]);
    for client in clients {
        table.row(vec![
            client.id.to_string(),
            client.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            client.uid.to_string(),
            or_dash(client.name.as_deref()),
            or_dash(client.lua.as_deref()),
            or_dash(client.profile.as_deref()),
            client.sockets.to_string(),
            client.calls.to_string(),
            bytes(client.sent),
            bytes(client.received),
            age(client.age_ms),
            or_dash(client.executable.as_deref()),
        ]);
    }
    table
}

fn socket_table(sockets: &[SocketRow]) -> Table {
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("SOCKET", Left),
        ("CLIENT", Left),
        ("KIND", Left),
        ("STATE", Left),
        ("LOCAL", Left),
        ("PEER", Left),
        ("HOST", Left),
        ("SENT", Right),
        ("RECEIVED", Right),
        ("QUEUED", Right),
        ("CREDIT", Right),
        ("TIMEOUT", Right),
        ("AGE", Right),
    ]);
    for socket in sockets {
        table.row(vec![
            socket.id.to_string(),
            socket.client.to_string(),
            kind(socket.kind).to_owned(),
            socket.state.word().to_owned(),
            or_dash(socket.local.as_deref()),
            or_dash(socket.peer.as_deref()),
            or_dash(socket.host.as_deref()),
            bytes(socket.sent),
            bytes(socket.received),
            bytes(socket.queued),
            bytes(socket.credit),
            timeouts(socket),
            age(socket.age_ms),
        ]);
    }
    table
}

/// Per wait and per call, in seconds.
fn timeouts(socket: &SocketRow) -> String {
    let seconds = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| format!("{}", ms as f64 / 1000.0));
    match (socket.timeout_block_ms, socket.timeout_total_ms) {
        (None, None) => "-".to_owned(),
        (block, total) => format!("{}/{}", seconds(block), seconds(total)),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A client with a name that it has chosen to do harm.
    pub fn client(slot: u32, sent: u64) -> ClientRow {
        ClientRow {
            id: format!("c{slot}.1").parse().unwrap(),
            pid: Some(4711),
            uid: 1000,
            gid: 1000,
            executable: Some("/usr/bin/lua5.4".to_owned()),
            name: Some("a\x1b[2Jb".to_owned()),
            lua: Some("Lua 5.4".to_owned()),
            profile: Some("web".to_owned()),
            path: None,
            sockets: 2,
            calls: 1,
            held: 4096,
            sent,
            received: 2 * sent,
            age_ms: 61_000,
        }
    }

    #[test]
    fn a_table_says_what_there_is() {
        let text = client_table(&[client(3, 1536)]).text(false);
        let expected = "CLIENT   PID   UID  NAME    LUA      PROFILE  SOCKETS  CALLS  SENT  RECEIVED    AGE  EXECUTABLE\n\
                        c3.1    4711  1000  a?[2Jb  Lua 5.4  web            2      1  1.5K      3.0K  1m01s  /usr/bin/lua5.4\n";
        assert_eq!(text, expected);
    }
}
