//! The codec as both ends use it: any split of any byte stream gives the same frames, and every
//! message survives the way over the pipe.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod samples;

use luasocketd_protocol::*;
use proptest::prelude::*;
use samples::{calls, client_notes, daemon_notes, one_of_each};

/// What a stream of bytes decodes to when it arrives in pieces of these lengths.
fn frames(stream: &[u8], mut cuts: impl Iterator<Item = usize>) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut reader, mut found, mut rest) = (FrameReader::new(), Vec::new(), stream);
    loop {
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        if rest.is_empty() {
            return (found, None);
        }
        let length = cuts.next().unwrap_or(MAX_FRAME).clamp(1, MAX_FRAME).min(rest.len());
        let space = reader.space(length);
        space[..length].copy_from_slice(&rest[..length]);
        reader.filled(length);
        rest = &rest[length..];
    }
}

#[test]
fn every_call_survives_the_pipe() {
    let calls = calls(SocketId::new(1, 2));
    assert_eq!(calls.iter().map(Envelope::method).collect::<Vec<_>>(), Call::METHODS);
    for call in calls {
        let mut out = Vec::new();
        encode_request(&mut out, 77, &call);
        let Ok(Frame::Request { id: 77, method, params }) = Frame::parse(&out) else { panic!("{call:?}") };
        assert_eq!(Call::parse(method, params), Ok(call));
    }
}

#[test]
fn every_notification_survives_the_pipe() {
    let socket = SocketId::new(1, 2);
    assert_eq!(client_notes(socket).iter().map(Envelope::method).collect::<Vec<_>>(), ClientNote::METHODS);
    assert_eq!(daemon_notes(socket).iter().map(Envelope::method).collect::<Vec<_>>(), DaemonNote::METHODS);
    for note in client_notes(socket) {
        let mut out = Vec::new();
        encode_note(&mut out, &note);
        let Ok(Frame::Notification { method, params }) = Frame::parse(&out) else { panic!("{note:?}") };
        assert_eq!(ClientNote::parse(method, params), Ok(note));
    }
    for note in daemon_notes(socket) {
        let mut out = Vec::new();
        encode_note(&mut out, &note);
        let Ok(Frame::Notification { method, params }) = Frame::parse(&out) else { panic!("{note:?}") };
        assert_eq!(DaemonNote::parse(method, params), Ok(note));
    }
}

#[test]
fn a_data_header_and_its_payload_are_a_data_notification() {
    let (socket, bytes) = (SocketId::new(5, 1), &b"hello"[..]);
    let frame = [&data_header(socket, bytes.len() as u32)[..], bytes].concat();
    let Ok(Frame::Notification { method, params }) = Frame::parse(&frame) else { panic!("{frame:?}") };
    assert_eq!(DaemonNote::parse(method, params), Ok(DaemonNote::Data(Data { socket, bytes })));
}

#[test]
fn every_spelling_of_messagepack_is_understood() {
    // [0, 7, "sync", []] with the widest form of each value.
    let wide = b"\xdd\0\0\0\x04\xcf\0\0\0\0\0\0\0\0\xcf\0\0\0\0\0\0\0\x07\xdb\0\0\0\x04sync\xdc\0\0";
    let (found, error) = frames(wide, std::iter::empty());
    assert_eq!((found.len(), error), (1, None));
    let Ok(Frame::Request { id: 7, method, params }) = Frame::parse(&found[0]) else { panic!("{found:?}") };
    assert_eq!(Call::parse(method, params), Ok(Call::Sync(Sync {})));
}

#[test]
fn the_longest_data_fits_a_frame_and_one_byte_more_does_not() {
    for (length, fits) in [(MAX_DATA, true), (MAX_DATA + 1, false)] {
        let mut frame = data_header(SocketId(1), length as u32).to_vec();
        frame.resize(DATA_HEADER + length, b'x');
        let (found, error) = frames(&frame, std::iter::empty());
        assert_eq!((found.len(), error.is_none()), (usize::from(fits), fits));
    }
}

#[test]
fn the_longest_datagram_fits_a_frame() {
    let (bytes, path) = (vec![0; UNIX_DGRAM_MAX], "x".repeat(PATH_MAX));
    let mut out = Vec::new();
    encode_note(
        &mut out,
        &DaemonNote::Datagram(Datagram {
            socket: SocketId(u64::MAX),
            from: Address::path(path.clone()),
            bytes: &bytes,
        }),
    );
    let sent = SendTo {
        socket: SocketId(u64::MAX),
        host: Some(&path),
        port: "",
        timeout_ms: Some(u64::MAX),
        bytes: &bytes,
    };
    encode_request(&mut out, u32::MAX, &Call::SendTo(sent));
    let (found, error) = frames(&out, std::iter::empty());
    assert_eq!((found.len(), error), (2, None));
}

#[test]
fn every_value_of_an_option_survives_the_pipe() {
    let socket = SocketId::new(1, 2);
    for value in [
        OptionValue::Flag(true),
        OptionValue::Number(-1),
        OptionValue::Text("eth0".into()),
        OptionValue::Linger(false, 65535),
        OptionValue::Group("224.0.0.1".into(), "0.0.0.0".into()),
        OptionValue::Group6("ff02::1".into(), 7),
    ] {
        let call = Call::SetOption(SetOption { socket, option: SocketOption::Linger, value });
        let mut out = Vec::new();
        encode_request(&mut out, 1, &call);
        let Ok(Frame::Request { method, params, .. }) = Frame::parse(&out) else { panic!("{call:?}") };
        assert_eq!(Call::parse(method, params), Ok(call));
    }
}

#[test]
fn a_hello_of_a_later_version_is_named_whatever_else_it_holds() {
    let later = [0x94, 9, 0xc3, 0x80, 0xa0];
    assert_eq!(Call::parse_hello("hello", &later), Err(FrameError::Version(9)));
    assert_eq!(Call::parse_hello("open", &later), Err(FrameError::UnknownMethod));
    assert_eq!(Call::parse_hello("hello", &[0x90]), Err(FrameError::Malformed));
}

#[test]
fn what_is_no_message_is_refused_at_its_first_byte() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\0", b"\xc1", b"\x95"] {
        assert_eq!(frames(bytes, std::iter::empty()), (vec![], Some(FrameError::Malformed)), "{bytes:?}");
    }
}

#[test]
fn what_is_no_message_counts_as_whole_however_much_of_it_is_there() {
    // The first three bytes of a text of five, and of an array of two.
    for broken in [&b"\xa5ab"[..], b"\x92\x01"] {
        let mut stream = Vec::new();
        encode_note(&mut stream, &ClientNote::RingWake(RingWake {}));
        stream.extend(broken);
        let mut reader = FrameReader::new();
        reader.space(stream.len())[..stream.len()].copy_from_slice(&stream);
        assert_eq!(reader.filled_whole(stream.len()), stream.len());
        assert_eq!(reader.next_frame(), Ok(Some(RING_WAKE)));
        assert_eq!(reader.next_frame(), Err(FrameError::Malformed));
    }
}

/// The bytes between the lines of the worked example in the specification.
fn worked_example() -> Vec<u8> {
    let spec = include_str!("../PROTOCOL.md");
    let dump = spec.split("```hexdump\n").nth(1).expect("a hexdump block").split("```").next().unwrap();
    dump.lines()
        .flat_map(|line| line.split('|').next().unwrap().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"))
        .collect()
}

#[test]
fn the_worked_example_of_the_specification_decodes() {
    let (found, error) = frames(&worked_example(), std::iter::empty());
    let socket = SocketId::new(0, 1);
    let mut expected: Vec<Vec<u8>> = vec![Vec::new(); 6];
    encode_request(&mut expected[0], 1, &Call::Hello(Hello { version: 1, client: "a.lua", lua: "Lua 5.4" }));
    encode_reply(&mut expected[1], 1, &HelloReply { version: 1, daemon: "luasocketd".into() });
    let connect = Connect {
        socket: None,
        host: "::1",
        port: "80",
        family: Family::Unspec,
        timeout_ms: Some(500),
        window: 65536,
    };
    encode_request(&mut expected[2], 2, &Call::Connect(connect));
    encode_failure(&mut expected[3], 2, &Failure { code: Code::Os, detail: 111, message: "refused".into() });
    encode_note(&mut expected[4], &ClientNote::Data(Data { socket, bytes: b"hi\n" }));
    encode_note(&mut expected[5], &DaemonNote::Eof(Eof { socket }));
    assert_eq!((found, error), (expected.clone(), None), "the dump would be\n{}", hexdump(&expected));
}

fn hexdump(frames: &[Vec<u8>]) -> String {
    let line = |frame: &Vec<u8>| frame.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    frames.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_specification_names_every_method_code_and_option() {
    let spec = include_str!("../PROTOCOL.md");
    let methods = Call::METHODS.iter().chain(ClientNote::METHODS).chain(DaemonNote::METHODS).copied();
    let codes = Code::ALL.iter().map(|code| code.name());
    let options = SocketOption::ALL.iter().map(|option| option.name());
    for name in methods.chain(codes).chain(options) {
        assert!(spec.contains(&format!("| `{name}` |")), "PROTOCOL.md has no row for `{name}`");
    }
    let limits = [MAX_FRAME, MAX_DATA, MAX_WINDOW as usize, HOST_MAX, PORT_MAX, CLIENT_NAME_MAX];
    let datagrams = [UDP_MAX, UNIX_DGRAM_MAX, DATAGRAM_OVERHEAD, PATH_MAX];
    for limit in limits.into_iter().chain(datagrams) {
        assert!(spec.contains(&format!("| {limit} |")), "PROTOCOL.md has no row for the limit {limit}");
    }
}

proptest! {
    #[test]
    fn any_split_of_a_valid_stream_gives_the_same_frames(cuts in prop::collection::vec(1usize..40, 0..400)) {
        let stream = one_of_each();
        let whole = frames(&stream, std::iter::empty());
        prop_assert_eq!(&whole.1, &None);
        prop_assert_eq!(whole.0.concat(), stream.clone());
        prop_assert_eq!(frames(&stream, cuts.into_iter()), whole);
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_frames(
        head in prop::collection::vec(prop::sample::select(vec![0x93u8, 0x94, 0x00, 0xa1, 0xc0, 0xc4]), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1usize..20, 0..200),
    ) {
        let stream = [head, tail].concat();
        prop_assert_eq!(frames(&stream, cuts.into_iter()), frames(&stream, std::iter::empty()));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Frame::Request { method, params, .. } | Frame::Notification { method, params }) =
            Frame::parse(&bytes)
        {
            let _ = (Call::parse(method, params), Call::parse_hello(method, params));
        }
        for method in Call::METHODS.iter().chain(ClientNote::METHODS).chain(DaemonNote::METHODS) {
            let _ = Call::parse(method, &bytes);
            let _ = ClientNote::parse(method, &bytes);
            let _ = DaemonNote::parse(method, &bytes);
        }
    }

    #[test]
    fn a_window_never_lets_more_through_than_was_granted(
        size in 1u32..10_000,
        steps in prop::collection::vec((0usize..5_000, 0usize..5_000), 1..200),
    ) {
        let (mut sender, mut receiver) = (SendWindow::new(size), ReceiveWindow::new(size));
        for (wanted, consumed) in steps {
            let sent = sender.take(wanted);
            prop_assert_eq!(receiver.on_received(sent), Ok(()));
            receiver.on_consumed(consumed);
            prop_assert!(receiver.committed() <= size);
            sender.grant(receiver.take_grant()).unwrap();
            prop_assert_eq!(sender.available() + receiver.held() as usize, receiver.committed() as usize);
        }
        receiver.on_consumed(usize::MAX);
        sender.grant(receiver.take_grant()).unwrap();
        prop_assert!(sender.available() > 0, "the sender is stuck");
    }
}
