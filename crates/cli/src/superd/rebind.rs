//! After a reload: servers that changed are bound anew, all others keep their sockets and connections. Calls
//! in flight at a door that closes finish (go-family-contract 13.3).

use super::listen::{self, Doors, Shelf};
use std::path::PathBuf;
use std::sync::Arc;
use supers_config::places::Places;
use supers_config::{Server, Settings};
use supers_engine::{Notices, webhook};
use tokio::sync::watch;

/// What begins every notice about a server, so that the next reload can take it back.
const PREFIX: &str = "after the reload: ";

/// Follows the settings for as long as the daemon lives.
pub(super) struct Rebinder {
    pub(super) news: watch::Receiver<Arc<Settings>>,
    pub(super) servers: Vec<Server>,
    pub(super) places: Places,
    pub(super) notices: Notices,
    /// Socket files to remove at the end.
    pub(super) files: Vec<PathBuf>,
    pub(super) shelf: Shelf,
}

impl Rebinder {
    /// Never ends; asleep until a reload.
    pub(super) async fn keep(&mut self, api: &supers_api::Handle) {
        while self.news.changed().await.is_ok() {
            let settings = self.news.borrow_and_update().clone();
            // A delivery that finds nobody says so in the log.
            let _ = webhook::look_for_messenger(&settings.webhooks, &self.notices);
            if settings.servers != self.servers {
                self.notices.clear(PREFIX);
                self.rebind(&settings, api).await;
            }
        }
        std::future::pending().await
    }

    async fn rebind(&mut self, settings: &Settings, api: &supers_api::Handle) {
        let old = std::mem::take(&mut self.servers);
        for server in old.iter().filter(|s| !settings.servers.contains(s)) {
            // One that only changes its password keeps its socket; see below.
            if !settings.servers.iter().any(|new| same_place(new, server)) {
                api.remove(&server.name).await;
                self.shelf.forget(server);
                self.forget_file(server);
            }
        }
        for server in &settings.servers {
            match old.iter().find(|s| same_place(s, server)) {
                Some(_) => drop(api.update(listen::door(server))),
                None => self.open(server, api),
            }
        }
        self.servers.clone_from(&settings.servers);
        if let Err(why) =
            listen::control_door(settings, &self.places, &mut self.shelf).and_then(|door| match door {
                Some((door, listener)) => api.add(door, listener).map_err(|e| supers_os::error_text(&e)),
                None => Ok(()),
            })
        {
            self.notices.add(format!("{PREFIX}{why}"));
        }
    }

    fn open(&mut self, server: &Server, api: &supers_api::Handle) {
        let shelf = Shelf::empty(self.shelf.holder.clone());
        let mut doors = Doors { shelf, ..Doors::default() };
        let opened = doors.server(server).and_then(|()| {
            let add = |(door, listener)| api.add(door, listener).map_err(|e| supers_os::error_text(&e));
            doors.open.drain(..).try_for_each(add)
        });
        self.files.append(&mut doors.files);
        if let Err(why) = opened {
            self.notices.add(format!("{PREFIX}[{}] is closed: {why}", server.name));
        }
    }

    fn forget_file(&mut self, server: &Server) {
        if let Some(path) = listen::socket_file(server) {
            self.files.retain(|file| *file != path);
            // Gone already is just as well.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The same socket under the same name; who may come in can differ.
fn same_place(a: &Server, b: &Server) -> bool {
    a.name == b.name && a.address == b.address
}
