//! Listening sockets that the daemon binds and children share as their standard input
//! (`[fcgi-program:x]`, supervisor-contract 4). Bound when the group is created, closed when it goes.

use crate::held::{Held, Holder};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supers_core::spec::{SharedSocket, SocketAddress, Spec};
use supers_os::keeper_proto::Key;
use supers_os::{process, socket, users};

/// Which program: its group and its name.
type Owner = (String, String);

/// All that are bound.
#[derive(Default)]
pub(crate) struct SharedSockets {
    bound: BTreeMap<Owner, Bound>,
    /// Of the daemon before, until their units ask for them.
    inherited: BTreeMap<Owner, OwnedFd>,
    /// Who keeps them over the daemon's death.
    holder: Holder,
}

struct Bound {
    wanted: SharedSocket,
    fd: Arc<OwnedFd>,
    /// To be removed at the end.
    file: Option<PathBuf>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl SharedSockets {
    pub(crate) fn new(holder: Holder) -> SharedSockets {
        SharedSockets { holder, ..SharedSockets::default() }
    }

    /// Takes the socket of this unit's program from what an earlier daemon left.
    pub(crate) fn inherit(&mut self, spec: &Spec, held: &mut Held) {
        let Some(wanted) = &spec.socket else { return };
        if let Some(fd) = held.take(key(wanted)) {
            self.inherited.insert((spec.group.clone(), spec.program.clone()), fd);
        }
    }

    /// Takes it from a process that has it as its standard input, when nobody held it.
    pub(crate) fn inherit_from(&mut self, spec: &Spec, process: &OwnedFd) {
        let owner = (spec.group.clone(), spec.program.clone());
        if spec.socket.is_none() || self.inherited.contains_key(&owner) {
            return;
        }
        if let Ok(fd) = supers_os::reap::pidfd_getfd(process, 0)
            && socket::is_listening(fd.as_fd())
        {
            self.inherited.insert(owner, fd);
        }
    }

    /// The socket of this unit, bound now if it is not yet; `None` when it has none.
    ///
    /// # Errors
    /// Supervisor's sentence with the system's reason.
    pub(crate) fn of(&mut self, spec: &Spec) -> Result<Option<Arc<OwnedFd>>, String> {
        let Some(wanted) = &spec.socket else { return Ok(None) };
        let owner = (spec.group.clone(), spec.program.clone());
        if let Some(bound) = self.bound.get(&owner).filter(|bound| bound.wanted == **wanted) {
            return Ok(Some(bound.fd.clone()));
        }
        // The old one goes first: the new one may want its address.
        self.forget(&owner);
        let bound = match self.inherited.remove(&owner) {
            Some(fd) => Bound::again(wanted, fd),
            None => bind(wanted, spec.context.user.as_deref())
                .map_err(|why| format!("Could not create FastCGI socket {}: {why}", url(&wanted.address)))?,
        };
        self.holder.hold_socket(key(wanted), bound.fd.as_fd());
        let fd = bound.fd.clone();
        self.bound.insert(owner, bound);
        Ok(Some(fd))
    }

    fn forget(&mut self, owner: &Owner) {
        if let Some(bound) = self.bound.remove(owner) {
            self.holder.forget(key(&bound.wanted));
        }
    }

    /// Closes those that no unit of `specs` wants any more.
    pub(crate) fn keep<'a>(&mut self, specs: impl Iterator<Item = &'a Spec>) {
        if self.bound.is_empty() {
            return;
        }
        let wanted: std::collections::BTreeSet<(&str, &str)> =
            specs.map(|s| (s.group.as_str(), s.program.as_str())).collect();
        let unwanted = |(group, program): &&Owner| !wanted.contains(&(group.as_str(), program.as_str()));
        let gone: Vec<Owner> = self.bound.keys().filter(unwanted).cloned().collect();
        gone.iter().for_each(|owner| self.forget(owner));
    }
}

impl Bound {
    /// One that an earlier daemon bound.
    fn again(wanted: &SharedSocket, fd: OwnedFd) -> Bound {
        let file = match &wanted.address {
            SocketAddress::Unix { path, .. } => Some(PathBuf::from(std::ffi::OsStr::from_bytes(path))),
            SocketAddress::Tcp { .. } => None,
        };
        Bound { wanted: wanted.clone(), fd: Arc::new(fd), file }
    }
}

/// Under which the keeper holds it.
fn key(wanted: &SharedSocket) -> Key {
    Key::socket(format!("fcgi:{}", url(&wanted.address)).as_bytes())
}

/// As the configuration writes it.
fn url(address: &SocketAddress) -> String {
    match address {
        SocketAddress::Unix { path, .. } => format!("unix://{path}"),
        SocketAddress::Tcp { host, port } => format!("tcp://{host}:{port}"),
    }
}

/// `user` is whom the children run as: without an owner of its own the socket is all theirs.
fn bind(wanted: &SharedSocket, user: Option<&str>) -> Result<Bound, String> {
    let text = |e: io::Error| supers_os::error_text(&e);
    let (fd, file): (OwnedFd, _) = match &wanted.address {
        SocketAddress::Unix { path, owner, mode } => {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            let owner = owner.as_deref().map(|text| owner_of(text, user)).transpose()?;
            // Children of an earlier daemon may still listen there: a new socket takes the name.
            remove_socket(path).map_err(text)?;
            (socket::bind_unix(path, *mode, owner).map_err(text)?.into(), Some(path.to_owned()))
        }
        SocketAddress::Tcp { host, port } => {
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            (TcpListener::bind((host, *port)).map_err(text)?.into(), None)
        }
    };
    socket::set_backlog(fd.as_fd(), wanted.backlog).map_err(text)?;
    Ok(Bound { wanted: wanted.clone(), fd: Arc::new(fd), file })
}

/// Without a group the socket keeps that of the daemon.
fn owner_of(text: &str, user: Option<&str>) -> Result<(u32, u32), String> {
    let (uid, gid) = users::owner(text).map_err(|e| e.to_string())?;
    Ok((uid, if text.contains(':') || user == Some(text) { gid } else { process::egid() }))
}

fn remove_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path),
        // bind_unix refuses what is no socket, and says so.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn spec(group: &str, path: &Path) -> Spec {
        let mut spec = Spec::new("php");
        spec.group = group.into();
        let path = path.to_str().unwrap().into();
        let address = SocketAddress::Unix { path, owner: None, mode: 0o700 };
        spec.socket = Some(Box::new(SharedSocket { address, backlog: Some(7) }));
        spec
    }

    #[test]
    fn one_socket_a_program_for_as_long_as_somebody_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let mut sockets = SharedSockets::default();
        let first = sockets.of(&spec("g", &a)).unwrap().unwrap();
        let again = sockets.of(&spec("g", &a)).unwrap().unwrap();
        assert_eq!(first.as_raw_fd(), again.as_raw_fd());
        UnixStream::connect(&a).unwrap();
        // Another address: the old file goes.
        sockets.of(&spec("g", &b)).unwrap().unwrap();
        assert!(!a.exists() && b.exists());
        sockets.keep([&spec("g", &b)].into_iter());
        assert!(b.exists());
        sockets.keep([&spec("other", &b)].into_iter());
        assert!(!b.exists());
        assert!(sockets.of(&Spec::new("plain")).unwrap().is_none());
    }

    #[test]
    fn a_failure_names_the_socket() {
        let mut sockets = SharedSockets::default();
        let error = sockets.of(&spec("g", Path::new("/nowhere/at/all"))).unwrap_err();
        assert_eq!(
            error,
            "Could not create FastCGI socket unix:///nowhere/at/all: No such file or directory"
        );
    }
}
