//! The daemon's command line.

use crate::supervisord::Options;
use clap::Parser;
use std::path::PathBuf;
use supers_config::{Flags, Personality};

/// Starts programs and keeps them running. Control it with `supers` (or `superd ctl`).
#[derive(Parser, Clone, Debug)]
#[command(name = "superd", version, disable_version_flag = true, max_term_width = 100)]
pub(super) struct Args {
    /// The configuration: an INI file, one .service file, or a folder of them.
    #[arg(short = 'c', long = "configuration", value_name = "FILE|DIR")]
    pub(super) config: Option<PathBuf>,
    /// Run in the background; returns when everything is ready, or with the reason why not.
    #[arg(short = 'd', long = "daemon", conflicts_with = "foreground")]
    pub(super) daemon: bool,
    /// Stay in the foreground (as without -d).
    #[arg(short = 'n', long = "nodaemon")]
    pub(super) foreground: bool,
    /// Check the configuration, print all findings, start nothing.
    #[arg(short = 't', long = "test")]
    pub(super) test: bool,
    /// Prefix of the default places (not of -c).
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Behave as the program of this name.
    #[arg(long = "as", value_name = "NAME", value_parser = ["superd", "supervisord"])]
    pub(super) as_name: Option<String>,
    /// Run without the keeper process: weaker, a crash of superd loses the programs' exit codes.
    #[arg(long = "no-keeper")]
    pub(super) no_keeper: bool,
    /// Print the version.
    #[arg(short = 'v', short_alias = 'V', long = "version", action = clap::ArgAction::Version)]
    version: (),
    /// What stands over the file, from the ancestor's command line.
    #[arg(skip)]
    pub(super) flags: Flags,
}

impl Args {
    /// The ancestor's command line in these terms. It runs in the background unless told otherwise; the
    /// launcher, which has read the file, says the last word with `-n`. Pid 1 stays.
    pub(super) fn of_supervisord(options: Options) -> Args {
        let foreground = options.flags.nodaemon || std::process::id() == 1;
        Args {
            config: options.config,
            daemon: !foreground,
            foreground,
            test: false,
            root: options.root,
            as_name: Some("supervisord".into()),
            no_keeper: false,
            version: (),
            flags: options.flags,
        }
    }

    /// Whose rules apply: `--as`, else the name the program was called by.
    pub(super) fn personality(&self, called: &str) -> Personality {
        match self.as_name.as_deref().unwrap_or(called) {
            "supervisord" => Personality::Supervisord,
            _ => Personality::Superd,
        }
    }
}
