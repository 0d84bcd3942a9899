//! Which ports a rule is about.

use std::fmt;
use std::ops::RangeInclusive;

/// Ports: every one, or those in a list of numbers and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    Every,
    Some(Vec<RangeInclusive<u16>>),
}

impl Ports {
    /// `*`, or numbers and ranges with commas between them; the error says which of them is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Ports::Every);
        }
        let ranges: Result<Vec<_>, String> =
            text.split(',').map(|part| parse_range(part).ok_or_else(|| part.to_owned())).collect();
        Ok(Ports::Some(ranges?))
    }

    pub(super) fn contains(&self, port: u16) -> bool {
        match self {
            Ports::Every => true,
            Ports::Some(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }

    /// The ranges that it is made of.
    pub(super) fn ranges(&self) -> &[RangeInclusive<u16>] {
        match self {
            Ports::Every => &[0..=u16::MAX],
            Ports::Some(ranges) => ranges,
        }
    }

    pub(super) fn is_every(&self) -> bool {
        *self == Ports::Every
    }
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    match text.split_once('-') {
        None => parse_port(text).map(|port| port..=port),
        Some((low, high)) => {
            let (low, high) = (parse_port(low)?, parse_port(high)?);
            (low <= high).then_some(low..=high)
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take `+80`.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ports::Some(ranges) = self else { return f.write_str("*") };
        for (position, range) in ranges.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (low, high) if low == high => write!(f, "{comma}{low}")?,
                (low, high) => write!(f, "{comma}{low}-{high}")?,
            }
        }
        Ok(())
    }
}
