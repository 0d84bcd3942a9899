//! Credit windows, as in SSH channels (RFC 4254, section 5.2): a side may send as many bytes as the
//! other has granted, and every grant follows from bytes that were really consumed.

use thiserror::Error;

use crate::limits::MAX_WINDOW;

/// The other side broke the rules of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Overrun {
    /// More bytes came than were granted.
    #[error("more data than was granted")]
    Data,
    /// A grant lifts the window above [`MAX_WINDOW`].
    #[error("a window of more than 67108864 bytes")]
    Grant,
}

/// How much this side may still send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendWindow {
    available: u32,
}

impl SendWindow {
    /// A window with a first grant.
    pub fn new(granted: u32) -> Self {
        SendWindow { available: granted.min(MAX_WINDOW) }
    }

    /// Bytes that may be sent now.
    pub fn available(&self) -> usize {
        self.available as usize
    }

    /// Takes up to `wanted` bytes of credit and says how many it got.
    pub fn take(&mut self, wanted: usize) -> usize {
        let taken = self.available.min(u32::try_from(wanted).unwrap_or(u32::MAX));
        self.available -= taken;
        taken as usize
    }

    /// Adds what the other side granted.
    ///
    /// # Errors
    /// [`Overrun::Grant`] when the sum is above [`MAX_WINDOW`].
    pub fn grant(&mut self, bytes: u32) -> Result<(), Overrun> {
        let sum = self.available.checked_add(bytes).filter(|&sum| sum <= MAX_WINDOW);
        self.available = sum.ok_or(Overrun::Grant)?;
        Ok(())
    }
}

/// How much the other side may still send here, and when to grant it more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// What the window is kept at.
    size: u32,
    /// Granted and not received yet.
    outstanding: u32,
    /// Received and not consumed yet.
    held: u32,
}

impl ReceiveWindow {
    /// A window whose first grant is `size` bytes.
    pub fn new(size: u32) -> Self {
        let size = size.min(MAX_WINDOW);
        ReceiveWindow { size, outstanding: size, held: 0 }
    }

    /// Bytes received and not consumed.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// What may be on its way or held here at the most: what this window can cost.
    pub fn committed(&self) -> u32 {
        self.outstanding + self.held
    }

    /// Counts bytes that came.
    ///
    /// # Errors
    /// [`Overrun::Data`] when they are more than was granted.
    pub fn on_received(&mut self, bytes: usize) -> Result<(), Overrun> {
        let bytes = u32::try_from(bytes).map_err(|_| Overrun::Data)?;
        self.outstanding = self.outstanding.checked_sub(bytes).ok_or(Overrun::Data)?;
        self.held += bytes;
        Ok(())
    }

    /// Counts bytes that were consumed; never more than are held.
    pub fn on_consumed(&mut self, bytes: usize) {
        self.held -= self.held.min(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Changes what the window is kept at, from the next grant on.
    pub fn resize(&mut self, size: u32) {
        self.size = size.min(MAX_WINDOW);
    }

    /// The grant that is due, 0 for none: it waits until half of the window is consumed, so that a
    /// consumer of small pieces does not answer each of them with a grant.
    pub fn take_grant(&mut self) -> u32 {
        let due = self.size.saturating_sub(self.committed());
        if due < (self.size / 2).max(1) {
            return 0;
        }
        self.outstanding += due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_takes_no_more_than_was_granted() {
        let mut window = SendWindow::new(10);
        assert_eq!((window.take(7), window.take(7), window.take(1)), (7, 3, 0));
        window.grant(5).unwrap();
        assert_eq!(window.available(), 5);
    }

    #[test]
    fn a_grant_over_the_limit_is_refused() {
        let mut window = SendWindow::new(1);
        assert_eq!(window.grant(MAX_WINDOW), Err(Overrun::Grant));
        assert_eq!(window.grant(u32::MAX), Err(Overrun::Grant));
    }

    #[test]
    fn more_than_was_granted_is_an_overrun() {
        let mut window = ReceiveWindow::new(10);
        window.on_received(10).unwrap();
        assert_eq!(window.on_received(1), Err(Overrun::Data));
        assert_eq!(ReceiveWindow::new(10).on_received(usize::MAX), Err(Overrun::Data));
    }

    #[test]
    fn a_grant_waits_for_half_of_the_window() {
        let mut window = ReceiveWindow::new(100);
        window.on_received(49).unwrap();
        window.on_consumed(49);
        assert_eq!(window.take_grant(), 0);
        window.on_received(1).unwrap();
        window.on_consumed(1);
        assert_eq!(window.take_grant(), 50);
        assert_eq!(window.committed(), 100);
    }

    #[test]
    fn a_window_that_is_consumed_whole_is_granted_whole() {
        for size in [1, 2, 100] {
            let mut window = ReceiveWindow::new(size);
            window.on_received(size as usize).unwrap();
            assert_eq!(window.take_grant(), 0);
            window.on_consumed(size as usize);
            assert_eq!(window.take_grant(), size);
        }
    }

    #[test]
    fn a_smaller_size_grants_nothing_until_the_window_has_shrunk() {
        let mut window = ReceiveWindow::new(100);
        window.resize(10);
        window.on_received(94).unwrap();
        window.on_consumed(94);
        assert_eq!(window.take_grant(), 0);
        window.on_received(1).unwrap();
        window.on_consumed(1);
        assert_eq!(window.take_grant(), 5);
    }
}
