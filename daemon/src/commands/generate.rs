//! `luasocketd __generate`: the man pages and the shells' completions, made from the definition of the
//! command line. The installer calls it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate as complete};
use clap_mangen::Man;

use super::failed;
use crate::cli::{Cli, GenerateOptions};
use crate::jail::refusals;

const PROGRAM: &str = "luasocketd";

/// The commands that start something in a jail.
const JAILED: [&str; 2] = ["run", "exec"];

/// Where each shell looks, below a `share` directory.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/luasocketd"),
    (Shell::Zsh, "zsh/site-functions/_luasocketd"),
    (Shell::Fish, "fish/vendor_completions.d/luasocketd.fish"),
];

/// The sections of the main page that the definition of the command line does not know.
const SECTIONS: &str = include_str!("manual.roff");

/// Writes the files and prints their paths.
pub fn generate(options: GenerateOptions) -> ExitCode {
    match write_all(&options.share) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("cannot write to {}: {error}", options.share.display())),
    }
}

fn write_all(share: &Path) -> io::Result<()> {
    let mut command = public();
    for (shell, place) in COMPLETIONS {
        let mut script = Vec::new();
        complete(shell, &mut command, PROGRAM, &mut script);
        write(share.join(place), &script)?;
    }
    // With their full names, and without a page for the list that `help` prints.
    let mut command = public().disable_help_subcommand(true);
    command.build();
    write_page(share, &command, |man, page| {
        man.render_title(page)?;
        man.render_name_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_subcommands_section(page)?;
        man.render_options_section(page)?;
        page.write_all(SECTIONS.as_bytes())
    })?;
    command.get_subcommands().try_for_each(|command| {
        write_page(share, command, |man, page| {
            man.render(page)?;
            if JAILED.contains(&command.get_name()) { write_refusals(page) } else { Ok(()) }
        })
    })
}

/// Says on the page of a jailed command what the jail refuses.
fn write_refusals(page: &mut dyn Write) -> io::Result<()> {
    writeln!(page, ".SH \"REFUSED SYSTEM CALLS\"")?;
    for (reason, calls) in refusals() {
        writeln!(page, ".TP\n{}\nWhat {reason}.", calls.join(", "))?;
    }
    Ok(())
}

fn write_page(
    share: &Path,
    command: &Command,
    render: impl Fn(&Man, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let man = Man::new(command.clone())
        // No date, but not an empty one: it would be lost, and what follows would take its place.
        .date(" ")
        .source(concat!("luasocketd ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    render(&man, &mut page)?;
    write(share.join("man/man1").join(man.get_filename()), &page)
}

fn write(path: PathBuf, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    File::create(&path)?.write_all(text)?;
    writeln!(io::stdout(), "{}", path.display())
}

/// The command line without what is not meant for users; the generators would show it.
fn public() -> Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = whole.get_about().cloned().unwrap_or_default();
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .subcommand_required(true)
        .subcommands(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_users_is_shown() {
        let names: Vec<String> = public().get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let about_running_ones = ["ps", "top", "stats", "kill", "drain", "reload"];
        assert_eq!(names[..3], ["run", "exec", "serve"]);
        assert_eq!(names[3..9], about_running_ones);
        assert_eq!(names[9..], ["check", "audit", "path"]);
    }
}
