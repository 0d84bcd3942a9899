//! What `receive` looks for in the bytes that have come.
//!
//! Pure: a scan is given all the unread bytes of a socket, again and again as they grow, and says which
//! of them answer the pattern. It goes over each byte once and consumes none.

use memchr::memchr;

/// What happens to carriage returns in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    /// LuaSocket 3.1: every one is dropped, wherever it stands.
    DropAll,
    /// LuaSocket 1.0: the one before the line feed is dropped.
    DropLast,
    /// They are data.
    Keep,
}

/// A receive pattern of either face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Up to a line feed.
    Line(Returns),
    /// Until the peer ends.
    All,
    /// A word between white space.
    Word,
    /// Exactly so many bytes.
    Count(u64),
    /// Nothing, once there is something: a count of 0 in LuaSocket 3.1.
    Peek,
}

impl Pattern {
    /// The pattern of LuaSocket 3.1 that a string spells; what follows the letter is ignored.
    pub(crate) fn from_3_1(text: &[u8]) -> Option<Pattern> {
        match text.get(..2)? {
            b"*l" => Some(Pattern::Line(Returns::DropAll)),
            b"*a" => Some(Pattern::All),
            _ => None,
        }
    }

    /// The pattern of LuaSocket 1.0 that a string spells.
    pub(crate) fn from_1_0(text: &[u8]) -> Option<Pattern> {
        match text {
            b"*l" => Some(Pattern::Line(Returns::DropLast)),
            b"*lu" => Some(Pattern::Line(Returns::Keep)),
            b"*a" => Some(Pattern::All),
            b"*w" => Some(Pattern::Word),
            _ => None,
        }
    }

    /// How many bytes a number asks for; fractions are cut, and below zero is no count.
    pub(crate) fn count(number: f64) -> Option<u64> {
        // The cast saturates: a number beyond all data means until the end.
        (number >= 0.0).then_some(number as u64)
    }
}

/// Which of the unread bytes answer a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where the answer starts.
    pub(crate) start: usize,
    /// How long it is, carriage returns that are still to be dropped included.
    pub(crate) length: usize,
    /// How many bytes from the front are consumed with it.
    pub(crate) take: usize,
    /// Whether every carriage return in it is dropped.
    pub(crate) drop_returns: bool,
}

/// The way of one pattern through the unread bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    pattern: Pattern,
    /// Bytes that were looked at.
    at: usize,
    /// White space before a word.
    blank: usize,
}

impl Scan {
    pub(crate) fn new(pattern: Pattern) -> Self {
        Scan { pattern, at: 0, blank: 0 }
    }

    /// Looks at what is new in `unread`; gives the answer once it is complete.
    pub(crate) fn advance(&mut self, unread: &[u8]) -> Option<Piece> {
        // A debug hook may have consumed bytes while the call waited.
        self.at = self.at.min(unread.len());
        self.blank = self.blank.min(self.at);
        match self.pattern {
            Pattern::Line(returns) => self.advance_line(unread, returns),
            Pattern::Word => self.advance_word(unread),
            Pattern::All => None,
            Pattern::Count(count) => usize::try_from(count)
                .ok()
                .filter(|&count| count <= unread.len())
                .map(|count| Piece { start: 0, length: count, take: count, drop_returns: false }),
            Pattern::Peek => {
                (!unread.is_empty()).then_some(Piece { start: 0, length: 0, take: 0, drop_returns: false })
            }
        }
    }

    /// What has come of an answer that stays incomplete: everything.
    pub(crate) fn partial(&self, unread: &[u8]) -> Piece {
        let start = if self.pattern == Pattern::Word { self.blank.min(unread.len()) } else { 0 };
        let drop_returns = self.pattern == Pattern::Line(Returns::DropAll);
        Piece { start, length: unread.len() - start, take: unread.len(), drop_returns }
    }

    fn advance_line(&mut self, unread: &[u8], returns: Returns) -> Option<Piece> {
        let Some(end) = memchr(b'\n', &unread[self.at..]).map(|offset| self.at + offset) else {
            self.at = unread.len();
            return None;
        };
        let line = &unread[..end];
        let (length, drop_returns) = match (returns, line.last()) {
            (Returns::Keep, _) => (end, false),
            (Returns::DropLast, Some(b'\r')) => (end - 1, false),
            (Returns::DropLast, _) => (end, false),
            (Returns::DropAll, Some(b'\r')) => (end - 1, memchr(b'\r', &line[..end - 1]).is_some()),
            (Returns::DropAll, _) => (end, memchr(b'\r', line).is_some()),
        };
        Some(Piece { start: 0, length, take: end + 1, drop_returns })
    }

    fn advance_word(&mut self, unread: &[u8]) -> Option<Piece> {
        if self.blank == self.at {
            let blank = unread[self.at..].iter().take_while(|&&byte| is_space(byte)).count();
            self.at += blank;
            self.blank = self.at;
        }
        let Some(word) = unread[self.at..].iter().position(|&byte| is_space(byte)) else {
            self.at = unread.len();
            return None;
        };
        let end = self.at + word;
        Some(Piece { start: self.blank, length: end - self.blank, take: end + 1, drop_returns: false })
    }
}

/// C's `isspace`, to which Rust's ASCII white space lacks the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a pattern and what is left, with the bytes coming one at a time.
    fn answer(pattern: Pattern, bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut scan = Scan::new(pattern);
        let piece = (0..=bytes.len()).find_map(|come| scan.advance(&bytes[..come]))?;
        assert_eq!(Scan::new(pattern).advance(bytes), Some(piece), "in one go and byte by byte");
        Some((text(piece, bytes), &bytes[piece.take..]))
    }

    fn partial(pattern: Pattern, bytes: &[u8]) -> Vec<u8> {
        let mut scan = Scan::new(pattern);
        assert_eq!(scan.advance(bytes), None);
        text(scan.partial(bytes), bytes)
    }

    fn text(piece: Piece, bytes: &[u8]) -> Vec<u8> {
        let mut text = bytes[piece.start..piece.start + piece.length].to_vec();
        text.retain(|&byte| byte != b'\r' || !piece.drop_returns);
        text
    }

    #[test]
    fn lines_end_at_a_line_feed() {
        let bytes = b"\ra\rb\r\nrest";
        let line = |returns| answer(Pattern::Line(returns), bytes).unwrap();
        assert_eq!(line(Returns::DropAll), (b"ab".to_vec(), &b"rest"[..]));
        assert_eq!(line(Returns::DropLast), (b"\ra\rb".to_vec(), &b"rest"[..]));
        assert_eq!(line(Returns::Keep), (b"\ra\rb\r".to_vec(), &b"rest"[..]));
        assert_eq!(answer(Pattern::Line(Returns::DropLast), b"\n\n"), Some((vec![], &b"\n"[..])));
        assert_eq!(answer(Pattern::Line(Returns::DropAll), b"\r\n"), Some((vec![], &b""[..])));
    }

    #[test]
    fn an_unfinished_line_keeps_its_returns_only_in_1_0() {
        assert_eq!(partial(Pattern::Line(Returns::DropAll), b"a\rb\r"), b"ab");
        assert_eq!(partial(Pattern::Line(Returns::DropLast), b"a\rb\r"), b"a\rb\r");
        assert_eq!(partial(Pattern::Line(Returns::Keep), b""), b"");
    }

    #[test]
    fn a_word_stands_between_white_space() {
        assert_eq!(answer(Pattern::Word, b" \t\x0b\r\nword \nx"), Some((b"word".to_vec(), &b"\nx"[..])));
        assert_eq!(answer(Pattern::Word, b"a b"), Some((b"a".to_vec(), &b"b"[..])));
        assert_eq!(partial(Pattern::Word, b"  wo"), b"wo");
        assert_eq!(partial(Pattern::Word, b"   "), b"");
        assert_eq!(partial(Pattern::Word, b"wo"), b"wo");
    }

    #[test]
    fn a_count_is_exact() {
        assert_eq!(answer(Pattern::Count(2), b"abc"), Some((b"ab".to_vec(), &b"c"[..])));
        assert_eq!(answer(Pattern::Count(0), b""), Some((vec![], &b""[..])));
        assert_eq!(partial(Pattern::Count(u64::MAX), b"abc"), b"abc");
        assert_eq!(answer(Pattern::Peek, b"a"), Some((vec![], &b"a"[..])));
        assert_eq!(answer(Pattern::Peek, b""), None);
        assert_eq!(partial(Pattern::All, b"all"), b"all");
    }

    #[test]
    fn patterns_are_spelt_differently_in_the_two_faces() {
        assert_eq!(Pattern::from_3_1(b"*line"), Some(Pattern::Line(Returns::DropAll)));
        assert_eq!(Pattern::from_3_1(b"*all"), Some(Pattern::All));
        for wrong in [&b""[..], b"*", b"l", b"*L", b"*n", b"*w", b"a"] {
            assert_eq!(Pattern::from_3_1(wrong), None);
        }
        assert_eq!(Pattern::from_1_0(b"*w"), Some(Pattern::Word));
        assert_eq!(Pattern::from_1_0(b"*lu"), Some(Pattern::Line(Returns::Keep)));
        for wrong in [&b""[..], b"*line", b"*all", b"l", b"w"] {
            assert_eq!(Pattern::from_1_0(wrong), None);
        }
    }

    #[test]
    fn numbers_are_cut_to_counts() {
        assert_eq!(Pattern::count(2.9), Some(2));
        assert_eq!(Pattern::count(-0.0), Some(0));
        assert_eq!(Pattern::count(1e300), Some(u64::MAX));
        assert_eq!(Pattern::count(-0.1), None);
        assert_eq!(Pattern::count(f64::NAN), None);
    }

    #[test]
    fn bytes_consumed_meanwhile_do_no_harm() {
        let mut scan = Scan::new(Pattern::Word);
        assert_eq!(scan.advance(b"   abc"), None);
        assert_eq!(scan.advance(b"x"), None);
        assert_eq!(scan.partial(b"").length, 0);
    }
}
