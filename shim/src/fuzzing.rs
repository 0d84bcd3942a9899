//! One side of a pipe for a fuzz target that is the other side, and a bad one: it says what came over the pipe, and sees
//! how much that makes the script's process hold.

use std::os::fd::BorrowedFd;

use luasocketd_protocol::{Call, SocketId};

use crate::frames::Frames;
use crate::mux::Ticket;

/// A Lua state's side of a pipe.
#[derive(Debug, Default)]
pub struct Client {
    frames: Frames,
    asked: Vec<Ticket>,
    granted: u64,
}

impl Client {
    /// Asks for something; whether there was room for it.
    pub fn ask(&mut self, call: &Call<'_>) -> bool {
        let Ok(ticket) = self.frames.mux().request(call) else { return false };
        self.granted += match call {
            Call::Open(open) => u64::from(open.window),
            Call::Connect(connect) => u64::from(connect.window),
            Call::Accept(accept) => u64::from(accept.window),
            Call::Bind(bind) => u64::from(bind.window),
            Call::SetPeer(peer) => u64::from(peer.window),
            _ => 0,
        };
        self.asked.push(ticket);
        true
    }

    /// Moves so much that a ring is asked for.
    pub fn be_busy(&mut self) {
        self.frames.count(usize::MAX);
        self.frames.ask_when_busy();
    }

    /// Takes the answer to one of the questions, if it is there.
    pub fn take_answer(&mut self, number: usize) {
        let Some(&ticket) = self.asked.get(number) else { return };
        if self.frames.mux().take_answer(ticket).is_some() {
            self.asked.swap_remove(number);
        }
    }

    /// Gives one of the questions up.
    pub fn abandon(&mut self, number: usize) {
        if number < self.asked.len() {
            let ticket = self.asked.swap_remove(number);
            self.frames.mux().abandon(ticket);
        }
    }

    /// How many questions there are.
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    /// The script receives so many bytes.
    pub fn receive(&mut self, socket: SocketId, length: usize) {
        let due = self.frames.mux().consume(socket, length);
        self.grant(socket, due);
    }

    /// The script wants more than the window holds.
    pub fn claim(&mut self, socket: SocketId) {
        let due = self.frames.mux().stream(socket).map_or(0, |stream| stream.claim());
        self.grant(socket, due);
    }

    /// The script receives a datagram.
    pub fn receive_datagram(&mut self, socket: SocketId) {
        let due = self.frames.mux().mailbox(socket).map_or(0, |mailbox| mailbox.take());
        self.grant(socket, due);
    }

    /// The script sends bytes; says how many went.
    pub fn send(&mut self, pipe: BorrowedFd<'_>, socket: SocketId, bytes: &[u8]) -> usize {
        self.frames.send_data(pipe, socket, bytes).unwrap_or_else(|stuck| {
            self.frames.on_stuck(stuck);
            0
        })
    }

    /// The script treats a socket as a listening one, and waits on its descriptor.
    pub fn watch(&mut self, socket: SocketId) {
        self.frames.mux().listen(socket);
        self.frames.mux().poll(socket);
        self.frames.mux().wake_polled();
    }

    /// The script takes a connection that was accepted for an earlier call.
    pub fn take_accepted(&mut self, listener: SocketId) {
        self.frames.mux().take_accepted(listener);
    }

    /// The script closes a socket.
    pub fn close(&mut self, socket: SocketId) {
        self.frames.mux().close(socket);
    }

    /// Takes what came, writes what waits, and gets ready to wait itself.
    pub fn turn(&mut self, pipe: BorrowedFd<'_>) {
        self.frames.read(pipe, true);
        while !self.frames.mux().unwritten().is_empty() {
            if let Err(stuck) = self.frames.write_on(pipe) {
                self.frames.on_stuck(stuck);
                break;
            }
        }
        self.frames.sleeps();
    }

    /// Whether it has given the daemon up.
    pub fn is_dead(&mut self) -> bool {
        self.frames.mux().is_dead()
    }

    /// Bytes that are held for the script.
    pub fn held(&mut self) -> u64 {
        self.frames.mux().held() as u64
    }

    /// Bytes that were granted, in all.
    pub fn granted(&self) -> u64 {
        self.granted
    }

    fn grant(&mut self, socket: SocketId, bytes: u32) {
        self.granted += u64::from(bytes);
        self.frames.mux().grant(socket, bytes);
    }
}
