//! The stock Lua interpreters of the machine.

use std::path::{Path, PathBuf};

use crate::build::{module_dir, modules_for, repository};
use crate::daemon::Daemon;
use crate::process::Job;

/// One stock interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// `lua5.1`
    Lua51,
    /// `lua5.2`
    Lua52,
    /// `lua5.3`
    Lua53,
    /// `lua5.4`
    Lua54,
    /// `lua5.5`, which `cargo xtask test` builds, as Debian 12 has none
    Lua55,
    /// `luajit`
    LuaJit,
}

impl Interpreter {
    /// All of them.
    pub const ALL: [Interpreter; 6] = [
        Interpreter::Lua51,
        Interpreter::Lua52,
        Interpreter::Lua53,
        Interpreter::Lua54,
        Interpreter::Lua55,
        Interpreter::LuaJit,
    ];

    /// Those that Debian has LuaSocket for.
    pub const JUDGED: [Interpreter; 5] =
        [Interpreter::Lua51, Interpreter::Lua52, Interpreter::Lua53, Interpreter::Lua54, Interpreter::LuaJit];

    /// The command, which is Debian's package name, too.
    pub fn name(self) -> &'static str {
        match self {
            Interpreter::Lua51 => "lua5.1",
            Interpreter::Lua52 => "lua5.2",
            Interpreter::Lua53 => "lua5.3",
            Interpreter::Lua54 => "lua5.4",
            Interpreter::Lua55 => "lua5.5",
            Interpreter::LuaJit => "luajit",
        }
    }

    /// The version whose module it loads.
    pub fn version(self) -> &'static str {
        match self {
            Interpreter::Lua51 | Interpreter::LuaJit => "5.1",
            Interpreter::Lua52 => "5.2",
            Interpreter::Lua53 => "5.3",
            Interpreter::Lua54 => "5.4",
            Interpreter::Lua55 => "5.5",
        }
    }

    /// A script file on our module and the given daemon. It also finds the Lua files beside it.
    pub fn job(self, script: &Path, daemon: &Daemon) -> Job {
        self.job_at(script, daemon.socket())
    }

    /// A script file on our module and whatever daemon listens on this path.
    pub fn job_at(self, script: &Path, socket: &Path) -> Job {
        self.ours(Some(script)).env("LUASOCKETD_SOCKET", socket).arg(script)
    }

    /// A script text on our module and the given daemon.
    pub fn inline(self, text: &str, daemon: &Daemon) -> Job {
        self.inline_without_daemon(text).env("LUASOCKETD_SOCKET", daemon.socket())
    }

    /// A script text on our module, told of no daemon.
    pub fn inline_without_daemon(self, text: &str) -> Job {
        self.ours(None).script(text)
    }

    /// A script file on the LuaSocket that the machine has installed.
    pub fn stock_job(self, script: &Path) -> Job {
        Job::new(self.path()).env("LUA_PATH", format!("{};;", beside(script))).arg(script)
    }

    /// A script text without any socket module of ours.
    pub fn stock_inline(self, text: &str) -> Job {
        Job::new(self.path()).script(text)
    }

    /// The interpreter with our modules on its path.
    fn ours(self, script: Option<&Path>) -> Job {
        let modules = modules_for(self.version());
        let beside = script.map(|script| format!(";{}", beside(script))).unwrap_or_default();
        Job::new(self.path()).env("LUA_PATH", modules.lua + &beside).env("LUA_CPATH", modules.c)
    }

    /// Its program.
    pub fn path(self) -> PathBuf {
        if self == Interpreter::Lua55 {
            let path = module_dir("bin").join(self.name());
            assert!(path.is_file(), "{} is missing; run: cargo xtask test", path.display());
            return path;
        }
        find_command(self.name()).unwrap_or_else(|| {
            panic!("{0} is missing; run: apt-get install {0}", self.name());
        })
    }
}

/// A test of each stock interpreter by itself, so that they run side by side: `check` is called with it.
#[macro_export]
macro_rules! each_interpreter {
    ($check:path: $($test:ident = $interpreter:ident),+ $(,)?) => {
        $(#[test]
        fn $test() {
            $check($crate::Interpreter::$interpreter);
        })+
    };
}

/// [`each_interpreter!`] for [`Interpreter::JUDGED`].
#[macro_export]
macro_rules! each_judge {
    ($check:path) => {
        $crate::each_interpreter!(
            $check: on_lua51 = Lua51, on_lua52 = Lua52, on_lua53 = Lua53, on_lua54 = Lua54, on_luajit = LuaJit
        );
    };
}

/// A command on the search path.
pub fn find_command(name: &str) -> Option<PathBuf> {
    // Where servers lie is not on everybody's path.
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn beside(script: &Path) -> String {
    let directory = script.parent().map_or_else(|| repository("."), Path::to_owned);
    format!("{}/?.lua", directory.display())
}
