//! The daemon's flags that stand above the files: each is a key of `[supervisord]` given on the command
//! line (supervisor-contract 1). They are applied at every reading, so they win after a reload too.

use crate::fault::{Fault, Place};
use crate::ini::value::{self, Value};
use crate::load::Request;
use crate::model::{LogLevel, Settings};
use bstr::{BStr, BString};
use std::sync::Arc;

/// What the command line says. `None` and `false` leave it to the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The main file as the user named it, for messages.
    pub file: Option<BString>,
    /// `-n`
    pub nodaemon: bool,
    /// `-s`
    pub silent: bool,
    /// `-k`
    pub nocleanup: bool,
    /// `-t`
    pub strip_ansi: bool,
    /// `-u`, not looked up before the files are read.
    pub user: Option<String>,
    /// `-m`
    pub umask: Option<u32>,
    /// `-d`
    pub directory: Option<BString>,
    /// `-l`
    pub logfile: Option<LogTarget>,
    /// `-y`
    pub logfile_maxbytes: Option<u64>,
    /// `-z`
    pub logfile_backups: Option<u32>,
    /// `-e`
    pub loglevel: Option<LogLevel>,
    /// `-j`
    pub pidfile: Option<BString>,
    /// `-i`
    pub identifier: Option<String>,
    /// `-q`
    pub childlogdir: Option<BString>,
    /// `-a`
    pub minfds: Option<u64>,
    /// `--minprocs`
    pub minprocs: Option<u64>,
}

/// Where the main log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// A file, absolute.
    File(BString),
    /// syslog.
    Syslog,
}

/// A key of `[supervisord]` that is a flag with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Key {
    User,
    Umask,
    Directory,
    Logfile,
    LogfileMaxbytes,
    LogfileBackups,
    Loglevel,
    Pidfile,
    Identifier,
    Childlogdir,
    Minfds,
    Minprocs,
}

impl Flags {
    /// Takes one value from the command line.
    ///
    /// # Errors
    /// It is no value of this key; the text is the ancestor's.
    pub fn set(&mut self, key: Key, text: &BStr, req: &Request<'_>) -> Result<(), String> {
        match key {
            Key::User => self.user = Some(text.to_string()),
            Key::Umask => self.umask = Some(value::octal(text)?),
            Key::Directory => self.directory = Some(value::existing_directory(text, req)?),
            Key::Logfile => self.logfile = Some(log_target(text, req)?),
            Key::LogfileMaxbytes => self.logfile_maxbytes = Some(value::byte_size(text)?),
            Key::LogfileBackups => self.logfile_backups = Some(value::natural(text)?),
            Key::Loglevel => self.loglevel = Some(value::log_level(text)?),
            Key::Pidfile => self.pidfile = Some(value::full_dirpath(text, req)?),
            Key::Identifier => self.identifier = Some(text.to_string()),
            Key::Childlogdir => self.childlogdir = Some(value::existing_directory(text, req)?),
            Key::Minfds => self.minfds = Some(value::large(text)?),
            Key::Minprocs => self.minprocs = Some(value::large(text)?),
        }
        Ok(())
    }

    /// Puts the flags over what the files say.
    pub(crate) fn apply(&self, s: &mut Settings) {
        s.nodaemon |= self.nodaemon;
        s.silent |= self.silent;
        s.nocleanup |= self.nocleanup;
        s.strip_ansi |= self.strip_ansi;
        over(&mut s.umask, &self.umask);
        over(&mut s.directory, &self.directory);
        over(&mut s.pidfile, &self.pidfile);
        over(&mut s.childlogdir, &self.childlogdir);
        over(&mut s.minfds, &self.minfds);
        over(&mut s.minprocs, &self.minprocs);
        s.logfile_maxbytes = self.logfile_maxbytes.unwrap_or(s.logfile_maxbytes);
        s.logfile_backups = self.logfile_backups.unwrap_or(s.logfile_backups);
        s.loglevel = self.loglevel.unwrap_or(s.loglevel);
        if let Some(identifier) = &self.identifier {
            s.identifier.clone_from(identifier);
        }
        if let Some(target) = &self.logfile {
            (s.logfile, s.log_to_syslog) = match target {
                LogTarget::File(path) => (Some(path.clone()), false),
                LogTarget::Syslog => (None, true),
            };
        }
    }

    /// `-u` over the file's `user`.
    pub(crate) fn apply_user(&self, s: &mut Settings, req: &Request<'_>) -> Result<(), Fault> {
        let Some(user) = &self.user else { return Ok(()) };
        let place = Place::whole(&Arc::new(BString::from("command line")));
        let user = value::user(BStr::new(user), req).map_err(|text| Fault::new(&place, text))?;
        s.user = Some(user);
        Ok(())
    }
}

fn over<T: Clone>(setting: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        setting.clone_from(flag);
    }
}

/// `syslog`, or a file whose folder exists.
pub(crate) fn log_target(text: &BStr, req: &Request<'_>) -> Value<LogTarget> {
    match text.eq_ignore_ascii_case(b"syslog") {
        true => Ok(LogTarget::Syslog),
        false => value::full_dirpath(text, req).map(LogTarget::File),
    }
}
