//! The place of one side of a scenario: a folder, links by the names that users call, ports, the base configuration.

use crate::free_port;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Supervisor from PyPI.
    Genuine,
    /// This tree's.
    Ours,
}

/// Whose daemon meets whose client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// `supervisord`.
    pub daemon: Make,
    /// `supervisorctl`.
    pub client: Make,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The folder of the genuine programs.
    pub genuine: PathBuf,
    /// Our daemon, which is all of our programs by other names.
    pub superd: PathBuf,
    /// The program that behaves as told.
    pub actor: PathBuf,
    /// This program, which is also the recorder.
    pub twin: PathBuf,
}

/// The names by which users call Supervisor.
const NAMES: [&str; 4] = ["supervisord", "supervisorctl", "echo_supervisord_conf", "pidproxy"];

/// The folder and all that is in it.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: TempDir,
    pub(crate) ports: [u16; 3],
    tools: Tools,
}

impl Root {
    pub(crate) fn new(tools: &Tools, pairing: Pairing) -> Result<Root, String> {
        let problem = |e: std::io::Error| format!("a folder for the scenario: {e}");
        // Always the same length, because paths are counted in events; and short, because a socket's must be.
        let dir = tempfile::Builder::new().prefix("tw").rand_bytes(6).tempdir_in("/tmp").map_err(problem)?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(problem)?;
        for below in ["bin", "home", "log", "out", "run", "tmp"] {
            fs::create_dir(dir.path().join(below)).map_err(problem)?;
        }
        for name in NAMES {
            let make = if name == "supervisorctl" { pairing.client } else { pairing.daemon };
            let target = match make {
                Make::Genuine => tools.genuine.join(name),
                Make::Ours => tools.superd.clone(),
            };
            symlink(target, dir.path().join("bin").join(name)).map_err(problem)?;
        }
        Ok(Root { dir, ports: [free_port(), free_port(), free_port()], tools: tools.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What stands for what in the text of a scenario.
    fn placeholders(&self) -> [(&'static str, String); 9] {
        let show = |path: &Path| path.display().to_string();
        [
            ("{root}", show(self.path())),
            ("{actor}", show(&self.tools.actor)),
            ("{twin}", show(&self.tools.twin)),
            ("{python}", show(&self.tools.genuine.join("python"))),
            ("{genuine}", show(&self.tools.genuine)),
            ("{bin}", show(&self.path().join("bin"))),
            ("{port}", self.ports[0].to_string()),
            ("{port2}", self.ports[1].to_string()),
            ("{port3}", self.ports[2].to_string()),
        ]
    }

    /// The text with paths and ports of this root.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.placeholders()
            .into_iter()
            .fold(text.to_string(), |text, (name, value)| text.replace(name, &value))
    }

    /// Back again, longest first.
    pub(crate) fn places(&self) -> Vec<(String, String)> {
        let word = |name: &str| name.trim_matches(['{', '}']).to_uppercase();
        let mut places: Vec<_> = self.placeholders().into_iter().map(|(n, v)| (v, word(n))).collect();
        places.retain(|(_, word)| word != "BIN");
        places.push((self.tools.superd.display().to_string(), "SUPERVISORD".into()));
        places.push((self.tools.genuine.join("supervisord").display().to_string(), "SUPERVISORD".into()));
        places.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        places
    }

    /// The environment of all programs of a scenario.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let at = |below: &str| self.path().join(below).display().to_string();
        let env = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_string()),
            ("HOME", at("home")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("TMPDIR", at("tmp")),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
            // By this, whatever is left over is found at the end.
            (super::process::MARK, self.path().display().to_string()),
        ];
        env.into_iter().map(|(k, v)| (k.to_string(), v)).collect()
    }

    /// The configuration that most scenarios begin with. A section may come again behind it.
    pub(crate) fn base(&self, listen: Option<&str>) -> String {
        let recorder = listen.map_or(String::new(), |events| {
            format!(
                "[eventlistener:recorder]\ncommand={{twin}} listen {{root}}/events\nevents={events}\nstartsecs=0\n\
                 buffer_size=1000\n"
            )
        });
        self.fill(&format!(
            "[unix_http_server]\nfile={{root}}/s.sock\n[supervisord]\nlogfile={{root}}/supervisord.log\n\
             pidfile={{root}}/supervisord.pid\nchildlogdir={{root}}/log\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{{root}}/s.sock\n{recorder}"
        ))
    }
}
