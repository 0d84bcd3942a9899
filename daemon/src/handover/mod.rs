//! One daemon takes another's place: the listening sockets go from process to process and are never closed, so that no
//! client is refused.
//!
//! The old daemon has its [steward](super::steward) start the new one with copies of its listening sockets and of their
//! locks, as a service manager that activates sockets does, and with one end of a stream. On it go lines:
//!
//! | from | line | when |
//! |---|---|---|
//! | new | `prepared PID` | all is in place but the audit trail |
//! | old | `go` | it has given up the trail, if it keeps one |
//! | new | `ready` | it serves |
//! | old | `yours` | the service manager knows the new process |
//! | new | `mine` | it has taken the place; from here on the old one's records go over the stream |
//! | new | `failed WHY` | instead of `prepared` or `ready`: it ends |
//!
//! Up to `mine` the old daemon serves as if nothing were; whatever goes wrong, it goes on.

mod inherited;
mod predecessor;
mod successor;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use luasocketd::shell::{Line, read_line};

pub use inherited::{Inherited, VARIABLE};
pub use predecessor::Predecessor;
pub use successor::Heritage;

/// How long the new daemon may take for each of its steps: what it reads of the trail is the most of it.
const STEP_WAIT: Duration = Duration::from_secs(30);

/// The longest line.
const LINE_MAX: usize = 4096;

/// The stream between both.
#[derive(Debug)]
struct Way {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Way {
    fn new(stream: UnixStream) -> Way {
        Way { stream, buffer: Vec::new() }
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        let line: String = line.chars().filter(|character| *character != '\n').take(LINE_MAX / 4).collect();
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    /// The next line; None at the other side's end.
    fn hear(&mut self) -> io::Result<Option<String>> {
        let until = Instant::now() + STEP_WAIT;
        match read_line(&mut self.stream, &mut self.buffer, LINE_MAX, until)? {
            Line::Whole(line) => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Line::End => Ok(None),
            Line::TooLong => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
