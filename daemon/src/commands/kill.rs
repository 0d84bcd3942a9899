//! `luasocketd kill`: the end of a client or of one socket.

use std::process::ExitCode;

use luasocketd::admin::{Killed, Request};

use super::operator::have_done;
use super::ps::kind;
use super::table::{or_dash, printable};
use crate::cli::KillOptions;

/// Ends it, and says what it was.
pub fn kill(options: KillOptions) -> ExitCode {
    let request = Request::Kill { id: options.id };
    have_done(&options.admin, &request, words)
}

fn words(killed: &Killed) -> String {
    let whose = match &killed.client {
        Some(client) => {
            let pid = client.pid.map_or("unknown".to_owned(), |pid| pid.to_string());
            format!("pid {pid} uid {} ({})", client.uid, or_dash(client.name.as_deref()))
        }
        None => "a client that has gone".to_owned(),
    };
    let text = match (&killed.socket, &killed.client) {
        (Some(socket), _) => {
            let peer = socket.peer.as_ref().map(|peer| format!(" to {peer}")).unwrap_or_default();
            format!(
                "ended {}, a {} {}{peer} of {whose}",
                killed.killed,
                kind(socket.kind),
                socket.state.word()
            )
        }
        (None, Some(client)) => format!("ended {}, {whose}, with {} sockets", killed.killed, client.sockets),
        (None, None) => format!("ended {}", killed.killed),
    };
    printable(&text)
}
