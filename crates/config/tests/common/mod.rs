//! A folder of files, and loading it with users that exist only here.
#![allow(dead_code, unreachable_pub)]

use bstr::BString;
use std::path::{Path, PathBuf};
use supers_config::{Choice, Loaded, Personality, Program, Request, Users, load};

pub struct People;

impl Users for People {
    fn user_exists(&self, user: &str) -> bool {
        ["root", "0", "www-data", "33"].contains(&user)
    }
    fn group_exists(&self, group: &str) -> bool {
        ["root", "adm"].contains(&group)
    }
    fn home_of(&self, user: &str) -> Option<PathBuf> {
        (user == "www-data").then(|| "/var/www".into())
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new(files: &[(&str, &str)]) -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            world.put(name, text.as_bytes());
        }
        world
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn load(&self, choice: Choice, personality: Personality) -> Loaded {
        self.request(choice, personality, load)
    }

    /// With a request to read this file as the ancestor does.
    pub fn with_request<T>(&self, name: &str, with: impl FnOnce(&Request<'_>) -> T) -> T {
        self.request(Choice::File(self.path().join(name)), Personality::Supervisord, with)
    }

    fn request<T>(
        &self,
        choice: Choice,
        personality: Personality,
        with: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        let env = [("HOME", "/root"), ("PASS", "through"), ("LANG", "de_DE.UTF-8"), ("TMPDIR", "/nowhere")];
        with(&Request {
            choice,
            personality,
            env: env.iter().map(|(k, v)| (BString::from(*k), BString::from(*v))).collect(),
            hostname: "box.example".into(),
            cwd: self.path().into(),
            log_dir: "/logs".into(),
            home: Some("/root".into()),
            users: &People,
        })
    }

    pub fn folder(&self) -> Loaded {
        self.load(Choice::Dir(self.path().into()), Personality::Superd)
    }

    pub fn file(&self, name: &str) -> Loaded {
        self.load(Choice::File(self.path().join(name)), Personality::Superd)
    }

    /// As `supers check FILE` reads it.
    pub fn among(&self, name: &str) -> Loaded {
        self.request(Choice::File(self.path().join(name)), Personality::Superd, supers_config::load_among)
    }

    pub fn ancestor(&self, name: &str) -> Loaded {
        self.load(Choice::File(self.path().join(name)), Personality::Supervisord)
    }

    /// All findings as text, the folder's name taken out.
    pub fn findings(&self, loaded: &Loaded) -> String {
        let lines: Vec<String> = loaded.config.findings.iter().map(ToString::to_string).collect();
        self.short(&lines.join("\n"))
    }

    pub fn short(&self, text: &str) -> String {
        let dir = self.path().display().to_string();
        text.replace(&format!("{dir}/"), "").replace(&dir, "DIR")
    }
}

pub fn get<'a>(loaded: &'a Loaded, name: &str) -> &'a Program {
    loaded.config.programs.iter().find(|p| p.spec.full_name() == name).unwrap_or_else(|| {
        let names: Vec<String> = loaded.config.programs.iter().map(|p| p.spec.full_name()).collect();
        panic!("no {name} among {names:?}; findings {:#?}", loaded.config.findings)
    })
}

/// One program of an INI file with these lines.
pub fn program(lines: &str) -> Program {
    let world = World::new(&[("s.conf", &format!("[supervisord]\n[program:p]\n{lines}\n"))]);
    let loaded = world.file("s.conf");
    assert!(!loaded.config.has_errors(), "{:#?}", loaded.config.findings);
    loaded.config.programs[0].clone()
}

/// One unit file `u.service` with these lines in `[Service]`, and its findings.
pub fn service(lines: &str) -> (Program, String) {
    let world = World::new(&[("u.service", &format!("[Service]\n{lines}\n"))]);
    let loaded = world.folder();
    let findings = world.findings(&loaded);
    (loaded.config.programs[0].clone(), findings)
}

/// A variable of a unit.
pub fn var(program: &Program, key: &str) -> Option<String> {
    let spec = &program.spec;
    let set = spec.context.env.vars.iter().find(|(k, _)| k == key).map(|(_, v)| v.to_string());
    let own = || spec.names().into_iter().find(|(k, _)| *k == key).map(|(_, v)| v.to_string());
    set.or_else(|| own().filter(|_| spec.context.env.names))
}

pub fn words(program: &Program) -> Vec<String> {
    program.spec.exec[0].words.iter().map(ToString::to_string).collect()
}
