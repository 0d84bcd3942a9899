//! The script's side of a pipe, on which a daemon says what it likes, through a ring as well. Nothing panics or hangs, no
//! more is held than was granted, and what goes to the daemon are always whole messages.
#![no_main]

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use libfuzzer_sys::fuzz_target;
use luasocketd_fuzz::numbers::Numbers;
use luasocketd_fuzz::{samples, seeds};
use luasocketd_protocol::*;
use luasocketd_shim::fuzzing::Client;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Steps of one input.
const STEPS_MAX: usize = 400;

/// Sockets that there may be.
const SOCKETS: u64 = 4;

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        let mut numbers = Numbers::new(input);
        let mut pair = Pair::new();
        for _ in 0..STEPS_MAX {
            if !numbers.has_more() {
                break;
            }
            pair.step(&mut numbers);
            pair.check();
        }
    }
);

/// Every daemon's message, behind questions that it may answer.
fn inputs() -> Vec<Vec<u8>> {
    // Each step is a socket, what is done, and how.
    let asked: Vec<u8> = (0..20).flat_map(|call| [1, 0, call]).collect();
    let mut inputs: Vec<Vec<u8>> = (0..14)
        .map(|kind| {
            let answers: Vec<u8> = (0..20).flat_map(|id| [1, 2, kind, id, 0, 9]).collect();
            [&[0, kind], &asked[..], &answers].concat()
        })
        .collect();
    let mut stream = Vec::new();
    for note in samples::daemon_notes(SocketId::new(1, 1)) {
        encode_note(&mut stream, &note);
    }
    let raw: Vec<u8> =
        stream.chunks(64).flat_map(|piece| [&[1, 1, piece.len() as u8], piece].concat()).collect();
    inputs.push([&[0, 0], &asked[..], &raw].concat());
    // A ring: wanted, given, begun, filled with an answer and data for it, ended.
    let ring = [
        &[0, 10][..],
        &[0, 11, 20, 1],
        &[0, 12, 0, 1],
        &[1, 13, 0, 2, 0, 0, 9, 9, 0],
        &[1, 13, 9, 0, 0x0f, 0xa0, 0],
        &[1, 13, 9, 0, 0x00, 0x20, 0],
        &[1, 5, 0, 0, 0xff, 0],
        &[0, 12, 1, 0],
        &[0, 17],
    ];
    inputs.push([&[0, 0], &asked[..], &ring.concat()].concat());
    let forged = [&ring[..4], &[&[0, 14, 0, 0, 1, 9]]].concat().concat();
    inputs.push([&[0, 0], &asked[..], &forged].concat());
    inputs
}

/// Both sides.
struct Pair {
    client: Client,
    pipe: UnixStream,
    daemon: UnixStream,
    ring: Option<Ring>,
    /// What the client has written, by each way.
    heard: FrameReader,
    heard_by_ring: FrameReader,
}

impl Pair {
    fn new() -> Self {
        let (pipe, daemon) = UnixStream::pair().expect("a pipe");
        pipe.set_nonblocking(true).expect("a pipe that does not wait");
        daemon.set_nonblocking(true).expect("a pipe that does not wait");
        Pair {
            client: Client::default(),
            pipe,
            daemon,
            ring: None,
            heard: FrameReader::new(),
            heard_by_ring: FrameReader::new(),
        }
    }

    fn step(&mut self, numbers: &mut Numbers) {
        let socket = SocketId::new(numbers.below(SOCKETS) as u32, 1);
        match numbers.below(18) {
            0 => drop(self.client.ask(&call(socket, numbers))),
            1 => {
                let length = numbers.below(256) as usize;
                let bytes = numbers.bytes(length).to_vec();
                self.say(&bytes, None);
            }
            2 => self.say(&message(socket, numbers), None),
            3 => self.client.take_answer(numbers.below(self.client.asked() as u64) as usize),
            4 => self.client.abandon(numbers.below(self.client.asked() as u64) as usize),
            5 => self.client.receive(socket, numbers.below(1 << 16) as usize),
            6 => self.client.claim(socket),
            7 => self.client.receive_datagram(socket),
            8 => self.client.close(socket),
            9 => self.client.watch(socket),
            10 => self.client.be_busy(),
            11 => self.offer_ring(numbers),
            12 => {
                let mut frame = Vec::new();
                match numbers.below(3) {
                    0 => encode_note(&mut frame, &DaemonNote::RingBegin(RingBegin {})),
                    1 => encode_note(&mut frame, &DaemonNote::RingEnd(RingEnd {})),
                    _ => encode_note(&mut frame, &DaemonNote::RingWake(RingWake {})),
                }
                self.say_anywhere(&frame, numbers);
            }
            13 => {
                let frame = message(socket, numbers);
                self.say_anywhere(&frame, numbers);
            }
            14 => self.forge(numbers),
            15 => {
                let bytes = vec![7; numbers.below(40_000) as usize];
                self.client.send(self.pipe.as_fd(), socket, &bytes);
            }
            16 => self.client.take_accepted(socket),
            _ => self.hear(),
        }
        self.client.turn(self.pipe.as_fd());
    }

    /// Says something through the pipe, and hands a descriptor over with it.
    fn say(&mut self, bytes: &[u8], file: Option<&OwnedFd>) {
        if bytes.is_empty() {
            return;
        }
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = file.map(|file| [file.as_fd()]);
        if let Some(files) = &files {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        // A pipe that is full takes none of it, or a part: a daemon may do that, too.
        let _ = sendmsg(&self.daemon, &[std::io::IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    }

    fn say_anywhere(&mut self, bytes: &[u8], numbers: &mut Numbers) {
        match &mut self.ring {
            Some(ring) if numbers.once_in(2) => drop(ring.sender.write(&[bytes])),
            _ => self.say(bytes, None),
        }
    }

    /// Answers a question by a ring, or by what is none.
    fn offer_ring(&mut self, numbers: &mut Numbers) {
        let mut frame = Vec::new();
        encode_reply(&mut frame, numbers.below(40) as u32, &());
        if numbers.once_in(4) {
            let file = OwnedFd::from(std::fs::File::open("/dev/null").expect("a file"));
            return self.say(&frame, Some(&file));
        }
        let (ring, file) = Ring::create().expect("a ring");
        self.ring = Some(ring);
        self.say(&frame, Some(&file));
    }

    /// Writes marks that need not be, and sleeps where it does not.
    fn forge(&mut self, numbers: &mut Numbers) {
        let Some(ring) = &self.ring else { return };
        let word = [RingWord::Written, RingWord::Read, RingWord::ReaderSleeps, RingWord::WriterSleeps];
        let word = word[numbers.below(4) as usize];
        let memory = if numbers.once_in(2) { ring.sender.memory() } else { ring.receiver.memory() };
        let mark = match numbers.below(4) {
            0 => numbers.next() as u32,
            1 => memory.word(word).load(Ordering::Relaxed).wrapping_add(numbers.below(256) as u32),
            2 => RING_SIZE,
            _ => 1,
        };
        memory.word(word).store(mark, Ordering::Release);
    }

    /// Hears what the client has said: it breaks no rule, whatever the daemon does.
    fn hear(&mut self) {
        loop {
            match self.daemon.read(self.heard.space(1 << 16)) {
                Ok(0) => break,
                Ok(length) => self.heard.filled(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            understand(&mut self.heard);
        }
        if let Some(ring) = &mut self.ring
            && let Ok(length) = ring.receiver.read(&mut self.heard_by_ring.space(1 << 16)[..1 << 16])
        {
            // A mark that was forged shows bytes that nobody has written.
            self.heard_by_ring.filled(length);
            while let Ok(Some(_)) = self.heard_by_ring.next_frame() {}
        }
    }

    fn check(&mut self) {
        let (held, granted) = (self.client.held(), self.client.granted());
        assert!(held <= granted, "{held} bytes are held, {granted} were granted");
        if self.client.is_dead() {
            assert!(!self.client.ask(&Call::Sync(Sync {})), "a dead pipe takes a question");
        }
    }
}

/// Whole messages of a client, and nothing else.
fn understand(reader: &mut FrameReader) {
    while let Some(frame) = reader.next_frame().expect("frames") {
        match Frame::parse(frame).expect("a message") {
            Frame::Request { method, params, .. } => drop(Call::parse(method, params).expect("a call")),
            Frame::Notification { method, params } => {
                drop(ClientNote::parse(method, params).expect("a note"))
            }
            other => panic!("a client said {other:?}"),
        }
    }
}

/// A question of a script.
fn call(socket: SocketId, numbers: &mut Numbers) -> Call<'static> {
    let window = 4096;
    let mut calls = samples::calls(socket);
    let at = numbers.below(calls.len() as u64) as usize;
    match calls.swap_remove(at) {
        // A script grants no more than this.
        Call::Open(open) => Call::Open(Open { window, ..open }),
        Call::Connect(connect) => Call::Connect(Connect { window, ..connect }),
        Call::Accept(accept) => Call::Accept(Accept { window, ..accept }),
        Call::SetPeer(peer) => Call::SetPeer(SetPeer { window, ..peer }),
        // Rings are asked for by whoever counts what is moved.
        Call::Ring(_) => Call::Sync(Sync {}),
        call => call,
    }
}

/// Something that a daemon could say.
fn message(socket: SocketId, numbers: &mut Numbers) -> Vec<u8> {
    let local = Address { family: Family::Inet, host: "127.0.0.1".into(), port: 80 };
    let mut frame = Vec::new();
    let kind = numbers.below(14);
    let id = numbers.below(40) as u32;
    match kind {
        0 | 1 => {
            let window = numbers.below(1 << 17) as u32;
            encode_reply(&mut frame, id, &Endpoint { socket, window, local: local.clone(), peer: local });
        }
        2 => encode_reply(&mut frame, id, &socket),
        3 => encode_reply(&mut frame, id, &Bound { socket, local }),
        4 => encode_reply(&mut frame, id, &Peer { socket, local: local.clone(), peer: local }),
        5 => encode_failure(&mut frame, id, &Failure::os(numbers.below(130) as i32)),
        6 => encode_note(
            &mut frame,
            &DaemonNote::Window(Window { socket, bytes: numbers.below(1 << 20) as u32 }),
        ),
        7 => encode_note(&mut frame, &DaemonNote::Eof(Eof { socket })),
        8 => encode_note(&mut frame, &DaemonNote::Broken(Broken { socket, failure: Failure::os(104) })),
        9 => {
            let length = numbers.below(5000) as u32;
            frame.extend(data_header(socket, length));
            frame.resize(DATA_HEADER + length as usize, 7);
        }
        10 => {
            let bytes = &[7; 1000][..numbers.below(1000) as usize];
            encode_note(&mut frame, &DaemonNote::Datagram(Datagram { socket, from: local, bytes }));
        }
        11 => encode_note(&mut frame, &DaemonNote::Error(SocketError { socket, failure: Failure::os(111) })),
        12 => encode_note(&mut frame, &DaemonNote::Acceptable(Acceptable { socket })),
        _ => encode_reply(&mut frame, id, &()),
    }
    frame
}
