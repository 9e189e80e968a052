//! The local syslog: one datagram a line (RFC 3164, as syslog(3) makes them). Never waits: what the socket
//! does not take is dropped and counted.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use supers_core::time::Wall;
use supers_os::clock::local_time;

/// Facility `user`, severity `info`: all that the ancestor uses.
const PRIORITY: u8 = 14;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Where syslog listens, and under which name we speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogConfig {
    /// Its socket.
    pub socket: PathBuf,
    /// The first word of each message.
    pub ident: String,
}

impl Default for SyslogConfig {
    /// `/dev/log`, and the name that the ancestor's messages have.
    fn default() -> Self {
        SyslogConfig { socket: "/dev/log".into(), ident: "supervisord".into() }
    }
}

/// A connection that is made when it is needed.
pub(super) struct Syslog {
    config: SyslogConfig,
    socket: Option<UnixDatagram>,
    message: Vec<u8>,
}

impl Syslog {
    /// Does not connect yet.
    pub(super) fn new(config: SyslogConfig) -> Syslog {
        Syslog { config, socket: None, message: Vec::new() }
    }

    /// Sends one line; false when it was dropped.
    pub(super) fn send(&mut self, now: Wall, parts: &[&[u8]]) -> bool {
        let t = local_time(now.0);
        let month = MONTHS[usize::from(t.month.saturating_sub(1)).min(11)];
        let ident = &self.config.ident;
        let head =
            format!("<{PRIORITY}>{month} {:2} {:02}:{:02}:{:02} {ident}: ", t.day, t.hour, t.min, t.sec);
        self.message.clear();
        self.message.extend_from_slice(head.as_bytes());
        parts.iter().for_each(|part| self.message.extend_from_slice(part));
        // A logger that was started again has another socket of the same name.
        self.try_send().or_else(|e| if lost(&e) { self.try_send() } else { Err(e) }).is_ok()
    }

    fn try_send(&mut self) -> io::Result<usize> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(&self.config.socket)?;
                self.socket.insert(socket)
            }
        };
        let sent = socket.send(&self.message);
        if sent.as_ref().is_err_and(lost) {
            self.socket = None;
        }
        sent
    }
}

/// The other end is gone.
fn lost(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(e.kind(), ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_234_567_890_005);

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn missing_slow_and_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let config = SyslogConfig { socket: path.clone(), ident: "sv".into() };
        let mut syslog = Syslog::new(config);
        assert!(!syslog.send(NOW, &[b"nobody is there"]));
        let listener = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(NOW, &[b"web", b" ", b"hello"]));
        let message = read(&listener);
        let (head, rest) = message.split_at("<14>Feb 13 ".len());
        assert!(head == "<14>Feb 13 " || head == "<14>Feb 14 ", "{head}");
        assert_eq!(&rest[5..], ":30 sv: web hello");
        // Nobody reads: it never waits, and says what it dropped.
        let taken = (0..100_000).take_while(|_| syslog.send(NOW, &[b"more"])).count();
        assert!(taken > 0 && taken < 100_000, "{taken}");
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(NOW, &[b"again"]));
        assert!(read(&listener).ends_with("sv: again"));
    }
}
