//! Where to connect and as whom: the options over `[supervisorctl]` over the defaults.

use super::args::Options;
use crate::world::World;
use bstr::ByteSlice;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use supers_config::ctl::{self, Unusable};
use supers_config::places::{NotFound, find};
use supers_config::source::Disk;
use supers_config::{Choice, Ctl, Personality};

/// The ancestor's default.
const DEFAULT_URL: &str = "http://localhost:9001";

/// What a session needs to know.
pub(super) struct Settings {
    pub(super) url: String,
    /// Name and password, as far as they are known.
    pub(super) credentials: Option<(String, String)>,
    pub(super) prompt: String,
    pub(super) history: Option<PathBuf>,
}

/// Puts the settings together.
///
/// # Errors
/// The text after `Error: `.
pub(super) fn settings(options: &Options, program: &Path) -> Result<Settings, String> {
    let mut world = World::here(Personality::Supervisord);
    // The search begins beside the link, not beside what it leads to.
    let beside = program.parent().filter(|dir| !dir.as_os_str().is_empty());
    world.exe_dir = beside.map(|dir| world.cwd.join(dir)).or(world.exe_dir);
    let ctl = configured(options, &world)?;
    let username = options.username.clone().or(ctl.username);
    let password = options.password.clone().or(ctl.password.map(|p| p.reveal().to_str_lossy().into_owned()));
    let credentials = match (username, password) {
        (None, None) => None,
        (username, password) => Some((username.unwrap_or_default(), password.unwrap_or_default())),
    };
    let url = options.serverurl.clone().or(ctl.serverurl).unwrap_or_else(|| DEFAULT_URL.into());
    let given = options.history_file.as_ref().map(|file| world.cwd.join(file));
    let configured = ctl.history_file.map(|file| PathBuf::from(OsStr::from_bytes(&file)));
    Ok(Settings { url, credentials, prompt: ctl.prompt, history: given.or(configured) })
}

/// `[supervisorctl]` of the file, or the defaults when there is no file at all.
fn configured(options: &Options, world: &World) -> Result<Ctl, String> {
    let asker = world.asker(options.configuration.as_deref().map(Path::new), None);
    let places = match find(&asker, &Disk) {
        Ok(places) => places,
        Err(NotFound::Nowhere { .. }) => return Ok(Ctl::default()),
        Err(NotFound::Given { path, reason: Some(_) }) => {
            return Err(format!("could not read config file {}", path.display()));
        }
        Err(e @ NotFound::Given { reason: None, .. }) => return Err(e.to_string()),
    };
    let (Choice::File(path) | Choice::Dir(path)) = &places.choice;
    let shown = || options.configuration.clone().unwrap_or_else(|| path.display().to_string());
    let request = world.request(&places.choice, Path::new(""));
    ctl::read(&request, path).map_err(|e| match e {
        Unusable::Unreadable => format!("could not read config file {}", shown()),
        Unusable::Broken(text) => text,
    })
}
