//! Refusals on the wire: one table from [`Refusal`] to a status code and a problem object, and back.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use supers_core::control::Refusal;

/// The body of every answer that is an error, and the last line of a flow of rows that broke off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The error.
    pub error: Detail,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// A word that programs may rely on; see [`TABLE`].
    pub kind: String,
    /// One sentence for people.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The name that is unknown, for `unknown-name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Every kind of error with its status code. The first six are the engine's refusals, the others are
/// those of the doors.
pub const TABLE: [(&str, u16); 17] = [
    ("unknown-name", 404),
    ("bad-request", 400),
    ("config", 422),
    ("shutting-down", 503),
    ("denied", 403),
    ("failed", 500),
    ("no-such-route", 404),
    ("wrong-method", 405),
    ("unauthorized", 401),
    ("wrong-host", 421),
    ("cross-site", 403),
    ("read-only", 403),
    ("too-large", 413),
    ("too-slow", 408),
    ("ambiguous", 400),
    ("busy", 503),
    ("replaced", 503),
];

/// The status code of a kind; 500 for one that is not in the table.
pub fn status_of(kind: &str) -> StatusCode {
    let code = TABLE.iter().find(|row| row.0 == kind).map_or(500, |row| row.1);
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Detail {
    /// A problem of this kind.
    pub fn new(kind: &str, text: impl Into<String>) -> Detail {
        Detail { kind: kind.into(), text: text.into(), hint: None, name: None }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Detail {
        self.hint = Some(hint.into());
        self
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        status_of(&self.kind)
    }
}

impl From<Refusal> for Detail {
    fn from(r: Refusal) -> Detail {
        match r {
            Refusal::UnknownName { name, hint } => Detail {
                text: format!("no program is called {name:?}"),
                hint,
                name: Some(name),
                kind: "unknown-name".into(),
            },
            Refusal::BadRequest { text } => Detail::new("bad-request", text),
            Refusal::Config { text } => Detail::new("config", text),
            Refusal::ShuttingDown => Detail::new("shutting-down", Refusal::ShuttingDown.to_string()),
            Refusal::Denied { text } => Detail::new("denied", text),
            Refusal::Failed { text } => Detail::new("failed", text),
        }
    }
}

impl From<Detail> for Refusal {
    fn from(d: Detail) -> Refusal {
        let text = match (&d.hint, d.kind.as_str()) {
            (Some(hint), kind) if kind != "unknown-name" => format!("{}; {hint}", d.text),
            (_, _) => d.text.clone(),
        };
        match d.kind.as_str() {
            "unknown-name" => Refusal::UnknownName { name: d.name.unwrap_or_default(), hint: d.hint },
            "config" => Refusal::Config { text },
            "shutting-down" => Refusal::ShuttingDown,
            "denied" | "unauthorized" | "wrong-host" | "cross-site" | "read-only" => Refusal::Denied { text },
            "bad-request" | "no-such-route" | "wrong-method" | "too-large" | "ambiguous" => {
                Refusal::BadRequest { text }
            }
            // A kind of a later version fails like those that nobody is to blame for.
            _ => Refusal::Failed { text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_wire() {
        let text = || "because".to_string();
        let all = [
            Refusal::UnknownName { name: "wbe".into(), hint: Some("did you mean web?".into()) },
            Refusal::UnknownName { name: "wbe".into(), hint: None },
            Refusal::BadRequest { text: text() },
            Refusal::Config { text: text() },
            Refusal::ShuttingDown,
            Refusal::Denied { text: text() },
            Refusal::Failed { text: text() },
        ];
        for refusal in all {
            let problem = Problem { error: refusal.clone().into() };
            let bytes = serde_json::to_vec(&problem).unwrap();
            let back: Problem = serde_json::from_slice(&bytes).unwrap();
            assert!(TABLE[..6].iter().any(|row| row.0 == back.error.kind), "{}", back.error.kind);
            assert_eq!(Refusal::from(back.error), refusal);
        }
    }

    #[test]
    fn the_table_is_a_contract() {
        let text: Vec<String> = TABLE.iter().map(|(kind, code)| format!("{code} {kind}")).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        404 unknown-name
        400 bad-request
        422 config
        503 shutting-down
        403 denied
        500 failed
        404 no-such-route
        405 wrong-method
        401 unauthorized
        421 wrong-host
        403 cross-site
        403 read-only
        413 too-large
        408 too-slow
        400 ambiguous
        503 busy
        503 replaced
        "#);
        assert_eq!(status_of("from-the-future"), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status_of("config").as_u16(), 422);
    }
}
