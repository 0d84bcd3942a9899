//! What can be said about the audit trail that is kept.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use luasocketd::audit::{Durability, Settings};

#[derive(Clone, Debug, Default, Args)]
pub struct TrailOptions {
    /// Keep the audit trail in DIR: who asked for what, what was decided, how it ended.
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
    /// When a decision counts as recorded, before which nothing is done: `strict` when it is on the disk, `relaxed`
    /// when it is on its way there.
    #[arg(long, value_name = "MODE")]
    durability: Option<DurabilityMode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DurabilityMode {
    Strict,
    Relaxed,
}

impl TrailOptions {
    /// Where the trail is said to be.
    pub fn directory(&self) -> Option<&PathBuf> {
        self.audit.as_ref()
    }

    /// The trail that is to be kept: that of `usual` but for what is said here; none where neither says anything.
    pub fn settings(&self, usual: Option<Settings>, durability: Durability) -> Option<Settings> {
        let mut settings = match (&self.audit, usual) {
            (Some(directory), Some(usual)) => Settings { directory: directory.clone(), ..usual },
            (Some(directory), None) => Settings { durability, ..Settings::new(directory) },
            (None, usual) => usual?,
        };
        match self.durability {
            None => {}
            Some(DurabilityMode::Strict) => settings.durability = Durability::Strict,
            Some(DurabilityMode::Relaxed) => settings.durability = Durability::Relaxed,
        }
        Some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let usual = Settings { keep: Some(3), ..Settings::new("/a") };
        let said = TrailOptions { audit: Some("/b".into()), durability: Some(DurabilityMode::Relaxed) };
        let settings = said.settings(Some(usual.clone()), Durability::Strict).unwrap();
        assert_eq!((settings.directory, settings.keep), ("/b".into(), Some(3)));
        assert_eq!(settings.durability, Durability::Relaxed);
        assert_eq!(TrailOptions::default().settings(Some(usual.clone()), Durability::Strict), Some(usual));
        assert_eq!(TrailOptions::default().settings(None, Durability::Strict), None);
    }
}
