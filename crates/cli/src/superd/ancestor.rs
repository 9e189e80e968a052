//! What the daemon writes into its log at the start when it was called by the ancestor's name
//! (supervisor-contract 1, 4). The ancestor logs what was critical first, then warnings, then the rest.

use supers_config::{Loaded, Settings, Severity};
use supers_core::time::Wall;
use supers_engine::logs::mainlog::{Level, MainLog};
use supers_os::process;

const ROOT: &str = "Supervisor is running as root.  Privileges were not dropped because no user is specified in the \
     config file.  If you intend to run as root, you can set user=root in the config file to avoid this message.";

/// What was done before the log was open.
#[derive(Default)]
pub(super) struct Done {
    /// The user that the daemon became.
    pub(super) became: Option<u32>,
    /// Limits that were raised, by name, and to what.
    pub(super) raised: Vec<(&'static str, u64)>,
}

/// The lines about privileges and about reading the files.
pub(super) fn log_start(log: &MainLog, now: Wall, loaded: &Loaded, done: &Done) {
    if process::euid() == 0 && loaded.config.settings.user.is_none() {
        log.log(Level::Critical, now, ROOT);
    }
    for finding in &loaded.config.findings {
        let level = match finding.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
        };
        log.log(level, now, &finding.message);
    }
    for file in loaded.config.files.iter().skip(1) {
        log.log(Level::Info, now, &format!("Included extra file \"{file}\" during parsing"));
    }
    if let Some(uid) = done.became {
        log.log(Level::Info, now, &format!("Set uid to user {uid} succeeded"));
    }
    for (name, limit) in &done.raised {
        log.log(Level::Info, now, &format!("Increased {name} limit to {limit}"));
    }
}

/// The lines about its servers.
pub(super) fn log_servers(log: &MainLog, now: Wall, settings: &Settings) {
    for server in &settings.servers {
        if settings.rpcinterface {
            log.log(Level::Info, now, "RPC interface 'supervisor' initialized");
        }
        if server.auth.is_none() {
            let text = format!("Server '{}' running without any HTTP authentication checking", server.name);
            log.log(Level::Critical, now, &text);
        }
    }
}
