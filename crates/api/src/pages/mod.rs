//! Supervisor's pages (supervisor-contract 14): the status table with its actions, and the end of a log.
//! The addresses, links, classes and messages are Supervisor's, because tools look for them; text and design
//! are ours. They work without scripts.

pub(crate) mod date;
mod deeds;
mod form;
mod html;

pub(crate) use deeds::find;
pub(crate) use form::{Form, percent_decode, percent_encode};
pub(crate) use html::problem;

use supers_core::control::Caller;
use supers_core::ids::UnitId;
use supers_core::inside::{Cut, Inside, LogFault, LogOf};

/// What the pages need of the world.
pub(crate) struct Context<'a> {
    pub(crate) inside: &'a dyn Inside,
    pub(crate) caller: Caller,
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// A page that is made anew each time.
    Html(String),
    /// `text/plain`.
    Plain(&'static str),
    /// Something that never changes, with its type.
    Asset(&'static str, &'static [u8]),
    /// Back to the table, with this message.
    Message(String),
    /// Nothing is there.
    Missing,
    /// The action is unknown.
    BadAction,
}

const STYLE: &[u8] = include_bytes!("supervisor.css");
const ICON: &[u8] = include_bytes!("icon.png");
const LOGO: &[u8] = include_bytes!("supervisor.gif");

/// Bytes of a log that its page shows, when not more are asked for.
const TAIL: u64 = 1024;
/// Bytes of a log that its page shows at most.
const TAIL_MOST: u64 = 1 << 20;

/// The page at a decoded path.
pub(crate) async fn page(context: &Context<'_>, path: &str, form: &Form) -> Page {
    match path {
        "/" | "/index.html" => index(context, form).await,
        "/tail.html" => tail(context, form).await,
        "/ok.html" => Page::Plain("OK"),
        "/stylesheets/supervisor.css" => Page::Asset("text/css", STYLE),
        "/images/icon.png" => Page::Asset("image/png", ICON),
        "/images/supervisor.gif" => Page::Asset("image/gif", LOGO),
        _ => Page::Missing,
    }
}

/// Whether this may change something.
pub(crate) fn acts(path: &str, form: &Form) -> bool {
    matches!(path, "/" | "/index.html") && form.get("action").is_some()
}

async fn index(context: &Context<'_>, form: &Form) -> Page {
    if let Some(action) = form.get("action") {
        let Some(deed) = deeds::Deed::parse(action, form.get("processname")) else { return Page::BadAction };
        return Page::Message(deed.done(context).await);
    }
    let snapshot = context.inside.snapshot();
    let version = context.inside.daemon().version;
    Page::Html(html::table(&snapshot, context.inside.now(), &version, form.get("message")))
}

async fn tail(context: &Context<'_>, form: &Form) -> Page {
    let limit = form.get("limit").and_then(|l| l.parse().ok()).unwrap_or(TAIL).clamp(TAIL, TAIL_MOST);
    let name = form.get("processname");
    let text = match name {
        None => "No process name found".to_owned(),
        Some(name) => match find(&context.inside.snapshot(), name).map(|u| u.id) {
            None => format!("ERROR: unexpected rpc fault [10] BAD_NAME: {name}"),
            Some(unit) => end_of_log(context, unit, name, limit).await,
        },
    };
    Page::Html(html::tail(name, limit, &text))
}

async fn end_of_log(context: &Context<'_>, unit: UnitId, name: &str, limit: u64) -> String {
    let cut = Cut::Read { offset: -i64::try_from(limit).unwrap_or(i64::MAX), length: 0 };
    let log = LogOf::Unit(unit, supers_core::control::Stream::Stdout);
    match context.inside.read_log(log, cut).await {
        Ok(Ok(piece)) => String::from_utf8_lossy(&piece.bytes).into_owned(),
        Ok(Err(LogFault::NoFile)) => format!("No file for {name}"),
        Ok(Err(LogFault::BadArguments)) => "ERROR: unexpected rpc fault [3] BAD_ARGUMENTS".to_owned(),
        Ok(Err(LogFault::Failed(why))) => format!("ERROR: unexpected rpc fault [30] FAILED: {why}"),
        Err(refusal) => format!("ERROR: {}", deeds::fault(&refusal, name)),
    }
}
