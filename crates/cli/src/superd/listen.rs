//! Opening the doors: which sockets, with which rights.

use super::speaks_as_ancestor;
use crate::supervisord::words;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use supers_api::{Door, Handed, Listener};
use supers_config::places::Places;
use supers_config::{Address, Choice, Server, Settings};
use supers_engine::held::{Held, Holder};
use supers_os::keeper_proto::Key;
use supers_os::{process, socket, users};

/// The port of a unit folder with nothing else configured (go-family-contract Q02, E1).
const PORT: u16 = 10405;

/// Sockets that outlive a daemon: the keeper holds each door's, and had those of the daemon before.
#[derive(Default)]
pub(super) struct Shelf {
    pub holder: Holder,
    pub held: Held,
}

impl Shelf {
    /// With nothing on it yet.
    pub(super) fn empty(holder: Holder) -> Shelf {
        Shelf { holder, held: Held::default() }
    }

    fn unix(&mut self, path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<Listener, String> {
        let key = unix_key(path);
        // A name that somebody removed leads nobody to the old socket.
        let known = self.held.take(key).filter(|_| path.exists());
        let bound = match known {
            Some(fd) => fd.into(),
            None => {
                let stale = path.exists();
                let bound = bind(path, mode, owner)?;
                if stale && speaks_as_ancestor() {
                    let _ = writeln!(io::stderr(), "Unlinking stale socket {}", path.display());
                }
                bound
            }
        };
        self.holder.hold_socket(key, bound.as_fd());
        Ok(Listener::Unix(bound))
    }

    fn tcp(&mut self, host: &str, port: u16) -> io::Result<Listener> {
        let key = tcp_key(host, port);
        let bound = match self.held.take(key) {
            Some(fd) => fd.into(),
            None => TcpListener::bind((host, port))?,
        };
        self.holder.hold_socket(key, bound.as_fd());
        Ok(Listener::Tcp(bound))
    }

    /// Connections of the daemon before, which it wrote down so.
    pub(super) fn connections(&mut self, text: &str) -> Vec<Handed> {
        let mut keys = Vec::new();
        let handed = supers_api::server::unpack(text, |n| {
            keys.push(Key::connection(n));
            self.held.take(Key::connection(n))
        });
        keys.into_iter().for_each(|key| self.holder.forget(key));
        handed
    }

    /// This server is closed for good.
    pub(super) fn forget(&self, server: &Server) {
        self.holder.forget(match &server.address {
            Address::Unix { path, .. } => unix_key(Path::new(std::ffi::OsStr::from_bytes(path))),
            Address::Tcp { host, port } => tcp_key(every_host(host), *port),
        });
    }
}

fn unix_key(path: &Path) -> Key {
    Key::socket(&[b"unix:", path.as_os_str().as_bytes()].concat())
}

fn tcp_key(host: &str, port: u16) -> Key {
    Key::socket(format!("tcp:{host}:{port}").as_bytes())
}

fn every_host(host: &str) -> &str {
    if host.is_empty() { "0.0.0.0" } else { host }
}

/// Doors that are open, and what the operator should know about those that are not.
#[derive(Default)]
pub(super) struct Doors {
    pub open: Vec<(Door, Listener)>,
    pub notices: Vec<String>,
    /// Socket files to remove at the end.
    pub files: Vec<PathBuf>,
    pub shelf: Shelf,
    /// Connections that the daemon before handed on.
    pub handed: Vec<Handed>,
}

/// Opens what the settings name; the default control socket always exists, at least as a link, so
/// that `supers` finds it by the configuration alone.
pub(super) fn open(settings: &Settings, places: &Places, shelf: Shelf) -> Result<Doors, String> {
    let mut doors = Doors { shelf, ..Doors::default() };
    settings.servers.iter().try_for_each(|server| doors.server(server))?;
    let control = control_door(settings, places, &mut doors.shelf)?;
    doors.open.extend(control);
    doors.files.push(places.socket.clone());
    let folder = matches!(places.choice, Choice::Dir(_));
    if folder && settings.servers.is_empty() && process::euid() == 0 {
        doors.default_port();
    }
    Ok(doors)
}

/// Where `supers` looks by the configuration alone: a socket in the runtime folder, or a link to the
/// first one that the settings name; then there is no door to open.
pub(super) fn control_door(
    settings: &Settings,
    places: &Places,
    shelf: &mut Shelf,
) -> Result<Option<(Door, Listener)>, String> {
    let named = settings.servers.iter().find_map(|server| match &server.address {
        Address::Unix { path, .. } => Some(Path::new(std::ffi::OsStr::from_bytes(path))),
        Address::Tcp { .. } => None,
    });
    if let Some(path) = named {
        if std::fs::read_link(&places.socket).is_ok_and(|there| there == path) {
            return Ok(None);
        }
        let _ = std::fs::remove_file(&places.socket);
        let linked = std::os::unix::fs::symlink(path, &places.socket);
        linked
            .map_err(|e| format!("cannot link {}: {}", places.socket.display(), supers_os::error_text(&e)))?;
        return Ok(None);
    }
    let owners = match &places.choice {
        Choice::Dir(dir) => std::fs::metadata(dir).map(|m| vec![m.uid()]).unwrap_or_default(),
        Choice::File(_) => Vec::new(),
    };
    let bound = shelf.unix(&places.socket, 0o700, None)?;
    Ok(Some((Door::unix("default", owners), bound)))
}

fn bind(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<UnixListener, String> {
    socket::bind_unix(path, mode, owner).map_err(|e| match e.kind() {
        _ if speaks_as_ancestor() => words::cannot_listen(&e),
        io::ErrorKind::AddrInUse => format!("another program listens on {} already", path.display()),
        _ => format!("cannot listen on {}: {}", path.display(), supers_os::error_text(&e)),
    })
}

/// The rules of a configured server.
pub(super) fn door(server: &Server) -> Door {
    let door = match server.address {
        Address::Unix { .. } => Door::unix_by_mode(&server.name),
        Address::Tcp { .. } => Door::inet(&server.name),
    };
    Door { auth: server.auth.clone(), ..door }
}

/// The file of a server on a unix socket.
pub(super) fn socket_file(server: &Server) -> Option<PathBuf> {
    match &server.address {
        Address::Unix { path, .. } => Some(PathBuf::from(std::ffi::OsStr::from_bytes(path))),
        Address::Tcp { .. } => None,
    }
}

impl Doors {
    /// Opens what one section names.
    pub(super) fn server(&mut self, server: &Server) -> Result<(), String> {
        match &server.address {
            Address::Unix { path, mode, owner } => {
                let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
                self.unix(door(server), &path, *mode, owner.as_deref())
            }
            Address::Tcp { host, port } => self.tcp(door(server), host, *port),
        }
    }

    fn unix(&mut self, door: Door, path: &Path, mode: u32, owner: Option<&str>) -> Result<(), String> {
        let bad = |e| format!("Invalid sockchown value {}: {e}", owner.unwrap_or_default());
        let owner = owner.map(users::owner).transpose().map_err(bad)?;
        let bound = self.shelf.unix(path, mode, owner)?;
        self.open.push((door, bound));
        self.files.push(path.to_path_buf());
        Ok(())
    }

    fn tcp(&mut self, door: Door, host: &str, port: u16) -> Result<(), String> {
        let host = every_host(host);
        let bound = self.shelf.tcp(host, port).map_err(|e| match speaks_as_ancestor() {
            true => words::cannot_listen(&e),
            false => format!("cannot listen on {host}:{port}: {}", busy(&e, port)),
        })?;
        self.open.push((door, bound));
        Ok(())
    }

    /// The seed's port. Taken by somebody: programs run all the same, and status says by whom.
    fn default_port(&mut self) {
        match self.shelf.tcp("127.0.0.1", PORT) {
            Ok(bound) => self.open.push((Door::tcp("default http"), bound)),
            Err(e) => self.notices.push(format!("no HTTP on 127.0.0.1:{PORT}: {}", busy(&e, PORT))),
        }
    }
}

/// Why a port cannot be had, with its holder where that can be seen.
fn busy(e: &io::Error, port: u16) -> String {
    match process::who_holds_tcp_port(port) {
        Some((pid, name)) if e.kind() == io::ErrorKind::AddrInUse => {
            format!("the port is held by {name} (pid {pid})")
        }
        _ => supers_os::error_text(e),
    }
}
