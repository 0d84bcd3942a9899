//! What can be said on the command line.

mod admin;
mod audit;
mod jail;
mod trail;

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use luasocketd::core::policy::{Rule, TIMEOUT_MAX, Verb, Workers};
use luasocketd_protocol::SPIN_MAX;

pub use admin::{
    AdminOptions, DaemonOptions, DrainOptions, KillOptions, PsOptions, ReloadOptions, StatsOptions,
    TopOptions,
};
pub use audit::{AuditOptions, Format};
pub use jail::JailOptions;
pub use trail::TrailOptions;

use crate::confine::Somebody;
use crate::jail::Strictness;

/// Sockets for Lua scripts that have no network rights of their own.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or configuration. `run` and `exec` exit as the \
                  script or command did; with 124 when its --time was over, `exec` with 126 when the command \
                  cannot be run and with 127 when there is no such command."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a Lua 5.4 script in a jail, with a private daemon; nothing to configure.
    Run(RunOptions),
    /// Run any command in a jail, with a private daemon; a Lua interpreter of any version finds the module.
    Exec(ExecOptions),
    /// Run the daemon in the foreground.
    Serve(ServeOptions),
    /// List the clients of a running daemon, and their sockets.
    Ps(PsOptions),
    /// Show the clients of a running daemon live on the full screen.
    Top(TopOptions),
    /// Print a running daemon's totals and rates.
    Stats(StatsOptions),
    /// End a client of a running daemon, or one of its sockets.
    Kill(KillOptions),
    /// Have a running daemon end in order: it begins nothing new, and what was accepted is delivered.
    Drain(DrainOptions),
    /// Have a running daemon read its policy file again; if that is wrong, the policy stays as it was.
    Reload(ReloadOptions),
    /// Check a policy file, and ask it what it would say.
    Check(CheckOptions),
    /// Ask the audit trail: who talked to whom, when, how much, and whether they might.
    Audit(Box<AuditOptions>),
    /// Print what to export so that a stock interpreter finds the module.
    Path(PathOptions),
    /// Run a script in this process, in a jail, on the pipe that LUASOCKETD_FD names.
    #[command(name = "__script", hide = true)]
    Script(JailedScriptOptions),
    /// Go into a jail, with the pipe that LUASOCKETD_FD names, and become the command.
    #[command(name = "__command", hide = true)]
    Become(BecomeOptions),
    /// End what is left in a jail when standard input ends.
    #[command(name = "__keeper", hide = true)]
    Keeper(KeeperOptions),
    /// Do for a confined daemon what it cannot.
    #[command(name = "__steward", hide = true)]
    Steward(StewardOptions),
    /// Write the man pages and the shells' completions.
    #[command(name = "__generate", hide = true)]
    Generate(GenerateOptions),
}

#[derive(Debug, Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub policy: PolicyOptions,
    #[command(flatten)]
    pub trail: TrailOptions,
    #[command(flatten)]
    pub jail: JailOptions,
    #[command(flatten)]
    pub log: LogOptions,
    #[command(flatten)]
    pub script: ScriptOptions,
}

#[derive(Debug, Args)]
pub struct ExecOptions {
    #[command(flatten)]
    pub policy: PolicyOptions,
    #[command(flatten)]
    pub trail: TrailOptions,
    #[command(flatten)]
    pub jail: JailOptions,
    #[command(flatten)]
    pub log: LogOptions,
    #[command(flatten)]
    pub command: CommandWords,
}

#[derive(Debug, Args)]
pub struct BecomeOptions {
    #[command(flatten)]
    pub jail: JailOptions,
    #[command(flatten)]
    pub command: CommandWords,
}

#[derive(Debug, Args)]
pub struct KeeperOptions {
    /// A process outside the jail.
    pub outside: i32,
    /// After so many seconds all is ended, whether standard input has or not.
    pub seconds: Option<u64>,
}

#[derive(Debug, Args)]
pub struct StewardOptions {
    /// The descriptor over which it is told to start another daemon.
    pub orders: RawFd,
    /// The file of that daemon's program.
    pub program: PathBuf,
    /// What its command line is after the program's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct CommandWords {
    /// The command and its arguments. Options of luasocketd go before it; what comes after it is the command's.
    #[arg(value_names = ["COMMAND", "ARG"], required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<OsString>,
}

impl CommandWords {
    /// The command's name or path.
    pub fn name(&self) -> &OsStr {
        self.words.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The command's arguments.
    pub fn args(&self) -> &[OsString] {
        self.words.get(1..).unwrap_or_default()
    }

    /// All of it.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }
}

#[derive(Debug, Args)]
pub struct JailedScriptOptions {
    #[command(flatten)]
    pub jail: JailOptions,
    #[command(flatten)]
    pub script: ScriptOptions,
}

#[derive(Debug, Args)]
pub struct ScriptOptions {
    /// The script, `-` for standard input, and what it finds in `arg` and `...`. Options of this
    /// command go before the script; what comes after it is the script's.
    #[arg(value_names = ["SCRIPT", "ARG"], required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<OsString>,
}

impl ScriptOptions {
    /// The script's file.
    pub fn path(&self) -> &Path {
        self.words.first().map_or(Path::new("-"), Path::new)
    }

    /// The script's arguments.
    pub fn args(&self) -> &[OsString] {
        self.words.get(1..).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The path that clients connect to [default: $XDG_RUNTIME_DIR/luasocketd.sock, for root
    /// /run/luasocketd/luasocketd.sock]. May be repeated: a policy file can tell clients apart by it.
    #[arg(long, value_name = "PATH")]
    pub socket: Vec<PathBuf>,
    /// The policy file, instead of --allow. SIGHUP and `luasocketd reload` read it again; if it is wrong then,
    /// the policy stays as it was.
    #[arg(long, value_name = "FILE", conflicts_with = "allow")]
    pub config: Option<PathBuf>,
    /// The path that operators connect to with `luasocketd ps` and its like [default: the first --socket with `.admin`
    /// at its end; without one for root /run/luasocketd/admin.sock, else $XDG_RUNTIME_DIR/luasocketd-admin.sock].
    #[arg(long, value_name = "PATH")]
    pub admin: Option<PathBuf>,
    /// Serve Prometheus' metrics at http://ADDRESS:PORT/metrics, to this machine only: a loopback address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// How many event loops serve clients, 1 to 64, each in a thread of its own; `auto` for one on each processor
    /// [default: what the policy file says, else 1].
    #[arg(long, value_name = "N")]
    pub workers: Option<Workers>,
    /// Share no memory with busy clients: all that they send and receive goes through their pipes.
    #[arg(long)]
    pub no_rings: bool,
    /// How many microseconds the daemon and a busy client look for each other's frames before they sleep, 0 to 1000:
    /// answers come faster, for processor time that nobody else wants.
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = SPIN,
        value_parser = clap::value_parser!(u32).range(..=SPIN_MAX.as_micros() as i64),
        conflicts_with = "no_rings"
    )]
    pub spin: u32,
    /// How many seconds clients may go on after SIGTERM. A second SIGTERM ends the daemon at once.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub drain_timeout: Duration,
    /// Be this user, with his supplementary groups, once root has started it; GROUP instead of his own. A directory of
    /// sockets and of the audit trail that is missing is made for him.
    #[arg(long, value_name = "NAME[:GROUP]")]
    pub user: Option<Somebody>,
    /// Keep the right to bind to ports below 1024, if whoever starts it has it. Every other one is given up.
    #[arg(long)]
    pub allow_low_ports: bool,
    /// How the daemon confines itself before it takes its first client: to the files and the system calls that it needs.
    #[arg(long, value_name = "MODE", default_value = "best-effort")]
    pub sandbox: Sandbox,
    #[command(flatten)]
    pub policy: PolicyOptions,
    #[command(flatten)]
    pub trail: TrailOptions,
    /// Keep no audit trail. Without this and --audit it is kept where the policy file says, else in
    /// /var/log/luasocketd for root, in $XDG_STATE_HOME/luasocketd or ~/.local/state/luasocketd for others.
    #[arg(long, conflicts_with_all = ["audit", "durability"])]
    pub no_audit: bool,
    #[command(flatten)]
    pub log: LogOptions,
}

/// How a daemon confines itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    /// Do not serve where the kernel lacks a part.
    Strict,
    /// Say what is missing, and serve without it.
    #[default]
    BestEffort,
    /// Give up capabilities alone.
    Off,
}

impl Sandbox {
    /// What happens where the kernel lacks a part; None where none is asked for.
    pub fn strictness(self) -> Option<Strictness> {
        match self {
            Sandbox::Strict => Some(Strictness::Strict),
            Sandbox::BestEffort => Some(Strictness::BestEffort),
            Sandbox::Off => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct PolicyOptions {
    /// Allow what RULE says; without any, everything is refused. RULE is `*` for everything, or
    /// [connect:|listen:|resolve:|datagram:]HOST[:PORTS]: HOST a name, `*.NAME`, an address, a range
    /// ADDRESS/LENGTH, `unix:PATH` or `*`; PORTS a number, a range LOW-HIGH, a list of these with commas,
    /// or `*`. May be repeated.
    #[arg(long = "allow", value_name = "RULE")]
    pub allow: Vec<Rule>,
}

#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The policy file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What somebody wants to do.
    #[arg(value_name = "VERB", value_parser = parse_verb, requires = "target")]
    pub verb: Option<Verb>,
    /// With whom: HOST:PORT, with `resolve` HOST, or `unix:PATH`.
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// Who asks: a user's number or name [default: whoever runs this].
    #[arg(long, value_name = "USER")]
    pub uid: Option<String>,
    /// The group of whoever asks, by number or name [default: that of the user].
    #[arg(long, value_name = "GROUP")]
    pub gid: Option<String>,
    /// A supplementary group of whoever asks [default: those of the user]. May be repeated.
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// What the client calls itself.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub client: String,
    /// The path that the client has connected to.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<String>,
    /// The address that TARGET's name has; without it only the rules on names are asked.
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Default, Args)]
pub struct LogOptions {
    /// Say more on standard error: -v, -vv. LUASOCKETD_LOG chooses by module.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The form of the log's lines.
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    pub log_format: LogFormat,
}

/// A form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Plain,
    /// A JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub struct PathOptions {
    /// The interpreter's version.
    #[arg(long, value_name = "VERSION", default_value = "5.4")]
    pub lua: LuaVersion,
}

#[derive(Debug, Args)]
pub struct GenerateOptions {
    /// The `share` directory to write them to.
    #[arg(value_name = "DIRECTORY")]
    pub share: PathBuf,
}

/// A Lua that the module is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LuaVersion {
    #[value(name = "5.1")]
    Lua51,
    #[value(name = "5.2")]
    Lua52,
    #[value(name = "5.3")]
    Lua53,
    #[value(name = "5.4")]
    Lua54,
    #[value(name = "5.5")]
    Lua55,
    #[value(name = "jit")]
    Jit,
}

fn parse_verb(text: &str) -> Result<Verb, String> {
    let names: Vec<&str> = Verb::ALL.iter().map(|verb| verb.name()).collect();
    let found = Verb::ALL.iter().find(|verb| verb.name() == text);
    found.copied().ok_or_else(|| format!("a verb is one of {}", names.join(", ")))
}

/// The spin of a daemon that nobody has told otherwise, in microseconds: longer than a peer on the same machine takes to
/// answer.
pub const SPIN: u32 = 50;

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time <= TIMEOUT_MAX => Ok(time),
        Ok(_) => Err(format!("at most a day ({})", TIMEOUT_MAX.as_secs())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_spin_is_the_documented_one() {
        let documented = include_str!("../../docs/data-plane.md");
        assert!(documented.contains(&format!("for {SPIN} µs (`--spin`)")));
        let cli = Cli::parse_from(["luasocketd", "serve"]);
        let Command::Serve(serve) = cli.command else { panic!("{cli:?}") };
        assert_eq!(serve.spin, SPIN);
        assert!(Cli::try_parse_from(["luasocketd", "serve", "--spin", "1001"]).is_err());
    }

    #[test]
    fn a_scripts_arguments_are_its_own() {
        let cli = Cli::parse_from(["luasocketd", "run", "--allow", "*", "a.lua", "-v", "--allow", "x"]);
        let Command::Run(run) = cli.command else { panic!("{cli:?}") };
        assert_eq!((run.policy.allow.len(), run.log.verbose), (1, 0));
        assert_eq!(run.script.args(), ["-v", "--allow", "x"]);
    }

    #[test]
    fn a_wrong_rule_is_wrong_usage() {
        let error =
            Cli::try_parse_from(["luasocketd", "run", "--allow", "example.com:x", "a.lua"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("`x` is no port"), "{error}");
    }
}
