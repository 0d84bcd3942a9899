//! What tests and fuzzing need of the machine, installed where that is possible, else named in one line.

use std::env;
use std::path::Path;

use crate::process::run;

/// A file that has to be there, and Debian's package of it. A name without a slash is a command.
const NEEDS: [(&str, &str); 26] = [
    ("cc", "gcc"),
    ("lua5.1", "lua5.1"),
    ("lua5.2", "lua5.2"),
    ("lua5.3", "lua5.3"),
    ("lua5.4", "lua5.4"),
    ("luajit", "luajit"),
    ("/usr/share/lua/5.4/socket.lua", "lua-socket"),
    ("/usr/include/lua5.1/lua.h", "liblua5.1-0-dev"),
    ("/usr/include/lua5.4/lua.h", "liblua5.4-dev"),
    ("/usr/include/luajit-2.1/lua.h", "libluajit-5.1-dev"),
    ("/usr/share/lua/5.1/copas.lua", "lua-copas"),
    ("/usr/share/lua/5.4/luaevent.lua", "lua-event"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("/usr/bin/python3", "python3"),
    ("setpriv", "util-linux"),
    ("script", "bsdutils"),
    ("ps", "procps"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("luarocks", "luarocks"),
    ("man", "man-db"),
    ("systemd-analyze", "systemd"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("prometheus", "prometheus"),
    ("valgrind", "valgrind"),
];

/// What libFuzzer is built with.
const FUZZING_NEEDS: [(&str, &str); 2] = [("cc", "gcc"), ("c++", "g++")];

/// The oldest kernel that has the whole jail of `run` and `exec`.
const KERNEL: (u32, u32) = (6, 12);

/// Installs what the tests need.
pub fn provide() -> Result<(), String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if version(&release) < Some(KERNEL) {
        let (major, minor) = KERNEL;
        return Err(format!("the tests of the jail need Linux {major}.{minor} or later, with Landlock"));
    }
    install("the tests need", &NEEDS)
}

/// Installs what fuzzing needs.
pub fn provide_for_fuzzing() -> Result<(), String> {
    install("fuzzing needs", &FUZZING_NEEDS)
}

/// Installs what is missing as root with apt-get, or says what to install.
fn install(who_needs: &str, needs: &[(&str, &'static str)]) -> Result<(), String> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !is_root() || !has("apt-get") {
        return Err(format!("{who_needs} some packages; as root: {wanted}"));
    }
    // So that apt-get asks nothing.
    run("env", &["DEBIAN_FRONTEND=noninteractive", "apt-get", "update", "--quiet"])?;
    let mut install = vec![
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
    ];
    install.extend(&missing);
    run("env", &install)?;
    match self::missing(needs).as_slice() {
        [] => Ok(()),
        still => Err(format!("still missing after the installation: {}", still.join(" "))),
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn missing(needs: &[(&str, &'static str)]) -> Vec<&'static str> {
    needs.iter().filter(|(file, _)| !has(file)).map(|(_, package)| *package).collect()
}

fn has(file: &str) -> bool {
    if file.contains('/') {
        return Path::new(file).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(file).is_file())
}

fn is_root() -> bool {
    // The owner of our own process directory is who we are.
    std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_release_has_a_version() {
        assert_eq!(version("6.12.0-1-amd64\n"), Some((6, 12)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert!(version("6.1.0") < Some((6, 12)) && version("") < Some((6, 12)));
    }
}
