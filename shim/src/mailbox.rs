//! One datagram socket, as the shim sees it: the datagrams that came, the credit for more, and what the
//! system said of earlier ones.
//!
//! Pure, as `stream` is. Invariants: it holds no more than its window allows, and an error is told once.

use std::collections::VecDeque;

use luasocketd_protocol::{
    Address, DATAGRAM_OVERHEAD, Datagram, Failure, HOST_MAX, Kind, Overrun, ReceiveWindow,
};

use crate::stream::closed;

/// The credit granted to a new datagram socket. The daemon reads a datagram only under credit for the
/// largest, and more is granted once half is consumed: a window of less than two of the largest would end
/// with too little credit to read and too little consumed to grant.
pub(crate) const fn window_of(kind: Kind) -> u32 {
    match kind {
        Kind::Tcp | Kind::UnixStream => 0,
        Kind::Udp => 256 * 1024,
        Kind::UnixDgram => 512 * 1024,
    }
}

/// A datagram and its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) from: Address,
    pub(crate) bytes: Vec<u8>,
}

/// The datagrams of one socket.
#[derive(Debug)]
pub(crate) struct Mailbox {
    window: ReceiveWindow,
    letters: VecDeque<Letter>,
    error: Option<Failure>,
    dead: bool,
}

impl Mailbox {
    /// A mailbox that has granted `window` bytes.
    pub(crate) fn new(window: u32) -> Self {
        Mailbox { window: ReceiveWindow::new(window), letters: VecDeque::new(), error: None, dead: false }
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// When it costs more than was granted, which it always does with a sender whose name is too long to be
    /// one: names are not counted, so they must be short.
    pub(crate) fn on_datagram(&mut self, datagram: Datagram<'_>) -> Result<(), Overrun> {
        if datagram.from.host.len() > HOST_MAX {
            return Err(Overrun::Data);
        }
        self.window.on_received(datagram.bytes.len() + DATAGRAM_OVERHEAD)?;
        self.letters.push_back(Letter { from: datagram.from, bytes: datagram.bytes.to_vec() });
        Ok(())
    }

    /// The system reports on an earlier datagram. Like the kernel, it keeps one report, the last.
    pub(crate) fn on_error(&mut self, failure: Failure) {
        self.error = Some(failure);
    }

    /// The pipe has ended.
    pub(crate) fn on_death(&mut self) {
        self.dead = true;
    }

    /// The datagram that is received next.
    pub(crate) fn first(&self) -> Option<&Letter> {
        self.letters.front()
    }

    /// Drops the first datagram, which was received; gives the grant that is due, 0 for none.
    pub(crate) fn take(&mut self) -> u32 {
        let Some(letter) = self.letters.pop_front() else { return 0 };
        self.window.on_consumed(letter.bytes.len() + DATAGRAM_OVERHEAD);
        self.window.take_grant()
    }

    /// What the system reported, if the script was not told yet.
    pub(crate) fn take_error(&mut self) -> Option<Failure> {
        self.error.take()
    }

    /// Why nothing more will come: only that the pipe has ended.
    pub(crate) fn end(&self) -> Option<Failure> {
        (self.dead && self.letters.is_empty()).then(closed)
    }

    /// Every datagram that waits, the first first.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter()
    }

    /// Whether a receive would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        !self.letters.is_empty() || self.error.is_some() || self.dead
    }
}

#[cfg(test)]
mod tests {
    use luasocketd_protocol::{Family, SocketId};

    use super::*;

    fn datagram(bytes: &[u8]) -> Datagram<'_> {
        let from = Address { family: Family::Inet, host: "127.0.0.1".to_owned(), port: 9 };
        Datagram { socket: SocketId::new(1, 1), from, bytes }
    }

    #[test]
    fn datagrams_come_out_one_by_one_with_their_sender() {
        let mut mailbox = Mailbox::new(window_of(Kind::Udp));
        assert!(!mailbox.is_readable() && mailbox.first().is_none());
        for bytes in [&b"first"[..], b"", b"third"] {
            mailbox.on_datagram(datagram(bytes)).unwrap();
        }
        for bytes in [&b"first"[..], b"", b"third"] {
            let letter = mailbox.first().unwrap();
            assert_eq!((&letter.bytes[..], letter.from.port), (bytes, 9));
            mailbox.take();
        }
        assert!(!mailbox.is_readable());
        assert_eq!(mailbox.take(), 0, "nothing is left");
    }

    #[test]
    fn empty_datagrams_are_bounded_too() {
        let mut mailbox = Mailbox::new(1000);
        for _ in 0..1000 / DATAGRAM_OVERHEAD {
            mailbox.on_datagram(datagram(b"")).unwrap();
        }
        assert_eq!(mailbox.on_datagram(datagram(b"")), Err(Overrun::Data));
        assert_eq!(mailbox.letters.len(), 1000 / DATAGRAM_OVERHEAD);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let mut mailbox = Mailbox::new(window_of(Kind::Udp));
        let mut datagram = datagram(b"");
        datagram.from.host = "x".repeat(HOST_MAX + 1);
        assert_eq!(mailbox.on_datagram(datagram), Err(Overrun::Data));
    }

    #[test]
    fn an_error_is_told_once_and_the_socket_goes_on() {
        let mut mailbox = Mailbox::new(window_of(Kind::Udp));
        mailbox.on_error(Failure::os(111));
        mailbox.on_datagram(datagram(b"x")).unwrap();
        assert!(mailbox.is_readable());
        assert_eq!(mailbox.take_error(), Some(Failure::os(111)));
        assert_eq!(mailbox.take_error(), None);
        assert!(mailbox.is_readable());
    }

    #[test]
    fn what_came_before_the_death_can_be_received() {
        let mut mailbox = Mailbox::new(window_of(Kind::Udp));
        mailbox.on_datagram(datagram(b"x")).unwrap();
        mailbox.on_death();
        assert_eq!(mailbox.end(), None);
        mailbox.take();
        assert_eq!(mailbox.end(), Some(closed()));
        assert!(mailbox.is_readable());
    }

    /// A daemon that reads under credit for the largest datagram alone never gets stuck, whatever the sizes.
    #[test]
    fn a_window_never_ends_with_too_little_to_go_on() {
        for kind in [Kind::Udp, Kind::UnixDgram] {
            let (window, largest) = (window_of(kind), kind.datagram_max());
            assert!(window as usize / 2 >= largest + DATAGRAM_OVERHEAD);
            for size in [0, 1, 1000, largest / 2, largest / 2 + 1, largest] {
                let bytes = vec![0; size];
                let (mut mailbox, mut credit) = (Mailbox::new(window), window as usize);
                for _ in 0..3 * window as usize / (size + DATAGRAM_OVERHEAD) {
                    while credit >= largest + DATAGRAM_OVERHEAD {
                        mailbox.on_datagram(datagram(&bytes)).unwrap();
                        credit -= size + DATAGRAM_OVERHEAD;
                    }
                    assert!(mailbox.first().is_some(), "stuck with {credit} at {size} bytes");
                    credit += mailbox.take() as usize;
                }
            }
        }
    }
}
