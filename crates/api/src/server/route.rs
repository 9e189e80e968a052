//! Paths and queries, parsed completely before anything is done.

use super::history::Wanted;
use crate::problem::Detail;
use crate::wire::{percent_decode, query_pairs};
use hyper::{Method, Uri};
use supers_core::control::{LogFrom, LogRequest, Order, Rules, Stream, Verb};
use supers_core::signal::Signal;

/// Lines of a log that are shown when the request does not say.
pub(super) const DEFAULT_LINES: u64 = 10;

/// Everything that can be asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /api/v1/programs`
    Programs,
    /// `GET /api/v1/programs/NAME`
    Program(String),
    /// `GET /api/v1/programs/NAME/logs`
    Logs(LogRequest),
    /// `GET /api/v1/history`, `GET /api/v1/programs/NAME/history`
    History(Wanted),
    /// `GET /api/v1/programs/NAME/why`
    Why(String),
    /// `GET /api/v1/status`
    Status {
        /// Without what is empty, and without what a table does not show.
        brief: bool,
    },
    /// `GET /api/v1/version`
    Version,
    /// `POST /api/v1/programs/NAME/VERB`
    Order(Order),
    /// `POST /api/v1/orders`
    Orders,
    /// `POST /api/v1/programs`
    Add,
    /// `POST /api/v1/reload`
    Reload {
        /// Only say what would be done.
        dry_run: bool,
    },
    /// `POST /api/v1/upgrade`
    Upgrade,
    /// `POST /api/v1/shutdown`
    Shutdown,
}

/// What stands at a path, before the method is looked at.
enum Place {
    Read(Route),
    Write(Route),
    Both(Route, Route),
}

/// Finds the route.
///
/// # Errors
/// `no-such-route`, `wrong-method` (with the right one as its hint) or `bad-request`.
pub(super) fn parse(method: &Method, uri: &Uri) -> Result<Route, Detail> {
    let place = place(uri)?;
    let read = *method == Method::GET || *method == Method::HEAD;
    match place {
        Place::Read(route) if read => Ok(route),
        Place::Both(route, _) if read => Ok(route),
        Place::Write(route) | Place::Both(_, route) if *method == Method::POST => Ok(route),
        Place::Read(_) => Err(wrong_method(method, "GET, HEAD")),
        Place::Write(_) => Err(wrong_method(method, "POST")),
        Place::Both(_, _) => Err(wrong_method(method, "GET, HEAD, POST")),
    }
}

fn wrong_method(method: &Method, allowed: &str) -> Detail {
    Detail::new("wrong-method", format!("{method} cannot be used here")).hint(allowed)
}

fn place(uri: &Uri) -> Result<Place, Detail> {
    let nothing = || Detail::new("no-such-route", format!("there is nothing at {}", uri.path()));
    let rest = uri.path().strip_prefix("/api/v1/").ok_or_else(nothing)?;
    let parts: Vec<String> = rest
        .split('/')
        .map(percent_decode)
        .collect::<Option<_>>()
        .ok_or_else(|| Detail::new("bad-request", "the path has a malformed % escape"))?;
    let mut query = Query::of(uri)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let place = match parts.as_slice() {
        ["programs"] => Place::Both(Route::Programs, Route::Add),
        ["status"] => Place::Read(Route::Status { brief: query.flag("brief")?.unwrap_or(false) }),
        ["version"] => Place::Read(Route::Version),
        ["history"] => Place::Read(Route::History(history(None, &mut query)?)),
        ["orders"] => Place::Write(Route::Orders),
        ["reload"] => Place::Write(Route::Reload { dry_run: query.flag("dry_run")?.unwrap_or(false) }),
        ["shutdown"] => Place::Write(Route::Shutdown),
        ["upgrade"] => Place::Write(Route::Upgrade),
        ["programs", name] if !name.is_empty() => Place::Read(Route::Program((*name).into())),
        ["programs", name, "logs"] => Place::Read(Route::Logs(logs(name, &mut query)?)),
        ["programs", name, "history"] => Place::Read(Route::History(history(Some(name), &mut query)?)),
        ["programs", name, "why"] => Place::Read(Route::Why((*name).into())),
        ["programs", name, verb] => {
            let verb = verb_of(verb, &mut query)?.ok_or_else(nothing)?;
            Place::Write(Route::Order(order(name, verb, &mut query)?))
        }
        _ => return Err(nothing()),
    };
    query.finish()?;
    Ok(place)
}

fn verb_of(word: &str, query: &mut Query) -> Result<Option<Verb>, Detail> {
    Ok(Some(match word {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "reload" => Verb::Reload,
        "signal" => {
            let text = query.take("signal")?.unwrap_or_default();
            let signal = Signal::parse(&text).ok_or_else(|| {
                Detail::new("bad-request", format!("{text:?} is no signal"))
                    .hint("say ?signal=HUP, for example")
            })?;
            Verb::Signal(signal.number())
        }
        _ => return Ok(None),
    }))
}

fn order(name: &str, verb: Verb, query: &mut Query) -> Result<Order, Detail> {
    let wait = query.flag("wait")?.unwrap_or(true);
    let timeout_ms = query.number("timeout")?.map(|s| s.saturating_mul(1000));
    Ok(Order { verb, names: vec![name.into()], wait, timeout_ms, rules: Rules::Supers })
}

fn history(name: Option<&str>, query: &mut Query) -> Result<Wanted, Detail> {
    Ok(Wanted::new(name, query.number("limit")?, query.number("since")?))
}

fn logs(name: &str, query: &mut Query) -> Result<LogRequest, Detail> {
    let wishes = [
        query.number("lines")?.map(LogFrom::Lines),
        query.number("bytes")?.map(LogFrom::Bytes),
        query.number("offset")?.map(LogFrom::Offset),
    ];
    let mut given = wishes.into_iter().flatten();
    let from = given.next().unwrap_or(LogFrom::Lines(DEFAULT_LINES));
    if given.next().is_some() {
        return Err(Detail::new("bad-request", "lines, bytes and offset exclude each other"));
    }
    let stream = match query.take("stream")?.as_deref() {
        None | Some("stdout") => Stream::Stdout,
        Some("stderr") => Stream::Stderr,
        Some(other) => {
            return Err(Detail::new("bad-request", format!("stream is stdout or stderr, not {other:?}")));
        }
    };
    let follow = query.flag("follow")?.unwrap_or(false);
    Ok(LogRequest { name: name.into(), stream, from, follow })
}

/// The part behind `?`, from which each known key is taken out; what is left is a mistake.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Result<Query, Detail> {
        query_pairs(uri.query().unwrap_or(""))
            .map(Query)
            .ok_or_else(|| Detail::new("bad-request", "the query has a malformed % escape"))
    }

    fn take(&mut self, key: &str) -> Result<Option<String>, Detail> {
        let found = self.0.iter().position(|(k, _)| k == key);
        let value = found.map(|at| self.0.remove(at).1);
        if self.0.iter().any(|(k, _)| k == key) {
            return Err(Detail::new("bad-request", format!("{key} is given twice")));
        }
        Ok(value)
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>, Detail> {
        let Some(text) = self.take(key)? else { return Ok(None) };
        let bad = |_| Detail::new("bad-request", format!("{key} is a whole number, not {text:?}"));
        text.parse().map(Some).map_err(bad)
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, Detail> {
        match self.take(key)?.as_deref() {
            None => Ok(None),
            Some("1" | "true" | "yes") => Ok(Some(true)),
            Some("0" | "false" | "no") => Ok(Some(false)),
            Some(other) => Err(Detail::new("bad-request", format!("{key} is 1 or 0, not {other:?}"))),
        }
    }

    fn finish(self) -> Result<(), Detail> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(Detail::new("bad-request", format!("{key:?} means nothing here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, uri: &str) -> String {
        match parse(&method, &uri.parse().unwrap()) {
            Ok(route) => format!("{route:?}"),
            Err(d) => match d.hint {
                None => format!("{}: {}", d.kind, d.text),
                Some(hint) => format!("{}: {} ({hint})", d.kind, d.text),
            },
        }
    }

    #[test]
    fn routes() {
        let asked = [
            (Method::GET, "/api/v1/programs"),
            (Method::POST, "/api/v1/programs"),
            (Method::DELETE, "/api/v1/programs"),
            (Method::GET, "/api/v1/programs/a%20b"),
            (Method::GET, "/api/v1/programs/"),
            (Method::GET, "/api/v1/programs/g:web/logs"),
            (Method::GET, "/api/v1/programs/web/logs?offset=7&stream=stderr&follow"),
            (Method::GET, "/api/v1/programs/web/logs?offset=7&lines=1"),
            (Method::GET, "/api/v1/programs/web/logs?lines=x"),
            (Method::GET, "/api/v1/programs/web/logs?lines=1&lines=2"),
            (Method::GET, "/api/v1/programs/web/logs?stream=in"),
            (Method::POST, "/api/v1/programs/g:*/restart?wait=0&timeout=5"),
            (Method::POST, "/api/v1/programs/web/start?wait=maybe"),
            (Method::POST, "/api/v1/programs/web/signal?signal=hup"),
            (Method::POST, "/api/v1/programs/web/signal?signal=nope"),
            (Method::POST, "/api/v1/programs/web/dance"),
            (Method::GET, "/api/v1/programs/web/start"),
            (Method::POST, "/api/v1/reload?dry_run=1"),
            (Method::POST, "/api/v1/reload?dryrun=1"),
            (Method::GET, "/api/v1/history?limit=5&since=1795263725"),
            (Method::GET, "/api/v1/programs/g:web/history"),
            (Method::GET, "/api/v1/programs/g:web/history?since=yesterday"),
            (Method::POST, "/api/v1/programs/g:web/why"),
            (Method::GET, "/api/v1/programs/g:web/why"),
            (Method::GET, "/api/v1/programs/%ff"),
            (Method::GET, "/"),
        ];
        let text: Vec<String> =
            asked.into_iter().map(|(m, uri)| format!("{m} {uri}\n  {}", ask(m.clone(), uri))).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        GET /api/v1/programs
          Programs
        POST /api/v1/programs
          Add
        DELETE /api/v1/programs
          wrong-method: DELETE cannot be used here (GET, HEAD, POST)
        GET /api/v1/programs/a%20b
          Program("a b")
        GET /api/v1/programs/
          no-such-route: there is nothing at /api/v1/programs/
        GET /api/v1/programs/g:web/logs
          Logs(LogRequest { name: "g:web", stream: Stdout, from: Lines(10), follow: false })
        GET /api/v1/programs/web/logs?offset=7&stream=stderr&follow
          Logs(LogRequest { name: "web", stream: Stderr, from: Offset(7), follow: true })
        GET /api/v1/programs/web/logs?offset=7&lines=1
          bad-request: lines, bytes and offset exclude each other
        GET /api/v1/programs/web/logs?lines=x
          bad-request: lines is a whole number, not "x"
        GET /api/v1/programs/web/logs?lines=1&lines=2
          bad-request: lines is given twice
        GET /api/v1/programs/web/logs?stream=in
          bad-request: stream is stdout or stderr, not "in"
        POST /api/v1/programs/g:*/restart?wait=0&timeout=5
          Order(Order { verb: Restart, names: ["g:*"], wait: false, timeout_ms: Some(5000), rules: Supers })
        POST /api/v1/programs/web/start?wait=maybe
          bad-request: wait is 1 or 0, not "maybe"
        POST /api/v1/programs/web/signal?signal=hup
          Order(Order { verb: Signal(1), names: ["web"], wait: true, timeout_ms: None, rules: Supers })
        POST /api/v1/programs/web/signal?signal=nope
          bad-request: "nope" is no signal (say ?signal=HUP, for example)
        POST /api/v1/programs/web/dance
          no-such-route: there is nothing at /api/v1/programs/web/dance
        GET /api/v1/programs/web/start
          wrong-method: GET cannot be used here (POST)
        POST /api/v1/reload?dry_run=1
          Reload { dry_run: true }
        POST /api/v1/reload?dryrun=1
          bad-request: "dryrun" means nothing here
        GET /api/v1/history?limit=5&since=1795263725
          History(Wanted { name: None, limit: 5, since: Some(Wall(1795263725000)) })
        GET /api/v1/programs/g:web/history
          History(Wanted { name: Some("g:web"), limit: 200, since: None })
        GET /api/v1/programs/g:web/history?since=yesterday
          bad-request: since is a whole number, not "yesterday"
        POST /api/v1/programs/g:web/why
          wrong-method: POST cannot be used here (GET, HEAD)
        GET /api/v1/programs/g:web/why
          Why("g:web")
        GET /api/v1/programs/%ff
          bad-request: the path has a malformed % escape
        GET /
          no-such-route: there is nothing at /
        "#);
    }
}
