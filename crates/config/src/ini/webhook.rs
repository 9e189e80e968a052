//! `[webhook]`, and `webhook=` of a program. Both are ours: the ancestor knows neither, and without them
//! nothing changes.

use super::expand::Scope;
use super::fields::Fields;
use super::keys::Kind;
use super::parse::Doc;
use crate::fault::Fault;
use crate::load::Request;
use crate::model::Secret;
use crate::webhook::{self, Events, Url, Webhooks};
use bstr::ByteSlice;

/// What came of the sections. A fault is an error, but a program runs rather without notifications than not
/// at all.
#[derive(Default)]
pub(crate) struct Lowered {
    pub(crate) webhooks: Webhooks,
    /// With the program that it concerns.
    pub(crate) faults: Vec<(Fault, Option<String>)>,
}

pub(crate) fn lower(req: &Request<'_>, doc: &Doc, scope: &Scope) -> Lowered {
    let mut out = Lowered::default();
    let scope = scope.clone().text("host_node_name", req.hostname.as_str());
    own(doc, &scope, &mut out);
    if let Some(section) = doc.section("webhook") {
        let mut f = Fields::new(section, &doc.defaults);
        main(&mut f, &scope, &mut out.webhooks);
        if f.faults.is_empty() && out.webhooks.url.is_none() && out.webhooks.own.is_empty() {
            let fault = Fault::new(&section.place, "[webhook] has no url: nobody is notified");
            f.fault(fault.hint("add url=https://HOST[:PORT][/PATH]"));
        }
        out.faults.extend(f.faults.into_iter().map(|fault| (fault, None)));
    }
    out
}

fn main(f: &mut Fields<'_>, scope: &Scope, hooks: &mut Webhooks) {
    hooks.url = url(f, "url", scope, Url::parse);
    hooks.timeout = f.get("timeout", scope, hooks.timeout, |t| webhook::timeout(&t.to_str_lossy()));
    hooks.events = f.get("events", scope, hooks.events, |t| Events::parse(&t.to_str_lossy()));
    hooks.secret = f.opt("secret", scope, |t| Ok(Secret::new(t))).filter(|s| !s.reveal().is_empty());
}

fn own(doc: &Doc, scope: &Scope, out: &mut Lowered) {
    for section in &doc.sections {
        let Some((Kind::Program | Kind::EventListener | Kind::FastCgi, name)) = Kind::of(&section.name)
        else {
            continue;
        };
        let name = name.trim();
        let mut f = Fields::new(section, &doc.defaults);
        let scope = scope.clone().text("program_name", name);
        if let Some(url) = url(&mut f, "webhook", &scope, webhook::own) {
            out.webhooks.own.insert(name.into(), url);
        }
        out.faults.extend(f.faults.into_iter().map(|fault| (fault, Some(name.into()))));
    }
}

/// An address; an empty one is as good as none.
fn url<T>(
    f: &mut Fields<'_>,
    key: &str,
    scope: &Scope,
    parse: impl FnOnce(&str) -> Result<T, webhook::BadUrl>,
) -> Option<T> {
    let text = f.text(key, scope).filter(|t| !t.trim_ascii().is_empty())?;
    let place = f.place(key);
    match parse(&text.to_str_lossy()) {
        Ok(url) => Some(url),
        Err(bad) => {
            f.fault(Fault::new(&place, format!("{key}=: {}", bad.message)).hint(bad.hint));
            None
        }
    }
}
