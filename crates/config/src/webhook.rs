//! Where abnormal ends are reported to: `[webhook]`, and each program's own address.

use crate::model::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Longest wait for one answer that can be asked for, in seconds.
const MAX_TIMEOUT: u32 = 300;

const SHAPE: &str = "expected https://HOST[:PORT][/PATH], or the same with http";

/// Who is told of what. Nothing is, by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhooks {
    /// `[webhook] url=`, for all programs without an address of their own.
    pub url: Option<Url>,
    /// Limit for one try, from the connection to the answer.
    pub timeout: Duration,
    /// Key of the signature that goes with each message.
    pub secret: Option<Secret>,
    /// What is reported.
    pub events: Events,
    /// Programs (sections, unit files) with their own address; `None` is never reported.
    pub own: BTreeMap<String, Option<Url>>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks {
            url: None,
            timeout: Duration::from_secs(10),
            secret: None,
            events: Events::default(),
            own: BTreeMap::new(),
        }
    }
}

impl Webhooks {
    /// Where the ends of this program are reported to.
    pub fn url_of(&self, program: &str) -> Option<&Url> {
        match self.own.get(program) {
            Some(own) => own.as_ref(),
            None => self.url.as_ref(),
        }
    }
}

/// Which abnormal events are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// A run ended that was not to end, or not like that.
    pub exit: bool,
    /// A start failed.
    pub start: bool,
    /// A unit was given up.
    pub fatal: bool,
}

impl Default for Events {
    fn default() -> Self {
        Events { exit: true, start: true, fatal: true }
    }
}

impl Events {
    /// Words between commas: `exit`, `start`, `fatal`, or `abnormal` for all of them.
    ///
    /// # Errors
    /// Another word, or none.
    pub(crate) fn parse(text: &str) -> Result<Events, String> {
        let mut events = Events { exit: false, start: false, fatal: false };
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "exit" => events.exit = true,
                "start" => events.start = true,
                "fatal" => events.fatal = true,
                "abnormal" => events = Events::default(),
                _ => {
                    let word = word.trim();
                    return Err(format!(
                        "events=: `{word}` is no event; expected abnormal, exit, start or fatal"
                    ));
                }
            }
        }
        Ok(events)
    }
}

/// Seconds, 1 to 300.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<u32>().ok().filter(|n| (1..=MAX_TIMEOUT).contains(n));
    let seconds =
        seconds.ok_or_else(|| format!("timeout=: expected a number of seconds from 1 to {MAX_TIMEOUT}"))?;
    Ok(Duration::from_secs(seconds.into()))
}

/// An address of HTTP. What may be secret in it (the login, the query) shows in no print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Url {
    /// `https`.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub target: String,
    /// `user:password@` before the host.
    pub login: Option<Secret>,
}

/// What a host begins with on disk when it is to be spoken to by TLS.
const TLS_MARK: &str = "https://";

/// An address on disk, where its form is positional. The scheme came later and goes with the host: older records
/// stay readable, and an older superd finds a host that does not exist instead of records that are broken.
#[derive(Serialize, Deserialize)]
struct Form {
    host: String,
    port: u16,
    target: String,
    login: Option<Secret>,
}

impl From<Form> for Url {
    fn from(form: Form) -> Url {
        let Form { host, port, target, login } = form;
        match host.strip_prefix(TLS_MARK) {
            Some(host) => Url { tls: true, host: host.into(), port, target, login },
            None => Url { tls: false, host, port, target, login },
        }
    }
}

impl From<Url> for Form {
    fn from(url: Url) -> Form {
        let Url { tls, host, port, target, login } = url;
        let host = if tls { format!("{TLS_MARK}{host}") } else { host };
        Form { host, port, target, login }
    }
}

/// Why a text is no address, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl {
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Url {
    /// Reads `http://[user:password@]host[:port][/path][?query]`, or the same with `https`.
    ///
    /// # Errors
    /// Another scheme, or a part that no HTTP client could send.
    pub fn parse(text: &str) -> Result<Url, BadUrl> {
        let bad = |message: &str, hint| Err(BadUrl { message: message.into(), hint });
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return bad("this is no URL", SHAPE);
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return bad("notifications are sent by http or https", SHAPE),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let Some((host, port)) = host_and_port(place, usual_port(tls)) else {
            return bad("the URL names no host that can be reached", SHAPE);
        };
        if target.contains('#') || !target.bytes().chain(login.unwrap_or("").bytes()).all(is_url_byte) {
            let hint = "write them as percent codes (in an INI file with two percent signs: %%20)";
            return bad("the URL holds characters that must not stand there", hint);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Url { tls, host: host.into(), port, target, login: login.map(Secret::new) })
    }

    /// `host:port` as a connection and the `Host` header want it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The whole text, secrets included: for the disk, never for people.
    pub fn reveal(&self) -> String {
        let login = self.login.as_ref().map(|l| String::from_utf8_lossy(l.reveal()).into_owned() + "@");
        format!("{}://{}{}{}", self.scheme(), login.unwrap_or_default(), self.authority(), self.target)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { "***@" } else { "" };
        let (path, query) = match self.target.split_once('?') {
            Some((path, _)) => (path, "?***"),
            None => (self.target.as_str(), ""),
        };
        write!(f, "{}://{login}{}{path}{query}", self.scheme(), self.authority())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The address of one program: `none` turns it off.
pub(crate) fn own(text: &str) -> Result<Option<Url>, BadUrl> {
    if text.trim().eq_ignore_ascii_case("none") { Ok(None) } else { Url::parse(text).map(Some) }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn host_and_port(text: &str, usual: u16) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None if port.is_empty() => usual,
        Some(_) | None => return None,
    };
    (port != 0).then_some((host, port))
}

/// What RFC 3986 lets stand in a path or a query.
fn is_url_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        match Url::parse(text) {
            Ok(url) => format!("{url} {} {} {}", url.host, url.port, url.target),
            Err(bad) => bad.message,
        }
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            ("http://hooks", "http://hooks/ hooks 80 /"),
            ("HTTP://hooks:8080/a/b?t=1", "http://hooks:8080/a/b?*** hooks 8080 /a/b?t=1"),
            ("http://hooks?x", "http://hooks/?*** hooks 80 /?x"),
            ("http://me:s%40cret@10.0.0.1:81/x", "http://***@10.0.0.1:81/x 10.0.0.1 81 /x"),
            ("http://[::1]:9/x", "http://[::1]:9/x ::1 9 /x"),
            ("https://hooks/x", "https://hooks/x hooks 443 /x"),
            ("HTTPS://me:x@hooks:443?k", "https://***@hooks/?*** hooks 443 /?k"),
            ("https://hooks:80/", "https://hooks:80/ hooks 80 /"),
            ("http://hooks:443/", "http://hooks:443/ hooks 443 /"),
            ("ftp://hooks/x", "notifications are sent by http or https"),
            ("hooks/x", "this is no URL"),
            ("http://", "the URL names no host that can be reached"),
            ("http:///x", "the URL names no host that can be reached"),
            ("http://a:0/", "the URL names no host that can be reached"),
            ("http://a:65536/", "the URL names no host that can be reached"),
            ("http://a:+1/", "the URL names no host that can be reached"),
            ("http://[::1/", "the URL names no host that can be reached"),
            ("http://a b/", "the URL names no host that can be reached"),
            ("http://a/b c", "the URL holds characters that must not stand there"),
            ("http://a/#b", "the URL holds characters that must not stand there"),
            ("http://a/\r\nX: y", "the URL holds characters that must not stand there"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn secrets_show_nowhere() {
        let text = "http://me:geheim@h/p?token=geheim";
        let url = Url::parse(text).unwrap();
        let hooks =
            Webhooks { url: Some(url.clone()), secret: Some(Secret::new("geheim")), ..Webhooks::default() };
        assert!(!format!("{hooks:?} {url}").contains("geheim"));
        assert_eq!(url.reveal(), text);
    }

    #[test]
    fn events_by_words() {
        let only = |exit, start, fatal| Ok(Events { exit, start, fatal });
        assert_eq!(Events::parse("abnormal"), only(true, true, true));
        assert_eq!(Events::parse("exit, FATAL"), only(true, false, true));
        assert!(Events::parse("").is_err() && Events::parse("exits").is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "https?://([a-z]{1,3}@)?[a-z0-9.:\\[\\]]{0,8}[/?]?.{0,10}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(&url.reveal()), Ok(url.clone()));
                prop_assert_eq!(Url::from(Form::from(url.clone())), url);
            }
        }
    }
}
