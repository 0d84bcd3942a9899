//! The codes of `gethostbyname(3)`, and LuaSocket's texts for them, which are nearly all the C library's.

/// The host exists and has no address of the wanted family.
pub(crate) const NO_ADDRESS: i32 = 4;

/// The text for a lookup of a host entry that failed with this `h_errno`.
pub(crate) fn text(code: i32) -> &'static str {
    match code {
        0 => "Resolver Error 0 (no error)",
        1 => "host not found",
        2 => "Host name lookup failure",
        3 => "Unknown server error",
        NO_ADDRESS => "No address associated with name",
        code if code < 0 => "Resolver internal error",
        _ => "Unknown resolver error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_luasockets_and_the_others_are_cs() {
        assert_eq!(text(1), "host not found");
        assert_eq!(text(2), "Host name lookup failure");
        assert_eq!(text(4), "No address associated with name");
        assert_eq!(text(99), "Unknown resolver error");
    }
}
