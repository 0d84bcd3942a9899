//! `luasocketd serve`: the daemon in the foreground.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luasocketd::audit::{Durability, Own, Settings, default_directory};
use luasocketd::core::Config;
use luasocketd::core::policy::Policy;
use luasocketd::shell::{Ending, PipeListener, Signals, Worker, number};
use rustix::process::{Resource, Rlimit};
use sd_notify::NotifyState;
use tracing::level_filters::LevelFilter;

use super::policy_file::read_policy;
use super::{failed, misconfigured};
use crate::cli::ServeOptions;
use crate::log;

/// Where root's daemon listens; a script looks there when nothing else is said.
const SYSTEM_PATH: &str = "/run/luasocketd/luasocketd.sock";

/// Serves until a signal ends it.
pub fn serve(options: ServeOptions) -> ExitCode {
    log::start(LevelFilter::INFO, options.log.verbose);
    let policy = match &options.config {
        Some(file) => match read_policy(file) {
            Ok(policy) => policy,
            Err(error) => return misconfigured(error),
        },
        None => Policy::new(options.policy.allow.clone()),
    };
    let paths = match options.socket.as_slice() {
        [] => default_path().map(|path| vec![path]),
        paths => Ok(paths.to_vec()),
    };
    let paths = match paths {
        Ok(paths) => paths,
        Err(error) => return failed(error),
    };
    let signals = match Signals::catch(&[number::SIGTERM, number::SIGINT, number::SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return failed(format!("cannot catch signals: {error}")),
    };
    let listeners = match paths.iter().map(|path| PipeListener::bind(path)).collect() {
        Ok(listeners) => listeners,
        Err(error) => return failed(error),
    };
    let settings = match trail_settings(&options, policy.audit.clone()) {
        Ok(settings) => settings,
        Err(error) => return failed(error),
    };
    let config = Config { policy, ..Config::default() };
    let mut worker = match Worker::new(config, signals) {
        Ok(worker) => worker,
        Err(error) => return failed(format!("cannot make the event loop: {error}")),
    };
    match settings.map(|settings| worker.keep_trail(&settings)) {
        None => tracing::warn!("no audit trail is kept"),
        Some(Ok(())) => {}
        Some(Err(error)) => return failed(error),
    }
    let served = serve_on(&mut worker, listeners, &options);
    worker.end_trail();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("the event loop failed: {error}")),
    }
}

/// The trail to be kept, if any.
fn trail_settings(options: &ServeOptions, in_file: Option<Settings>) -> Result<Option<Settings>, String> {
    if options.no_audit {
        return Ok(None);
    }
    if let Some(settings) = options.trail.settings(in_file, Durability::Strict) {
        return Ok(Some(settings));
    }
    let directory = default_directory().ok_or("neither XDG_STATE_HOME nor HOME is set: say where the audit trail shall be with --audit DIR, or --no-audit")?;
    Ok(options.trail.settings(Some(Settings::new(directory)), Durability::Strict))
}

fn serve_on(worker: &mut Worker, listeners: Vec<PipeListener>, options: &ServeOptions) -> io::Result<()> {
    if options.config.is_none() && options.policy.allow.is_empty() {
        tracing::warn!("no --allow rule and no --config: every connection is refused");
    }
    raise_descriptor_limit();
    let paths: Vec<PathBuf> = listeners.iter().map(|listener| listener.path().to_owned()).collect();
    listeners.into_iter().try_for_each(|listener| worker.listen(listener))?;
    paths.iter().for_each(|path| announce(path));
    let mut ending = false;
    let ended = worker.run(|worker, signal| {
        // A terminal that goes away sends this one, too, and means the end.
        if signal.number == number::SIGHUP && signal.sent {
            return reload(worker, options.config.as_deref());
        }
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

/// Reads the policy file again. A wrong one changes nothing.
fn reload(worker: &mut Worker, file: Option<&Path>) {
    let Some(file) = file else {
        return tracing::warn!("SIGHUP: there is no --config, so there is nothing to read again");
    };
    match read_policy(file) {
        Ok(policy) => {
            tracing::info!(profiles = policy.profiles().len(), "new policy from {}", file.display());
            worker.set_policy(policy);
            worker.note_in_trail(Own::PolicyLoaded, format!("read from {}", file.display()));
            notify(&[NotifyState::Status(&format!("policy read from {}", file.display()))]);
        }
        Err(error) => {
            tracing::error!("the policy stays as it was: {error}");
            notify(&[NotifyState::Status(&format!("the policy stays as it was: {error}"))]);
        }
    }
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
