//! The end of a daemon whose place another one takes: its trail goes over, then its listening sockets.

use std::time::Duration;

use super::asking::{Asker, OTHER};
use super::desk::{Question, Told};
use super::worker::Worker;
use crate::audit::Loan;

impl Asker {
    /// Has the daemon give up its audit trail, if it keeps one: there is one for all loops, which the first one has.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub fn lend_trail(&self) -> Result<Option<Loan>, String> {
        match self.ask_first(Question::LendTrail) {
            Ok(Told::Lent(Some(loan))) => loan.wait().map(|()| Some(loan)),
            Ok(_) => Ok(None),
            Err(silence) => Err(silence.to_string()),
        }
    }

    /// Has the daemon take no new client. Those that it has are served for so long; then all loops drain for as long again.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn retire(&self, timeout: Duration) -> Result<(), String> {
        match self.ask_first(Question::Retire { timeout }) {
            Ok(Told::Ordered(number)) => self.wait(number).map_err(|silence| silence.to_string()),
            Ok(_) => Err(OTHER.to_owned()),
            Err(silence) => Err(silence.to_string()),
        }
    }
}

impl Worker {
    /// Leaves the listening sockets to another daemon, and has all loops serve whom they have; gives the order's number.
    ///
    /// It is the first loop that gives the order, behind the last client that it has handed over: no loop without clients
    /// is done then while one is on its way to it.
    pub(crate) fn retire(&mut self, timeout: Duration) -> u64 {
        for listener in self.shut_entrance() {
            listener.leave();
        }
        let number = self.crew.retire(timeout);
        self.obey();
        number
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Instant;

    use super::super::arrivals::Arrival;
    use super::super::signals::Signals;
    use super::super::worker::Ending;
    use super::*;
    use crate::core::{Config, Credentials, Identity};

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    /// The first of two loops, which has just handed a client to the other one, and that client.
    fn with_client() -> (Worker, UnixStream) {
        let worker = Worker::several(2, Config::default(), Signals::catch(&[]).unwrap()).unwrap();
        let (client, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let identity = Identity::from(Credentials { uid: 1, gid: 1, pid: 1 });
        worker.crew.count(0, (1, 0));
        assert!(worker.crew.hand_over(Arrival { stream, identity }).is_none());
        (worker, client)
    }

    #[test]
    fn who_is_on_the_way_to_a_loop_is_served() {
        let (mut worker, mut client) = with_client();
        worker.retire(LONG);
        client.set_read_timeout(Some(SHORT)).unwrap();
        let said = thread::spawn(move || client.read(&mut [0]).map_err(|error| error.kind()));
        assert_eq!(worker.run(|_, _| {}).unwrap(), Ending::Drained);
        assert_eq!(said.join().unwrap(), Err(io::ErrorKind::WouldBlock), "nobody has hung up on it");
    }

    #[test]
    fn all_loops_drain_when_their_time_is_over() {
        let (mut worker, mut client) = with_client();
        let begun = Instant::now();
        worker.retire(SHORT);
        assert_eq!(worker.run(|_, _| {}).unwrap(), Ending::Drained);
        assert!(worker.is_draining() && (SHORT..LONG).contains(&begun.elapsed()));
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it had its time");
    }
}
