//! What the operator's log says of clients that offend.

use std::fmt::Display;
use std::time::Instant;

use super::worker::Worker;
use crate::core::{ClientId, Further, Offence, Offender};

impl Worker {
    /// Tells the log of a client's offence, unless it has been told of the like already.
    pub(crate) fn complain(&mut self, client: ClientId, what: Offence, text: impl Display) {
        let who = self.core.credentials(client).map_or(Offender::Others, Offender::from);
        match self.offenders.on_offence(who, what, Instant::now()) {
            true => tracing::warn!(client = %self.core.describe_client(client), "{text}"),
            false => tracing::debug!(client = %self.core.describe_client(client), "{text}"),
        }
    }

    /// As [`Worker::complain`], of somebody who is no client.
    pub(crate) fn complain_of(&mut self, who: Offender, what: Offence, text: impl Display) {
        match self.offenders.on_offence(who, what, Instant::now()) {
            true => tracing::warn!(client = %who, "{text}"),
            false => tracing::debug!(client = %who, "{text}"),
        }
    }

    /// Says what a client that goes has done besides.
    pub(crate) fn count_offences(&mut self, client: ClientId) {
        if let Some(credentials) = self.core.credentials(client) {
            say(self.offenders.on_end(credentials.into()));
        }
    }

    /// Says what those have done besides whose time it is.
    pub(crate) fn count_due_offences(&mut self) {
        say(self.offenders.on_time(Instant::now()));
    }
}

fn say(all: Vec<Further>) {
    for Further { who, what, times } in all {
        let plural = if times == 1 { "time" } else { "times" };
        tracing::warn!(client = %who, "{what} {times} more {plural}");
    }
}
