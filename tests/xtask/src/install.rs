//! Everything below one prefix: the program, the modules, the systemd unit, the man pages, the shells'
//! completions.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::files::{copy, write};
use crate::modules;
use crate::process::{built, cargo, output, repository};

#[derive(Debug, clap::Args)]
pub struct Install {
    /// The directory that everything is meant to lie in, such as /usr/local.
    #[arg(long, value_name = "DIRECTORY", value_parser = parse_prefix)]
    prefix: PathBuf,
    /// Put before the prefix when writing, for a package.
    #[arg(long, value_name = "DIRECTORY")]
    destdir: Option<PathBuf>,
    /// Install what is built with debug assertions.
    #[arg(long)]
    debug: bool,
    /// Install what is built already.
    #[arg(long)]
    no_build: bool,
}

/// What is installed, and where.
type Installed = Vec<(String, PathBuf)>;

/// Builds everything, writes it, says what was written.
pub fn install(options: &Install) -> Result<(), String> {
    if !options.no_build {
        build(options.debug)?;
    }
    let program = built(options.debug).join("luasocketd");
    let root = root(options)?;
    let mut installed = Installed::new();
    install_program(&program, &root, &mut installed)?;
    install_modules(&root, &mut installed)?;
    install_unit(options, &root, &mut installed)?;
    install_generated(&program, &root, &mut installed)?;
    let width = installed.iter().map(|(what, _)| what.len()).max().unwrap_or_default();
    for (what, place) in installed {
        println!("{what:width$}  {}", place.display());
    }
    Ok(())
}

fn build(debug: bool) -> Result<(), String> {
    let mut args = vec!["build", "--package", "luasocketd"];
    if !debug {
        args.push("--release");
    }
    cargo(&args)?;
    modules::build_all(debug)
}

/// Where the prefix is on this machine, as an absolute path.
fn root(options: &Install) -> Result<PathBuf, String> {
    let Some(destdir) = &options.destdir else { return Ok(options.prefix.clone()) };
    let below = options.prefix.strip_prefix("/").unwrap_or(&options.prefix);
    let destdir = std::path::absolute(destdir)
        .map_err(|error| format!("cannot make {} absolute: {error}", destdir.display()))?;
    Ok(destdir.join(below))
}

fn install_program(program: &Path, root: &Path, installed: &mut Installed) -> Result<(), String> {
    let place = root.join("bin/luasocketd");
    copy(program, &place, 0o755).map_err(|error| cannot("write", &place, error))?;
    installed.push(("program".into(), place));
    Ok(())
}

fn install_modules(root: &Path, installed: &mut Installed) -> Result<(), String> {
    for version in modules::versions() {
        let module = modules::directory(version).join("luasocketd.so");
        // `luasocketd path` looks there.
        let place = root.join("lib/luasocketd/lua").join(version);
        modules::lay_out(&module, &place).map_err(|error| cannot("write to", &place, error))?;
        installed.push((format!("module for {version}"), place));
    }
    Ok(())
}

fn install_unit(options: &Install, root: &Path, installed: &mut Installed) -> Result<(), String> {
    let template = repository().join("daemon/luasocketd.service.in");
    let text = fs::read_to_string(&template).map_err(|error| cannot("read", &template, error))?;
    let place = root.join("lib/systemd/system/luasocketd.service");
    let text = text.replace("@PREFIX@", &options.prefix.display().to_string());
    write(&place, &text).map_err(|error| cannot("write", &place, error))?;
    installed.push(("systemd unit".into(), place));
    Ok(())
}

/// The program writes these itself, as it knows its command line.
fn install_generated(program: &Path, root: &Path, installed: &mut Installed) -> Result<(), String> {
    let share = root.join("share").display().to_string();
    let written = output(&program.display().to_string(), &["__generate", &share])?;
    for place in written.lines().map(PathBuf::from) {
        fs::set_permissions(&place, Permissions::from_mode(0o644))
            .map_err(|error| cannot("change the mode of", &place, error))?;
        let is_page = place.extension().is_some_and(|ending| ending == "1");
        installed.push((if is_page { "man page" } else { "completion" }.into(), place));
    }
    Ok(())
}

fn cannot(verb: &str, path: &Path, error: std::io::Error) -> String {
    format!("cannot {verb} {}: {error}", path.display())
}

/// A prefix that the unit's file can name as it is.
fn parse_prefix(text: &str) -> Result<PathBuf, String> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@~:,".contains(c);
    match text {
        _ if !text.starts_with('/') => Err("it has to begin with /".into()),
        _ if !text.chars().all(plain) => Err("a systemd unit cannot name it without quotes".into()),
        _ => Ok(text.trim_end_matches('/').into()),
    }
}
