//! One connection, as the shim sees it: bytes that came, credit in both directions, and how it ended.
//!
//! Pure; it neither reads nor writes the pipe. Invariants: the script receives all buffered bytes before
//! it hears of an end, and an error is told once, then the connection is just closed.

use luasocketd_protocol::{Code, Failure, Overrun, ReceiveWindow, SendWindow};

use crate::buffer::ReceiveBuffer;

/// How much LuaSocket reads from the kernel at once. What it has read outlives a `close`; what waits in
/// the kernel does not. Ours outlives a `close` up to the same mark.
const STOCK_READ: usize = 8192;

/// What a script has got from a socket when that counts as busy, and the window that it has from there on: with a
/// smaller one the daemon waits for a grant when it could receive (measured: half the speed in bulk).
const BUSY: u64 = 1024 * 1024;
const BUSY_WINDOW: u32 = 1024 * 1024;

/// Why nothing more can be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer has ended its direction.
    Eof,
    /// The connection failed.
    Broken(Failure),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream {
    credit: SendWindow,
    window: ReceiveWindow,
    buffer: ReceiveBuffer,
    /// Unread bytes that were already counted as consumed, because a call under way wants more than the
    /// window holds.
    claimed: usize,
    /// Bytes that the script has got, or a call under way has.
    moved: u64,
    /// Unread bytes that LuaSocket would have read from the kernel by now.
    pulled: usize,
    eof: bool,
    broken: Option<Failure>,
    /// Whether the script knows why.
    told: bool,
    sending_ended: bool,
}

impl Stream {
    /// A connection that may send `credit` bytes and has granted `window` bytes.
    pub(crate) fn new(credit: u32, window: u32) -> Self {
        Stream {
            credit: SendWindow::new(credit),
            window: ReceiveWindow::new(window),
            buffer: ReceiveBuffer::default(),
            claimed: 0,
            moved: 0,
            pulled: 0,
            eof: false,
            broken: None,
            told: false,
            sending_ended: false,
        }
    }

    /// Puts bytes before everything that comes: what an earlier connection of the same object left.
    pub(crate) fn inherit(&mut self, left: &[u8]) {
        self.buffer.append(left);
        self.claimed += left.len();
        self.pulled += left.len();
    }

    /// Takes bytes from the peer.
    ///
    /// # Errors
    /// When they are more than was granted.
    pub(crate) fn on_data(&mut self, bytes: &[u8]) -> Result<(), Overrun> {
        self.window.on_received(bytes.len())?;
        self.buffer.append(bytes);
        Ok(())
    }

    /// Takes so many bytes from the peer, which `read` puts into the room that it is given.
    ///
    /// # Errors
    /// As [`Stream::on_data`].
    pub(crate) fn take_data<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, Overrun> {
        self.window.on_received(length)?;
        let result = read(self.buffer.space(length));
        self.buffer.filled(length);
        Ok(result)
    }

    /// The memory of what came.
    pub(crate) fn buffer(&mut self) -> &mut ReceiveBuffer {
        &mut self.buffer
    }

    /// Takes credit.
    ///
    /// # Errors
    /// When it is more than can be.
    pub(crate) fn on_window(&mut self, bytes: u32) -> Result<(), Overrun> {
        self.credit.grant(bytes)
    }

    /// The peer has ended its direction.
    pub(crate) fn on_eof(&mut self) {
        self.eof = true;
    }

    /// The connection failed.
    pub(crate) fn on_broken(&mut self, failure: Failure) {
        self.broken.get_or_insert(failure);
    }

    /// The script has ended its sending side.
    pub(crate) fn end_sending(&mut self) {
        self.sending_ended = true;
    }

    /// What came and was not received.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.unread()
    }

    /// Drops received bytes from the front; gives the grant that is due, 0 for none.
    pub(crate) fn consume(&mut self, length: usize) -> u32 {
        let length = self.buffer.consume(length);
        self.pulled = pulled_after(self.pulled, length, self.buffer.unread().len());
        let claimed = self.claimed.min(length);
        self.claimed -= claimed;
        self.on_consumed(length - claimed)
    }

    /// Counts everything unread as consumed, for a call that wants more; gives the grant that is due.
    pub(crate) fn claim(&mut self) -> u32 {
        let unread = self.buffer.unread().len();
        let claimed = std::mem::replace(&mut self.claimed, unread);
        self.on_consumed(unread - claimed)
    }

    fn on_consumed(&mut self, length: usize) -> u32 {
        self.moved += length as u64;
        if self.moved >= BUSY {
            self.window.resize(BUSY_WINDOW);
        }
        self.window.on_consumed(length);
        self.window.take_grant()
    }

    /// Marks what LuaSocket would have read by looking once.
    pub(crate) fn peek(&mut self) {
        if self.pulled == 0 {
            self.pulled = self.buffer.unread().len().min(STOCK_READ);
        }
    }

    /// Whether LuaSocket would have unread bytes in its own buffer, besides those in the kernel.
    pub(crate) fn is_pulled(&self) -> bool {
        self.pulled > 0
    }

    /// What LuaSocket would still serve after a `close`.
    pub(crate) fn into_left(mut self) -> ReceiveBuffer {
        self.buffer.truncate(self.pulled);
        let mut left = ReceiveBuffer::default();
        // It may lie there for long: in no more memory than it takes.
        if !self.buffer.unread().is_empty() {
            left.append(self.buffer.unread());
        }
        left
    }

    /// Bytes that may be sent now.
    pub(crate) fn credit(&self) -> usize {
        self.credit.available()
    }

    /// Spends credit on bytes that went out.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.credit.take(bytes);
    }

    /// Why nothing more will come, if so. An error is told once.
    pub(crate) fn take_receive_end(&mut self) -> Option<End> {
        if self.eof { Some(End::Eof) } else { self.take_failure().map(End::Broken) }
    }

    /// Why nothing more can be sent, if so. An error is told once.
    pub(crate) fn take_send_end(&mut self) -> Option<Failure> {
        self.take_failure().or_else(|| self.sending_ended.then(closed))
    }

    /// Whether nothing more can be sent.
    pub(crate) fn has_send_end(&self) -> bool {
        self.sending_ended || self.is_broken()
    }

    /// Why the connection failed, unless the script knows already.
    pub(crate) fn take_news(&mut self) -> Option<Failure> {
        let news = self.broken.as_ref().filter(|_| !self.told).cloned();
        self.told |= news.is_some();
        news
    }

    /// Whether the connection failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether a receive would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        !self.unread().is_empty() || self.eof || self.is_broken()
    }

    /// Whether a send would not wait.
    pub(crate) fn is_writable(&self) -> bool {
        self.credit() > 0 || self.has_send_end()
    }

    fn take_failure(&mut self) -> Option<Failure> {
        if self.is_broken() { self.take_news().or_else(|| Some(closed())) } else { None }
    }
}

/// The plain end of a connection.
pub(crate) fn closed() -> Failure {
    Failure::new(Code::Closed, "the connection is closed")
}

/// How much LuaSocket would hold after `taken` bytes were received, `left` more being there.
fn pulled_after(pulled: usize, taken: usize, left: usize) -> usize {
    match taken.checked_sub(pulled) {
        None => pulled - taken,
        Some(over) => match over % STOCK_READ {
            0 => 0,
            part => left.min(STOCK_READ - part),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffered_bytes_come_before_the_end() {
        let mut stream = Stream::new(10, 10);
        stream.on_data(b"last").unwrap();
        stream.on_broken(Failure::os(110));
        assert!(stream.is_readable());
        assert_eq!(stream.unread(), b"last");
        stream.consume(4);
        assert_eq!(stream.take_receive_end(), Some(End::Broken(Failure::os(110))));
        assert_eq!(stream.take_receive_end(), Some(End::Broken(closed())), "told once");
        assert_eq!(stream.take_send_end(), Some(closed()));
    }

    #[test]
    fn an_end_of_the_peer_leaves_sending_open() {
        let mut stream = Stream::new(10, 10);
        stream.on_eof();
        assert_eq!((stream.take_receive_end(), stream.take_send_end()), (Some(End::Eof), None));
        stream.end_sending();
        assert_eq!(stream.take_send_end(), Some(closed()));
    }

    #[test]
    fn a_claim_grants_more_than_the_window() {
        let mut stream = Stream::new(0, 100);
        let mut come = 0;
        for _ in 0..10 {
            stream.on_data(&[0; 100]).unwrap();
            come += 100;
            assert_eq!(stream.claim(), 100);
        }
        assert_eq!(stream.unread().len(), come);
        assert_eq!(stream.consume(come), 0, "claimed bytes are granted once");
        stream.on_data(&[0; 60]).unwrap();
        assert_eq!(stream.consume(60), 60);
        assert_eq!(stream.on_data(&[0; 101]), Err(Overrun::Data));
    }

    #[test]
    fn a_busy_connection_gets_a_larger_window_whichever_way_its_bytes_are_taken() {
        let busy = |take: fn(&mut Stream) -> u32| {
            let mut stream = Stream::new(0, 1 << 17);
            let mut granted = 1 << 17;
            while granted <= 1 << 17 {
                stream.on_data(&vec![0; granted as usize]).unwrap();
                granted = take(&mut stream);
            }
            (granted, stream.moved)
        };
        let expected = (BUSY_WINDOW, BUSY);
        assert_eq!(busy(|stream| stream.consume(1 << 17)), expected);
        assert_eq!(busy(Stream::claim), expected);
    }

    #[test]
    fn a_closed_connection_leaves_what_was_looked_at() {
        let left = |looked: usize, come: usize| {
            let mut stream = Stream::new(0, 1 << 20);
            stream.on_data(&vec![7; come]).unwrap();
            stream.consume(looked);
            stream.into_left().unread().len()
        };
        assert_eq!(left(0, 50), 0);
        assert_eq!(left(20, 50), 30);
        assert_eq!(left(50, 50), 0);
        assert_eq!(left(8192, 9000), 0);
        assert_eq!(left(1, 9000), 8191);
    }

    #[test]
    fn a_reused_object_serves_its_leftover_first() {
        let mut stream = Stream::new(0, 10);
        stream.inherit(b"old");
        stream.on_data(b"0123456789").unwrap();
        assert_eq!(stream.unread(), b"old0123456789");
        assert_eq!(stream.consume(13), 10, "the leftover was never granted");
    }
}
