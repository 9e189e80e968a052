//! `[supervisorctl]` and `[ctlplugin:x]` of one file, and nothing else of it: what is wrong with a program
//! is no concern of the client, which also must not read a hundred included files to know one address.

use crate::ini::expand::Scope;
use crate::ini::fields::{Fields, string};
use crate::ini::keys::Kind;
use crate::ini::{parse, plugin, value};
use crate::load::Request;
use crate::model::{Ctl, Secret};
use crate::source::{absolute, bytes_of, read_text};
use bstr::BStr;
use std::path::Path;
use std::sync::Arc;

/// Why the file is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It cannot be read.
    Unreadable,
    /// Something in it is wrong; the ancestor's text.
    Broken(String),
}

/// Reads the sections of a file; which file `req` names does not matter. Included files are not looked at,
/// as the ancestor does not.
///
/// # Errors
/// The file cannot be read, the section is missing, a value cannot be expanded, or a plug-in is named.
pub fn read(req: &Request<'_>, file: &Path) -> Result<Ctl, Unusable> {
    let full = absolute(&req.cwd, file);
    let text = read_text(&full).map_err(|t| match t.line {
        0 => Unusable::Unreadable,
        _ => Unusable::Broken(format!("the file {}", t.message)),
    })?;
    let (doc, faults) = parse::parse(&Arc::new(bytes_of(&full)), &text);
    if let Some(fault) = faults.into_iter().next() {
        return Err(Unusable::Broken(fault.reason()));
    }
    let Some(section) = doc.section("supervisorctl") else {
        return Err(Unusable::Broken(".ini file does not include supervisorctl section".into()));
    };
    let scope = Scope::of_env(&req.env);
    let mut f = Fields::new(section, &doc.defaults);
    let ctl = values(req, &mut f, &scope);
    let mut faults = f.faults;
    let scope = scope.hide_here();
    for section in doc.sections.iter().filter(|s| matches!(Kind::of(&s.name), Some((Kind::CtlPlugin, _)))) {
        let mut f = Fields::new(section, &doc.defaults);
        plugin::is_own(&mut f, &scope, &plugin::CTL);
        faults.append(&mut f.faults);
    }
    match faults.into_iter().next() {
        Some(fault) => Err(Unusable::Broken(fault.message)),
        None => Ok(ctl),
    }
}

/// The values of `[supervisorctl]`.
pub(crate) fn values(req: &Request<'_>, f: &mut Fields<'_>, scope: &Scope) -> Ctl {
    Ctl {
        present: true,
        serverurl: f.opt("serverurl", scope, string).map(|url| absolute_url(url, req)),
        prompt: f.get("prompt", scope, Ctl::default().prompt, string),
        username: f.opt("username", scope, string),
        password: f.opt("password", scope, |t| Ok(Secret::new(t))),
        history_file: f.opt("history_file", scope, |t| Ok(value::full_path(t, req))),
    }
}

/// The path of a unix socket may be relative in the file.
fn absolute_url(url: String, req: &Request<'_>) -> String {
    match url.strip_prefix("unix://") {
        Some(path) => format!("unix://{}", value::full_path(BStr::new(path), req)),
        None => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Choice, Personality, Users};
    use std::path::PathBuf;

    struct Nobody;

    impl Users for Nobody {
        fn user_exists(&self, _: &str) -> bool {
            false
        }
        fn group_exists(&self, _: &str) -> bool {
            false
        }
        fn home_of(&self, _: &str) -> Option<PathBuf> {
            None
        }
    }

    fn request() -> Request<'static> {
        Request {
            choice: Choice::File(PathBuf::new()),
            personality: Personality::Supervisord,
            env: vec![("WHO".into(), "me".into())],
            hostname: "box".into(),
            cwd: "/cwd".into(),
            log_dir: PathBuf::new(),
            home: Some("/home/u".into()),
            users: &Nobody,
        }
    }

    fn reading(text: &str) -> Result<Ctl, Unusable> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        std::fs::write(&file, text.replace("HERE", &dir.path().display().to_string())).unwrap();
        read(&request(), &file)
    }

    #[test]
    fn values() {
        let text = "[supervisorctl]\nserverurl=unix://run/s.sock\nusername=%(ENV_WHO)s\npassword=p%%\n\
                    prompt=box\nhistory_file=~/.h\n[program:x]\ncommand=%(nope)s\nnumprocs=x\n";
        let ctl = reading(text).unwrap();
        assert_eq!(ctl.serverurl.as_deref(), Some("unix:///cwd/run/s.sock"));
        assert_eq!(ctl.username.as_deref(), Some("me"));
        assert_eq!(ctl.password.unwrap().reveal(), b"p%");
        assert_eq!((ctl.prompt.as_str(), ctl.history_file.unwrap()), ("box", "/home/u/.h".into()));
        let plain = reading("[supervisorctl]\n").unwrap();
        assert_eq!(plain, Ctl { present: true, ..Ctl::default() });
    }

    #[test]
    fn faults() {
        let broken = |text: &str| match reading(text) {
            Err(Unusable::Broken(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken("[supervisord]\n"), ".ini file does not include supervisorctl section");
        let text = broken("[supervisorctl]\nserverurl=%(foo)s\n");
        assert!(
            text.starts_with(
                "Format string '%(foo)s' for 'supervisorctl.serverurl' contains names ('foo') which cannot be \
                 expanded. Available names: ENV_WHO"
            ),
            "{text}"
        );
        assert!(!broken("[supervisorctl]\nserverurl\n").is_empty());
        assert_eq!(read(&request(), Path::new("/nowhere/x.conf")), Err(Unusable::Unreadable));
        assert_eq!(read(&request(), Path::new("/etc")), Err(Unusable::Unreadable));
    }

    #[test]
    fn plugins() {
        let with = |text: &str| match reading(&format!("[ctlplugin:x]\n{text}[supervisorctl]\n")) {
            Err(Unusable::Broken(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(with(""), "section [ctlplugin:x] does not specify a supervisor.ctl_factory");
        let text = with("supervisor.ctl_factory=a.b:%(ENV_WHO)s\n[ctlplugin:y]\n");
        assert_eq!(text, "a.b:me cannot be resolved within [ctlplugin:x]");
        let own = "supervisor.ctl_factory=supervisor.supervisorctl:DefaultControllerPlugin\n";
        assert!(with(own).starts_with("Ok("));
        let text = with(&format!("{own}other=%(foo)s\n"));
        let start = "Format string '%(foo)s' for 'ctlplugin:x.other' contains names ('foo')";
        assert!(text.starts_with(start) && text.ends_with("Available names: ENV_WHO"), "{text}");
        // The client's own section comes first.
        let text = with("[supervisorctl]\nprompt=%(foo)s\n");
        assert!(text.contains("'supervisorctl.prompt'"), "{text}");
    }
}
