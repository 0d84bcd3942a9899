//! What has to hold of any bytes that a codec is given: bytes that come in any pieces give the same frames, and whatever
//! is understood is written again and understood the same.

use std::fmt::Debug;

use luasocketd_protocol::*;

/// Examines a stream that comes in pieces of this length.
///
/// # Panics
/// When it is not treated as it has to be.
pub fn examine(stream: &[u8], piece: usize) {
    let (found, error) = frames(stream, piece);
    assert_eq!(frames(stream, MAX_FRAME), (found.clone(), error), "another cut, other frames");
    assert_eq!(
        whole(stream),
        found.iter().map(Vec::len).sum::<usize>() + left_of_broken(stream, &found, error)
    );
    found.iter().for_each(|frame| look(frame));
}

/// The frames of a stream that comes in pieces, and how it ends.
pub fn frames(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut reader, mut found) = (FrameReader::new(), Vec::new());
    for piece in stream.chunks(piece) {
        let space = reader.space(piece.len());
        space[..piece.len()].copy_from_slice(piece);
        reader.filled(piece.len());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next_frame(), Err(error), "a stream that was lost comes back");
                    return (found, Some(error));
                }
            }
        }
    }
    assert_eq!(reader.buffered() + found.iter().map(Vec::len).sum::<usize>(), stream.len());
    (found, None)
}

/// How many of the bytes a reader takes that wants whole frames alone.
fn whole(stream: &[u8]) -> usize {
    let length = stream.len().min(MAX_FRAME);
    let mut reader = FrameReader::new();
    reader.space(length)[..length].copy_from_slice(&stream[..length]);
    let whole = reader.filled_whole(length);
    assert_eq!(reader.buffered(), whole);
    whole
}

/// A broken frame counts as whole.
fn left_of_broken(stream: &[u8], found: &[Vec<u8>], error: Option<FrameError>) -> usize {
    if error.is_some() { stream.len() - found.iter().map(Vec::len).sum::<usize>() } else { 0 }
}

/// Understands a frame in every way in which either side does.
fn look(frame: &[u8]) {
    let parsed = Frame::parse(frame);
    if let Some(data) = plain_data(frame) {
        let Ok(Frame::Notification { method: "data", params }) = &parsed else { panic!("{parsed:?}") };
        assert_eq!(decode(params), Ok(data));
    }
    match parsed {
        Ok(Frame::Request { id, method, params }) => {
            if let Ok(hello) = Call::parse_hello(method, params) {
                assert_eq!(Call::parse(method, params), Ok(Call::Hello(hello)));
            }
            if let Ok(call) = Call::parse(method, params) {
                let mut again = Vec::new();
                encode_request(&mut again, id, &call);
                let Ok(Frame::Request { id: back, method, params }) = Frame::parse(&again) else {
                    panic!("{call:?} became {again:x?}")
                };
                assert_eq!((back, Call::parse(method, params)), (id, Ok(call)));
            }
        }
        Ok(Frame::Notification { method, params }) => {
            if let Ok(note) = ClientNote::parse(method, params) {
                again(&note, |method, params| {
                    assert_eq!(ClientNote::parse(method, params), Ok(note.clone()))
                });
            }
            if let Ok(note) = DaemonNote::parse(method, params) {
                again(&note, |method, params| {
                    assert_eq!(DaemonNote::parse(method, params), Ok(note.clone()))
                });
            }
        }
        Ok(Frame::Response { id, outcome: Err(failure) }) => {
            let mut again = Vec::new();
            encode_failure(&mut again, id, &failure);
            assert_eq!(Frame::parse(&again), Ok(Frame::Response { id, outcome: Err(failure) }));
        }
        Ok(Frame::Response { id, outcome: Ok(result) }) => {
            answer::<HelloReply>(id, result);
            answer::<SocketId>(id, result);
            answer::<Endpoint>(id, result);
            answer::<Bound>(id, result);
            answer::<Peer>(id, result);
            answer::<HostEntry>(id, result);
            answer::<NameInfo>(id, result);
            answer::<Resolved>(id, result);
            answer::<Address>(id, result);
            answer::<OptionValue>(id, result);
            answer::<RingGrant>(id, result);
            answer::<u64>(id, result);
        }
        Err(error) => assert_eq!(error, FrameError::Malformed),
    }
}

/// Writes a notification again and has its parts looked at.
fn again(note: &impl Envelope, look: impl FnOnce(&str, &[u8])) {
    let mut again = Vec::new();
    encode_note(&mut again, note);
    match Frame::parse(&again) {
        Ok(Frame::Notification { method, params }) => look(method, params),
        other => panic!("{again:x?} is {other:?}"),
    }
}

/// Writes a result again, if it is one of this type.
fn answer<T>(id: u32, result: &[u8])
where
    T: serde::Serialize + for<'a> serde::Deserialize<'a> + PartialEq + Debug,
{
    let Ok(value) = decode::<T>(result) else { return };
    let mut again = Vec::new();
    encode_reply(&mut again, id, &value);
    let Ok(Frame::Response { id: back, outcome: Ok(result) }) = Frame::parse(&again) else {
        panic!("{value:?} became {again:x?}")
    };
    assert_eq!((back, decode::<T>(result)), (id, Ok(value)));
}
