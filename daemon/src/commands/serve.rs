//! `luasocketd serve`: the daemon in the foreground.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luasocketd::core::Config;
use luasocketd::core::policy::Policy;
use luasocketd::shell::{Ending, PipeListener, Signals, Worker, number};
use rustix::process::{Resource, Rlimit};
use sd_notify::NotifyState;
use tracing::level_filters::LevelFilter;

use super::failed;
use crate::cli::ServeOptions;
use crate::log;

/// Where root's daemon listens; a script looks there when nothing else is said.
const SYSTEM_PATH: &str = "/run/luasocketd/luasocketd.sock";

/// Serves until a signal ends it.
pub fn serve(options: ServeOptions) -> ExitCode {
    log::start(LevelFilter::INFO, options.log.verbose);
    let path = match options.socket.clone().map_or_else(default_path, Ok) {
        Ok(path) => path,
        Err(error) => return failed(error),
    };
    let signals = match Signals::catch(&[number::SIGTERM, number::SIGINT]) {
        Ok(signals) => signals,
        Err(error) => return failed(format!("cannot catch signals: {error}")),
    };
    let listener = match PipeListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => return failed(error),
    };
    match serve_on(listener, signals, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("the event loop failed: {error}")),
    }
}

fn serve_on(listener: PipeListener, signals: Signals, options: &ServeOptions) -> io::Result<()> {
    if options.policy.allow.is_empty() {
        tracing::warn!("no --allow rule: every connection is refused");
    }
    raise_descriptor_limit();
    let config = Config { policy: Policy::new(options.policy.allow.clone()), ..Config::default() };
    let path = listener.path().to_owned();
    let mut worker = Worker::new(config, signals)?;
    worker.listen(listener)?;
    announce(&path);
    let mut ending = false;
    let ended = worker.run(|worker, _signal| {
        if std::mem::replace(&mut ending, true) {
            tracing::warn!("second signal: ending at once");
            return worker.stop();
        }
        let (clients, sockets) = worker.census();
        tracing::info!(clients, sockets, "ending: nothing new is begun");
        notify(&[NotifyState::Stopping]);
        worker.drain(options.drain_timeout);
    })?;
    let (clients, sockets) = worker.census();
    match ended {
        Ending::Drained if sockets == 0 => tracing::info!("ended: everything was delivered"),
        _ => tracing::warn!(clients, sockets, "ended: what these had not delivered is lost"),
    }
    Ok(())
}

/// Takes all the descriptors that the system grants: each client and each socket needs one.
fn raise_descriptor_limit() {
    let limits = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, all) {
        tracing::warn!("cannot raise the limit of descriptors: {error}");
    }
}

/// Says that clients may come: on standard output for whoever started it, and to the service manager.
fn announce(path: &Path) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "ready {}", path.display()).and_then(|()| out.flush()) {
        tracing::warn!("cannot write the ready line: {error}");
    }
    notify(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {}", path.display()))]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}

/// Where clients of this user look first.
fn default_path() -> Result<PathBuf, String> {
    if rustix::process::geteuid().is_root() {
        let path = PathBuf::from(SYSTEM_PATH);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        }
        return Ok(path);
    }
    let dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    dir.map(|dir| Path::new(&dir).join("luasocketd.sock"))
        .ok_or_else(|| "XDG_RUNTIME_DIR is not set: say where to listen with --socket PATH".to_owned())
}
