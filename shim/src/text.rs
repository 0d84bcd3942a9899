//! What a script reads when a call fails: the words of each LuaSocket for each failure on the pipe.
//!
//! Pure tables, one for each fact, each matched exhaustively on the protocol's codes.

pub(crate) mod gai;
pub(crate) mod host;
pub(crate) mod v1_0;
pub(crate) mod v3_1;

/// The C library's text for an errno.
pub(crate) fn strerror(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    // Rust adds the number, which LuaSocket does not show.
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_the_text_of_c() {
        assert_eq!(strerror(22), "Invalid argument");
        assert_eq!(strerror(107), "Transport endpoint is not connected");
    }
}
