//! What can be said about the jail.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::jail::{Files, Jail, Limits, Strictness};

#[derive(Clone, Debug, Default, Args)]
pub struct JailOptions {
    /// What to do where the kernel lacks a part of the jail.
    #[arg(long = "jail", value_name = "MODE", default_value = "strict")]
    mode: JailMode,
    /// Allow local sockets (AF_UNIX). Whatever the user can connect to by path is then reached: D-Bus, Docker.
    #[arg(long)]
    unix: bool,
    /// Allow PATH to be read, listed and run, with all that is below; anything else is then out of reach, but
    /// the system's programs and libraries. May be repeated.
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// As --read, and PATH may be changed too. May be repeated.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Address space of each process: a number with K, M or G (powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Processor time of each process, in whole seconds. Then it gets SIGXCPU.
    #[arg(long, value_name = "SECONDS", value_parser = parse_whole_seconds)]
    cpu: Option<Duration>,
    /// Time that passes until all is ended, in whole seconds: by SIGTERM, then by SIGKILL. The exit code is 124.
    #[arg(long, value_name = "SECONDS", value_parser = parse_whole_seconds)]
    pub time: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum JailMode {
    /// Run nothing.
    #[default]
    Strict,
    /// Say what is missing, and run without it.
    BestEffort,
}

impl JailOptions {
    /// What happens where the kernel lacks a part.
    pub fn strictness(&self) -> Strictness {
        match self.mode {
            JailMode::Strict => Strictness::Strict,
            JailMode::BestEffort => Strictness::BestEffort,
        }
    }

    /// The jail of a process that also needs the files `needed`.
    pub fn jail(&self, needed: Vec<PathBuf>) -> Jail {
        Jail {
            strictness: self.strictness(),
            unix: self.unix,
            files: Files::limited(&self.read, &self.write, needed),
            limits: Limits { memory: self.memory, cpu: self.cpu },
        }
    }

    /// The words that say the same to the process that becomes the command.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let mut say = |option: &str, value: OsString| words.extend([OsString::from(option), value]);
        if self.mode == JailMode::BestEffort {
            say("--jail", "best-effort".into());
        }
        self.read.iter().for_each(|path| say("--read", path.into()));
        self.write.iter().for_each(|path| say("--write", path.into()));
        if let Some(bytes) = self.memory {
            say("--memory", format!("{}K", bytes / KIBI).into());
        }
        if let Some(time) = self.cpu {
            say("--cpu", time.as_secs().to_string().into());
        }
        words.extend(self.unix.then(|| "--unix".into()));
        words
    }
}

const KIBI: u64 = 1024;

fn parse_size(text: &str) -> Result<u64, String> {
    let wanted = || "a number with K, M or G is wanted, as 256M".to_owned();
    let mut letters = text.chars();
    let unit = match letters.next_back() {
        Some('K') => KIBI,
        Some('M') => KIBI * KIBI,
        Some('G') => KIBI * KIBI * KIBI,
        _ => return Err(wanted()),
    };
    let count: u64 = letters.as_str().parse().map_err(|_| wanted())?;
    count.checked_mul(unit).filter(|size| *size > 0).ok_or_else(wanted)
}

fn parse_whole_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds.into())),
        Ok(0) | Err(_) => Err("a whole number of seconds above 0 is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        jail: JailOptions,
    }

    #[test]
    fn the_words_say_the_same() {
        let line = [
            "x",
            "--jail=best-effort",
            "--unix",
            "--read",
            "/a",
            "--read",
            "/b c",
            "--write",
            "/w",
            "--memory",
            "3M",
            "--cpu",
            "7",
        ];
        let first = Line::parse_from(line).jail;
        let again = Line::parse_from([vec!["x".into()], first.words()].concat()).jail;
        assert_eq!(format!("{:?}", again.jail(Vec::new())), format!("{:?}", first.jail(Vec::new())));
        assert_eq!((again.memory, again.unix), (Some(3 << 20), true));
        assert!(JailOptions::default().words().is_empty());
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("1K"), Ok(1024));
        assert_eq!(parse_size("2G"), Ok(2 << 30));
        for wrong in ["", "5", "K", "-1K", "0M", "1k", "1KB", "99999999999999999999G", "9999999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_whole() {
        assert_eq!(parse_whole_seconds("1"), Ok(Duration::from_secs(1)));
        for wrong in ["0", "-1", "1.5", "", "9999999999"] {
            assert!(parse_whole_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
