use luasocketd_protocol::{
    Accept, Address, Bind, Bound, Broken, Connect, DATAGRAM_OVERHEAD, Data, Datagram, Envelope, Eof, Family,
    FrameReader, Kind, Open, Peer, SetPeer, SocketError, Sync, data_header, encode_failure, encode_reply,
};

use super::*;
use crate::stream::End;

const LISTENER: SocketId = SocketId::new(1, 1);
const STREAM: SocketId = SocketId::new(2, 1);
/// Credit for datagrams.
const DATAGRAMS: u32 = 200;

fn connect() -> Call<'static> {
    let family = Family::Unspec;
    Call::Connect(Connect { socket: None, host: "h", port: "1", family, timeout_ms: None, window: 100 })
}

fn accept() -> Call<'static> {
    Call::Accept(Accept { socket: LISTENER, timeout_ms: None, window: 100 })
}

fn endpoint(window: u32) -> Endpoint {
    let address = Address { family: Family::Inet, host: "127.0.0.1".to_owned(), port: 1 };
    Endpoint { socket: STREAM, window, local: address.clone(), peer: address }
}

fn open() -> Call<'static> {
    Call::Open(Open { kind: Kind::Udp, family: Family::Inet, window: DATAGRAMS })
}

fn bind(socket: Option<SocketId>) -> Call<'static> {
    Call::Bind(Bind {
        socket,
        kind: Kind::Udp,
        host: "h",
        port: "1",
        family: Family::Inet,
        reuse_address: false,
        timeout_ms: None,
        window: DATAGRAMS,
    })
}

fn set_peer(socket: Option<SocketId>) -> Call<'static> {
    let family = Family::Unspec;
    let window = if socket.is_none() { DATAGRAMS } else { 0 };
    Call::SetPeer(SetPeer { socket, host: "h", port: "1", family, timeout_ms: None, window })
}

/// The answer to the first request.
fn encoded_reply(result: &impl serde::Serialize) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_reply(&mut frame, 0, result);
    frame
}

fn datagram(mux: &mut Mux, bytes: &[u8]) -> Result<(), Violation> {
    let from = endpoint(0).peer;
    note(mux, &DaemonNote::Datagram(Datagram { socket: STREAM, from, bytes }))
}

/// Gives the answer to `ticket` to the mux.
fn answer(mux: &mut Mux, ticket: Ticket, result: Result<Endpoint, Failure>) -> Result<(), Violation> {
    let mut frame = Vec::new();
    match result {
        Ok(endpoint) => encode_reply(&mut frame, ticket.0, &endpoint),
        Err(failure) => encode_failure(&mut frame, ticket.0, &failure),
    }
    mux.handle_frame(&frame)
}

fn note(mux: &mut Mux, note: &impl Envelope) -> Result<(), Violation> {
    let mut frame = Vec::new();
    encode_note(&mut frame, note);
    mux.handle_frame(&frame)
}

fn data(mux: &mut Mux, bytes: &[u8]) -> Result<(), Violation> {
    note(mux, &DaemonNote::Data(Data { socket: STREAM, bytes }))
}

/// The methods of the notes that wait to be written; requests are left out.
fn notes(mux: &mut Mux) -> Vec<String> {
    let mut reader = FrameReader::new();
    let bytes = mux.unwritten().to_vec();
    mux.on_written(bytes.len());
    reader.space(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
    reader.filled(bytes.len());
    let mut methods = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        if let Frame::Notification { method, .. } = Frame::parse(frame).unwrap() {
            methods.push(method.to_owned());
        }
    }
    methods
}

#[test]
fn data_right_behind_the_answer_finds_its_connection() {
    let mut mux = Mux::default();
    let ticket = mux.request(&connect()).unwrap();
    assert_eq!(mux.take_answer(ticket), None);
    answer(&mut mux, ticket, Ok(endpoint(50))).unwrap();
    data(&mut mux, b"hello").unwrap();
    assert_eq!(mux.take_answer(ticket), Some(Ok(Reply::Endpoint(endpoint(50)))));
    let stream = mux.stream(STREAM).unwrap();
    assert_eq!((stream.unread(), stream.credit()), (&b"hello"[..], 50));
}

#[test]
fn a_connection_nobody_waits_for_is_closed() {
    let mut mux = Mux::default();
    let early = mux.request(&connect()).unwrap();
    answer(&mut mux, early, Ok(endpoint(1))).unwrap();
    mux.abandon(early);
    assert_eq!(notes(&mut mux), ["close"]);
    let late = mux.request(&connect()).unwrap();
    mux.abandon(late);
    assert_eq!(notes(&mut mux), ["cancel"]);
    answer(&mut mux, late, Ok(endpoint(1))).unwrap();
    assert_eq!(notes(&mut mux), ["close"]);
    assert!(mux.stream(STREAM).is_none() && mux.requests.is_empty());
}

#[test]
fn an_accepted_connection_nobody_waits_for_is_for_the_next_accept() {
    let mut mux = Mux::default();
    mux.listen(LISTENER);
    let ticket = mux.request(&accept()).unwrap();
    mux.abandon(ticket);
    assert!(!mux.watch(LISTENER));
    answer(&mut mux, ticket, Ok(endpoint(1))).unwrap();
    assert!(mux.watch(LISTENER));
    assert_eq!(mux.take_accepted(LISTENER), Some(endpoint(1)));
    assert_eq!(mux.take_accepted(LISTENER), None);
    assert!(mux.stream(STREAM).is_some());
}

#[test]
fn a_closed_listener_closes_what_it_had_accepted() {
    let mut mux = Mux::default();
    mux.listen(LISTENER);
    let queued = mux.request(&accept()).unwrap();
    let late = mux.request(&accept()).unwrap();
    mux.abandon(queued);
    mux.abandon(late);
    answer(&mut mux, queued, Ok(endpoint(1))).unwrap();
    mux.close(LISTENER);
    assert_eq!(notes(&mut mux), ["cancel", "cancel", "close", "close"]);
    answer(&mut mux, late, Ok(endpoint(1))).unwrap();
    assert_eq!(notes(&mut mux), ["close"]);
}

#[test]
fn a_listener_is_watched_once() {
    let mut mux = Mux::default();
    mux.listen(LISTENER);
    assert!(!mux.watch(LISTENER) && !mux.watch(LISTENER));
    assert_eq!(notes(&mut mux), ["watch"]);
    note(&mut mux, &DaemonNote::Acceptable(luasocketd_protocol::Acceptable { socket: LISTENER })).unwrap();
    assert!(mux.watch(LISTENER));
    assert_eq!(mux.take_accepted(LISTENER), None, "an accept has to ask");
    assert!(!mux.watch(LISTENER));
    assert_eq!(notes(&mut mux), ["watch"]);
}

#[test]
fn more_than_was_granted_breaks_the_protocol() {
    let mut mux = Mux::default();
    let ticket = mux.request(&connect()).unwrap();
    answer(&mut mux, ticket, Ok(endpoint(1))).unwrap();
    data(&mut mux, &[0; 100]).unwrap();
    assert_eq!(data(&mut mux, &[0]), Err(Violation::Overrun(Overrun::Data)));
    let window = Window { socket: STREAM, bytes: u32::MAX };
    assert_eq!(note(&mut mux, &DaemonNote::Window(window)), Err(Violation::Overrun(Overrun::Grant)));
    let mut request = Vec::new();
    encode_request(&mut request, 1, &Call::Sync(Sync {}));
    assert_eq!(mux.handle_frame(&request), Err(Violation::Request));
}

#[test]
fn a_datagram_right_behind_the_answer_finds_its_socket() {
    let peer = Peer { socket: STREAM, local: endpoint(0).local, peer: endpoint(0).peer };
    let bound = Bound { socket: STREAM, local: endpoint(0).local };
    for (call, reply) in [
        (open(), encoded_reply(&STREAM)),
        (set_peer(None), encoded_reply(&peer)),
        (bind(None), encoded_reply(&bound)),
    ] {
        let mut mux = Mux::default();
        mux.request(&call).unwrap();
        mux.handle_frame(&reply).unwrap();
        datagram(&mut mux, b"hello").unwrap();
        note(&mut mux, &DaemonNote::Error(SocketError { socket: STREAM, failure: Failure::os(111) }))
            .unwrap();
        let mailbox = mux.mailbox(STREAM).unwrap();
        assert_eq!(mailbox.take_error(), Some(Failure::os(111)));
        assert_eq!(mailbox.first().map(|letter| &*letter.bytes), Some(&b"hello"[..]));
        datagram(&mut mux, &[0; 67]).unwrap();
        assert_eq!(datagram(&mut mux, b"x"), Err(Violation::Overrun(Overrun::Data)), "{call:?}");
    }
}

#[test]
fn a_datagram_socket_nobody_waits_for_is_closed() {
    let peer = Peer { socket: STREAM, local: endpoint(0).local, peer: endpoint(0).peer };
    for (own, told) in [(None, vec!["cancel", "close"]), (Some(STREAM), vec!["cancel"])] {
        let mut mux = Mux::default();
        let ticket = mux.request(&set_peer(own)).unwrap();
        mux.abandon(ticket);
        mux.handle_frame(&encoded_reply(&peer)).unwrap();
        assert_eq!(notes(&mut mux), told);
        assert!(mux.mailbox(STREAM).is_none());
    }
}

#[test]
fn datagrams_of_a_dead_pipe_can_be_received() {
    let mut mux = Mux::default();
    mux.request(&open()).unwrap();
    mux.handle_frame(&encoded_reply(&STREAM)).unwrap();
    datagram(&mut mux, b"last").unwrap();
    mux.die("the daemon is gone");
    let mailbox = mux.mailbox(STREAM).unwrap();
    assert_eq!((mailbox.is_readable(), mailbox.end()), (true, None));
    mailbox.take();
    assert_eq!(mailbox.end(), Some(closed()));
    mux.close(STREAM);
    assert!(mux.mailbox(STREAM).is_none());
}

#[test]
fn what_is_said_of_strangers_is_ignored() {
    let mut mux = Mux::default();
    datagram(&mut mux, &[0; 1000]).unwrap();
    note(&mut mux, &DaemonNote::Error(SocketError { socket: STREAM, failure: Failure::os(111) })).unwrap();
    data(&mut mux, &[0; 1000]).unwrap();
    note(&mut mux, &DaemonNote::Eof(Eof { socket: STREAM })).unwrap();
    answer(&mut mux, Ticket(77), Ok(endpoint(1))).unwrap();
    assert!(mux.streams.all_mut().next().is_none() && mux.requests.is_empty());
}

#[test]
fn death_answers_everything_with_closed() {
    let mut mux = Mux::default();
    let done = mux.request(&connect()).unwrap();
    answer(&mut mux, done, Ok(endpoint(1))).unwrap();
    data(&mut mux, b"last").unwrap();
    let waiting = mux.request(&connect()).unwrap();
    mux.die("the daemon is gone");
    assert_eq!(mux.take_answer(waiting), Some(Err(closed())));
    assert_eq!(mux.request(&connect()), Err(closed()));
    assert_eq!((mux.death(), mux.unwritten()), (Some("the daemon is gone"), &b""[..]));
    let stream = mux.stream(STREAM).unwrap();
    assert_eq!(stream.unread(), b"last");
    stream.consume(4);
    assert_eq!(stream.take_receive_end(), Some(End::Broken(closed())));
    mux.close(STREAM);
    assert_eq!(mux.unwritten(), b"");
}

#[test]
fn requests_have_a_bound() {
    let mut mux = Mux::default();
    let ticket = mux.request(&connect()).unwrap();
    for _ in 1..REQUESTS_MAX {
        mux.request(&connect()).unwrap();
    }
    assert_eq!(mux.request(&connect()).unwrap_err().code, Code::Limit);
    answer(&mut mux, ticket, Err(Failure::os(111))).unwrap();
    assert_eq!(mux.take_answer(ticket), Some(Err(Failure::os(111))));
    mux.request(&connect()).unwrap();
}

#[test]
fn the_rest_of_a_frame_goes_out_first() {
    let mut mux = Mux::default();
    mux.queue_rest(&data_header(STREAM, 3)[10..]);
    mux.note(&ClientNote::Close(Close { socket: STREAM }));
    assert_eq!(&mux.unwritten()[..12], &data_header(STREAM, 3)[10..]);
    mux.on_written(12);
    assert_eq!(notes(&mut mux), ["close"]);
}

#[test]
fn a_broken_connection_tells_its_reason() {
    let mut mux = Mux::default();
    let ticket = mux.request(&connect()).unwrap();
    answer(&mut mux, ticket, Ok(endpoint(1))).unwrap();
    let failure = Failure::os(110);
    note(&mut mux, &DaemonNote::Broken(Broken { socket: STREAM, failure: failure.clone() })).unwrap();
    assert_eq!(mux.stream(STREAM).unwrap().take_send_end(), Some(failure));
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A frame that a daemon could send, about the requests and sockets that there may be.
fn plausible_frame(numbers: &mut Numbers) -> Vec<u8> {
    let socket = SocketId::new(numbers.below(4) as u32, 1);
    let id = numbers.below(40) as u32;
    let mut frame = Vec::new();
    match numbers.below(10) {
        0 => encode_reply(&mut frame, id, &Endpoint { socket, ..endpoint(numbers.below(1000) as u32) }),
        1 => encode_reply(&mut frame, id, &socket),
        2 => encode_failure(&mut frame, id, &Failure::os(numbers.below(130) as i32)),
        3 => encode_note(
            &mut frame,
            &DaemonNote::Window(Window { socket, bytes: numbers.below(1 << 20) as u32 }),
        ),
        4 => encode_note(&mut frame, &DaemonNote::Eof(Eof { socket })),
        5 => encode_note(&mut frame, &DaemonNote::Broken(Broken { socket, failure: Failure::os(104) })),
        7 => {
            let from = endpoint(0).peer;
            let bytes = &[7; 90][..numbers.below(90)];
            encode_note(&mut frame, &DaemonNote::Datagram(Datagram { socket, from, bytes }));
        }
        8 => encode_note(&mut frame, &DaemonNote::Error(SocketError { socket, failure: Failure::os(111) })),
        6 => encode_note(&mut frame, &DaemonNote::Acceptable(luasocketd_protocol::Acceptable { socket })),
        _ => {
            encode_note(&mut frame, &DaemonNote::Data(Data { socket, bytes: &[7; 30][..numbers.below(30)] }))
        }
    }
    frame
}

#[test]
fn whatever_a_daemon_sends_costs_no_more_than_was_granted() {
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        let mut mux = Mux::default();
        mux.listen(LISTENER);
        let mut tickets = Vec::new();
        for _ in 0..300 {
            match numbers.below(8) {
                4 => tickets.extend(mux.request(&open())),
                5 => tickets.extend(mux.request(&set_peer(None))),
                0 => tickets.extend(mux.request(&connect())),
                1 => tickets.extend(mux.request(&accept())),
                2 if !tickets.is_empty() => mux.abandon(tickets.remove(numbers.below(tickets.len()))),
                3 if !tickets.is_empty() => drop(mux.take_answer(tickets[numbers.below(tickets.len())])),
                _ => {}
            }
            let mut frame = plausible_frame(&mut numbers);
            if numbers.below(3) == 0 {
                let place = numbers.below(frame.len());
                frame[place] = numbers.below(256) as u8;
            }
            if let Err(violation) = mux.handle_frame(&frame) {
                mux.die(&violation.to_string());
                break;
            }
            for stream in mux.streams.all_mut() {
                assert!(stream.unread().len() <= 100, "seed {seed}");
                let taken = numbers.below(20);
                stream.consume(taken);
            }
            for mailbox in mux.mailboxes.values_mut() {
                let held =
                    mailbox.letters().map(|letter| letter.bytes.len() + DATAGRAM_OVERHEAD).sum::<usize>();
                assert!(held <= DATAGRAMS as usize, "seed {seed}");
                if numbers.below(3) == 0 {
                    mailbox.take();
                }
            }
        }
        let sockets = mux.streams.all_mut().count() + mux.mailboxes.len();
        assert!(sockets <= 300 && mux.requests.len() <= 300, "seed {seed}");
    }
}

/// How often the pipe is made readable once more until nobody is to be woken any more.
fn wakes(mux: &mut Mux) -> usize {
    let mut wakes = 0;
    loop {
        mux.wake_polled();
        let Some(wake) = mux.wake.take() else { return wakes };
        mux.on_response(wake.0, Ok(&[0xc0])).unwrap();
        wakes += 1;
    }
}

#[test]
fn news_of_a_socket_wakes_who_waits_on_its_descriptor_until_it_is_looked_at() {
    let mut mux = Mux::default();
    let ticket = mux.request(&connect()).unwrap();
    answer(&mut mux, ticket, Ok(endpoint(10))).unwrap();
    data(&mut mux, b"nobody waits").unwrap();
    assert_eq!(wakes(&mut mux), 0);
    mux.poll(STREAM);
    mux.look_at(STREAM);
    assert_eq!(wakes(&mut mux), 0);
    data(&mut mux, b"news").unwrap();
    assert_eq!(wakes(&mut mux), usize::from(WAKES_MAX), "who does not care is not woken for ever");
    data(&mut mux, b"more").unwrap();
    mux.look_at(STREAM);
    assert_eq!(wakes(&mut mux), 0);
    data(&mut mux, b"again").unwrap();
    mux.close(STREAM);
    assert_eq!(wakes(&mut mux), 0);
}
