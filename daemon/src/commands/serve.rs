//! `luasocketd serve`: the daemon in the foreground.

use std::io::{self, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use luasocketd::audit::{Durability, Settings, follow, make_directory};
use luasocketd::core::Config;
use luasocketd::core::policy::{Policy, Workers};
use luasocketd::shell::{
    Asker, Callers, Ending, House, Leave, Operators, PipeListener, Signals, Worker, listen_for_metrics,
    number, set_witness,
};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;
use sd_notify::NotifyState;
use tracing::level_filters::LevelFilter;

use super::paths::{Fault, Paths};
use super::policy_file::read_policy;
use super::{failed, misconfigured};
use crate::cli::ServeOptions;
use crate::confine::{self, Confinement, Needed};
use crate::handover::{Heritage, Inherited, Predecessor};
use crate::log;
use crate::steward::Steward;

/// How often the index of the trail takes in what is new: an operator's question waits for less then, and a
/// thousand lines are taken in as cheaply as one.
const INDEX_PERIOD: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
pub fn serve(options: ServeOptions) -> ExitCode {
    log::start(LevelFilter::INFO, &options.log);
    let mut inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return misconfigured(error),
    };
    let mut before = inherited.take_predecessor();
    let begun = Begun::begin(&options, inherited, before.as_mut());
    let served = begun.and_then(|begun| begun.serve(&options, before.as_mut()));
    let Err(fault) = served else { return ExitCode::SUCCESS };
    if let Some(before) = &mut before {
        before.fail(fault.text());
    }
    match fault {
        Fault::Misconfigured(what) => misconfigured(what),
        Fault::Failed(what) => failed(what),
    }
}

/// A daemon that has all that it needs, and has given up the rest.
struct Begun {
    worker: Worker,
    doors: Doors,
    steward: Steward,
    /// The daemon before this one, for as long as that has clients.
    before: Option<UnixStream>,
    /// The directory of the trail, if one is kept.
    trail: Option<PathBuf>,
}

impl Begun {
    /// Gets everything, then gives up every right but those that serving takes.
    fn begin(
        options: &ServeOptions,
        inherited: Inherited,
        mut before: Option<&mut Predecessor>,
    ) -> Result<Begun, Fault> {
        let paths = Paths::find(options, &inherited)?;
        // It stays who this process is now.
        let (steward, witness) =
            Steward::start().map_err(|error| format!("cannot start the daemon's steward: {error}"))?;
        paths.make_directories(options)?;
        if let Some(user) = &paths.user {
            user.become_him().map_err(|error| format!("cannot become another user: {error}"))?;
        }
        let policy = match &options.config {
            Some(file) => read_policy(file).map_err(Fault::Misconfigured)?,
            None => Policy::new(options.policy.allow.clone()),
        };
        let signals = Signals::catch(&[number::SIGTERM, number::SIGINT, number::SIGHUP])
            .map_err(|error| format!("cannot catch signals: {error}"))?;
        let doors = Doors::open(&paths, inherited, options)?;
        let settings = trail_settings(options, policy.audit.clone(), paths.trail.clone())?;
        // Looked up before that is not allowed any more.
        let loops = loops(options, &policy);
        confine(options, &doors, settings.as_ref())?;
        set_witness(witness).map_err(|error| format!("cannot ask the daemon's steward: {error}"))?;
        let config = Config {
            policy,
            rings: !options.no_rings,
            spin: Duration::from_micros(options.spin.into()),
            ..Config::default()
        };
        let mut worker = Worker::several(loops, config, signals)
            .map_err(|error| format!("cannot make the event loop: {error}"))?;
        if let Some(before) = &mut before {
            before.prepare()?;
        }
        if let Some(settings) = &settings {
            worker.keep_trail_after(settings, before.is_some()).map_err(|error| error.to_string())?;
        } else {
            tracing::warn!("no audit trail is kept");
        }
        let trail = settings.map(|settings| settings.directory);
        let before = before.map(|before| before.way()).transpose()?;
        Ok(Begun { worker, doors, steward, before, trail })
    }

    fn serve(self, options: &ServeOptions, before: Option<&mut Predecessor>) -> Result<(), Fault> {
        let Begun { mut worker, doors, steward, before: way, trail } = self;
        let follower = trail.and_then(follow_trail);
        let has_before = way.is_some();
        let house = ThisHouse::new(options, steward, way);
        let served = serve_on(&mut worker, doors, options, house, before);
        if has_before {
            worker.await_before(options.drain_timeout);
        }
        worker.end_trail();
        drop(follower);
        served
    }
}

/// Gives up what serving does not take, and says what this kernel cannot.
fn confine(options: &ServeOptions, doors: &Doors, settings: Option<&Settings>) -> Result<(), String> {
    if let Some(settings) = settings {
        make_directory(&settings.directory).map_err(|error| error.to_string())?;
    }
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    };
    let config = options.config.iter().flat_map(|file| [Some(file.clone()), file.canonicalize().ok()]);
    let needed = Needed {
        read: config.flatten().map(|file| parent(&file)).collect(),
        write: settings.map(|settings| settings.directory.clone()).into_iter().collect(),
        sockets: doors.clients.iter().chain([&doors.operators]).map(|door| parent(door.path())).collect(),
    };
    let low_ports = CapabilitySet::NET_BIND_SERVICE;
    let kept = if options.allow_low_ports { low_ports } else { CapabilitySet::empty() };
    let lacks = confine::enter(&Confinement {
        strictness: options.sandbox.strictness(),
        files: Some(needed),
        capabilities: Some(kept),
        has_jail: false,
    })?;
    if !lacks.is_empty() {
        tracing::warn!("{}", confine::warning(&lacks));
    }
    Ok(())
}

/// How many event loops there are to be.
fn loops(options: &ServeOptions, policy: &Policy) -> usize {
    let workers = options.workers.or(policy.workers).unwrap_or(Workers::ONE);
    // One that is not known is one.
    workers.loops(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// The trail to be kept, if any.
fn trail_settings(
    options: &ServeOptions,
    in_file: Option<Settings>,
    default: Option<PathBuf>,
) -> Result<Option<Settings>, String> {
    if options.no_audit {
        return Ok(None);
    }
    if let Some(settings) = options.trail.settings(in_file, Durability::Strict) {
        return Ok(Some(settings));
    }
    let directory = default.ok_or("neither XDG_STATE_HOME nor HOME is set: say where the audit trail shall be with --audit DIR, or --no-audit")?;
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
    fn open(paths: &Paths, mut inherited: Inherited, options: &ServeOptions) -> Result<Self, String> {
        let bind =
            |path: &Path, callers| PipeListener::bind(path, callers).map_err(|error| error.to_string());
        let mut clients = Vec::new();
        for path in &paths.clients {
            clients.push(match inherited.take_clients_at(path) {
                Some(listener) => listener,
                None => bind(path, Callers::Clients)?,
            });
        }
        clients.append(&mut inherited.take_clients());
        let operators = match inherited.take_admin() {
            Some(listener) => listener,
            None => bind(&paths.admin, Callers::Operators)?,
        };
        let listen = |address| {
            listen_for_metrics(address).map_err(|error| format!("cannot serve metrics on {address}: {error}"))
        };
        let metrics = match inherited.take_metrics() {
            Some(listener) => Some(listener),
            None => options.metrics.map(listen).transpose()?,
        };
        Ok(Doors { clients, operators, metrics })
    }

    /// What a daemon that takes the place of this one is to have.
    fn copy_to(&self, heritage: &mut Heritage) -> io::Result<()> {
        self.clients.iter().try_for_each(|listener| heritage.add_clients(listener))?;
        heritage.add_admin(&self.operators)?;
        self.metrics.iter().try_for_each(|listener| heritage.add_metrics(listener))
    }
}

fn serve_on(
    worker: &mut Worker,
    doors: Doors,
    options: &ServeOptions,
    house: ThisHouse,
    before: Option<&mut Predecessor>,
) -> Result<(), Fault> {
    let loop_failed = |error: io::Error| format!("the event loop failed: {error}");
    if options.config.is_none() && options.policy.allow.is_empty() {
        tracing::warn!("no --allow rule and no --config: every connection is refused");
    }
    raise_descriptor_limit();
    let paths: Vec<PathBuf> = doors.clients.iter().map(|listener| listener.path().to_owned()).collect();
    let metrics = doors.metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    doors.copy_to(&mut house.heritage()).map_err(|error| format!("cannot copy a descriptor: {error}"))?;
    doors.clients.into_iter().try_for_each(|listener| worker.listen(listener)).map_err(loop_failed)?;
    let house = Arc::new(house);
    let operators = Operators::start(
        doors.operators,
        doors.metrics,
        worker.asker(),
        Arc::clone(&house) as Arc<dyn House>,
    );
    let operators = operators.map_err(loop_failed)?;
    house.has_operators(operators.leave());
    // Confined by now, as are all threads that come from here on.
    worker.start_others().map_err(loop_failed)?;
    if let Some(before) = before {
        before.take_over()?;
        worker.hear(before.way()?).map_err(|error| error.to_string())?;
    }
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
    });
    let ended = ended.map_err(loop_failed)?;
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
    heritage: Mutex<Heritage>,
    /// The daemon before this one, for as long as that has clients.
    before: Option<UnixStream>,
    operators: OnceLock<Leave>,
    /// The process that has taken the place of this one; 0 for none.
    successor: AtomicU32,
}

impl ThisHouse {
    fn new(options: &ServeOptions, steward: Steward, before: Option<UnixStream>) -> Self {
        ThisHouse {
            config: options.config.clone(),
            drain_timeout: options.drain_timeout,
            heritage: Mutex::new(Heritage::new(steward)),
            before,
            operators: OnceLock::new(),
            successor: AtomicU32::new(0),
        }
    }

    fn heritage(&self) -> MutexGuard<'_, Heritage> {
        // What is left of a step that has panicked is what was there before it.
        self.heritage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_operators(&self, leave: Leave) {
        // There is one door.
        let _ = self.operators.set(leave);
    }

    /// Tells the service manager, unless its daemon is another process by now.
    fn notify(&self, state: &[NotifyState<'_>]) {
        if self.successor.load(Ordering::Acquire) == 0 {
            notify(state);
        }
    }

    /// The place of this process goes to another one.
    fn retire(&self, pid: u32, loops: &Asker) {
        self.successor.store(pid, Ordering::Release);
        if let Some(Err(error)) = self.operators.get().map(Leave::leave) {
            tracing::error!("operators are still taken in here: {error}");
        }
        match loops.retire(self.drain_timeout) {
            Ok(()) => {
                tracing::info!("process {pid} has taken the place of this one, which takes no new clients")
            }
            Err(error) => tracing::error!("clients are still taken in here: {error}"),
        }
    }
}

impl House for ThisHouse {
    fn read_policy(&self) -> Result<Policy, String> {
        let nothing =
            || "the daemon was started without --config, so there is nothing to read again".to_owned();
        let file = self.config.as_deref().ok_or_else(nothing);
        match file.and_then(|file| Ok((file.display(), read_policy(file)?))) {
            Ok((file, policy)) => {
                tracing::info!(profiles = policy.profiles().len(), "new policy from {file}");
                self.notify(&[NotifyState::Status(&format!("policy read from {file}"))]);
                Ok(policy)
            }
            Err(error) => {
                let status = format!("the policy stays as it was: {error}");
                tracing::error!("{status}");
                self.notify(&[NotifyState::Status(&status)]);
                Err(status)
            }
        }
    }

    fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    fn on_drain(&self, clients: u64, sockets: u64) {
        tracing::info!(clients, sockets, "ending: nothing new is begun");
        self.notify(&[NotifyState::Stopping]);
    }

    fn replace(&self, loops: &Asker) -> Result<u32, String> {
        let Ok(mut heritage) = self.heritage.try_lock() else {
            return Err("another process is being started already".to_owned());
        };
        match self.successor.load(Ordering::Acquire) {
            0 => {}
            pid => return Err(format!("process {pid} has taken the place of this one already")),
        }
        if self.before.as_ref().is_some_and(Predecessor::is_there) {
            return Err(
                "the daemon before this one still has clients; try again when it has ended".to_owned()
            );
        }
        if loops.is_draining() {
            return Err("the daemon is ending".to_owned());
        }
        let passed_on = heritage.pass_on(loops, |pid| notify(&[NotifyState::MainPid(pid)]));
        match &passed_on {
            Ok(pid) => self.retire(*pid, loops),
            Err(error) => tracing::error!("no other process takes the place of this one: {error}"),
        }
        passed_on
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
