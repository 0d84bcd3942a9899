//! The numbers that both ends of the pipe agree on.

use std::time::Duration;

/// The protocol version that this crate speaks; the first parameter of `hello`.
pub const VERSION: u32 = 1;

/// The longest frame in bytes, checked before anything is allocated for it. A ping behind bulk data
/// on the same pipe waits for one frame at the most, some 100 µs at this size.
pub const MAX_FRAME: usize = 256 * 1024;

/// The most payload bytes that one `data` notification may carry.
pub const MAX_DATA: usize = MAX_FRAME - crate::frame::DATA_HEADER;

/// The most credit in bytes that may be outstanding on one socket in one direction; a larger grant
/// breaks the protocol, so that no sum of grants can overflow.
pub const MAX_WINDOW: u32 = 64 * 1024 * 1024;

/// The longest host name or address literal in bytes (RFC 1035 allows 255 with its length octets;
/// a scoped IPv6 literal is shorter).
pub const HOST_MAX: usize = 255;

/// The longest port number or service name in bytes.
pub const PORT_MAX: usize = 64;

/// The longest client name in `hello` in bytes; longer ones are cut, they only label log lines.
pub const CLIENT_NAME_MAX: usize = 64;

/// The largest UDP payload in bytes, rounded up (65535 less the headers of UDP and IP).
pub const UDP_MAX: usize = 64 * 1024;

/// The largest local datagram in bytes: what Linux' default send buffer takes (`net.core.wmem_default`), and
/// what fits a frame with the longest path.
pub const UNIX_DGRAM_MAX: usize = 208 * 1024;

/// What a datagram costs of the credit besides its bytes, so that empty ones are bounded, too.
pub const DATAGRAM_OVERHEAD: usize = 64;

/// The longest time for which a side may look at its ring again and again before it sleeps: a longer one would be a wait
/// that burns a processor.
pub const SPIN_MAX: Duration = Duration::from_millis(1);

/// The longest path of a local socket in bytes (`sun_path` of unix(7), with its final NUL).
pub const PATH_MAX: usize = 107;
