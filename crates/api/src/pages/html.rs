//! The pages as text.

use super::form::percent_encode;
use super::{date, deeds};
use crate::server::sorted;
use jiff::tz::TimeZone;
use std::fmt::{self, Display, Write as _};
use supers_core::proc::{State, Trouble};
use supers_core::snapshot::{Snapshot, UnitView};
use supers_core::time::Now;

/// A text with what HTML takes for markup escaped.
struct Text<T>(T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                for c in s.chars() {
                    match c {
                        '&' => self.0.write_str("&amp;")?,
                        '<' => self.0.write_str("&lt;")?,
                        '>' => self.0.write_str("&gt;")?,
                        '"' => self.0.write_str("&quot;")?,
                        '\'' => self.0.write_str("&#39;")?,
                        c => self.0.write_char(c)?,
                    }
                }
                Ok(())
            }
        }
        write!(Escape(f), "{}", self.0)
    }
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";

/// The status table.
pub(super) fn table(snapshot: &Snapshot, now: Now, version: &str, message: Option<&str>) -> String {
    let units = sorted(snapshot);
    let mut out = String::with_capacity(2048 + 1024 * units.len());
    out += HEAD;
    out += "<title>Supervisor Status</title>\n\
        <link href=\"stylesheets/supervisor.css\" rel=\"stylesheet\" type=\"text/css\">\n\
        <link href=\"images/icon.png\" rel=\"icon\" type=\"image/png\">\n\
        </head>\n<body>\n<div id=\"wrapper\">\n<div id=\"header\"><h1>Supervisor status</h1></div>\n";
    if let Some(message) = message {
        let _ = writeln!(out, "<div class=\"status_msg\">{}</div>", Text(message));
    }
    out += "<form action=\"index.html\" method=\"post\">\n<ul class=\"clr\" id=\"buttons\">\n";
    for (label, action) in [("Refresh", "refresh"), ("Restart All", "restartall"), ("Stop All", "stopall")] {
        let _ = writeln!(
            out,
            "<li class=\"action-button\"><a href=\"index.html?action={action}\">{label}</a></li>"
        );
    }
    out += "</ul>\n<table>\n<thead><tr><th class=\"state\">State</th><th class=\"desc\">Description</th>\
        <th class=\"name\">Name</th><th class=\"action\">Action</th></tr></thead>\n<tbody>\n";
    let zone = TimeZone::system();
    for (unit, shade) in units.into_iter().zip(["", "shade"].into_iter().cycle()) {
        row(&mut out, unit, shade, now, &zone);
    }
    let _ = writeln!(
        out,
        "</tbody>\n</table>\n</form>\n</div>\n<div class=\"clr\" id=\"footer\">superd <span>{}</span></div>\n\
        </body>\n</html>",
        Text(version)
    );
    out
}

fn row(out: &mut String, unit: &UnitView, shade: &str, now: Now, zone: &TimeZone) {
    let name = unit.spec.full_name();
    let coded = percent_encode(&name);
    let _ = writeln!(
        out,
        "<tr class=\"{shade}\"><td class=\"status\"><span class=\"{}\">{}</span></td>\
        <td><span>{}</span></td><td><a href=\"tail.html?processname={coded}\" target=\"_blank\">{}</a></td>\
        <td class=\"action\"><ul>",
        class(&unit.state),
        unit.state.word().to_lowercase(),
        Text(description(unit, now, zone)),
        Text(&name),
    );
    for (label, action) in deeds::offered(&unit.state).iter().chain(&[("Clear Log", "clearlog")]) {
        let _ = writeln!(
            out,
            "<li><a href=\"index.html?processname={coded}&amp;action={action}\" name=\"{label}\">{label}</a></li>"
        );
    }
    for (label, end) in [("Tail -f Stdout", ""), ("Tail -f Stderr", "/stderr")] {
        let _ = writeln!(
            out,
            "<li><a href=\"logtail/{coded}{end}\" name=\"{label}\" target=\"_blank\">{label}</a></li>"
        );
    }
    *out += "</ul></td></tr>\n";
}

fn class(state: &State) -> &'static str {
    match state {
        State::Running { .. } => "statusrunning",
        State::Fatal { .. } | State::Backoff { .. } => "statuserror",
        State::Stopped { .. }
        | State::Held
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Exited { .. }
        | State::Unknown { .. } => "statusnominal",
    }
}

/// Supervisor's description of a process (supervisor-contract 10).
fn description(unit: &UnitView, now: Now, zone: &TimeZone) -> String {
    match &unit.state {
        State::Running { pid, .. } => format!("pid {}, uptime {}", pid.0, Uptime(unit.uptime_s(now))),
        State::Fatal { cause } | State::Backoff { cause, .. } => match &unit.trouble {
            Some(Trouble::TooQuick) => "Exited too quickly (process log may have details)".to_owned(),
            Some(Trouble::BadExit(code)) => format!("Bad exit code {code}"),
            Some(Trouble::Start(error)) => error.to_string(),
            None => cause.to_string(),
        },
        State::Stopped { .. } | State::Exited { .. } => match unit.started {
            Some(_) => date::short(unit.ended.unwrap_or(unit.since), zone),
            None => "Not started".to_owned(),
        },
        State::Held | State::Starting { .. } | State::Stopping { .. } | State::Unknown { .. } => {
            String::new()
        }
    }
}

/// `0:00:05`, `1 day, 1:02:03`.
struct Uptime(u64);

impl Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 86_400 {
            0 => {}
            1 => f.write_str("1 day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        write!(f, "{}:{:02}:{:02}", self.0 % 86_400 / 3600, self.0 % 3600 / 60, self.0 % 60)
    }
}

/// The end of a log.
pub(super) fn tail(name: Option<&str>, limit: u64, text: &str) -> String {
    let mut out = String::with_capacity(1024 + text.len() * 2);
    let _ = write!(
        out,
        "{HEAD}<title>Supervisor tail of process {}</title>\n\
        <link href=\"stylesheets/supervisor.css\" rel=\"stylesheet\" type=\"text/css\">\n</head>\n<body>\n\
        <pre>{}</pre>\n",
        Text(name.unwrap_or("None")),
        Text(text)
    );
    if let Some(name) = name {
        let coded = percent_encode(name);
        let _ =
            writeln!(out, "<p><a href=\"tail.html?processname={coded}&amp;limit={limit}\">Refresh</a></p>");
    }
    out += "</body>\n</html>\n";
    out
}

/// The small body of an error or a redirect.
pub(crate) fn problem(status: hyper::StatusCode, text: &str) -> String {
    format!(
        "{HEAD}<title>Error response</title>\n</head>\n<body>\n<h1>Error response</h1>\n\
        <p>Error code {}.</p>\n<p>Message: {}.</p>\n<p>{}</p>\n</body>\n</html>\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("unknown"),
        Text(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(Text("<a href='x'>&\"").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn uptimes() {
        let texts = [5, 36_000, 86_399, 86_400, 200_000].map(|s| Uptime(s).to_string());
        assert_eq!(texts, ["0:00:05", "10:00:00", "23:59:59", "1 day, 0:00:00", "2 days, 7:33:20"]);
    }
}
