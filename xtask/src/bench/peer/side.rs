//! One of the two daemons, in a world of its own.

use super::rig::{Notes, Rig};
use super::rpc::{Line, request};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use supers_testkit::World;

/// Whose programs.
pub(super) enum Make {
    /// Supervisor's, which lie in this folder.
    Genuine(PathBuf),
    /// Those that are measured, by the names of Supervisor's.
    Ours,
}

/// A daemon that runs, and nothing below it yet.
pub(super) struct Side {
    pub(super) world: World,
    pub(super) socket: PathBuf,
    pub(super) notes: Notes,
    /// The daemon; ours are two processes.
    pub(super) pids: Vec<i32>,
    pub(super) count: usize,
    /// Ours has a client of its own besides.
    pub(super) supers: Option<PathBuf>,
}

impl Side {
    pub(super) fn start(rig: &Rig, make: &Make, count: usize) -> Result<Side, String> {
        let mut world = rig.world();
        let notes = Notes::new(world.path("notes"));
        world.ini(&configuration(count, &rig.floor("unit"), &notes));
        let supers = match make {
            Make::Genuine(_) => None,
            Make::Ours => Some(rig.supers().to_path_buf()),
        };
        for name in ["supervisord", "supervisorctl"] {
            let target = match make {
                Make::Genuine(bin) => bin.join(name),
                Make::Ours => rig.superd().to_path_buf(),
            };
            let link = world.path(name);
            symlink(target, &link).map_err(|e| format!("{}: {e}", link.display()))?;
        }
        let mut command = command(&world, &world.path("supervisord"));
        command.arg("--nodaemon");
        world.adopt(command);
        let socket = world.path("s.sock");
        world.until_fact("the daemon answers", || {
            let state = Line::open(&socket).ok()?.call(&request("getState", "")).ok()?;
            state.contains("RUNNING").then_some(())
        });
        let daemon = world.daemon();
        let (main, below) = (daemon.pid(), daemon.daemon_pid());
        let pids = if main == below { vec![main] } else { vec![main, below] };
        Ok(Side { world, socket, notes, pids, count, supers })
    }

    /// A program of this side, with the configuration named.
    pub(super) fn command(&self, program: &Path) -> Command {
        command(&self.world, program)
    }
}

/// Both sides get the same words and the same environment.
fn command(world: &World, program: &Path) -> Command {
    let mut command = Command::new(program);
    let at = |below: &str| world.path(below);
    command.env_clear().current_dir(world.root());
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", at("home")).env("XDG_RUNTIME_DIR", at("run")).env("TMPDIR", at("tmp"));
    command.env("LANG", "C.UTF-8").env("TZ", "UTC");
    command.arg("-c").arg(at("supervisord.conf"));
    command
}

/// The genuine daemon holds a few descriptors for each program, hence `minfds`.
fn configuration(count: usize, unit: &Path, notes: &Notes) -> String {
    format!(
        "[unix_http_server]\nfile={{root}}/s.sock\n\
         [supervisord]\nlogfile={{root}}/supervisord.log\npidfile={{root}}/supervisord.pid\nsilent=true\n\
         minfds=8192\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{{root}}/s.sock\n\
         [program:p]\ncommand={} {} pause\nprocess_name=%(program_name)s_%(process_num)04d\n\
         numprocs={count}\nautostart=false\nstartsecs=0\nredirect_stderr=true\nstdout_logfile=NONE\n",
        unit.display(),
        notes.path()
    )
}
