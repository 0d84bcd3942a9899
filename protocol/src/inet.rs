//! IPv4 addresses in all the forms that C libraries have read since 4.2BSD.

use std::net::Ipv4Addr;

/// Reads an address as inet_aton(3) does: one to four numbers, each decimal, octal after a `0` or hexadecimal after
/// `0x`, the last of which fills the bytes that are left. Nothing follows it: what inet_aton ignores there, behind a
/// space, getaddrinfo(3) refuses.
pub fn aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').collect::<Vec<_>>();
    if parts.len() > 4 {
        return None;
    }
    let last = number(parts.pop()?)?;
    let mut address = 0;
    for part in &parts {
        address = address << 8 | u32::from(u8::try_from(number(part)?).ok()?);
    }
    let bits = 32 - 8 * parts.len() as u32;
    if u64::from(last) >> bits != 0 {
        return None;
    }
    // With no part before it, all 32 bits are the last one's.
    Some(Ipv4Addr::from_bits(address.checked_shl(bits).unwrap_or(0) | last))
}

/// Reads a number as C does.
fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // What the standard library also takes: a sign.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let forms = [
            ("127.0.0.1", [127, 0, 0, 1]),
            ("127.1", [127, 0, 0, 1]),
            ("127.2.3", [127, 2, 0, 3]),
            ("2130706433", [127, 0, 0, 1]),
            ("0x7f000001", [127, 0, 0, 1]),
            ("0X7F.0x0.0.0x1", [127, 0, 0, 1]),
            ("0177.0.0.01", [127, 0, 0, 1]),
            ("0", [0, 0, 0, 0]),
            ("255.255.255.255", [255; 4]),
            ("4294967295", [255; 4]),
            ("1.65535", [1, 0, 255, 255]),
        ];
        for (text, octets) in forms {
            assert_eq!(aton(text), Some(Ipv4Addr::from(octets)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let none = [
            "",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4 and more",
            ".",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "08",
            "0x",
            "0xg",
            "1.2.3.4x",
            "+1",
            "-1",
            "1.-2",
            "a.b",
            "::1",
        ];
        for text in none {
            assert_eq!(aton(text), None, "{text}");
        }
    }
}
