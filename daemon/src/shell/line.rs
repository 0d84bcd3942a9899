//! Lines from a stream that nobody can make us wait for, or hold more of, than is bounded.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What is read at once.
const PIECE: usize = 4096;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// More bytes than a line may have.
    TooLong,
    /// The end of the stream, where a line would begin.
    End,
}

/// A stream whose waits can be bounded.
pub trait Bounded: Read {
    /// Bounds each read from here on.
    ///
    /// # Errors
    /// What the system says.
    fn bound_reads(&self, limit: Duration) -> io::Result<()>;
}

impl Bounded for UnixStream {
    fn bound_reads(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

/// Reads the next line, its end included of at most `most` bytes; what comes behind it stays in `buffer`.
///
/// # Errors
/// `TimedOut` when it has not come until then, `UnexpectedEof` when the stream ends inside a line, else what the
/// system says.
pub fn read_line(
    stream: &mut impl Bounded,
    buffer: &mut Vec<u8>,
    most: usize,
    until: Instant,
) -> io::Result<Line> {
    let mut searched = 0;
    loop {
        if let Some(end) = memchr(&buffer[searched..]).map(|end| searched + end) {
            if end >= most {
                return Ok(Line::TooLong);
            }
            let mut line: Vec<u8> = buffer.drain(..=end).collect();
            line.truncate(end);
            return Ok(Line::Whole(line));
        }
        searched = buffer.len();
        if searched >= most {
            return Ok(Line::TooLong);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.bound_reads(left)?;
        let room = PIECE.min(most - searched);
        buffer.resize(searched + room, 0);
        let read = stream.read(&mut buffer[searched..]);
        buffer.truncate(searched + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if searched == 0 => return Ok(Line::End),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(bytes: &[u8], most: usize) -> Vec<io::Result<Line>> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).unwrap();
        drop(theirs);
        let (mut buffer, mut lines) = (Vec::new(), Vec::new());
        loop {
            let until = Instant::now() + Duration::from_secs(5);
            lines.push(read_line(&mut ours, &mut buffer, most, until));
            if !matches!(lines.last(), Some(Ok(Line::Whole(_)))) {
                return lines;
            }
        }
    }

    #[test]
    fn lines_come_one_by_one() {
        let lines: Vec<Line> = read_all(b"one\n\ntwo\n", 4).into_iter().map(Result::unwrap).collect();
        let whole = |text: &[u8]| Line::Whole(text.to_vec());
        assert_eq!(lines, [whole(b"one"), whole(b""), whole(b"two"), Line::End]);
    }

    #[test]
    fn a_long_line_and_half_a_one_are_none() {
        for text in [&b"four\n"[..], b"a line without an end"] {
            assert_eq!(read_all(text, 4).pop().unwrap().unwrap(), Line::TooLong);
        }
        let half = read_all(b"one\nha", 4).pop().unwrap().unwrap_err();
        assert_eq!(half.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nobody_is_waited_for_past_the_time() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let until = Instant::now() + Duration::from_millis(20);
        let late = read_line(&mut ours, &mut Vec::new(), 4, until).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
