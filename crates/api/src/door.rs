//! Who may come in: peer credentials on unix sockets; Host, Origin, passwords and tokens on TCP.
//!
//! Supervisor's own addresses ([`Area::Supervisor`]) keep Supervisor's rules, which know passwords only,
//! with what browsers can be made to do added: actions for pages of other sites are refused everywhere, and
//! a loopback port without a password answers to names of this machine only.

use crate::problem::Detail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER};
use sha1::{Digest, Sha1};
use std::net::IpAddr;
use subtle::ConstantTimeEq;
pub use supers_config::{Auth, Password, Secret};

/// What makes a listener: its name and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The section of the configuration it comes from; the key for
    /// [`Handle::remove`](crate::server::Handle::remove).
    pub name: String,
    /// What it listens on, with the rules that belong to it.
    pub kind: Kind,
    /// Name and password that are asked for.
    pub auth: Option<Auth>,
    /// `Authorization: Bearer` that is accepted as well.
    pub token: Option<Secret>,
    /// It comes from `[unix_http_server]` or `[inet_http_server]`: Supervisor's addresses are served beside
    /// our own.
    pub supervisor: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// `/api/v1`.
    Own,
    /// Supervisor's addresses (supervisor-contract 9 and 14).
    Supervisor {
        /// The request may change something: an action of a page, or XML-RPC.
        acts: bool,
    },
}

/// The two kinds of doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A unix socket. Root and the daemon's own user always may, and need no password: they could
    /// read it, or end the daemon, anyway.
    Unix {
        /// User ids that are trusted like these two: the owner of the unit folder.
        owners: Vec<u32>,
        /// The file's mode decides who else may connect (`chmod=` and `chown=` of the section); they
        /// need the password if there is one.
        by_mode: bool,
    },
    /// A TCP port. Only reads are answered while neither `auth` nor `token` is set.
    Tcp {
        /// Names that the Host header may have, beside loopback names and the address itself.
        hosts: Vec<String>,
    },
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// A unix socket.
    User {
        /// The user, when the kernel told it.
        uid: Option<u32>,
        /// The daemon's user.
        own: u32,
    },
    /// TCP.
    Net {
        /// The address that was connected to.
        local: Option<IpAddr>,
    },
}

impl Door {
    /// A unix door for root, the daemon's user and `owners`, without a password.
    pub fn unix(name: impl Into<String>, owners: Vec<u32>) -> Door {
        Door::new(name, Kind::Unix { owners, by_mode: false })
    }

    /// A unix door for everybody whom the file's mode lets in, with Supervisor's addresses.
    pub fn unix_by_mode(name: impl Into<String>) -> Door {
        let kind = Kind::Unix { owners: Vec::new(), by_mode: true };
        Door { supervisor: true, ..Door::new(name, kind) }
    }

    /// A TCP door that only reads.
    pub fn tcp(name: impl Into<String>) -> Door {
        Door::new(name, Kind::Tcp { hosts: Vec::new() })
    }

    /// A TCP door with Supervisor's addresses.
    pub fn inet(name: impl Into<String>) -> Door {
        Door { supervisor: true, ..Door::tcp(name) }
    }

    fn new(name: impl Into<String>, kind: Kind) -> Door {
        Door { name: name.into(), kind, auth: None, token: None, supervisor: false }
    }

    /// Checks a request before its route is looked at.
    ///
    /// # Errors
    /// The problem to answer with.
    pub fn check(&self, from: &From, area: Area, method: &Method, headers: &HeaderMap) -> Result<(), Detail> {
        match area {
            Area::Own => self.check_own(from, method, headers),
            Area::Supervisor { acts } => self.check_supervisor(from, acts, headers),
        }
    }

    /// Whoever can connect may do everything, unless there is a password; then nobody may do anything
    /// without it, root on a unix socket included (supervisor-contract 9).
    fn check_supervisor(&self, from: &From, acts: bool, headers: &HeaderMap) -> Result<(), Detail> {
        if acts {
            check_site(headers)?;
            check_referer(headers)?;
        }
        if self.is_locked() {
            return match self.knows(headers) {
                Known::Yes => Ok(()),
                Known::No => Err(unauthorized()),
                Known::Malformed => {
                    Err(Detail::new("bad-request", "the Authorization header cannot be decoded"))
                }
            };
        }
        match (&self.kind, from) {
            (Kind::Tcp { hosts }, From::Net { local }) => check_open_host(hosts, *local, headers),
            (Kind::Unix { .. }, From::User { .. }) => Ok(()),
            (Kind::Unix { .. } | Kind::Tcp { .. }, From::User { .. } | From::Net { .. }) => Err(stranger()),
        }
    }

    fn check_own(&self, from: &From, method: &Method, headers: &HeaderMap) -> Result<(), Detail> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match (&self.kind, from) {
            (Kind::Unix { owners, by_mode }, From::User { uid: Some(uid), own }) => {
                let trusted = *uid == 0 || uid == own || owners.contains(uid);
                if trusted {
                    return Ok(());
                }
                if !by_mode {
                    return Err(Detail::new("denied", format!("user id {uid} may not use this socket"))
                        .hint(format!("only root and user id {own} may; try sudo")));
                }
                if self.is_locked() { self.unlock(headers) } else { Ok(()) }
            }
            (Kind::Tcp { hosts }, From::Net { local }) => {
                check_host(hosts, *local, headers)?;
                check_site(headers)?;
                match (self.is_locked(), reads) {
                    (true, _) => self.unlock(headers),
                    (false, true) => Ok(()),
                    (false, false) => Err(read_only()),
                }
            }
            // The kernel did not say who it is, or the rules are for another kind of socket.
            (Kind::Unix { .. } | Kind::Tcp { .. }, From::User { .. } | From::Net { .. }) => Err(stranger()),
        }
    }

    fn is_locked(&self) -> bool {
        self.auth.is_some() || self.token.is_some()
    }

    fn unlock(&self, headers: &HeaderMap) -> Result<(), Detail> {
        match self.knows(headers) {
            Known::Yes => Ok(()),
            Known::No | Known::Malformed => Err(unauthorized()),
        }
    }

    /// Whether the Authorization header is one that was configured.
    fn knows(&self, headers: &HeaderMap) -> Known {
        let Some(value) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return Known::No };
        let Some((scheme, rest)) = value.split_once(' ') else { return Known::No };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Known::when(self.token.as_ref().is_some_and(|t| same(t.reveal(), rest.as_bytes())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Known::No;
        }
        let Ok(pair) = BASE64.decode(rest) else { return Known::Malformed };
        let Some(colon) = pair.iter().position(|b| *b == b':') else { return Known::No };
        Known::when(self.auth.as_ref().is_some_and(|auth| {
            let name = same(auth.username.as_bytes(), &pair[..colon]);
            // Both are always compared, so that the time tells nothing about the name.
            let password = matches(&auth.password, &pair[colon + 1..]);
            name & password
        }))
    }
}

enum Known {
    Yes,
    No,
    /// Basic, but not base64.
    Malformed,
}

impl Known {
    fn when(yes: bool) -> Known {
        if yes { Known::Yes } else { Known::No }
    }
}

fn stranger() -> Detail {
    Detail::new("denied", "it is not known who asks")
}

fn unauthorized() -> Detail {
    Detail::new("unauthorized", "a name with its password, or a token, is needed here")
}

fn read_only() -> Detail {
    Detail::new("read-only", "over TCP without a configured password or token this only reads").hint(
        "set username= and password= in [inet_http_server] (superd.conf), or use `supers` on this machine",
    )
}

/// Compares digests, so that neither content nor length shows in the time.
fn same(a: &[u8], b: &[u8]) -> bool {
    let (a, b): ([u8; 20], [u8; 20]) = (Sha1::digest(a).into(), Sha1::digest(b).into());
    a.ct_eq(&b).into()
}

fn matches(password: &Password, given: &[u8]) -> bool {
    match password {
        Password::Plain(secret) => same(secret.reveal(), given),
        Password::Sha1(digest) => {
            let given: [u8; 20] = Sha1::digest(given).into();
            given.ct_eq(digest).into()
        }
    }
}

/// A page of another site cannot reach a port of this machine under a name that the site controls
/// (DNS rebinding): only names that are known to mean this machine are answered.
fn check_host(hosts: &[String], local: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Detail> {
    let mut values = headers.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Detail::new("bad-request", "a request needs exactly one Host header"));
    };
    let text = value.to_str().unwrap_or("");
    let name = host_name(text);
    let known = match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || Some(ip.to_canonical()) == local.map(|l| l.to_canonical()),
        Err(_) => {
            name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|h| h.eq_ignore_ascii_case(name))
        }
    };
    if known {
        return Ok(());
    }
    Err(Detail::new("wrong-host", format!("this server is not called {text:?}"))
        .hint("use localhost or the address it listens on"))
}

/// The same for a port without a password, where nobody else asks who comes. Addresses cannot be rebound,
/// and what listens beyond this machine is open to its whole network anyway, under any name.
fn check_open_host(hosts: &[String], local: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Detail> {
    let Some(value) = headers.get(HOST) else { return Ok(()) };
    let text = value.to_str().unwrap_or("");
    let name = host_name(text);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let below = |domain: &str| {
        name.len()
            .checked_sub(domain.len())
            .and_then(|at| name.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(domain))
    };
    let beyond = local.is_some_and(|ip| !ip.to_canonical().is_loopback());
    if beyond
        || text.is_empty()
        || name.parse::<IpAddr>().is_ok()
        || is("localhost")
        || below(".localhost")
        || hosts.iter().any(|h| is(h))
    {
        return Ok(());
    }
    Err(Detail::new("wrong-host", format!("this server is not called {text:?}")).hint(
        "without username= and password= in [inet_http_server] it answers only to localhost and addresses",
    ))
}

/// `name`, `name:80`, `1.2.3.4:80`, `[::1]:80` without port and brackets.
fn host_name(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(ip, _)| ip);
    }
    text.split_once(':').map_or(text, |(name, _)| name)
}

/// Refuses what a browser sends for a page of another site.
fn check_site(headers: &HeaderMap) -> Result<(), Detail> {
    let foreign =
        || Err(Detail::new("cross-site", "requests that come from another site's page are refused"));
    let site = HeaderName::from_static("sec-fetch-site");
    if headers.get_all(site).iter().any(|v| v != "same-origin" && v != "none") {
        return foreign();
    }
    if headers.get_all(ORIGIN).iter().all(|origin| is_own(origin, headers)) { Ok(()) } else { foreign() }
}

/// Pages of Supervisor act by links, and browsers without Sec-Fetch-Site still say where a link was.
fn check_referer(headers: &HeaderMap) -> Result<(), Detail> {
    if headers.get_all(REFERER).iter().all(|page| is_own(page, headers)) {
        return Ok(());
    }
    Err(Detail::new("cross-site", "actions from another site's page are refused"))
}

/// The URL is one of this server, as the Host header calls it.
fn is_own(url: &HeaderValue, headers: &HeaderMap) -> bool {
    let own = headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("");
    let Some((scheme, rest)) = url.to_str().ok().and_then(|o| o.split_once("://")) else { return false };
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let port = if scheme == "https" { ":443" } else { ":80" };
    let plain = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    !host.is_empty() && plain(host) == plain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    fn kind(door: &Door, method: Method, lines: &[(&'static str, &str)]) -> String {
        let local = Some("10.0.0.7".parse().unwrap());
        judge(door.check(&From::Net { local }, Area::Own, &method, &headers(lines)))
    }

    fn judge(result: Result<(), Detail>) -> String {
        result.map_or_else(|d| d.kind, |()| "ok".into())
    }

    #[test]
    fn hosts() {
        let mut door = Door::tcp("t");
        door.kind = Kind::Tcp { hosts: vec!["box".into()] };
        for good in
            ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:80", "10.0.0.7:80", "Box:80"]
        {
            assert_eq!(kind(&door, Method::GET, &[("host", good)]), "ok", "{good}");
        }
        for bad in
            ["evil.example", "10.0.0.8", "localhost.evil.example", "127.0.0.1.nip.io", "[::2]", "", "["]
        {
            assert_eq!(kind(&door, Method::GET, &[("host", bad)]), "wrong-host", "{bad}");
        }
        assert_eq!(kind(&door, Method::GET, &[]), "bad-request");
        assert_eq!(kind(&door, Method::GET, &[("host", "localhost"), ("host", "x")]), "bad-request");
    }

    #[test]
    fn sites() {
        let door = Door::tcp("t");
        for (header, value, want) in [
            ("origin", "http://localhost:1", "ok"),
            ("origin", "http://localhost:2", "cross-site"),
            ("origin", "http://evil.example", "cross-site"),
            ("origin", "null", "cross-site"),
            ("origin", "", "cross-site"),
            ("sec-fetch-site", "", "cross-site"),
            ("sec-fetch-site", "same-origin", "ok"),
            ("sec-fetch-site", "none", "ok"),
            ("sec-fetch-site", "same-site", "cross-site"),
            ("sec-fetch-site", "cross-site", "cross-site"),
        ] {
            assert_eq!(
                kind(&door, Method::GET, &[("host", "localhost:1"), (header, value)]),
                want,
                "{value}"
            );
        }
    }

    #[test]
    fn without_a_password_tcp_only_reads() {
        let door = Door::tcp("t");
        assert_eq!(kind(&door, Method::POST, &[("host", "localhost")]), "read-only");
        assert_eq!(kind(&door, Method::HEAD, &[("host", "localhost")]), "ok");
    }

    #[test]
    fn passwords_and_tokens() {
        let plain = Auth { username: "bob".into(), password: Password::Plain(Secret::new("a:b")) };
        let digest: [u8; 20] = Sha1::digest(b"a:b").into();
        let hashed = Auth { username: "bob".into(), password: Password::Sha1(digest) };
        let ask = |door: &Door, value: &str| {
            kind(door, Method::POST, &[("host", "localhost"), ("authorization", value)])
        };
        for auth in [plain, hashed] {
            let door = Door { auth: Some(auth), ..Door::tcp("t") };
            assert_eq!(kind(&door, Method::GET, &[("host", "localhost")]), "unauthorized");
            for (pair, want) in [
                ("bob:a:b", "ok"),
                ("bob:a:", "unauthorized"),
                ("bo:a:b", "unauthorized"),
                ("bob", "unauthorized"),
            ] {
                assert_eq!(ask(&door, &format!("Basic {}", BASE64.encode(pair))), want, "{pair}");
            }
            assert_eq!(ask(&door, "Basic !!"), "unauthorized");
            assert_eq!(ask(&door, "Bearer a:b"), "unauthorized");
        }
        let door = Door { token: Some(Secret::new("t0ken")), ..Door::tcp("t") };
        assert_eq!(ask(&door, "bearer t0ken"), "ok");
        assert_eq!(ask(&door, "Bearer t0kem"), "unauthorized");
        assert_eq!(ask(&door, "t0ken"), "unauthorized");
    }

    #[test]
    fn peers() {
        let ask = |door: &Door, uid, lines: &[(&'static str, &str)]| {
            judge(door.check(&From::User { uid, own: 5 }, Area::Own, &Method::POST, &headers(lines)))
        };
        let door = Door::unix("u", vec![7]);
        for (uid, want) in [(0, "ok"), (5, "ok"), (7, "ok"), (8, "denied")] {
            assert_eq!(ask(&door, Some(uid), &[]), want, "{uid}");
        }
        assert_eq!(ask(&door, None, &[]), "denied");
        assert_eq!(ask(&Door::tcp("t"), Some(0), &[]), "denied");
        let open = Door::unix_by_mode("u");
        assert_eq!(ask(&open, Some(8), &[]), "ok");
        let locked = Door { token: Some(Secret::new("t")), ..open };
        assert_eq!(ask(&locked, Some(8), &[]), "unauthorized");
        assert_eq!(ask(&locked, Some(8), &[("authorization", "Bearer t")]), "ok");
        assert_eq!(ask(&locked, Some(5), &[]), "ok");
    }

    /// Supervisor's addresses: what a door says to a request with these headers.
    fn ask(door: &Door, local: &str, acts: bool, lines: &[(&'static str, &str)]) -> String {
        let from = match local {
            "unix" => From::User { uid: None, own: 5 },
            ip => From::Net { local: Some(ip.parse().unwrap()) },
        };
        judge(door.check(&from, Area::Supervisor { acts }, &Method::POST, &headers(lines)))
    }

    #[test]
    fn supervisors_addresses_on_a_loopback_port_without_a_password() {
        let door = Door::inet("t");
        for (host, want) in [
            ("localhost", "ok"),
            ("Localhost:9001", "ok"),
            ("web.localhost:1", "ok"),
            ("127.0.0.1:9001", "ok"),
            ("[::1]:9001", "ok"),
            ("10.0.0.8", "ok"),
            ("", "ok"),
            ("evil.example:9001", "wrong-host"),
            ("localhost.evil.example", "wrong-host"),
            ("127.0.0.1.nip.io", "wrong-host"),
            ("box", "wrong-host"),
        ] {
            assert_eq!(ask(&door, "127.0.0.1", false, &[("host", host)]), want, "{host}");
        }
        assert_eq!(ask(&door, "127.0.0.1", true, &[]), "ok");
        assert_eq!(ask(&door, "10.0.0.7", true, &[("host", "any.example")]), "ok");
        assert_eq!(ask(&door, "::ffff:127.0.0.1", true, &[("host", "any.example")]), "wrong-host");
        let auth = Auth { username: "bob".into(), password: Password::Plain(Secret::new("pw")) };
        let locked = Door { auth: Some(auth), ..door };
        let pair = format!("basic {}", BASE64.encode("bob:pw"));
        for (value, want) in [
            (pair.as_str(), "ok"),
            ("Basic !!", "bad-request"),
            ("Basic abc", "bad-request"),
            ("Basic", "unauthorized"),
            ("Basic Ym9i", "unauthorized"),
            ("Digest Ym9iOnB3", "unauthorized"),
        ] {
            let lines = [("host", "any.example"), ("authorization", value)];
            assert_eq!(ask(&locked, "127.0.0.1", true, &lines), want, "{value}");
            let unix = Door { kind: Door::unix_by_mode("u").kind, ..locked.clone() };
            assert_eq!(ask(&unix, "unix", true, &lines), want, "{value}");
        }
        assert_eq!(ask(&locked, "127.0.0.1", false, &[]), "unauthorized");
    }

    #[test]
    fn actions_for_other_sites_are_refused_on_every_door() {
        for (door, local) in [(Door::inet("t"), "127.0.0.1"), (Door::unix_by_mode("u"), "unix")] {
            for (header, value, want) in [
                ("sec-fetch-site", "same-origin", "ok"),
                ("sec-fetch-site", "none", "ok"),
                ("sec-fetch-site", "same-site", "cross-site"),
                ("sec-fetch-site", "cross-site", "cross-site"),
                ("origin", "http://LOCALHOST:1", "ok"),
                ("origin", "http://localhost", "cross-site"),
                ("origin", "null", "cross-site"),
                ("referer", "http://localhost:1/index.html?a=b", "ok"),
                ("referer", "http://evil.example/localhost:1", "cross-site"),
                ("referer", "http://localhost:1.evil.example/", "cross-site"),
                ("referer", "http://localhost:1@evil.example/", "cross-site"),
            ] {
                let lines = [("host", "localhost:1"), (header, value)];
                assert_eq!(ask(&door, local, true, &lines), want, "{header} {value}");
                assert_eq!(ask(&door, local, false, &lines), "ok", "reading: {header} {value}");
            }
            let default_port = [("host", "localhost"), ("origin", "http://localhost:80")];
            assert_eq!(ask(&door, local, true, &default_port), "ok");
        }
    }
}
