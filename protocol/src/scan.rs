//! Finds where a MessagePack value ends, without decoding it.
//!
//! Lengths are checked against [`MAX_FRAME`] as soon as they are announced, so a hostile length
//! costs no memory. Nesting costs none either: what is left to read is one number, not a stack.

use crate::frame::FrameError;
use crate::limits::MAX_FRAME;

/// The way through one value whose bytes arrive in pieces.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    /// Bytes of the value passed so far.
    at: usize,
    /// Values still to come before the outermost one is complete.
    pending: usize,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Scanner { at: 0, pending: 1 }
    }

    /// Goes on through `bytes`, which start where the value starts; gives its length once complete.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        while self.pending > 0 {
            let Some(header) = Header::read(&bytes[self.at..])? else { return Ok(None) };
            let end = self.at.saturating_add(header.length);
            // Every value that is still to come takes one byte at the least.
            let pending = header.children.saturating_add(self.pending - 1);
            if end.saturating_add(pending) > MAX_FRAME {
                return Err(FrameError::TooLarge);
            }
            if end > bytes.len() {
                return Ok(None);
            }
            self.at = end;
            self.pending = pending;
        }
        Ok(Some(self.at))
    }
}

/// How many values an array has.
pub(crate) fn array_length(array: &[u8]) -> Result<usize, FrameError> {
    let header = Header::read(array)?.filter(|header| header.is_array);
    header.map(|header| header.children).ok_or(FrameError::Malformed)
}

/// Cuts an array of exactly `N` values into them.
pub(crate) fn elements<const N: usize>(array: &[u8]) -> Result<[&[u8]; N], FrameError> {
    let header = Header::read(array)?.filter(|header| header.is_array && header.children == N);
    let mut rest = &array[header.ok_or(FrameError::Malformed)?.length..];
    let mut parts = [rest; N];
    for part in &mut parts {
        let length = Scanner::new().advance(rest)?.ok_or(FrameError::Malformed)?;
        (*part, rest) = rest.split_at(length);
    }
    if rest.is_empty() { Ok(parts) } else { Err(FrameError::Malformed) }
}

/// The first value of an array of any length.
pub(crate) fn first_element(array: &[u8]) -> Result<&[u8], FrameError> {
    let header = Header::read(array)?.filter(|header| header.is_array && header.children > 0);
    let rest = &array[header.ok_or(FrameError::Malformed)?.length..];
    let length = Scanner::new().advance(rest)?.ok_or(FrameError::Malformed)?;
    Ok(&rest[..length])
}

/// What the first bytes of a value say about it.
struct Header {
    /// Bytes of the value itself, its children not counted.
    length: usize,
    /// How many values follow as its children.
    children: usize,
    is_array: bool,
}

impl Header {
    /// `None` when the header's own bytes have not all arrived.
    fn read(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        let Some(&marker) = bytes.first() else { return Ok(None) };
        let plain = |length| Some(Header { length, children: 0, is_array: false });
        let array = |length, children| Some(Header { length, children, is_array: true });
        // The length field of `width` bytes behind the marker.
        let field = |width: usize| {
            let field = bytes.get(1..1 + width)?;
            Some(field.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte)))
        };
        let sized = |width: usize, extra: usize| {
            field(width).and_then(|length: usize| plain(length.saturating_add(1 + width + extra)))
        };
        Ok(match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => plain(1),
            0x80..=0x8f => {
                Some(Header { length: 1, children: 2 * usize::from(marker & 0x0f), is_array: false })
            }
            0x90..=0x9f => array(1, usize::from(marker & 0x0f)),
            0xa0..=0xbf => plain(1 + usize::from(marker & 0x1f)),
            0xc1 => return Err(FrameError::Malformed),
            0xc4 | 0xd9 => sized(1, 0),
            0xc5 | 0xda => sized(2, 0),
            0xc6 | 0xdb => sized(4, 0),
            0xc7 => sized(1, 1),
            0xc8 => sized(2, 1),
            0xc9 => sized(4, 1),
            0xcc | 0xd0 => plain(2),
            0xcd | 0xd1 => plain(3),
            0xca | 0xce | 0xd2 => plain(5),
            0xcb | 0xcf | 0xd3 => plain(9),
            0xd4 => plain(3),
            0xd5 => plain(4),
            0xd6 => plain(6),
            0xd7 => plain(10),
            0xd8 => plain(18),
            0xdc => field(2).and_then(|children| array(3, children)),
            0xdd => field(4).and_then(|children| array(5, children)),
            0xde => {
                field(2).map(|pairs| Header { length: 3, children: pairs.saturating_mul(2), is_array: false })
            }
            0xdf => {
                field(4).map(|pairs| Header { length: 5, children: pairs.saturating_mul(2), is_array: false })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_over_the_limit_is_refused_at_once() {
        for announced in [
            &[0xc6, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0xdf, 0x7f, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(Scanner::new().advance(announced), Err(FrameError::TooLarge));
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let mut deep = vec![0x91; MAX_FRAME - 1];
        deep.push(0xc0);
        assert_eq!(Scanner::new().advance(&deep), Ok(Some(MAX_FRAME)));
        deep.insert(0, 0x91);
        assert_eq!(Scanner::new().advance(&deep), Err(FrameError::TooLarge));
    }

    #[test]
    fn every_marker_has_a_length() {
        for marker in 0..=u8::MAX {
            let mut bytes = vec![0u8; 64];
            bytes[0] = marker;
            match Scanner::new().advance(&bytes) {
                Ok(Some(length)) => assert!((1..=32).contains(&length), "{marker:#x}: {length}"),
                other => assert_eq!((marker, other), (0xc1, Err(FrameError::Malformed))),
            }
        }
    }

    #[test]
    fn elements_wants_the_exact_number_and_no_rest() {
        assert_eq!(elements::<2>(&[0x92, 1, 0xa1, b'x']), Ok([&[1u8][..], &[0xa1, b'x']]));
        assert_eq!(elements::<2>(&[0x93, 1, 2, 3]), Err(FrameError::Malformed));
        assert_eq!(elements::<2>(&[0x92, 1, 2, 3]), Err(FrameError::Malformed));
        assert_eq!(elements::<2>(&[0x92, 1]), Err(FrameError::Malformed));
    }
}
