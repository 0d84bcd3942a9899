//! The operator's side of the admin socket: a request, and its answer or an error.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use luasocketd::admin::{ANSWER_MAX, Request, VERSION, line};
use luasocketd::shell::{Line, read_line};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::failed;
use super::places::{ADMIN_VARIABLE, find_admin};
use crate::cli::{AdminOptions, DaemonOptions};

/// How long an answer may take: longer than the daemon takes to find out that it cannot answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Has a daemon do something, and prints what it answers: its own line, or `words` of it.
pub fn have_done<T>(options: &AdminOptions, request: &Request, words: impl FnOnce(&T) -> String) -> ExitCode
where
    T: Serialize + DeserializeOwned,
{
    match Operator::connect(&options.daemon).and_then(|mut operator| operator.ask_for(request)) {
        Ok(answer) => print_answer(options, &answer, words),
        Err(error) => failed(error),
    }
}

/// Prints what a daemon has answered: its own line, or `words` of it.
pub fn print_answer<T: Serialize>(
    options: &AdminOptions,
    answer: &T,
    words: impl FnOnce(&T) -> String,
) -> ExitCode {
    match options.json {
        true => print!("{}", line(answer)),
        false => println!("{}", words(answer)),
    }
    ExitCode::SUCCESS
}

/// A connection to a daemon's admin socket.
#[derive(Debug)]
pub struct Operator {
    path: PathBuf,
    stream: UnixStream,
    buffer: Vec<u8>,
    answer_wait: Duration,
}

impl Operator {
    /// Connects.
    ///
    /// # Errors
    /// Where it has looked, and what to do, in one sentence.
    pub fn connect(options: &DaemonOptions) -> Result<Self, String> {
        let path = find_admin(options.path.as_deref())?;
        let stream = UnixStream::connect(&path).map_err(|error| explain(&path, &error))?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).map_err(|error| explain(&path, &error))?;
        Ok(Operator { path, stream, buffer: Vec::new(), answer_wait: ANSWER_WAIT })
    }

    /// One who waits so long for an answer.
    pub fn patient(self, answer_wait: Duration) -> Self {
        Operator { answer_wait, ..self }
    }

    /// Asks, and gives the answer without its version.
    ///
    /// # Errors
    /// The daemon's own words where it refuses, else why there is no answer.
    pub fn ask(&mut self, request: &Request) -> Result<Map<String, Value>, String> {
        let line = self.exchange(request).map_err(|error| explain(&self.path, &error))?;
        let mut answer: Map<String, Value> =
            serde_json::from_slice(&line).map_err(|error| self.wrong(&error.to_string()))?;
        if answer.remove("version") != Some(VERSION.into()) {
            return Err(self.wrong("another version"));
        }
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    /// Asks for an answer of this form.
    ///
    /// # Errors
    /// As [`Operator::ask`].
    pub fn ask_for<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, String> {
        let answer = self.ask(request)?;
        serde_json::from_value(Value::Object(answer)).map_err(|error| self.wrong(&error.to_string()))
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        self.stream.write_all(request.line().as_bytes())?;
        let until = Instant::now() + self.answer_wait;
        match read_line(&mut self.stream, &mut self.buffer, ANSWER_MAX, until)? {
            Line::Whole(line) => Ok(line),
            Line::TooLong => Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long")),
            Line::End => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn wrong(&self, what: &str) -> String {
        format!("what answers on {} is no daemon of this version: {what}", self.path.display())
    }
}

/// Says what a failure on the admin socket means.
fn explain(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    let elsewhere = format!("a daemon elsewhere is named with --admin PATH or {ADMIN_VARIABLE}");
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no daemon on {path} ({error}); {elsewhere}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{path} is for the daemon's own user and root ({error}); {elsewhere}")
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            format!("the daemon on {path} has hung up: it is ending, or you are neither its user nor root")
        }
        io::ErrorKind::TimedOut => format!("the daemon on {path} does not answer"),
        _ => format!("cannot ask the daemon on {path}: {error}"),
    }
}
