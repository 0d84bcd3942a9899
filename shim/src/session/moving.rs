//! From one daemon to the next: what hangs on no socket is asked of whoever listens now.

use std::rc::Rc;

use luasocketd_protocol::{Call, Code, Failure};

use super::{Outcome, Session, Trouble};
use crate::limits::Until;
use crate::mux::Reply;
use crate::pipe::{Host, Pipe};

impl Session {
    /// Asks `pipe` for something that hangs on no socket, and its daemon's successor where that one is ending: it has done
    /// nothing then, or nothing that outlives its pipe. Gives the pipe that has answered.
    pub(super) fn ask(
        &self,
        host: &dyn Host,
        pipe: Rc<Pipe>,
        call: &Call<'_>,
        patience: Until,
    ) -> Outcome<(Rc<Pipe>, Result<Reply, Failure>)> {
        let answer = pipe.call(host, call, patience)?;
        if !matches!(&answer, Err(failure) if is_leaving(&pipe, failure)) {
            return Ok((pipe, answer));
        }
        // Its other sockets stay with it as long as it lives.
        let before = self.pipe.borrow_mut().take_if(|(current, _)| Rc::ptr_eq(current, &pipe));
        match self.pipe(host, patience) {
            Ok(next) => {
                let answer = next.call(host, call, patience)?;
                Ok((next, answer))
            }
            Err(Trouble::Interrupted) => Err(Trouble::Interrupted),
            // Nobody listens: the first answer says more.
            Err(Trouble::NoPipe(_) | Trouble::Failed(_)) => {
                self.pipe.replace(before);
                Ok((pipe, answer))
            }
        }
    }
}

/// Whether a call has failed for no other reason than that the daemon ends.
fn is_leaving(pipe: &Pipe, failure: &Failure) -> bool {
    match failure.code {
        Code::ShuttingDown => true,
        Code::Closed => !pipe.is_alive(),
        _ => false,
    }
}
