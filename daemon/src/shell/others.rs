//! The loops besides the first one, each in a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::crew::{Berth, Bond};
use super::worker::Worker;
use crate::audit::Trail;
use crate::core::Config;

/// How long the end of the daemon waits for the last turns of all loops: what takes longer hangs.
const END_WAIT: Duration = Duration::from_secs(10);

/// The other loops, before they begin and while they run.
#[derive(Debug, Default)]
pub(crate) struct Others {
    waiting: Vec<(Berth, Option<Trail>)>,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    ended: Receiver<io::Result<()>>,
}

impl Others {
    /// Loops that are to begin at these places.
    pub(crate) fn new(berths: Vec<Berth>) -> Self {
        Others { waiting: berths.into_iter().map(|berth| (berth, None)).collect(), running: Vec::new() }
    }

    /// Has each of them keep one of these.
    pub(crate) fn keep_trails(&mut self, trails: Vec<Trail>) {
        for ((_, place), trail) in self.waiting.iter_mut().zip(trails) {
            *place = Some(trail);
        }
    }

    /// Starts those that wait; each one does `serve`.
    fn start(
        &mut self,
        config: &Config,
        serve: fn(Berth, Config, Option<Trail>) -> io::Result<()>,
    ) -> io::Result<()> {
        for (berth, trail) in self.waiting.drain(..) {
            let name = format!("loop {}", berth.lane.index() + 1);
            let (end, ended) = sync_channel(1);
            let config = Config { lane: berth.lane, ..config.clone() };
            let thread = thread::Builder::new().name(name.clone());
            thread.spawn(move || {
                // Dropped last, also by a panic: all others end, too, then.
                let _bond = Bond(Arc::clone(&berth.crew));
                // Whoever waits for it no longer has ended.
                let _ = end.send(serve(berth, config, trail));
            })?;
            self.running.push(Running { name, ended });
        }
        Ok(())
    }

    /// Waits until all of them have ended.
    fn join(&mut self) -> io::Result<()> {
        let until = Instant::now() + END_WAIT;
        let mut all = Ok(());
        for Running { name, ended } in self.running.drain(..) {
            let wrong = match ended.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(RecvTimeoutError::Disconnected) => "it has panicked".to_owned(),
                Err(RecvTimeoutError::Timeout) => "it does not end".to_owned(),
            };
            all = all.and(Err(io::Error::other(format!("{name}: {wrong}"))));
        }
        all
    }
}

impl Worker {
    /// Starts the other loops, if there are any that have not been started; [`Worker::run`] does so as well.
    ///
    /// # Errors
    /// When the system has no threads for them.
    pub fn start_others(&mut self) -> io::Result<()> {
        self.start_others_as(serve)
    }

    fn start_others_as(
        &mut self,
        serve: fn(Berth, Config, Option<Trail>) -> io::Result<()>,
    ) -> io::Result<()> {
        let config = self.core.config();
        self.others.start(config, serve)
    }

    /// Waits until the other loops have ended.
    pub(crate) fn join_others(&mut self) -> io::Result<()> {
        self.others.join()
    }
}

/// One of the other loops, from its begin to its end.
fn serve(berth: Berth, config: Config, trail: Option<Trail>) -> io::Result<()> {
    let mut worker = Worker::board(berth, config, None)?;
    if let Some(trail) = trail {
        worker.keep(trail);
    }
    worker.take_turns(|_, _| {})?;
    worker.end_records();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::signals::Signals;
    use super::super::worker::Ending;
    use super::*;

    fn three() -> Worker {
        Worker::several(3, Config::default(), Signals::catch(&[]).unwrap()).unwrap()
    }

    #[test]
    fn all_loops_end_when_all_are_drained() {
        let mut worker = three();
        worker.drain(Duration::from_secs(60));
        assert_eq!(worker.run(|_, _| {}).unwrap(), Ending::Drained);
    }

    #[test]
    fn all_loops_end_at_once_when_they_are_stopped() {
        let mut worker = three();
        worker.stop();
        assert_eq!(worker.run(|_, _| {}).unwrap(), Ending::Forced);
    }

    #[test]
    fn a_loop_that_fails_ends_all() {
        let mut worker = three();
        worker
            .start_others_as(|berth, config, trail| match berth.lane.index() {
                1 => serve(berth, config, trail),
                _ => Err(io::Error::other("it cannot go on")),
            })
            .unwrap();
        assert_eq!(worker.run(|_, _| {}).unwrap_err().to_string(), "loop 3: it cannot go on");
    }

    #[test]
    fn a_loop_that_panics_ends_all() {
        let mut worker = three();
        worker
            .start_others_as(|berth, config, trail| {
                assert_ne!(berth.lane.index(), 1, "a panic of a loop, for this test");
                serve(berth, config, trail)
            })
            .unwrap();
        assert_eq!(worker.run(|_, _| {}).unwrap_err().to_string(), "loop 2: it has panicked");
    }
}
