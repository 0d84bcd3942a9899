//! Metrics over HTTP, for whoever fetches them from this machine: one request a connection, one page.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::line::Bounded;
use crate::admin::metrics::CONTENT_TYPE;

/// The longest request with all its headers: many times what Prometheus sends.
const REQUEST_MAX: usize = 8192;

/// The most headers that are looked at.
const HEADERS_MAX: usize = 64;

/// How long a request may take to arrive.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take to be read.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// The one page.
const PAGE: &str = "/metrics";

/// Listens where metrics are fetched.
///
/// # Errors
/// When the address is not one of this machine's loopback, in words, or the system refuses.
pub fn listen_for_metrics(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let text = format!("{} is no loopback address: metrics are for this machine only", address.ip());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Bounded for TcpStream {
    fn bound_reads(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    BadRequest,
    NotFound,
    NotAllowed,
    Late,
    TooLarge,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::NotAllowed => "405 Method Not Allowed",
            Status::Late => "408 Request Timeout",
            Status::TooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Answers the one request of a connection; `text` makes the page.
///
/// # Errors
/// What the system says to the connection; nobody else is concerned.
pub(crate) fn serve_metrics(
    mut stream: TcpStream,
    text: impl FnOnce() -> Result<String, String>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_LIMIT))?;
    let status = match read_request(&mut stream, Instant::now() + REQUEST_LIMIT)? {
        Some(status) => status,
        None => return Ok(()),
    };
    let (status, body) = match status {
        Status::Ok => match text() {
            Ok(text) => (Status::Ok, text),
            Err(error) => (Status::Unavailable, format!("{error}\n")),
        },
        status => (status, format!("{}; metrics are at {PAGE}\n", status.line())),
    };
    stream.write_all(answer(status, &body).as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// Reads a request up to the end of its headers and says what it gets; nothing where nobody asked.
fn read_request(stream: &mut impl Bounded, until: Instant) -> io::Result<Option<Status>> {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Some(Status::Late));
        }
        stream.bound_reads(left)?;
        match stream.read(&mut piece) {
            Ok(0) if request.is_empty() => return Ok(None),
            Ok(0) => return Ok(Some(Status::BadRequest)),
            Ok(count) => request.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Status::Late)),
            Err(error) => return Err(error),
        }
        if let Some(status) = judge(&request) {
            return Ok(Some(status));
        }
        if request.len() >= REQUEST_MAX {
            return Ok(Some(Status::TooLarge));
        }
    }
}

/// What a request gets; nothing as long as it is not whole.
fn judge(request: &[u8]) -> Option<Status> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(request) {
        Ok(httparse::Status::Partial) => None,
        Err(httparse::Error::TooManyHeaders) => Some(Status::TooLarge),
        Err(_) => Some(Status::BadRequest),
        Ok(httparse::Status::Complete(_)) => {
            let path = parsed.path.unwrap_or_default();
            Some(match (path.split('?').next(), parsed.method) {
                (Some(PAGE), Some("GET")) => Status::Ok,
                (Some(PAGE), _) => Status::NotAllowed,
                _ => Status::NotFound,
            })
        }
    }
}

fn answer(status: Status, body: &str) -> String {
    let content_type = if status == Status::Ok { CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    let allow = if status == Status::NotAllowed { "Allow: GET\r\n" } else { "" };
    format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n{body}",
        status.line(),
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_can_be_fetched() {
        for (request, status) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Some(Status::Ok)),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", Some(Status::Ok)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Some(Status::NotAllowed)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Some(Status::NotAllowed)),
            ("GET / HTTP/1.1\r\n\r\n", Some(Status::NotFound)),
            ("GET /metricsx HTTP/1.1\r\n\r\n", Some(Status::NotFound)),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n", None),
            ("GET /metrics HTTP/9\r\n\r\n", Some(Status::BadRequest)),
            ("\x16\x03\x01", Some(Status::BadRequest)),
        ] {
            assert_eq!(judge(request.as_bytes()), status, "{request:?}");
        }
        let many: String = (0..=HEADERS_MAX).map(|number| format!("h{number}: x\r\n")).collect();
        assert_eq!(judge(format!("GET /metrics HTTP/1.1\r\n{many}\r\n").as_bytes()), Some(Status::TooLarge));
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
            let error = listen_for_metrics(address.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("is no loopback address"), "{error}");
        }
        assert!(listen_for_metrics("127.0.0.1:0".parse().unwrap()).is_ok());
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let text = answer(Status::NotAllowed, "no\n");
        assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("Content-Length: 3\r\n"), "{text}");
        assert!(text.contains("Allow: GET\r\n") && text.ends_with("\r\n\r\nno\n"), "{text}");
    }
}
