//! The envelope of a message, in MessagePack-RPC's shapes, and how it is written and read.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::Failure;
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
