//! What the ancestor says when it does not start, word for word: scripts look for it.

use supers_config::places::NotFound;

/// Two daemons of one configuration, or a port that somebody else has.
pub(crate) const LISTENING_ALREADY: &str = "Another program is already listening on a port that one of our HTTP \
     servers is configured to use.  Shut this program down first before starting supervisord.";

/// A server could not be opened.
pub(crate) fn cannot_listen(e: &std::io::Error) -> String {
    if e.kind() == std::io::ErrorKind::AddrInUse {
        return LISTENING_ALREADY.to_owned();
    }
    let number = e.raw_os_error().unwrap_or(0);
    let name = supers_os::errno_name(number).unwrap_or("None");
    format!("Cannot open an HTTP server: socket.error reported errno.{name} ({number})")
}

/// `user=` of somebody who is not root.
pub(crate) const NOT_ROOT: &str = "Can't drop privilege as nonroot user";

/// Root let the program search.
pub(crate) const SEARCH_WARNING: &str = "Supervisord is running as root and it is searching for its \
     configuration file in default locations (including its current working directory); you probably want to \
     specify a \"-c\" argument specifying an absolute path to a configuration file for improved security.";

/// No configuration.
pub(crate) fn not_found(why: &NotFound) -> String {
    match why {
        NotFound::Given { path, reason: None } => format!("could not find config file {}", path.display()),
        NotFound::Given { path, reason: Some(_) } => format!("could not read config file {}", path.display()),
        NotFound::Nowhere { tried, .. } => {
            let tried: Vec<String> = tried.iter().map(|p| p.display().to_string()).collect();
            format!(
                "No config file found at default paths ({}); use the -c option to specify a config file at a \
                 different path",
                tried.join(", ")
            )
        }
    }
}

/// `minfds` is out of reach. The ancestor names the wanted number twice.
pub(crate) fn few_files(wanted: u64) -> String {
    format!(
        "The minimum number of file descriptors required to run this process is {wanted} as per the \"minfds\" \
         command-line argument or config file setting. The current environment will only allow you to open \
         {wanted} file descriptors.  Either raise the number of usable file descriptors in your environment \
         (see README.rst) or lower the minfds setting in the config file to allow the process to start."
    )
}

/// `minprocs` is out of reach.
pub(crate) fn few_processes(wanted: u64) -> String {
    format!(
        "The minimum number of available processes required to run this program is {wanted} as per the \
         \"minprocs\" command-line argument or config file setting. The current environment will only allow you \
         to open {wanted} processes.  Either raise the number of usable processes in your environment (see \
         README.rst) or lower the minprocs setting in the config file to allow the program to start."
    )
}
