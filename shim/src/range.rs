//! Which part of its string `send(data, i, j)` of LuaSocket 3.1 means.

use std::ops::Range;

/// A part of a string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SendRange {
    /// The bytes to send, counted from 0.
    pub(crate) bytes: Range<usize>,
    /// What is added to the number of bytes sent, to give the index of the last one.
    pub(crate) offset: f64,
}

/// The part of a string of `length` bytes from `i` to `j`, both counted from 1, or from the end when
/// below zero, both included.
pub(crate) fn send_range(length: usize, i: f64, j: f64) -> SendRange {
    let size = length as f64;
    let index = |index: f64| {
        let whole = if index.is_nan() { 0.0 } else { index.trunc() };
        if whole < 0.0 { whole + size + 1.0 } else { whole }
    };
    let start = index(i).max(1.0);
    let end = index(j).min(size);
    let bytes = if start <= end { start as usize - 1..end as usize } else { 0..0 };
    SendRange { bytes, offset: start - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of the last byte sent when all go out.
    fn last(i: f64, j: f64) -> f64 {
        let range = send_range(10, i, j);
        range.offset + range.bytes.len() as f64
    }

    #[test]
    fn ranges_are_luasockets() {
        for (i, j, expected) in [
            (1.0, -1.0, 10.0),
            (3.0, -1.0, 10.0),
            (3.0, 5.0, 5.0),
            (-3.0, -1.0, 10.0),
            (-3.0, -2.0, 9.0),
            (-100.0, 2.0, 2.0),
            (0.0, 3.0, 3.0),
            (5.0, 4.0, 4.0),
            (1.0, 0.0, 0.0),
            (1.0, -11.0, 0.0),
            (11.0, -1.0, 10.0),
            (20.0, -1.0, 19.0),
            (2.7, 4.9, 4.0),
        ] {
            assert_eq!(last(i, j), expected, "send(data, {i}, {j})");
        }
    }

    #[test]
    fn a_range_lies_in_the_string() {
        assert_eq!(send_range(10, 3.0, 5.0).bytes, 2..5);
        assert_eq!(send_range(10, 20.0, -1.0).bytes, 0..0);
        assert_eq!(send_range(0, 1.0, -1.0).bytes, 0..0);
        assert_eq!(send_range(10, f64::NAN, f64::INFINITY).bytes, 0..10);
        assert_eq!(send_range(10, f64::NEG_INFINITY, 1.0).bytes, 0..1);
    }
}
