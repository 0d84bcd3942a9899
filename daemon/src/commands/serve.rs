//! `luasocketd serve`: the daemon in the foreground.

use std::io::{self, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use luasocketd::audit::{Durability, Settings, default_directory, follow};
use luasocketd::core::Config;
use luasocketd::core::policy::{Policy, Workers};
use luasocketd::shell::{
    Callers, Ending, House, Operators, PipeListener, Signals, Worker, listen_for_metrics, number,
};
use rustix::process::{Resource, Rlimit};
use sd_notify::NotifyState;
use tracing::level_filters::LevelFilter;

use super::places::{admin_path, client_path};
use super::policy_file::read_policy;
use super::{failed, misconfigured};
use crate::cli::ServeOptions;
use crate::log;

/// How often the index of the trail takes in what is new: an operator's question waits for less then, and a
/// thousand lines are taken in as cheaply as one.
const INDEX_PERIOD: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
pub fn serve(options: ServeOptions) -> ExitCode {
    log::start(LevelFilter::INFO, &options.log);
    let policy = match &options.config {
        Some(file) => match read_policy(file) {
            Ok(policy) => policy,
            Err(error) => return misconfigured(error),
        },
        None => Policy::new(options.policy.allow.clone()),
    };
    let signals = match Signals::catch(&[number::SIGTERM, number::SIGINT, number::SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return failed(format!("cannot catch signals: {error}")),
    };
    let doors = match Doors::open(&options) {
        Ok(doors) => doors,
        Err(error) => return failed(error),
    };
    let settings = match trail_settings(&options, policy.audit.clone()) {
        Ok(settings) => settings,
        Err(error) => return failed(error),
    };
    let loops = loops(&options, &policy);
    let config = Config { policy, ..Config::default() };
    let mut worker = match Worker::several(loops, config, signals) {
        Ok(worker) => worker,
        Err(error) => return failed(format!("cannot make the event loop: {error}")),
    };
    if let Some(settings) = &settings
        && let Err(error) = worker.keep_trail(settings)
    {
        return failed(error);
    }
    let follower = match settings {
        Some(settings) => follow_trail(settings.directory),
        None => {
            tracing::warn!("no audit trail is kept");
            None
        }
    };
    let served = serve_on(&mut worker, doors, &options);
    worker.end_trail();
    drop(follower);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("the event loop failed: {error}")),
    }
}

/// How many event loops there are to be.
fn loops(options: &ServeOptions, policy: &Policy) -> usize {
    let workers = options.workers.or(policy.workers).unwrap_or(Workers::ONE);
    // One that is not known is one.
    workers.loops(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
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

/// Has a thread keep the index of the trail up to date, for as long as what is given back is held. Without it
/// whoever asks the trail makes up for it.
fn follow_trail(directory: PathBuf) -> Option<SyncSender<()>> {
    let (held, stop) = sync_channel(1);
    let thread = thread::Builder::new().name("index".into());
    match thread.spawn(move || follow(&directory, INDEX_PERIOD, &stop)) {
        Ok(_) => Some(held),
        Err(error) => {
            tracing::warn!("the index of the trail is not kept up to date: {error}");
            None
        }
    }
}

/// Where somebody can come in.
struct Doors {
    clients: Vec<PipeListener>,
    operators: PipeListener,
    metrics: Option<TcpListener>,
}

impl Doors {
    fn open(options: &ServeOptions) -> Result<Self, String> {
        let paths = match options.socket.as_slice() {
            [] => vec![client_path()?],
            paths => paths.to_vec(),
        };
        let admin = options.admin.clone().map_or_else(|| admin_path(&options.socket), Ok)?;
        let bind =
            |path: &Path, callers| PipeListener::bind(path, callers).map_err(|error| error.to_string());
        let clients = paths.iter().map(|path| bind(path, Callers::Clients)).collect::<Result<_, _>>()?;
        let metrics = options.metrics.map(|address| {
            listen_for_metrics(address).map_err(|error| format!("cannot serve metrics on {address}: {error}"))
        });
        Ok(Doors { clients, operators: bind(&admin, Callers::Operators)?, metrics: metrics.transpose()? })
    }
}

fn serve_on(worker: &mut Worker, doors: Doors, options: &ServeOptions) -> io::Result<()> {
    if options.config.is_none() && options.policy.allow.is_empty() {
        tracing::warn!("no --allow rule and no --config: every connection is refused");
    }
    raise_descriptor_limit();
    let paths: Vec<PathBuf> = doors.clients.iter().map(|listener| listener.path().to_owned()).collect();
    let metrics = doors.metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    doors.clients.into_iter().try_for_each(|listener| worker.listen(listener))?;
    let house = Arc::new(ThisHouse { config: options.config.clone(), drain_timeout: options.drain_timeout });
    let _operators = Operators::start(
        doors.operators,
        doors.metrics,
        worker.asker(),
        Arc::clone(&house) as Arc<dyn House>,
    )?;
    worker.start_others()?;
    paths.iter().for_each(|path| announce(path));
    if let Some(address) = metrics {
        tracing::info!("metrics at http://{address}/metrics");
    }
    let ended = worker.run(|worker, signal| {
        // A terminal that goes away sends this one, too, and means the end.
        if signal.number == number::SIGHUP && signal.sent {
            // What is wrong with it stands in the log.
            return house.read_policy().map_or((), |policy| worker.set_policy(policy));
        }
        if worker.is_draining() {
            tracing::warn!("second signal: ending at once");
            return worker.stop();
        }
        let (clients, sockets) = worker.census();
        house.on_drain(clients as u64, sockets as u64);
        worker.drain(options.drain_timeout);
    })?;
    let (clients, sockets) = worker.census();
    match ended {
        Ending::Drained if sockets == 0 => tracing::info!("ended: everything was delivered"),
        _ => tracing::warn!(clients, sockets, "ended: what these had not delivered is lost"),
    }
    Ok(())
}

/// This process, as far as the loop does not know it.
struct ThisHouse {
    config: Option<PathBuf>,
    drain_timeout: Duration,
}

impl House for ThisHouse {
    fn read_policy(&self) -> Result<Policy, String> {
        let read = match &self.config {
            Some(file) => read_policy(file),
            None => {
                Err("the daemon was started without --config, so there is nothing to read again".to_owned())
            }
        };
        let status = match (&read, &self.config) {
            (Ok(policy), Some(file)) => {
                let profiles = policy.profiles().len();
                tracing::info!(profiles, "new policy from {}", file.display());
                format!("policy read from {}", file.display())
            }
            (Err(error), _) => {
                tracing::error!("the policy stays as it was: {error}");
                format!("the policy stays as it was: {error}")
            }
            (Ok(_), None) => return read,
        };
        notify(&[NotifyState::Status(&status)]);
        read
    }

    fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    fn on_drain(&self, clients: u64, sockets: u64) {
        tracing::info!(clients, sockets, "ending: nothing new is begun");
        notify(&[NotifyState::Stopping]);
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
