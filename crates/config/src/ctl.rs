//! `[supervisorctl]` of one file, and nothing else of it: what is wrong with a program is no concern of
//! the client, which also must not read a hundred included files to know one address.

use crate::ini::expand::Scope;
use crate::ini::fields::{Fields, string};
use crate::ini::parse;
use crate::model::{Ctl, Secret};
use crate::source::{absolute, bytes_of, path_of, read_text};
use bstr::BString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the expansion of values needs to know.
pub struct Around<'a> {
    /// The environment.
    pub env: &'a [(BString, BString)],
    /// Working directory.
    pub cwd: &'a Path,
    /// Home folder, for `~`.
    pub home: Option<PathBuf>,
}

/// Why the file is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It cannot be read.
    Unreadable,
    /// Something in it is wrong; the ancestor's text.
    Broken(String),
}

/// Reads the section. Included files are not looked at, as the ancestor does not.
///
/// # Errors
/// The file cannot be read, the section is missing, or a value cannot be expanded.
pub fn read(file: &Path, around: &Around<'_>) -> Result<Ctl, Unusable> {
    let full = absolute(around.cwd, file);
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
    let scope = Scope::of_env(around.env);
    let mut f = Fields::new(section, &doc.defaults);
    let ctl = Ctl {
        present: true,
        serverurl: f.opt("serverurl", &scope, string).map(|url| around.absolute_url(url)),
        prompt: f.get("prompt", &scope, Ctl::default().prompt, string),
        username: f.opt("username", &scope, string),
        password: f.opt("password", &scope, |t| Ok(Secret::new(t))),
        history_file: f.opt("history_file", &scope, |t| Ok(around.full_path(&path_of(t)))),
    };
    match f.faults.into_iter().next() {
        Some(fault) => Err(Unusable::Broken(fault.message)),
        None => Ok(ctl),
    }
}

impl Around<'_> {
    fn full_path(&self, path: &Path) -> BString {
        let path = match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            (Ok(_), None) | (Err(_), _) => path.to_path_buf(),
        };
        bytes_of(&absolute(self.cwd, &path))
    }

    /// The path of a unix socket may be relative in the file.
    fn absolute_url(&self, url: String) -> String {
        match url.strip_prefix("unix://") {
            Some(path) => format!("unix://{}", self.full_path(Path::new(path))),
            None => url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Result<Ctl, Unusable> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.conf");
        std::fs::write(&file, text.replace("HERE", &dir.path().display().to_string())).unwrap();
        let env = [(BString::from("WHO"), BString::from("me"))];
        read(&file, &Around { env: &env, cwd: Path::new("/cwd"), home: Some("/home/u".into()) })
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
        let around = Around { env: &[], cwd: Path::new("/"), home: None };
        assert_eq!(read(Path::new("/nowhere/x.conf"), &around), Err(Unusable::Unreadable));
        assert_eq!(read(Path::new("/etc"), &around), Err(Unusable::Unreadable));
    }
}
