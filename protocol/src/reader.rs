//! The incremental codec: bytes in as they come, whole frames out.

use std::ops::Range;

use crate::frame::{DATA_HEADER, FrameError, plain_data_head};
use crate::limits::MAX_FRAME;
use crate::scan::Scanner;

/// Collects a byte stream and cuts it into frames.
///
/// Call [`FrameReader::space`], read into it, [`FrameReader::filled`], then take frames with
/// [`FrameReader::next_frame`] until it gives `None`. The buffer never grows beyond what one
/// `space` and one frame need; after an error the stream is lost and every further call fails.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// What has arrived and was not given out yet.
    unread: Range<usize>,
    scanner: Scanner,
    broken: Option<FrameError>,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    /// An empty reader; it allocates nothing before the first [`FrameReader::space`].
    pub fn new() -> Self {
        FrameReader { buffer: Vec::new(), unread: 0..0, scanner: Scanner::new(), broken: None }
    }

    /// Room for at least `room` more bytes (at most [`MAX_FRAME`]), to be read into.
    pub fn space(&mut self, room: usize) -> &mut [u8] {
        let room = room.min(MAX_FRAME);
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.buffer.len() - self.unread.end < room && self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.buffer.len() - self.unread.end < room {
            self.buffer.resize(self.unread.end + room, 0);
        }
        &mut self.buffer[self.unread.end..]
    }

    /// Says that the first `length` bytes of [`FrameReader::space`] hold what was read.
    pub fn filled(&mut self, length: usize) {
        self.unread.end = (self.unread.end + length).min(self.buffer.len());
    }

    /// As [`FrameReader::filled`] for an empty reader, but takes whole frames alone; says how many bytes these are. A
    /// broken one counts as whole, so that [`FrameReader::next_frame`] finds it.
    pub fn filled_whole(&mut self, length: usize) -> usize {
        let start = self.unread.start;
        let end = (start + length).min(self.buffer.len());
        let mut whole = start;
        while whole < end {
            match frame_length(&mut Scanner::new(), &self.buffer[whole..end]) {
                Ok(Some(length)) => whole += length,
                Ok(None) => break,
                Err(_) => whole = end,
            }
        }
        self.unread.end = whole;
        whole - start
    }

    /// The next whole frame, `None` until more bytes are in.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] or [`FrameError::Malformed`]; then the connection has to be closed.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let bytes = &self.buffer[self.unread.clone()];
        match frame_length(&mut self.scanner, bytes) {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                self.scanner = Scanner::new();
                let start = self.unread.start;
                self.unread.start += length;
                Ok(Some(&self.buffer[start..start + length]))
            }
            Err(error) => Err(self.break_with(error)),
        }
    }

    /// Takes the frame back that was given out last, of this length, so that it is the next one again.
    pub fn put_back(&mut self, length: usize) {
        self.unread.start = self.unread.start.saturating_sub(length);
    }

    /// How many bytes have arrived of frames that were not given out yet.
    pub fn buffered(&self) -> usize {
        self.unread.len()
    }

    /// Takes the buffer out when nothing is in it, for another reader to use meanwhile.
    pub fn reclaim(&mut self) -> Option<Vec<u8>> {
        if !self.unread.is_empty() {
            return None;
        }
        self.unread = 0..0;
        Some(std::mem::take(&mut self.buffer))
    }

    /// Lends a buffer to a reader that has none.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        if self.buffer.is_empty() {
            self.buffer = buffer;
        }
    }

    fn break_with(&mut self, error: FrameError) -> FrameError {
        self.broken = Some(error);
        error
    }
}

/// How long the frame is that starts with these bytes, once they are all of it.
fn frame_length(scanner: &mut Scanner, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    match bytes.first() {
        None => return Ok(None),
        // A frame is an array of three or four, in one of MessagePack's three spellings; anything
        // else is refused at its first byte.
        Some(0x93 | 0x94 | 0xdc | 0xdd) => {}
        Some(_) => return Err(FrameError::Malformed),
    }
    // Most frames of a busy socket have this head, which says all about their length.
    match bytes.first_chunk().and_then(plain_data_head) {
        Some((_, length)) if DATA_HEADER + length > MAX_FRAME => Err(FrameError::TooLarge),
        Some((_, length)) => Ok(Some(DATA_HEADER + length).filter(|length| *length <= bytes.len())),
        None => scanner.advance(bytes),
    }
}
