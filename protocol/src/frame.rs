//! The envelope of a message, in MessagePack-RPC's shapes, and how it is written and read.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::Failure;
use crate::message::Data;
use crate::scan::{array_length, elements};
use crate::types::SocketId;

/// Why bytes are not a message of this protocol. Every one of them ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The announced length is over [`crate::MAX_FRAME`].
    #[error("a frame is longer than 262144 bytes")]
    TooLarge,
    /// No MessagePack, or not one of the shapes that the specification lists.
    #[error("bytes that are no message of this protocol")]
    Malformed,
    /// The method is not one that may be called this way.
    #[error("an unknown method")]
    UnknownMethod,
    /// `hello` asks for a version that is not spoken here.
    #[error("protocol version {0} is not spoken here, version {spoken} is", spoken = crate::VERSION)]
    Version(u64),
}

impl From<rmp_serde::decode::Error> for FrameError {
    fn from(_: rmp_serde::decode::Error) -> Self {
        FrameError::Malformed
    }
}

/// One message with its parameters still undecoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame<'a> {
    /// `[0, id, method, params]`: wants an answer.
    Request {
        /// Chosen by the client; unique among its unanswered requests.
        id: u32,
        /// The method's name.
        method: &'a str,
        /// The parameters' bytes, an array.
        params: &'a [u8],
    },
    /// `[1, id, error, result]`: the answer to the request `id`.
    Response {
        /// The id of the request that is answered.
        id: u32,
        /// The result's bytes, or why there is none.
        outcome: Result<&'a [u8], Failure>,
    },
    /// `[2, method, params]`: wants no answer.
    Notification {
        /// The method's name.
        method: &'a str,
        /// The parameters' bytes, an array.
        params: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// Reads the envelope of one complete frame.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] for any other shape.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        match array_length(frame)? {
            4 => {
                let [kind, first, second, third] = elements(frame)?;
                match decode(kind)? {
                    REQUEST => {
                        Ok(Frame::Request { id: decode(first)?, method: decode(second)?, params: third })
                    }
                    RESPONSE => {
                        let outcome = decode::<Option<Failure>>(second)?.map_or(Ok(third), Err);
                        Ok(Frame::Response { id: decode(first)?, outcome })
                    }
                    _ => Err(FrameError::Malformed),
                }
            }
            3 => {
                let [kind, method, params] = elements(frame)?;
                match decode(kind)? {
                    NOTIFICATION => Ok(Frame::Notification { method: decode(method)?, params }),
                    _ => Err(FrameError::Malformed),
                }
            }
            _ => Err(FrameError::Malformed),
        }
    }
}

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const NOTIFICATION: u8 = 2;

/// Decodes parameters or a result.
///
/// # Errors
/// [`FrameError::Malformed`] when the bytes are not of the type.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FrameError> {
    Ok(rmp_serde::from_slice(bytes)?)
}

/// A set of messages: the method names and the way each one's parameters are written.
pub trait Envelope {
    /// The method's name on the pipe.
    fn method(&self) -> &'static str;
    /// Appends the parameters, an array.
    fn write_params(&self, out: &mut Vec<u8>);
}

/// Appends the request `id` to `out`.
pub fn encode_request(out: &mut Vec<u8>, id: u32, call: &impl Envelope) {
    out.extend([0x94, REQUEST]);
    append(out, &id);
    append(out, call.method());
    call.write_params(out);
}

/// Appends the notification `note` to `out`.
pub fn encode_note(out: &mut Vec<u8>, note: &impl Envelope) {
    out.extend([0x93, NOTIFICATION]);
    append(out, note.method());
    note.write_params(out);
}

/// Appends the successful answer to the request `id` to `out`.
pub fn encode_reply(out: &mut Vec<u8>, id: u32, result: &impl Serialize) {
    out.extend([0x94, RESPONSE]);
    append(out, &id);
    append(out, &());
    append(out, result);
}

/// Appends the failed answer to the request `id` to `out`.
pub fn encode_failure(out: &mut Vec<u8>, id: u32, failure: &Failure) {
    out.extend([0x94, RESPONSE]);
    append(out, &id);
    append(out, failure);
    append(out, &());
}

/// A `ring-wake` notification, as [`encode_note`] writes it.
pub const RING_WAKE: &[u8] = b"\x93\x02\xa9ring-wake\x90";

/// Reads a `data` notification whose head is spelt as [`data_header`] does it; gives `None` for any other frame,
/// which [`Frame::parse`] takes apart. Most frames of a busy socket are such ones.
pub fn plain_data(frame: &[u8]) -> Option<Data<'_>> {
    let (head, bytes) = frame.split_first_chunk()?;
    let (socket, length) = plain_data_head(head)?;
    (length == bytes.len()).then_some(Data { socket, bytes })
}

/// The socket and the payload's length, if a frame has such a head.
pub fn plain_data_head(head: &[u8; DATA_HEADER]) -> Option<(SocketId, usize)> {
    let [b'\x93', b'\x02', b'\xa4', b'd', b'a', b't', b'a', b'\x92', b'\xcf', rest @ ..] = head else {
        return None;
    };
    let [a, b, c, d, e, f, g, h, b'\xc6', length @ ..] = rest else { return None };
    let socket = SocketId(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
    Some((socket, u32::from_be_bytes(*length) as usize))
}

/// Bytes of a `data` notification before its payload, as [`data_header`] writes them.
pub const DATA_HEADER: usize = 22;

/// The head of a `data` notification of `length` payload bytes, which follow it.
///
/// It has one size for every socket and length, so that a reader can leave room for it before it
/// knows how much the network will give.
pub fn data_header(socket: SocketId, length: u32) -> [u8; DATA_HEADER] {
    let mut header = *b"\x93\x02\xa4data\x92\xcf........\xc6....";
    header[9..17].copy_from_slice(&socket.0.to_be_bytes());
    header[18..22].copy_from_slice(&length.to_be_bytes());
    header
}

pub(crate) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing to memory cannot fail, and every message type has a MessagePack form.
    if let Err(error) = rmp_serde::encode::write(out, value) {
        unreachable!("a message without a MessagePack form: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ClientNote, RingWake};

    #[test]
    fn what_is_written_by_hand_is_what_the_encoder_writes() {
        let mut out = Vec::new();
        encode_note(&mut out, &ClientNote::RingWake(RingWake {}));
        assert_eq!(out, RING_WAKE);
        let frame = [&data_header(SocketId(7 << 32 | 3), 5)[..], b"bytes"].concat();
        let plain = plain_data(&frame).unwrap();
        assert_eq!((plain.socket, plain.bytes), (SocketId(7 << 32 | 3), &b"bytes"[..]));
        let Ok(Frame::Notification { method: "data", params }) = Frame::parse(&frame) else { panic!() };
        assert_eq!(decode::<Data<'_>>(params), Ok(plain));
    }

    #[test]
    fn another_spelling_of_data_is_not_plain() {
        let frame = [&data_header(SocketId(1), 5)[..], b"bytes"].concat();
        for cut in 0..frame.len() {
            assert_eq!(plain_data(&frame[..cut]), None, "{cut}");
        }
        for at in (0..9).chain([17, 21]) {
            let mut other = frame.clone();
            other[at] ^= 1;
            assert_eq!(plain_data(&other), None, "{at}");
        }
        let mut encoded = Vec::new();
        encode_note(&mut encoded, &ClientNote::Data(Data { socket: SocketId(1), bytes: b"bytes" }));
        assert_eq!(plain_data(&encoded), None);
    }
}
