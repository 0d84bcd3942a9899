//! A host of plug-ins that nobody trusts.
//!
//! ```sh
//! luasocketd serve --socket /tmp/luasocketd.sock --allow example.com:80 &
//! cargo run -p luasocketd-host -- /tmp/luasocketd.sock examples/host/plugins/*.lua -- example.com 80
//! ```
//!
//! Each plug-in runs in a thread and a Lua state of its own, with `print`, `require "socket"`, and libraries
//! that reach nothing outside of it. What it may connect to is the daemon's affair: this program opens no
//! socket but the pipes, so it may give up the right to open any other one. Another Lua than 5.4 is chosen
//! with `--no-default-features --features vendored,luau`, or `lua51` to `lua55`.

mod plugin;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use plugin::{Limits, Plugin};

/// What a plug-in gets, and no more.
const LIMITS: Limits = Limits { memory: 16 * 1024 * 1024, time: Duration::from_secs(5) };

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let daemon = words.next().map(PathBuf::from);
    let scripts: Vec<PathBuf> = words.by_ref().take_while(|word| word != "--").map(PathBuf::from).collect();
    let arguments: Vec<String> = words.collect();
    match daemon {
        Some(daemon) if !scripts.is_empty() => run_all(&daemon, &scripts, &arguments),
        _ => {
            eprintln!("usage: luasocketd-host DAEMON-SOCKET PLUGIN.lua... [-- ARGUMENT...]");
            ExitCode::from(2)
        }
    }
}

/// Runs the plug-ins side by side; says of each that failed why it did.
fn run_all(daemon: &Path, scripts: &[PathBuf], arguments: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    std::thread::scope(|scope| {
        let start = |script| scope.spawn(move || Plugin::new(script).run(daemon, arguments, LIMITS));
        let running: Vec<_> = scripts.iter().map(|script| (script, start(script))).collect();
        for (script, thread) in running {
            match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(problem)) => eprintln!("{}: {problem}", script.display()),
                // No plug-in can bring that about; the panic has said more.
                Err(_) => eprintln!("{}: the host failed", script.display()),
            }
            code = ExitCode::FAILURE;
        }
    });
    code
}
