//! The client: [`Control`] over a connection to a daemon elsewhere.

mod log;
mod picture;
mod rows;
mod way;

use crate::wire::{json, percent_encode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use log::RemoteLog;
pub use picture::Picture;
use rows::{RemoteRows, What};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use supers_core::control::{
    Answer, Caller, Control, LogFlow, LogRequest, NewUnit, Order, PlanView, Refusal, Rows, Status,
    UpgradeRequest, UpgradeView,
};
use supers_core::history;
use supers_core::snapshot::{DaemonView, Usage};
use way::{Asked, Miss, Tries, Way};

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Host name or address (without brackets) and port.
    Tcp(String, u16),
}

/// What to identify oneself with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// Name and password.
    Basic(String, crate::door::Secret),
    /// A token.
    Bearer(crate::door::Secret),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no such socket.
    #[error("no such socket")]
    Missing,
    /// A socket, but nobody listens; or nothing at this port.
    #[error("nobody listens there")]
    Refused,
    /// This user may not use the socket.
    #[error("permission denied")]
    Denied,
    /// The path is longer than a socket's path can be.
    #[error("the path is too long for a socket")]
    TooLong,
    /// The host name is unknown.
    #[error("the host name is unknown: {0}")]
    Host(io::Error),
    /// Something else.
    #[error("{0}")]
    Other(io::Error),
}

impl ConnectError {
    fn of(e: io::Error) -> ConnectError {
        match e.kind() {
            ErrorKind::NotFound => ConnectError::Missing,
            ErrorKind::ConnectionRefused => ConnectError::Refused,
            ErrorKind::PermissionDenied => ConnectError::Denied,
            ErrorKind::InvalidInput => ConnectError::TooLong,
            // io::ErrorKind is not ours and grows.
            _ => ConnectError::Other(e),
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A daemon elsewhere. One connection is kept and used again; an answer that flows takes it along and
/// the next request opens another one.
///
/// A daemon may be replaced by another one under way. What changes nothing when it is asked twice is then asked
/// again, a few times within seconds; a log goes on where it was.
///
/// Must be used inside a tokio runtime with I/O.
pub struct Remote {
    way: Way,
    idle: Mutex<Option<Sender>>,
}

impl Remote {
    /// Connects.
    ///
    /// # Errors
    /// Why not, precisely enough to tell the user what to do.
    pub async fn connect(address: Address, credentials: Credentials) -> Result<Remote, ConnectError> {
        let way = Way::new(address, credentials)?;
        let first = way.dial().await?;
        Ok(Remote { way, idle: Mutex::new(Some(first)) })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.way.address
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.take().filter(|s| !s.is_closed())
    }

    fn give_back(&self, sender: Sender) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// A whole answer, asked for once.
    async fn fetch_once(&self, asked: &Asked) -> Result<Bytes, Miss> {
        let (sender, response) = self.way.ask(self.take_idle(), asked).await?;
        let bytes = response.into_body().collect().await.map_err(Miss::cut)?.to_bytes();
        self.give_back(sender);
        Ok(bytes)
    }

    /// A whole answer to what may be asked more than once.
    async fn fetch_bytes(&self, asked: Asked) -> Result<Bytes, Refusal> {
        let mut tries = Tries::new();
        loop {
            match self.fetch_once(&asked).await {
                Ok(bytes) => return Ok(bytes),
                Err(Miss::Refused(refusal)) => return Err(refusal),
                Err(miss) => {
                    if !tries.next().await {
                        return Err(miss.into());
                    }
                }
            }
        }
    }

    async fn fetch<T: DeserializeOwned>(&self, asked: Asked) -> Result<T, Refusal> {
        read(&self.fetch_bytes(asked).await?)
    }

    /// The whole picture as it came, to be read without copying it. `brief`: only what a table shows.
    ///
    /// # Errors
    /// As for [`Control::status`].
    pub async fn picture(&self, brief: bool) -> Result<Picture, Refusal> {
        let path = if brief { "/api/v1/status?brief=1" } else { "/api/v1/status" };
        self.fetch_bytes(Asked::get(path)).await.map(Picture)
    }

    /// The daemon alone.
    ///
    /// # Errors
    /// Its answer cannot be read.
    pub async fn daemon(&self) -> Result<DaemonView, Refusal> {
        self.fetch(Asked::get("/api/v1/version")).await
    }

    /// The newest `limit` entries of the history, of all or of the units that a name stands for; `since` in Unix
    /// seconds.
    ///
    /// # Errors
    /// The name means nothing, or the history cannot be read.
    pub async fn history(
        &self,
        name: Option<&str>,
        limit: usize,
        since: Option<u64>,
    ) -> Result<history::Page, Refusal> {
        let place = name.map_or_else(String::new, |n| format!("programs/{}/", percent_encode(n)));
        let since = since.map_or_else(String::new, |s| format!("&since={s}"));
        let path = format!("/api/v1/{place}history?limit={limit}{since}");
        self.fetch(Asked::get(path)).await
    }

    /// What the processes of one program use, as far as that is known.
    ///
    /// # Errors
    /// The name means nothing.
    pub async fn usage(&self, name: &str) -> Result<Usage, Refusal> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            usage: Usage,
        }
        let path = format!("/api/v1/programs/{}", percent_encode(name));
        self.fetch::<Named>(Asked::get(path)).await.map(|named| named.usage)
    }

    async fn rows(&self, what: What, asked: &Asked) -> Result<Box<dyn Rows>, Refusal> {
        let first = self.way.ask(self.take_idle(), asked).await.map(|(_, response)| response.into_body());
        let rows: Box<dyn Rows> = Box::new(RemoteRows::new(self.way.clone(), what, first).await?);
        Ok(rows)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_str(read_text(bytes)?).map_err(|e| unreadable(&e))
}

/// Looked through once here, not text by text.
fn read_text(bytes: &[u8]) -> Result<&str, Refusal> {
    str::from_utf8(bytes).map_err(|e| unreadable(&e))
}

fn unreadable(e: &dyn Display) -> Refusal {
    failed(format!("superd's answer cannot be read: {e}"))
}

fn failed(text: String) -> Refusal {
    Refusal::Failed { text }
}

impl Control for Remote {
    fn status(&self) -> Answer<'_, Status<'static>> {
        Box::pin(async { self.picture(false).await?.read().map(Status::into_owned) })
    }

    /// The caller is not sent: the daemon sees for itself who asks. When another daemon has to be asked, a time
    /// limit begins anew.
    fn order(&self, _caller: Caller, order: Order) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            let asked = Asked::post("/api/v1/orders", json(&order));
            self.rows(What::of(order), &asked).await
        })
    }

    fn reload(&self, _caller: Caller, dry_run: bool) -> Answer<'_, PlanView> {
        let path = if dry_run { "/api/v1/reload?dry_run=1" } else { "/api/v1/reload" };
        Box::pin(self.fetch(Asked::post(path, Bytes::new())))
    }

    fn add(&self, _caller: Caller, unit: NewUnit) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            let asked = Asked::post("/api/v1/programs", json(&unit));
            self.rows(What::Once(vec![unit.name]), &asked).await
        })
    }

    fn logs(&self, request: LogRequest) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            let asked = Asked::get(log::path(&request));
            let response = log::get(&self.way, self.take_idle(), &asked).await?;
            let log: Box<dyn LogFlow> = Box::new(RemoteLog::new(self.way.clone(), request, response));
            Ok(log)
        })
    }

    fn shutdown(&self, _caller: Caller) -> Answer<'_, ()> {
        Box::pin(async move {
            let done = self.fetch_once(&Asked::post("/api/v1/shutdown", Bytes::new())).await?;
            read::<serde_json::Value>(&done).map(drop)
        })
    }

    /// The path is of the daemon's machine.
    fn upgrade(&self, _caller: Caller, binary: Option<String>) -> Answer<'_, String> {
        Box::pin(async move {
            let asked = Asked::post("/api/v1/upgrade", json(&UpgradeRequest { binary }));
            read::<UpgradeView>(&self.fetch_once(&asked).await?).map(|view| view.version)
        })
    }
}
