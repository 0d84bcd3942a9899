//! The process that does for a confined daemon what that cannot do any more: it names the programs of clients, which
//! Landlock hides, and starts the daemon that takes its place.
//!
//! It was started by the daemon before that gave anything up, so it is what the daemon was: its user, its environment, its
//! place under the service manager. It does these two things and takes no word of what it starts from the daemon. It ends
//! with it.

use std::env;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use luasocketd::shell::bear_witness;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::handover::VARIABLE;

/// The most descriptors that go over at once: Linux takes no more in one message (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

/// The longest text about them: their names.
const NAMES_MAX: usize = 8192;

/// How long the steward takes to start a process, and to look whether it has ended.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The longest answer.
const ANSWER_MAX: usize = 4096;

/// What the steward is asked when it is not to start a daemon.
const HOW_DID_IT_END: &[u8] = b"?";

/// The steward, as its daemon sees it.
#[derive(Debug)]
pub struct Steward {
    orders: UnixStream,
}

impl Steward {
    /// Starts it; gives it, and what it is asked by for the programs of clients.
    ///
    /// To be called while the process has one thread.
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> io::Result<(Steward, UnixDatagram)> {
        let (orders, theirs) = UnixStream::pair()?;
        let (witness, questions) = UnixDatagram::pair()?;
        orders.set_read_timeout(Some(ANSWER_WAIT))?;
        fcntl_setfd(&theirs, FdFlags::empty())?;
        Command::new("/proc/self/exe")
            .arg0("luasocketd")
            .arg("__steward")
            .arg(theirs.as_raw_fd().to_string())
            .arg(env::current_exe()?)
            .arg("--")
            .args(env::args_os().skip(1))
            .stdin(OwnedFd::from(questions))
            .spawn()?;
        Ok((Steward { orders }, witness))
    }

    /// Has it start the daemon that is on the disk now, with these descriptors by their names; gives its number.
    ///
    /// # Errors
    /// Why it cannot, for people.
    pub fn start_successor(&mut self, descriptors: &[(String, OwnedFd)]) -> Result<u32, String> {
        let names: Vec<&str> = descriptors.iter().map(|(name, _)| name.as_str()).collect();
        let fds: Vec<_> = descriptors.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        if fds.len() > DESCRIPTORS_MAX {
            return Err(format!("{} descriptors cannot be handed over, {DESCRIPTORS_MAX} can", fds.len()));
        }
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let text = names.join(" ");
        let sent = sendmsg(&self.orders, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL);
        match sent {
            Ok(length) if length == text.len() => {}
            Ok(_) => return Err("the daemon's steward does not take what it is told".to_owned()),
            Err(error) => return Err(format!("the daemon's steward cannot be told: {error}")),
        }
        let answer = self.answer()?;
        answer.parse().map_err(|_| answer)
    }

    /// How the daemon that it has started last has ended, if it has.
    ///
    /// # Errors
    /// Why it does not say.
    pub fn end_of_successor(&mut self) -> Result<String, String> {
        let asked = self.orders.write_all(HOW_DID_IT_END);
        asked.map_err(|error| format!("the daemon's steward cannot be asked: {error}"))?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut text = vec![0; ANSWER_MAX];
        match self.orders.read(&mut text) {
            Ok(0) => Err("the daemon's steward has ended: restart the daemon instead".to_owned()),
            Ok(length) => Ok(String::from_utf8_lossy(&text[..length]).into_owned()),
            Err(error) => Err(format!("the daemon's steward does not answer: {error}")),
        }
    }
}

/// The steward's life: answers until the daemon has ended.
///
/// # Errors
/// The system's.
pub fn serve(
    questions: &UnixDatagram,
    mut orders: UnixStream,
    program: PathBuf,
    words: Vec<OsString>,
) -> io::Result<()> {
    let mut office = Office { program, words, started: None };
    loop {
        let mut ready = [PollFd::new(questions, PollFlags::IN), PollFd::new(&orders, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [asked, told] = ready.map(|ready| !ready.revents().is_empty());
        if told && !office.obey(&mut orders)? {
            return Ok(());
        }
        if asked {
            bear_witness(questions)?;
        }
    }
}

struct Office {
    /// Where the program was when the daemon was started: what is there now is started.
    program: PathBuf,
    words: Vec<OsString>,
    started: Option<Child>,
}

impl Office {
    /// Does what it is told; says whether the daemon is still there.
    fn obey(&mut self, orders: &mut UnixStream) -> io::Result<bool> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = vec![0; NAMES_MAX];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let length = recvmsg(&*orders, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?.bytes;
        if length == 0 {
            return Ok(false);
        }
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        let answer = match &text[..length] {
            HOW_DID_IT_END => self.end(),
            names => match self.start(&String::from_utf8_lossy(names), &descriptors) {
                Ok(pid) => pid.to_string(),
                Err(error) => format!("cannot start {}: {error}", self.program.display()),
            },
        };
        orders.write_all(&answer.as_bytes()[..answer.len().min(ANSWER_MAX)])?;
        Ok(true)
    }

    fn start(&mut self, names: &str, descriptors: &[OwnedFd]) -> io::Result<u32> {
        let mut told = Vec::new();
        for (name, descriptor) in names.split(' ').zip(descriptors) {
            fcntl_setfd(descriptor, FdFlags::empty())?;
            told.push(format!("{name}={}", descriptor.as_raw_fd()));
        }
        let started = Command::new(&self.program)
            .args(&self.words)
            .env(VARIABLE, told.join(" "))
            .stdin(Stdio::null())
            .spawn()?;
        let pid = started.id();
        self.started = Some(started);
        Ok(pid)
    }

    fn end(&mut self) -> String {
        let Some(started) = &mut self.started else { return "it was not started".to_owned() };
        match started.try_wait() {
            Ok(Some(status)) => format!("it has ended with {status}"),
            Ok(None) => "it runs, and says nothing".to_owned(),
            Err(error) => format!("how it ended is not known: {error}"),
        }
    }
}

/// The descriptor that the command line names.
///
/// # Errors
/// When there is none.
pub fn orders(number: RawFd) -> io::Result<UnixStream> {
    Ok(UnixStream::from(luasocketd::shell::take_inherited(number)?))
}
